"""Standard output and standard error: what is printed, and where it cannot be.

Everything that lsr prints goes through this module, under three rules:

- Notes, on standard error, never stop work: a stream that cannot be written is given up silently.
- Output fails in one sentence where it cannot be written, and ends quietly when its reader left.
- Text of any origin is `printable`: it cannot steer a terminal, and every encoding can take it.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import shutil
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from lsr.errors import LsrError

# What a terminal obeys, less tab and newline: C0, DEL and C1; line separators, which some
# programs take for ends of lines; and what turns the order of characters around.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_BREAKS = re.compile("[\t-\r\x1c-\x1e\x85\u2028\u2029]+")
_HALVES = re.compile("[\ud800-\udfff]")  # Python keeps bytes of names that are not UTF-8 in these
_ESCAPED_IN_JSON = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_NOT_ASCII = re.compile("[^\x00-\x7e]")

# For encodings without them, the symbols that lsr itself prints.
_PLAIN = {
    "█": "#", "░": "-", "…": "...", "●": "*", "◐": "+", "○": "o", "·": ".", "∞": "inf",
    "\N{MINUS SIGN}": "-",
}  # fmt: skip
_ERRORS = "lsr-plain"


class Styled(str):
    """Text that is printable already, and may hold colours of lsr's choice."""

    __slots__ = ()


class ReaderLeft(Exception):
    """The reader of standard output has gone, as in `lsr search … | head -1`: no failure."""


def printable(text: str) -> str:
    """`text` with its control characters shown instead of sent: ␛ for ESC, \\u202e for U+202E.

    Tabs and newlines stay; what is printable already does not change.
    """
    return _CONTROLS.sub(_shown, text)


def utf8(text: str) -> str:
    """`text` of a command line with \\ufffd for what of it is not UTF-8, whatever the locale is."""
    if not _HALVES.search(text):
        return text
    try:
        return os.fsencode(text).decode("utf-8", "replace")
    except UnicodeEncodeError:  # half characters of another origin, or others beside them
        return _HALVES.sub("\ufffd", text)


def one_line(text: str) -> str:
    """`text` as `printable`, with a space for its tabs and ends of lines: a cell, or a sentence."""
    return printable(_BREAKS.sub(" ", text))


def cell(text: str) -> str:
    """`one_line`, as wide as standard output's encoding makes it: for columns."""
    return _encodable(one_line(text), _encoding(sys.stdout))


def styled(text: str, **style: Any) -> Styled:
    """`text` in `click.style`'s colours, where standard output is a terminal."""
    text = printable(text)
    if not (style and is_terminal()):
        return Styled(text)
    import click

    return Styled(click.style(text, **style))


def is_terminal() -> bool:
    """Whether standard output is one."""
    return sys.stdout is not None and sys.stdout.isatty()


def columns() -> int:
    """The width of standard output in columns; 100 if it is not a terminal."""
    return shutil.get_terminal_size().columns if is_terminal() else 100


def echo(*pieces: str, nl: bool = True, **style: Any) -> None:
    """Print text on standard output; `style` is for terminals.

    Raises `LsrError` when it cannot be written and `ReaderLeft` when nobody reads on.
    """
    text = "".join(p if isinstance(p, Styled) else styled(p, **style) for p in pieces)
    out = _Output.of(sys.stdout)
    out.write(text + ("\n" if nl else ""))
    out.flush()


def conclude(text: str) -> None:
    """Print on standard output that a work is done; the work is what counts, so it never fails."""
    with suppress(LsrError, ReaderLeft):
        echo(one_line(text))


def note(text: str) -> None:
    """Print a sentence on standard error, as far as that is possible."""
    notes = Notes.of(sys.stderr)
    notes.write(one_line(text) + "\n")
    notes.flush()


def remark(text: str) -> None:
    """A note about work below, while a command is run: a library says nothing by itself."""
    if isinstance(sys.stderr, Notes):
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[2K")  # in the place of a bar
        note(text)


def write_json(value: Any) -> None:
    """Print a value as JSON on standard output; its texts are exactly what they are."""
    text = utf8(json.dumps(value, ensure_ascii=False, indent=1))
    is_utf8 = codecs.lookup(_encoding(sys.stdout)).name == "utf-8"
    escaped = _ESCAPED_IN_JSON if is_utf8 else _NOT_ASCII
    echo(Styled(escaped.sub(_json_escape, text)))


def emit(lines: Iterable[str]) -> None:
    """Print lines of data, with their ends: exactly and in UTF-8, but `printable` on a terminal."""
    out = _Output(None) if sys.stdout is None else cast(_Output, _Output.of(sys.stdout))
    for line in lines:
        if out.isatty():
            out.write(printable(line))
        else:
            out.write_bytes(line.encode())
    out.flush()


@contextmanager
def standard_streams() -> Iterator[None]:
    """Make the standard streams of this process safe to use while the context lasts."""
    # Else the next file opened takes the number of a closed stream, and gets what is printed.
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Output.of(sys.stdout), Notes.of(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Safe(io.TextIOBase):
    """A text stream that takes any character; `stream` None is one that was closed at the start.

    It has no `buffer`, or click would go around it where the encoding is ASCII.
    """

    errors = "strict"

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    @classmethod
    def of(cls, stream: TextIO | _Safe | None) -> TextIO:
        """`stream` itself if it is safe, else made so."""
        return cast(TextIO, stream if isinstance(stream, _Safe) else cls(stream))

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a property here
        return _encoding(self._stream)

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        encodable = _encodable(text, self.encoding)
        self._attempt(lambda stream: stream.write(encodable))
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            self._attempt(lambda stream: stream.flush())

    def _attempt(self, act: Callable[[TextIO], object]) -> None:
        if self._stream is None:
            self._fail(None)
            return
        try:
            act(self._stream)
        except (OSError, ValueError) as error:  # ValueError: it was closed
            self._fail(error)

    @abstractmethod
    def _fail(self, error: Exception | None) -> None:
        """Handle a failure to write; `error` is None where the stream was closed at the start."""

    def _let_go(self) -> None:
        """Point the stream at nothing: what is left in its buffer would fail again at the end."""
        with suppress(OSError, ValueError):
            descriptor = self.fileno()
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, descriptor)
            os.close(nothing)


class Notes(_Safe):
    """Standard error: given up silently where it cannot be written."""

    def _fail(self, error: Exception | None) -> None:
        self._let_go()
        self._stream = None


class _Output(_Safe):
    """Standard output: a failure to write it is a sentence, a reader that left is none."""

    _failure: LsrError | ReaderLeft | None = None

    def write_bytes(self, data: bytes) -> None:
        """Write bytes, between what is written as text."""
        self.flush()
        self._attempt(lambda stream: stream.buffer.write(data))

    def _attempt(self, act: Callable[[TextIO], object]) -> None:
        if self._failure is not None:  # click swallows the first while it looks at a stream
            raise self._failure
        super()._attempt(act)

    def _fail(self, error: Exception | None) -> None:
        self._let_go()
        reason = getattr(error, "strerror", None) or "it is closed"
        self._failure = (
            ReaderLeft()
            if isinstance(error, BrokenPipeError)
            else LsrError(f"standard output cannot be written: {reason}; send it elsewhere")
        )
        raise self._failure from error


def _encoding(stream: TextIO | None) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


def _encodable(text: str, encoding: str) -> str:
    """`text` in characters that an encoding has."""
    return utf8(text).encode(encoding, _ERRORS).decode(encoding)


def _json_escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else _escaped(match[0])


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """The error handler `_ERRORS`: look-alikes and escapes, all of them ASCII."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    code = ord(character)
    if code == 0xFFFD:
        return "?"
    if 0x2400 <= code <= 0x2421:  # the picture of a control character
        return f"\\x{0x7F if code == 0x2421 else code - 0x2400:02x}"
    return _PLAIN.get(character) or _escaped(character)


def _escaped(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


codecs.register_error(_ERRORS, _replaced)

"""Progress: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time

import pytest

from lsr.progress import Progress, Silent, duration


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Time that passes when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        # Reports come every ten seconds, and say how many minutes are left.
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_plain_lines_every_ten_seconds(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("Encoding", "documents", 4000, stream=stream) as bar:
        for _ in range(20):
            clock.now += 1
            bar.advance(100)
    assert stream.getvalue().splitlines() == [
        "Encoding: 1,000 of 4,000 documents, 100 a second, 30 s left",
        "Encoding: 2,000 of 4,000 documents, 100 a second, 20 s left",
        "Encoding: 2,000 documents in 20 s (100 a second)",
    ]
    assert not set(stream.getvalue()) & {"\r", "\x1b", "█"}


def screen(stream: io.StringIO) -> list[str]:
    """The states of the line that a terminal showed, without colours."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", stream.getvalue()))


def test_a_bar_on_a_terminal(clock: Clock) -> None:
    stream = Terminal()
    with Progress("Encoding", "documents", 400, stream=stream) as bar:
        bar.advance(1)  # too soon to be shown
        assert stream.getvalue() == ""
        clock.now += 1
        bar.advance(99)
        state = screen(stream)[-1]
        assert re.fullmatch(
            r"Encoding ━+\S*━+  25% 100 of 400 documents, 100 a second, 3.0 s left", state.strip()
        )
        clock.now += 3
        bar.advance(300)
        assert re.match(r"Encoding ━+ 100% 400 of 400 documents", screen(stream)[-1])
    # The bar is erased, and the cursor, which was hidden, is back.
    erased, last = stream.getvalue().rsplit("\x1b[2K", 1)
    assert "\x1b[?25h" in erased
    assert last == "Encoding: 400 documents in 4.0 s (100 a second)\n"


def test_the_share_of_a_file_stands_in_for_the_total(clock: Clock) -> None:
    stream = Terminal()
    with Progress("Checking", "documents", fraction=lambda: 0.5, stream=stream) as bar:
        clock.now += 2
        bar.advance(10)
        assert screen(stream)[-1].endswith("  50% 10 documents, 5 a second, 2.0 s left")


def test_nothing_is_known_of_a_pipe(clock: Clock) -> None:
    stream = Terminal()
    with Progress("Encoding", "documents", fraction=lambda: None, stream=stream) as bar:
        clock.now += 2
        bar.advance(10)
        assert screen(stream)[-1] == "Encoding 10 documents, 5 a second"


def test_a_bar_is_one_line_of_a_narrow_terminal(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    with Progress("Encoding", "documents", 400, stream=stream) as bar:
        clock.now += 2
        bar.advance(100)
        assert max(map(len, screen(stream))) <= 40
        assert "\x1b[1A" not in stream.getvalue()


def test_work_found_done_does_not_enter_the_rate(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("Encoding", "documents", 3000, stream=stream) as bar:
        bar.advance(1000, free=True)
        clock.now += 10
        bar.advance(100)
    # 1,900 documents to go at 10 a second.
    assert stream.getvalue().splitlines()[0] == (
        "Encoding: 1,100 of 3,000 documents, 10 a second, 3 min 10 s left"
    )


def test_a_failure_leaves_how_far_the_work_came(clock: Clock) -> None:
    def fail(stream: io.StringIO) -> None:
        with Progress("Encoding", "documents", 8, stream=stream) as bar:
            clock.now += 10
            bar.advance(2)
            raise ZeroDivisionError

    for stream in (Terminal(), io.StringIO()):
        with pytest.raises(ZeroDivisionError):
            fail(stream)
        *_, state, end = screen(stream)
        assert (state.endswith("2 of 8 documents, 0 a second, 30 s left"), end) == (True, "")
    stream = Terminal()
    with pytest.raises(ZeroDivisionError), Progress("Encoding", "documents", stream=stream):
        raise ZeroDivisionError
    assert stream.getvalue() == ""


def test_quick_work_has_no_rate(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("Writing", "documents", 0, stream=stream):
        clock.now += 0.5
    assert stream.getvalue() == "Writing: 0 documents in 0.5 s\n"


def test_silence(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Silent("Encoding", "documents", 10) as bar:
        clock.now += 100
        bar.advance(5)
    assert capsys.readouterr() == ("", "")


def test_durations() -> None:
    seconds = [0.0, 9.94, 9.96, 10, 59.4, 59.6, 185, 3599.7, 7800, 36_000]
    assert [duration(value) for value in seconds] == [
        "0.0 s",
        "9.9 s",
        "10.0 s",
        "10 s",
        "59 s",
        "1 min 00 s",
        "3 min 05 s",
        "1 h 00 min",
        "2 h 10 min",
        "10 h 00 min",
    ]


@pytest.mark.parametrize("live", [False, True])
def test_a_stream_that_fails_stops_no_work(clock: Clock, live: bool) -> None:
    class Full(io.StringIO):
        def isatty(self) -> bool:
            return live

        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    with Progress("Encoding", "documents", 30, stream=Full()) as bar:
        for _ in range(3):
            clock.now += 20
            bar.advance(10)


def test_no_standard_error_at_all() -> None:
    code = (
        "import sys; from lsr.progress import Progress; assert sys.stderr is None\n"
        "with Progress('Encoding', 'documents', 3) as bar: bar.advance(3)"
    )
    closed = ["sh", "-c", 'exec "$0" "$@" 2>&-', sys.executable, "-P", "-c", code]
    subprocess.run(closed, check=True)


def test_names_cannot_steer_the_terminal(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("Downloading \x1b[2J\n\u202e", "bytes", 3, stream=stream):
        pass
    assert stream.getvalue() == "Downloading ␛[2J \\u202e: 0 bytes in 0.0 s\n"

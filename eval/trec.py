"""Lines of TREC's files, split as trec_eval 9 splits them.

Columns are separated by any ASCII white space, which may also stand before the first and after the
last.  Blank lines, and lines whose first column begins with `#`, hold nothing.
"""

from __future__ import annotations

import re

from lsr.data.records import decode

# What ends a word in Python, and so in most programs that read these files; trec_eval takes the
# part of it that is ASCII.
WHITE_SPACE = "".join(char for char in map(chr, range(0x3001)) if char.isspace())
COMMENT = "#"
NO_WORD = f"[{WHITE_SPACE}]"  # in Python's regular expressions and in Arrow's
_HAS_WHITE_SPACE = re.compile(NO_WORD)


def columns(line: bytes) -> list[str]:
    """The columns of a line; none of a blank line or a comment.

    Raises `BadRecord` for what is not UTF-8.
    """
    decode(line)
    cells = line.split()  # of bytes, it splits at ASCII white space alone
    if not cells or cells[0].startswith(COMMENT.encode()):
        return []
    return [cell.decode() for cell in cells]


def problem(identifier: str, first: bool) -> str | None:
    """Why an id cannot be a column, as the end of a sentence; None when it can.

    Args:
        first: whether it would be the first column.
    """
    if _HAS_WHITE_SPACE.search(identifier):
        return "has white space"
    if first and identifier.startswith((COMMENT, "\ufeff")):
        return f"begins with {identifier[0]!a}"
    return None

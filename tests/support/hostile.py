"""Text that would steer a terminal, and what of it may reach one."""

from __future__ import annotations

import random
import unicodedata

ATTACKS = [
    "\x1b[2J\x1b[H",  # clears the screen
    "\x1b]52;c;cm0gLXJmIH4=\x07",  # puts a command into the clipboard
    "\x1b]0;title\x07\x1b]2;title\x1b\\",  # names the window
    "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x1b[8m hidden \x1b[5;7m",
    "\x1bP1$r\x1b\\\x1b_G\x1b\\",  # DCS, APC
    "\x1b[?1049h\x1b[6n\x1bc",  # another screen, an answer, a reset
    "\x9b2J\x9d0;title\x9c\x90q\x9c\x85",  # the same of 8 bits
    "abc\u202ecba\u202c \u202a\u202b\u202d",  # turns around
    "a\u2066b\u2067c\u2068d\u2069",
    "one\u2028two\u2029three",
    "visible\rhidden\r",
    "back\x08\x08\x08\x7f\x00\x0b\x0c\x0e\x0f",
    "a\tb\nc\r\nd",
    "\ud83d\udcff half",
    "1\tfake\td9\tA second hit\n2\t9.9\td8\tA third",
]

_ALPHABET = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))] + list(
    "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069abc[];0m日é✓"
)


def strings(count: int, seed: int = 7) -> list[str]:
    """Attacks, and others drawn from control characters and some that are none."""
    draw = random.Random(seed)
    drawn = ("".join(draw.choices(_ALPHABET, k=draw.randint(1, 20))) for _ in range(count))
    return [text.encode("utf-8", "replace").decode() for text in (*ATTACKS, *drawn)]


def word(text: str) -> str:
    """The text as an id: without white space and NUL."""
    return "".join(text.split()).replace("\0", "") or "id"


def controls(text: str) -> set[str]:
    """What of a text steers a terminal, by Unicode's properties; tabs and newlines do not."""
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return {
        character
        for character in set(text) - {"\t", "\n"}
        if unicodedata.category(character) in ("Cc", "Zl", "Zp")
        or unicodedata.bidirectional(character) in turning
    }

"""Places in a source text: offsets to lines and columns, and how a line looks on a terminal.

Offsets count code points from 0; lines and columns count from 1, a column being one code point, as editors show it.
They are worked out when an error is shown, and never kept.
"""

from __future__ import annotations

from typing import Final, NamedTuple

TAB: Final = 4


class Line(NamedTuple):
    """One line: its number from 1, where it starts, and its text without the line's end."""

    number: int
    start: int
    text: str


def line_at(text: str, offset: int) -> Line:
    """The line that `offset` is on; its own line's end belongs to a line."""
    offset = max(0, min(offset, len(text)))
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", start)
    return Line(
        text.count("\n", 0, start) + 1, start, text[start : end if end >= 0 else len(text)].removesuffix("\r")
    )


def position(text: str, offset: int) -> tuple[int, int]:
    """(line, column) of an offset, both from 1."""
    line = line_at(text, offset)
    return line.number, max(0, min(offset, len(text))) - line.start + 1


# ---- what a terminal shows ----------------------------------------------------------------------


def is_unsafe(char: str) -> bool:
    """Whether a terminal would obey the character instead of showing it, or show it in another place.

    Controls (C0, C1, DEL: every ANSI sequence begins with one), the separators that end a line, halves of surrogate
    pairs, the marks that turn the direction of text (Unicode TR 36 and CVE-2021-42574), and tags and byte order
    marks, which can't be seen.
    """
    code = ord(char)
    return (
        code < 0x20
        or 0x7F <= code < 0xA0
        or code in (0x061C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF)
        or 0x202A <= code <= 0x202E
        or 0x2060 <= code <= 0x206F
        or 0xD800 <= code <= 0xDFFF
        or 0xFFF9 <= code <= 0xFFFB
        or 0xE0000 <= code <= 0xE007F
    )


def escape_char(char: str) -> str:
    """How an unsafe character is shown: `\\n`, `\\x1b`, `\\u{202e}`."""
    known = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}.get(char)
    return known or (f"\\x{ord(char):02x}" if ord(char) < 0x80 else f"\\u{{{ord(char):x}}}")


def escape(text: str) -> str:
    """A text from outside, safe to print: every unsafe character written out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(escape_char(char) if is_unsafe(char) else char for char in text)


def width(shown: str) -> int:
    """Columns that escaped text takes: two for a wide character, none for a mark on the one before it."""
    if shown.isascii():
        return len(shown)
    import unicodedata

    total = 0
    for char in shown:
        if unicodedata.category(char) in ("Mn", "Me", "Cf"):
            continue
        total += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return total


def cells(text: str) -> list[str]:
    """What is shown for each code point of a line: itself, its escape, or the blanks of a tab."""
    shown: list[str] = []
    column = 0
    for char in text:
        cell = escape_char(char) if is_unsafe(char) else char
        if char == "\t":
            cell = " " * (TAB - column % TAB)
        column += width(cell)
        shown.append(cell)
    return shown

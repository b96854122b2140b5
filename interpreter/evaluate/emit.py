"""Writing Python: lines with their indentation, each with the Kiln offset that it stands for.

One line is one operation that can fail, so that the line of a Python frame says which Kiln expression it is in.
CPython refuses deep nesting (200 brackets, 100 levels of indentation, 20 blocks), so expressions longer than
`SPILL` become locals of their own, and code deeper than `DEEP` a function of its own.
"""

from __future__ import annotations

import keyword

SPILL = 120
"""Characters of an operand beyond which it gets a local of its own: at most some forty brackets."""
DEEP = 40
"""Levels of indentation beyond which code moves into a function of its own."""
BLOCKS = 12
"""Loops around a place beyond which code moves into a function of its own."""

_RESERVED = frozenset(keyword.kwlist)


def local(name: str) -> str:
    """The Python local of a Kiln binder. Binders don't begin with an underscore, as all other names do."""
    return "_q_" + name if name in _RESERVED else name


def integer(value: int) -> str:
    """An int as source; hexadecimal where decimal digits would be slow, or refused, to convert."""
    return repr(value) if -(1 << 62) < value < 1 << 62 else hex(value)


def format_piece(text: str) -> str:
    """Literal text between the quotes of an f-string, `f'…'`."""
    # With a " in front, repr chooses ' as the quote and escapes every ' in the text.
    return repr('"' + text)[2:-1].replace("{", "{{").replace("}", "}}")


def row(items: list[str]) -> str:
    """A tuple display."""
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


class Writer:
    """The lines of one Python function, and of those moved out of it."""

    __slots__ = ("ats", "blocks", "depth", "lines")

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ats: list[int] = []
        self.depth = 0
        self.blocks = 0

    def line(self, text: str, at: int) -> None:
        self.lines.append(" " * self.depth + text)
        self.ats.append(at)

    def open(self, text: str, at: int) -> None:
        """A line that begins an indented part: `if …:`."""
        self.line(text, at)
        self.depth += 1

    def close(self) -> None:
        self.depth -= 1

    def open_loop(self, text: str, at: int) -> None:
        self.open(text, at)
        self.blocks += 1

    def close_loop(self) -> None:
        self.depth -= 1
        self.blocks -= 1

    @property
    def too_deep(self) -> bool:
        return self.depth > DEEP or self.blocks > BLOCKS

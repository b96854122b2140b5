"""What is to be printed, before it is known where lines end: a row of operations, in groups.

The idea is Oppen's ("Prettyprinting", 1980) and Wadler's ("A prettier printer", 2003): a group is printed on one line
where it fits, or all of its lines are broken. Here a document is flat, one operation after the other as they are
emitted, so that neither making it nor laying it out (layout.py) recurses.

    text s        s as it stands; `s` holds no line end
    line s        s where its group is on one line, else a line end
    hard          a line end, always
    open, close   a group
    indent, dedent   two columns more and less, where the group that they stand in is broken
    comma         a comma where its group is broken: the one before a closing bracket
    pad n         n blanks where its group is broken: what aligns signs under each other
    comment c     a comment, on a line of its own or behind what stands on the line
    block b       a string of several lines
    force         nothing; breaks the groups around it
    hug g         nothing; the point up to which group `g` may be printed as if it were on one line (layout.py)
    tail g        a line end where the present group is broken while `g` is hugged

What can't stand on one line (hard, comment, block, force) breaks every group around it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

TEXT, LINE, HARD, OPEN, CLOSE, INDENT, DEDENT, COMMA, PAD, COMMENT, BLOCK, FORCE, HUG, TAIL = range(14)
UNBREAKABLE: Final = frozenset((HARD, COMMENT, BLOCK, FORCE))

OWN_LINE, BLANK = 1, 2  # flags of comment, line and hard: on a line of its own; a blank line before it


class BlockLine(NamedTuple):
    """A line of a string behind its first. `margin`: the string's indentation stands before `text`."""

    text: str
    margin: bool


class Block(NamedTuple):
    """A string of several lines: what stands on the line of the opening quotes, and the lines behind it."""

    head: str
    lines: tuple[BlockLine, ...]


class Group:
    """The operations from `start` to before `end`; see layout.py for `hug`."""

    __slots__ = ("call", "end", "hug", "hug_end", "hugged", "late", "row_of", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = -1
        self.hug = -1  # the operation up to which it may be hugged, -1 where it may not
        self.hug_end = -1  # the operation behind the one part that is broken then
        self.call = False  # whether it is a list of which one item may be broken alone
        self.late = False  # whether it is rather broken than hugged, if what it holds then fits on one line
        self.row_of = -1  # the group whose items it holds on one line
        self.hugged = -1  # the group that is broken then in any case


class Document:
    """The operations by column: kind, text (of text, line, comment), number (flags, blanks, or a group)."""

    __slots__ = ("_opened", "blocks", "groups", "kinds", "numbers", "texts")

    def __init__(self) -> None:
        self.kinds: list[int] = []
        self.texts: list[str] = []
        self.numbers: list[int] = []
        self.groups: list[Group] = []
        self.blocks: list[Block] = []
        self._opened: list[int] = []

    def add(self, kind: int, text: str = "", number: int = 0) -> None:
        self.kinds.append(kind)
        self.texts.append(text)
        self.numbers.append(number)

    def open(self) -> int:
        """Begin a group; its number."""
        number = len(self.groups)
        self.groups.append(Group(len(self.kinds)))
        self._opened.append(number)
        self.add(OPEN, "", number)
        return number

    def close(self) -> None:
        self.add(CLOSE)
        self.groups[self._opened.pop()].end = len(self.kinds)

    def block(self, block: Block) -> None:
        self.blocks.append(block)
        self.add(BLOCK, "", len(self.blocks) - 1)

    def width(self, start: int) -> int | None:
        """The columns of what was added since `start`, on one line; None where it can't stand on one."""
        if any(kind in UNBREAKABLE for kind in self.kinds[start:]):
            return None
        return columns("".join(self.texts[start:]))


def columns(text: str) -> int:
    """How many columns a text takes."""
    if text.isascii():
        return len(text)
    from kiln.lang.source import width

    return width(text)

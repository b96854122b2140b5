"""A document to lines: which groups are printed on one line, and where everything stands.

Each group is printed in one of three ways, decided from the outside in, where it begins:

    flat    all on one line, if nothing in it has to be broken and it fits with what follows it up to the next place
            where a line may end
    hugged  if it has a hug and what stands before that fits: its own lines stay flat and nothing is indented, and
            the part behind the hug (a record, a list, a function's body) breaks by itself. So `f({` … `})`.
    broken  all of its own lines end, and what is indented in it is

Sums from the left (widths, what can't be flat) make each decision cost the same, whatever the group's size.

A comment ends its line. Behind other text it waits for the line's end, so that a comma or a semicolon may still come
before it; anything else that comes is put on a new line. In column 0 nothing stands but what a declaration begins
with, comments and closing brackets (lang/syntax/chunks.py).
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final, NamedTuple

from kiln.lang.format.document import (
    BLANK,
    BLOCK,
    CLOSE,
    COMMA,
    COMMENT,
    DEDENT,
    HARD,
    INDENT,
    LINE,
    OPEN,
    OWN_LINE,
    PAD,
    TAIL,
    TEXT,
    UNBREAKABLE,
    Block,
    Document,
    Group,
    columns,
)

WIDTH: Final = 120
INDENTATION: Final = 2
_FLAT, _HUGGED, _BROKEN = range(3)
_ENDS: Final = frozenset((LINE, HARD, COMMENT, BLOCK))


class Line(NamedTuple):
    """One line of the result: its code, with its indentation, and the comment behind it (or "")."""

    code: str
    comment: str


def lay_out(document: Document) -> list[Line]:
    """The lines of a document."""
    return _Layout(document).run()


class _Measures:
    """Sums over a document's operations, each list one longer than the document."""

    __slots__ = ("after", "flat", "stiff")

    def __init__(self, document: Document) -> None:
        kinds, texts, numbers = document.kinds, document.texts, document.numbers
        widths = [
            columns(text) if kind <= LINE else columns(document.blocks[number].head) if kind == BLOCK else 0
            for kind, text, number in zip(kinds, texts, numbers, strict=True)
        ]
        self.flat = [0, *accumulate(widths)]  # columns of what stands before an operation, were it all on one line
        stiff = [
            kind in UNBREAKABLE or (kind == LINE and number) for kind, number in zip(kinds, numbers, strict=True)
        ]
        self.stiff = [0, *accumulate(map(bool, stiff))]  # how much before an operation can't be on one line
        # columns from an operation to the next place where a line may end
        self.after = [0] * (len(kinds) + 1)
        for index in range(len(kinds) - 1, -1, -1):
            kind = kinds[index]
            if kind in _ENDS:
                self.after[index] = widths[index] if kind == BLOCK else 0
            else:
                self.after[index] = self.after[index + 1] + (1 if kind == COMMA else widths[index])


class _Layout:
    __slots__ = (
        "begun", "column", "comment", "document", "ended", "forced", "indent", "line_indent", "lines", "measures",
        "modes", "parts", "ways",
    )  # fmt: skip

    def __init__(self, document: Document) -> None:
        self.document = document
        self.measures = _Measures(document)
        self.lines: list[Line] = []
        self.parts: list[str] = []  # of the present line; empty if nothing stands on it
        self.column = 0
        self.indent = 0
        self.line_indent = 0  # of the present line
        self.comment = ""  # waits for the end of the present line
        self.ended = False  # the present line ends in a comment: nothing may come behind it
        self.begun = False  # whether anything but comments was printed
        self.modes = [_BROKEN]  # of the groups that are open
        self.ways = [_BROKEN] * len(document.groups)
        self.forced = [False] * len(document.groups)

    def run(self) -> list[Line]:
        document = self.document
        kinds, texts, numbers, modes = document.kinds, document.texts, document.numbers, self.modes
        index, size = 0, len(kinds)
        while index < size:
            kind = kinds[index]
            if kind == TEXT:
                self._text(texts[index])
            elif kind == LINE:
                self._line(modes[-1], texts[index], numbers[index])
            elif kind == OPEN:
                group = document.groups[numbers[index]]
                way = self.ways[numbers[index]] = self._way(numbers[index], group)
                if way == _FLAT:
                    self._text("".join(texts[group.start : group.end]))
                    index = group.end
                    continue
                modes.append(way)
            elif kind == CLOSE:
                modes.pop()
            else:
                self._rare(kind, texts[index], numbers[index])
            index += 1
        self._end_line(False)
        return self.lines

    def _rare(self, kind: int, text: str, number: int) -> None:
        broken = self.modes[-1] == _BROKEN
        if kind == INDENT:
            self.indent += INDENTATION if broken else 0
        elif kind == DEDENT:
            self.indent -= INDENTATION if broken else 0
        elif kind == HARD:
            self._end_line(bool(number & BLANK))
        elif kind == COMMA:
            if broken:
                self._text(",")
        elif kind == PAD:
            if broken:
                self._text(" " * number)
        elif kind == TAIL:
            if broken and self.ways[number] == _HUGGED:
                self._end_line(False)
        elif kind == COMMENT:
            self._comment(text, number)
        elif kind == BLOCK:
            self._block(self.document.blocks[number])

    # ---- decisions ------------------------------------------------------------------------------

    def _way(self, number: int, group: Group) -> int:
        column = self.column if self.parts else max(self.indent, 0)
        sums = self.measures
        stiff = sums.stiff[group.end] - sums.stiff[group.start]
        width = sums.flat[group.end] - sums.flat[group.start] + sums.after[group.end]
        if not stiff and column + width <= WIDTH and not self.forced[number] and not self.ended:
            return _FLAT
        if group.row_of >= 0 and self.ways[group.row_of] == _HUGGED:
            return _HUGGED
        if group.late and not stiff and self.indent + INDENTATION + width - 1 <= WIDTH:
            return _BROKEN
        if group.hug >= 0 and self._huggable(group, column):
            if group.hugged >= 0:
                self.forced[group.hugged] = True
            return _HUGGED
        return _BROKEN

    def _huggable(self, group: Group, column: int) -> bool:
        sums = self.measures
        if sums.stiff[group.hug] != sums.stiff[group.start] or self.ended:
            return False
        if column + sums.flat[group.hug] - sums.flat[group.start] > WIDTH:
            return False
        if group.hug_end < 0:
            return True
        behind = sums.flat[group.end] - sums.flat[group.hug_end] + sums.after[group.end]
        return sums.stiff[group.end] == sums.stiff[group.hug_end] and self.line_indent + 1 + behind <= WIDTH

    # ---- lines ----------------------------------------------------------------------------------

    def _line(self, mode: int, text: str, flags: int) -> None:
        if mode == _BROKEN:
            self._end_line(bool(flags & BLANK))
        else:
            self._text(text)

    def _text(self, text: str) -> None:
        if self.ended and not (self.comment and text in (",", ";")):
            self._end_line(False)
        if not self.parts:
            text = text.lstrip(" ")
            if not text:
                return
            self._begin(2 if self.begun and self.indent == 0 and text[0] not in ")]}" else self.indent)
        self.begun = True
        self.parts.append(text)
        self.column += columns(text)

    def _begin(self, indent: int) -> None:
        self.line_indent = self.column = indent
        self.parts.append(" " * indent)

    def _end_line(self, blank: bool) -> None:
        """End the present line, if anything stands on it; `blank` leaves an empty line behind it."""
        if self.parts:
            self.lines.append(Line("".join(self.parts).rstrip(" "), self.comment))
            self.parts.clear()
        self.comment, self.ended, self.column = "", False, 0
        if blank and self.lines and self.lines[-1].code:
            self.lines.append(Line("", ""))

    def _comment(self, text: str, flags: int) -> None:
        if not flags & OWN_LINE and self.parts and not self.ended:
            self.comment, self.ended = text, True
            return
        self._end_line(bool(flags & BLANK))
        self._begin(self.indent)
        self.parts.append(text)
        self.ended = True

    def _block(self, block: Block) -> None:
        if self.ended:
            self._end_line(False)
        margin = self.line_indent + INDENTATION if self.parts else max(self.indent, INDENTATION)
        outer = self.line_indent if self.parts else margin
        self._text(block.head)
        for line in block.lines:
            self.lines.append(Line("".join(self.parts), ""))  # a string's line keeps the blanks at its end
            text = " " * margin + line.text if line.margin else line.text
            self.parts = [text]
            self.column = columns(text)
        self.line_indent = outer

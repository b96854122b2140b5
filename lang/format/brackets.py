"""What stands between brackets, parted by commas.

On one line if it fits, with no comma at the end. Otherwise the brackets stand apart and each line between them ends
in a comma. The author's own lines are kept where they fit: items that stood on one line stay together, else each gets
a line of its own. A comma before the closing bracket, or an empty line between two items, keeps a list broken; at
most one empty line in a row is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from kiln.lang.format.align import align_signs
from kiln.lang.format.writer import Steps, Writer


class Style(NamedTuple):
    """`blank` stands inside the brackets of a list on one line; `rows`: items may share a line of a broken one.

    `comma`: items are parted by commas; `firm`: the brackets break if what they belong to is hugged.
    """

    blank: str = ""
    rows: bool = True
    comma: bool = True
    firm: bool = True


PLAIN = Style()
SPACED = Style(" ")
ARMS = Style(" ", rows=False)
ARGUMENTS = Style(firm=False)

WriteItem = Callable[[Writer, Any], Steps]


def brackets(
    w: Writer, items: Sequence[Any], write: WriteItem, style: Style = PLAIN, hug: int | None = None
) -> Steps:
    """The brackets that come next with `items`; the item numbered `hug` may be broken alone (document.Group.hug)."""
    w.lead()
    waiting = w.take_hugs()
    number = w.open()
    w.word()
    w.give_hugs(waiting, number if style.firm else -1)
    w.indent()
    if items:
        w.line(style.blank)
        w.lead(first=True)
        outer, w.pads = w.pads, []
        yield _rows(w, items, write, style, number, hug)
        align_signs(w.pads)
        w.pads = outer
    elif not w.next_gap.empty:
        w.line()
    w.lead(first=not items, last=True)
    w.dedent()
    w.line(style.blank if items else "")
    w.word()
    w.close()


def _rows(w: Writer, items: Sequence[Any], write: WriteItem, style: Style, owner: int, hug: int | None) -> Steps:
    group = w.doc.groups[owner]
    index = 0
    for number, row in enumerate(_lines(w, items, style)):
        if number:
            w.line(" ", blank=w.next_gap.blank_first)
        apart = bool(w.next_gap.comments) or w.next_gap.blank
        w.lead()
        before = len(w.pads)
        together = len(row) > 1
        if together:
            w.doc.groups[w.open()].row_of = owner
        for place, item in enumerate(row):
            if place:
                w.line()
            if hug == index:
                group.call = True
                w.hugs.append(owner)
            yield write(w, item)
            w.hugs.clear()
            if hug == index:
                group.hug_end = len(w.doc.kinds)
            index += 1
            if place + 1 < len(row):
                w.separator(",")
        if together:
            w.close()
            del w.pads[before:]
        for pad in w.pads[before:]:
            pad.row, pad.apart = number, apart
        _end_row(w, index == len(items), style)


def _end_row(w: Writer, last: bool, style: Style) -> None:
    if not last:
        w.separator(",")
    elif not style.comma:
        return
    elif w.spelling(w.at) == ",":
        w.force()
        w.comma()
        w.skip()
    else:
        w.comma()


def _lines(w: Writer, items: Sequence[Any], style: Style) -> list[list[Any]]:
    """The items by the source's lines."""
    rows: list[list[Any]] = [[items[0]]]
    for before, item in pairwise(items):
        if style.rows and "\n" not in w.text[before.end : item.start]:
            rows[-1].append(item)
        else:
            rows.append([item])
    return rows


def parentheses(w: Writer, node: Any) -> Steps:
    """`(e)`, kept as it was written."""
    w.lead()
    waiting = w.take_hugs()
    number = w.open()
    w.sign("(")
    w.give_hugs(waiting, number)
    w.indent()
    w.line("")
    w.lead(first=True)
    yield node
    w.lead(last=True)
    w.dedent()
    w.line("")
    w.sign(")")
    w.close()


def in_order(items: Sequence[Any], rest: Any) -> list[Any]:
    """The items with the one of another kind (a spread, a tail) where it stands in the source."""
    return sorted((*items, rest), key=lambda item: int(item.start)) if rest is not None else list(items)

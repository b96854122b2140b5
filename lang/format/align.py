"""Signs and comments under each other.

Signs (`=` and `=>` of neighbouring lines) are aligned where the author began to: if a line of the run has more than
one blank before its sign, all that end before that sign get as many as they need; a longer one stays as it is. A run
is of lines that follow each other with no comment or empty line between and have one item each, all with a type or
all without.

Comments behind code on neighbouring lines are always aligned, but for those of long lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from kiln.lang.format.document import PAD, columns
from kiln.lang.format.layout import Line
from kiln.lang.format.writer import Mark, Pad, Writer

_LONG: Final = 80  # columns of code whose comment doesn't move the others'
_GAP: Final = 2  # blanks before a comment


def pad_sign(w: Writer, start: Mark, shape: str = "") -> None:
    """Remember the sign that comes next as one that may be aligned; its line began at operation `start`."""
    if w.flat:
        return
    between = w.text[w.ends[w.at - 1] : w.starts[w.at]]
    sign = w.spelling(w.at)
    blanks = sign[1:-1] if sign.startswith("?") else between  # of `?   =` they are inside
    known = not (between + sign).strip("? =>as") and "\n" not in between + sign
    written = w.ends[w.at - 1] - w.starts[start.token]
    w.pads.append(Pad(w.doc, w.doc.width(start.operation), written, len(blanks) if known else 1, shape))
    w.doc.add(PAD)


def align_signs(pads: Sequence[Pad]) -> None:
    """Give the signs of one list their blanks."""
    for run in _runs(pads):
        reach = max((pad.written + pad.blanks for pad in run if pad.blanks > 1), default=0)
        aligned = [pad for pad in run if pad.written < reach]
        width = max((pad.width for pad in aligned), default=0)
        for pad in aligned:
            pad.document.numbers[pad.at] = width - pad.width


def _runs(pads: Iterable[Pad]) -> Iterator[list[Pad]]:
    run: list[Pad] = []
    for pad in pads:
        if run and (pad.apart or pad.row != run[-1].row + 1 or pad.shape != run[-1].shape or pad.width < 0):
            yield run
            run = []
        if pad.width >= 0:
            run.append(pad)
    yield run


def with_comments(lines: Sequence[Line]) -> list[str]:
    """The lines as text, with the comments of neighbours under each other."""
    texts: list[str] = []
    index = 0
    while index < len(lines):
        end = index
        while end < len(lines) and lines[end].comment:
            end += 1
        if end == index:
            texts.append(lines[index].code)
            index += 1
            continue
        sizes = [columns(line.code) for line in lines[index:end]]
        column = max((size for size in sizes if size <= _LONG), default=0)
        for line, size in zip(lines[index:end], sizes, strict=True):
            texts.append(line.code + " " * (max(column - size, 0) + _GAP) + line.comment)
        index = end
    return texts

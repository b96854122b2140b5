"""What an error says and where, and how it is printed.

    error[K0103]: this `(` is never closed
      --> app.kiln:4:8
     4|   let x = f(1, 2;
                   -     ^ expected `)` here
    help: write `)` before the `;`

A report is data; `render` is the one place that lays it out. Everything in it may come from outside (names, text of
source files, paths), so all of it is escaped there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kiln.lang import source

_WINDOW: Final = 120  # columns of a source line that are shown; the rest of a longer one is cut off
_RED, _BLUE, _CYAN, _BOLD, _RESET = "\x1b[1;31m", "\x1b[1;34m", "\x1b[36m", "\x1b[1m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Place:
    """Part of a source text: `start` to before `end`, in code points of `text`; `path` is the name that is shown."""

    path: str
    text: str
    start: int
    end: int

    def position(self) -> tuple[int, int]:
        """(line, column) of the start, from 1."""
        return source.position(self.text, self.start)


@dataclass(frozen=True, slots=True)
class Report:
    """One error. `label` stands beside the carets; `others` are more places, each with its label.

    A note may have several lines, and so may the help, which names one next step.
    """

    code: str
    title: str
    place: Place | None
    label: str = ""
    notes: tuple[str, ...] = ()
    others: tuple[tuple[Place, str], ...] = ()
    help: str | None = None


class CompileError(Exception):
    """Build files that can't be used, with everything that is wrong with them. Never empty."""

    def __init__(self, reports: Sequence[Report]) -> None:
        super().__init__("; ".join(f"{report.code}: {report.title}" for report in reports))
        self.reports: tuple[Report, ...] = tuple(reports)


# ---- layout -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mark:
    """One underlined stretch of one line, columns as offsets in the line."""

    line: source.Line
    start: int
    end: int
    label: str
    main: bool


@dataclass(frozen=True, slots=True)
class _Paint:
    on: bool

    def __call__(self, style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if self.on and text else text


def render(report: Report, color: bool = False) -> str:
    """The report as lines of text, without a newline at its end; with ANSI colours if `color`."""
    paint = _Paint(color)
    head = paint(_RED, f"error[{source.escape(report.code)}]")
    lines = [f"{head}{paint(_BOLD, ': ' + source.escape(report.title))}"]
    if report.place is not None:
        lines += _snippets(report.place, report, paint)
    for note in report.notes:
        lines += [f"  {source.escape(line)}" for line in note.split("\n")]
    if report.help is not None:
        first, *rest = report.help.split("\n")
        lines.append(f"{paint(_CYAN, 'help')}: {source.escape(first)}")
        lines += [f"      {source.escape(line)}" for line in rest]
    return "\n".join(lines)


def _snippets(place: Place, report: Report, paint: _Paint) -> list[str]:
    """The main place with the others of its file among its lines, then the places of other files."""
    near = [(other, label) for other, label in report.others if _same_file(other, place)]
    marks = _marks(place, report.label, True)
    for other, label in near:
        marks += _marks(other, label, False)
    lines = [_arrow(place, paint), *_block(marks, paint)]
    for other, label in report.others:
        if not _same_file(other, place):
            lines += [_arrow(other, paint), *_block(_marks(other, label, False), paint)]
    return lines


def _same_file(one: Place, two: Place) -> bool:
    return one.path == two.path and one.text == two.text


def _arrow(place: Place, paint: _Paint) -> str:
    line, column = place.position()
    return f"  {paint(_BLUE, '-->')} {source.escape(place.path)}:{line}:{column}"


def _marks(place: Place, label: str, main: bool) -> list[_Mark]:
    """One mark, or two for a place of several lines: its first line and its last, which has the label."""
    first = source.line_at(place.text, place.start)
    start = place.start - first.start
    end = place.end - first.start
    if end <= len(first.text) + 1:
        return [_Mark(first, start, min(end, len(first.text)), label, main)]
    last = source.line_at(place.text, place.end)
    indent = len(last.text) - len(last.text.lstrip())
    if place.end - last.start <= indent:
        # it ends before the last line says anything
        return [_Mark(first, start, len(first.text), label, main)]
    return [
        _Mark(first, start, len(first.text), "", main),
        _Mark(last, indent, place.end - last.start, label, main),
    ]


def _block(marks: Iterable[_Mark], paint: _Paint) -> list[str]:
    """Source lines in their order, each once, with the marks under it."""
    by_line: dict[int, list[_Mark]] = {}
    for mark in marks:
        by_line.setdefault(mark.line.number, []).append(mark)
    gutter = len(str(max(by_line)))
    lines: list[str] = []
    previous: int | None = None
    for number in sorted(by_line):
        if previous is not None and number > previous + 1:
            lines.append(" " * gutter + paint(_BLUE, "…"))
        previous = number
        lines += _one_line(sorted(by_line[number], key=lambda mark: mark.start), gutter, paint)
    return lines


def _one_line(marks: list[_Mark], gutter: int, paint: _Paint) -> list[str]:
    line = marks[0].line
    cells = source.cells(line.text)
    anchor = next((mark for mark in marks if mark.main), marks[0])
    first, last = _window(cells, anchor)
    shown = ("…" if first else "") + "".join(cells[first:last]) + ("…" if last < len(cells) else "")
    lines = [f"{paint(_BLUE, f'{line.number:>{gutter}}|')} {shown}".rstrip()]
    for mark in marks:
        start, end = max(mark.start, first), min(mark.end, last)
        indent = source.width("".join(cells[first:start])) + (1 if first else 0)
        size = max(1, source.width("".join(cells[start:end])))
        underline = ("^" if mark.main else "-") * size
        text = f"{underline} {source.escape(mark.label)}".rstrip()
        lines.append(" " * (gutter + 2 + indent) + paint(_RED if mark.main else _BLUE, text))
    return lines


def _window(cells: list[str], mark: _Mark) -> tuple[int, int]:
    """The cells of a line that are shown: all, or those around the mark."""
    if len(cells) <= _WINDOW:
        return 0, len(cells)
    first = max(0, min(mark.start - _WINDOW // 3, len(cells) - _WINDOW))
    return first, first + _WINDOW

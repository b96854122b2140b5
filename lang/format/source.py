"""A file in the one style: `format_source`, all that the outside needs.

    text --parse_module--> declarations --Writer--> documents --align_signs, lay_out--> lines --join--> text

A pass looks at the author's lines (which items share one, which are apart), so what one pass breaks may look another
way to the next: passes are repeated until nothing changes. So the result is its own result. And since each pass
parses what the one before it wrote, every result is compared with the source: the same tree, the same comments in
the same order. If it isn't, that is a bug in the formatter, and nothing may be written.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kiln.lang.format.align import align_signs, with_comments
from kiln.lang.format.declarations import declaration
from kiln.lang.format.layout import Line, lay_out
from kiln.lang.format.nodes import steps_of
from kiln.lang.format.same import same_module
from kiln.lang.format.trivia import Gap, gap
from kiln.lang.format.writer import MAX_INDENTATION, FormatterBug, Pad, TooDeep, Writer
from kiln.lang.report import CompileError, Place, Report
from kiln.lang.syntax import ast
from kiln.lang.syntax.lexer import lex
from kiln.lang.syntax.parser import parse_module

_PASSES: Final = 10
_ALWAYS: Final = 1000  # blanks before a sign: imports are aligned whatever the author did


class _Unit:
    """A declaration on its way: its document, and its lines once the blanks before its signs are known."""

    __slots__ = ("chunk", "comments", "lines", "padding", "writer")

    def __init__(self, chunk: ast.Chunk, writer: Writer) -> None:
        self.chunk = chunk
        self.writer = writer
        self.comments = [
            comment
            for found in writer.gaps
            for comment in (found.trailing, *(c.text for c in found.comments))
            if comment
        ]
        self.padding: list[int] | None = None  # what the lines were made with
        self.lines: list[Line] = []

    @property
    def behind(self) -> Gap:
        """The comments behind the declaration."""
        return self.writer.gaps[-1]

    def lay_out(self) -> list[Line]:
        document = self.writer.doc
        padding = [document.numbers[pad.at] for pad in self.writer.pads]
        if padding != self.padding:
            self.lines, self.padding = lay_out(document), padding
        return self.lines


class _Pass(NamedTuple):
    module: ast.Module
    comments: list[str]
    text: str
    units: list[_Unit]


def format_source(path: str, text: str) -> str:
    """The text in the one style; `path` is the name that messages show.

    Raises CompileError for a text that does not parse or is nested too deeply, and FormatterBug.
    """
    before = text.replace("\r\n", "\n")
    first = made = _format(path, before, [])
    for _ in range(_PASSES):
        if made.text == before:
            return before
        before, made = made.text, _format_again(path, made)
        if not same_module(first.module, made.module) or first.comments != made.comments:
            raise FormatterBug(f"{path}: the formatted text would mean something else, or lose a comment")
    raise FormatterBug(f"{path}: the formatted text doesn't come to rest")


def _format_again(path: str, made: _Pass) -> _Pass:
    try:
        return _format(path, made.text, made.units)
    except CompileError as error:
        raise FormatterBug(f"{path}: the formatted text does not parse: {error}") from error


def _format(path: str, text: str, known: list[_Unit]) -> _Pass:
    """One pass; of `known`, the units of the last, those are used again whose text is the same."""
    module, reports = parse_module(path, text)
    if reports:
        raise CompileError(reports)
    again = {unit.writer.text: unit for unit in known}
    units = []
    for chunk in module.chunks:
        unit = again.pop(text[chunk.start : chunk.end], None) or _unit(path, text, chunk)
        unit.chunk = chunk
        units.append(unit)
    preamble = gap(text[: module.chunks[0].start if module.chunks else len(text)], first=True)
    _align(units, text)
    lines = with_comments(_join(preamble, units, text))
    comments = [comment.text for comment in preamble.comments]
    for unit in units:
        comments += unit.comments
    return _Pass(module, comments, "".join(f"{line}\n" for line in lines), units)


# ---- declarations -------------------------------------------------------------------------------


def _unit(path: str, text: str, chunk: ast.Chunk) -> _Unit:
    source = text[chunk.start : chunk.end]
    writer = Writer(source, lex(source))
    try:
        writer.run(declaration(writer, chunk.decl), steps_of)
    except TooDeep as error:
        start = chunk.start + error.start
        help_ = f"at most {MAX_INDENTATION} levels can be laid out: give parts of it names of their own"
        report = Report("K0390", "this is nested too deeply", Place(path, text, start, start + 1), help=help_)
        raise CompileError([report]) from error
    return _Unit(chunk, writer)


def _align(units: list[_Unit], text: str) -> None:
    """Align imports, and the signs of declarations on neighbouring lines where the author began to."""
    pads: list[Pad] = []
    for row, unit in enumerate(units):
        writer = unit.writer
        for pad in writer.pads:
            writer.doc.numbers[pad.at] = 0
            before = units[row - 1] if row else None
            pad.row, pad.apart = row, before is not None and (_is_apart(before, unit, text) or _has_lead(unit))
            if "\n" in writer.text[writer.starts[0] : writer.ends[-2]]:
                pad.width = -1
            if isinstance(unit.chunk.decl, ast.Import):
                pad.blanks = _ALWAYS
            pads.append(pad)
    align_signs(pads)


def _has_lead(unit: _Unit) -> bool:
    return bool(unit.writer.gaps[0].comments)


def _is_apart(before: _Unit, unit: _Unit, text: str) -> bool:
    """Whether a comment or an empty line stands between two declarations."""
    return bool(before.behind.comments) or _blank_between(before, unit, text)


def _blank_between(before: _Unit, unit: _Unit, text: str) -> bool:
    return text.count("\n", before.chunk.end, unit.chunk.start) > 1


# ---- the file -----------------------------------------------------------------------------------


def _join(preamble: Gap, units: list[_Unit], text: str) -> list[Line]:
    lines: list[Line] = []
    for comment in preamble.comments:
        _blank(lines, comment.blank)
        lines.append(Line(comment.text, ""))
    documented = any(comment.text.startswith("##") for comment in preamble.comments)
    _blank(lines, preamble.blank or (documented and bool(units) and isinstance(units[0].chunk.decl, ast.Import)))
    before: _Unit | None = None
    was_tall = False
    for unit in units:
        made = unit.lay_out()
        tall = _is_tall(unit, made)
        if before is not None:
            tail, blank = before.behind.comments, _blank_between(before, unit, text)
            apart = was_tall or (tall and not blank) or _ends_imports(before, unit)
            _comments(lines, before.behind, apart)
            _blank(lines, blank or (apart and not tail))
        lines += made
        before, was_tall = unit, tall
    if before is not None:
        _comments(lines, before.behind, was_tall)
    return lines


def _is_tall(unit: _Unit, lines: list[Line]) -> bool:
    """Whether a declaration is of several lines, its documentation aside, and so stands apart. Tests may not."""
    lead = next((index for index, line in enumerate(lines) if line.code[:1] not in ("", "#")), 0)
    return len(lines) - lead > 1 and not isinstance(unit.chunk.decl, ast.TestDecl)


def _ends_imports(before: _Unit, unit: _Unit) -> bool:
    return isinstance(before.chunk.decl, ast.Import) and not isinstance(unit.chunk.decl, ast.Import)


def _comments(lines: list[Line], behind: Gap, apart: bool) -> None:
    """The comments between two declarations."""
    for index, comment in enumerate(behind.comments):
        _blank(lines, comment.blank or (apart and index == 0))
        lines.append(Line(comment.text, ""))


def _blank(lines: list[Line], wanted: bool) -> None:
    if wanted and lines and lines[-1].code:
        lines.append(Line("", ""))

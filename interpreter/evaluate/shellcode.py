"""Compiling strings with holes that quote, or carry outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiln.interpreter.evaluate.emit import row
from kiln.interpreter.evaluate.shell import behind_backslash, heredoc_opened
from kiln.lang.core import HolePart, Interpolate

if TYPE_CHECKING:
    from kiln.interpreter.evaluate.compile import Compiler


def plain(self: Compiler, part: HolePart) -> str:
    """The hole of a Text: its value as it is."""
    value = self.small(part.expr)
    return f"_str({value})" if part.kind == "Int" else value


def script(self: Compiler, e: Interpolate) -> str:
    """Python for an `sh` string."""
    pieces = [repr(part) if isinstance(part, str) else _hole(self, e, place) for place, part in enumerate(e.parts)]
    return f"_text({row(pieces)})" if pieces else "''"


def _hole(self: Compiler, e: Interpolate, place: int) -> str:
    part = e.parts[place]
    assert isinstance(part, HolePart)
    before = _neighbour(e, place - 1)
    after = _neighbour(e, place + 1)
    value = plain(self, part)
    if part.kind == "Raw":
        return value
    if part.kind in ("ListStr", "ListText"):
        return f"_sh_list({value})"
    if part.context in ("bare", "double", "heredoc") and behind_backslash(before):
        self.out.line("_unsafe('it stands right behind a backslash')", part.at)
    rule: str = part.context or "bare"
    if rule == "bare" and after[:1] in ("<", ">"):
        rule = "redirected"
    if rule == "heredoc":
        delimiter, quoted = heredoc_opened("_".join([p for p in e.parts[:place] if isinstance(p, str)]))
        starts, ends = before.rstrip("\t").endswith("\n"), after.startswith("\n")
        value = self.spilled(f"_sh_ends({value}, {delimiter!r}, {starts}, {ends})", part.at)
        rule = "quoted_heredoc" if quoted else rule
    if part.kind in ("Str", "Int"):
        return f"_sh_{rule}({value})"
    return f"_sh({value}, _sh_{rule})"


def _neighbour(e: Interpolate, place: int) -> str:
    part = e.parts[place] if 0 <= place < len(e.parts) else ""
    return part if isinstance(part, str) else ""

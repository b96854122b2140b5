"""Compiling strings with holes that quote, or carry outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiln.interpreter.evaluate.emit import row
from kiln.interpreter.evaluate.shell import behind_backslash
from kiln.lang.check.shell import Scanner
from kiln.lang.core import HolePart, Interpolate

if TYPE_CHECKING:
    from kiln.interpreter.evaluate.compile import Compiler


def plain(self: Compiler, part: HolePart) -> str:
    """The hole of a Text: its value as it is."""
    value = self.small(part.expr)
    return f"_str({value})" if part.kind in ("Int", "RawInt") else value


def script(self: Compiler, e: Interpolate) -> str:
    """Python for an `sh` string."""
    scanner = Scanner()
    pieces: list[str] = []
    for place, part in enumerate(e.parts):
        if isinstance(part, str):
            scanner.feed(part)
            pieces.append(repr(part))
            continue
        before, after = _neighbour(e, place - 1), _neighbour(e, place + 1)
        pieces.append(_hole(self, part, scanner, before, after))
        scanner.hole()
    return f"_text({row(pieces)})" if pieces else "''"


def _hole(self: Compiler, part: HolePart, scanner: Scanner, before: str, after: str) -> str:
    """`before` and `after` are the literal text on both sides of the hole."""
    value = plain(self, part)
    if part.kind in ("Raw", "RawInt"):
        return value
    rule: str = part.context or "bare"
    if rule in ("bare", "double", "heredoc") and behind_backslash(before):
        self.out.line("_unsafe('it stands right behind a backslash')", part.at)
    if scanner.wrapped is not None:
        rule = "wrapping"
    elif rule == "bare" and after[:1] in ("<", ">"):
        rule = "redirected"
    elif rule in ("heredoc", "verbatim"):
        starts, ends = before.rstrip("\t").endswith("\n"), after.startswith("\n")
        value = self.spilled(f"_sh_ends({value}, {scanner.delimiter!r}, {starts}, {ends})", part.at)
    if part.kind in ("ListStr", "ListText"):
        return f"_sh_list({value}, _sh_{rule})"
    code = f"_sh({value}, _sh_{rule})"
    # What can refuse a value has a line of its own.
    return self.spilled(code, part.at) if rule == "wrapping" else code


def _neighbour(e: Interpolate, place: int) -> str:
    part = e.parts[place] if 0 <= place < len(e.parts) else ""
    return part if isinstance(part, str) else ""

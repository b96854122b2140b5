"""What a declaration's text says before anything is looked up: enough to name it, and to tell what it depends on.

A mention is a name as it is looked up:

    x  X        a value, a constructor, a type        cc.x  cc.X    the same behind an import's alias
    =X  =cc.X   a constructor in a pattern            ~X            the last part of `cc.X` in a type

Names alone are looked at, so there may be too many: a local may have the name of something else. `~X` is there
because `uses.mentioned` sees it, and orders declarations by what it sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from kiln.lang.check.functions import param_mode
from kiln.lang.check.infos import Mode
from kiln.lang.check.uses import put_parts
from kiln.lang.syntax import ast


class Outline(NamedTuple):
    """Of a function, a binding or a test. Places count from the start of the declaration."""

    kind: Literal["fn", "let", "test"]
    name: str
    start: int
    end: int
    pub: bool
    typed: bool
    """All of its type is written."""
    params: tuple[tuple[str, Mode, int, int], ...] | None
    doc: str | None
    signature: tuple[str, ...]
    """Mentions in what it says of its own type."""
    names: tuple[str, ...]
    """Mentions in all of it."""


def outline(decl: ast.Decl) -> Outline | None:
    """None for an import, a type and a set: they are read each time."""
    match decl:
        case ast.FnDecl():
            written = (*[p.type for p in decl.params], decl.result)
            params = tuple([(p.name.text, param_mode(p), p.name.start, p.name.end) for p in decl.params])
            signature = mentions([t for t in written if t is not None])
            return _outline("fn", decl, decl.name, None not in written, params, signature)
        case ast.LetDecl():
            typed = decl.type is not None
            return _outline("let", decl, decl.name, typed, None, mentions([decl.type]) if typed else ())
        case ast.TestDecl():
            return Outline("test", decl.title, 0, 0, False, True, None, None, (), mentions([decl]))
    return None


def _outline(
    kind: Literal["fn", "let"],
    decl: ast.FnDecl | ast.LetDecl,
    name: ast.Name,
    typed: bool,
    params: tuple[tuple[str, Mode, int, int], ...] | None,
    signature: tuple[str, ...],
) -> Outline:
    names = mentions([decl])
    return Outline(kind, name.text, name.start, name.end, decl.pub, typed, params, decl.doc, signature, names)


def mentions(nodes: Sequence[object]) -> tuple[str, ...]:
    """Each mention once; plain names in the order of `uses.mentioned`."""
    found: dict[str, None] = {}
    stack: list[object] = [*nodes]
    while stack:
        n = stack.pop()
        kind = type(n)
        if kind is ast.Var or kind is ast.Con:
            found[n.name] = None  # type: ignore[attr-defined]
            continue
        if kind in _SPECIAL:
            _special(n, found)
            if kind is ast.Field and n.value is None:  # type: ignore[attr-defined]
                continue
        put_parts(stack, kind, n)
    return tuple(found)


_SPECIAL = frozenset({ast.Field, ast.TypeName, ast.Get, ast.GetCon, ast.PCon})


def _special(n: object, found: dict[str, None]) -> None:
    match n:
        case ast.Field(value=None):
            found[n.label.text] = None
        case ast.TypeName(qualifier=None):
            found[n.name] = None
        case ast.TypeName():
            found[f"{n.qualifier}.{n.name}"] = None
            found[f"~{n.name}"] = None
        case ast.Get(base=ast.Var(name=alias)):
            found[f"{alias}.{n.label.text}"] = None
        case ast.GetCon(base=ast.Var(name=alias)):
            found[f"{alias}.{n.name.text}"] = None
        case ast.PCon(qualifier=None):
            found[f"={n.name}"] = None
        case ast.PCon():
            found[f"={n.qualifier}.{n.name}"] = None


def items_in(names: Sequence[str], known: set[str]) -> list[str]:
    """The names in `known` that `uses.mentioned` would find, in its order."""
    return list(dict.fromkeys([n for m in names if (n := m.removeprefix("~")) in known]))

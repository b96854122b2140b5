"""What a recipe's functions may use (K0318).

An override edits the recipe and computes its functions again, so whatever they depend on must be in the
recipe. What stands in a field that is a function may use parameters of its own, top-level functions and constants,
and local functions. Not any other local (also a plain string: `fn mk(version: Str) = package({version, src = fn(b) =>
…%{version}…})` would miss an override of `version`), nor a top-level value that carries outputs.

    script = fn(b) => sh"… %{version}"                                     what the function uses
    script = script_of(version)                                            what it is made of
    let local = fn(n) => n + level;  script = fn(b) => sh"%{local(1)}"     what a local function uses, or is made of

What a call that gives a package is given counts as its recipe's, if it is a function of a record: wrappers hand it
on. A function that comes from elsewhere, as a parameter or out of a record, can't be seen into here; what it captured
is looked at when the package is derived (K0415). This needs types, so that it is done when the declaration ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kiln.lang import core
from kiln.lang.check import mistakes_builds
from kiln.lang.check.body import Body
from kiln.lang.check.failure import Spanned, failure
from kiln.lang.check.infos import AliasInfo, RecordInfo, SetInfo, VariantInfo
from kiln.lang.check.names import Value
from kiln.lang.check.types import Con, Fn, Rec, Row, RowMap, TVar, Type, prune
from kiln.lang.check.uses import put_parts
from kiln.lang.check.world import World
from kiln.lang.syntax import ast

_CARRIES = frozenset({"Out", "Text", "Pkg", "Drv", "Attestation", "Subject"})
_NAMES = frozenset({ast.Var, ast.Con, ast.Get, ast.GetCon, ast.Field})


def check_captures(body: Body) -> None:
    """To be called when the types of the declaration are known. Raises Failure."""
    for field in body.recipe_fields:
        t = prune(field.type)
        if type(t) is Fn and (not field.handed or _takes_record(body.world, t)):
            _check(body, field.label, field.value)


def _takes_record(world: World, fn: Fn) -> bool:
    """As a function of a recipe, or of a build, does; a condition that something is chosen by mostly does not."""
    return any(world.expanded(prune(p.type)) is not None for p in fn.params)


class _Use(NamedTuple):
    node: Spanned
    local: str
    """The core name of a local that is bound outside."""


def _check(body: Body, field: str, value: ast.Expr | ast.Field) -> None:
    """Look at what `value` uses, and then at the local functions among that."""
    pending: list[tuple[ast.Expr | ast.Field, str | None]] = [(value, None)]
    seen: set[str] = set()
    while pending:
        root, through = pending.pop()
        handed = _handed_on(root)
        uses = list(_uses(body, root))
        for use in sorted(uses, key=lambda use: use.node.start):
            local = body.locals[use.local]
            if type(prune(local.type)) is not Fn:
                if id(use.node) not in handed:
                    scalar = not carries(body.world, local.type)
                    name = _written(use)
                    raise failure(mistakes_builds.Captures(field, name, scalar, through), use.node)
            elif use.local in body.sources and use.local not in seen:
                seen.add(use.local)
                pending.append((body.sources[use.local], _written(use)))
        for node, let in _lets(body, root):
            if _carried(body.world, let):
                raise failure(mistakes_builds.Captures(field, let.name, False, through), node)


def _written(use: _Use) -> str:
    match use.node:
        case ast.Var(name=name):
            return name
        case ast.Field(label=label):
            return label.text
    return use.local


def _handed_on(root: ast.Expr | ast.Field) -> set[int]:
    """The names whose value, or a part of it, is the value of `root`: functions that come from elsewhere."""
    found: set[int] = set()
    stack: list[ast.Expr | ast.Field] = [root]
    while stack:
        match stack.pop():
            case ast.Let(body=inner) | ast.Assert(body=inner) | ast.Get(base=inner) | ast.Annotated(expr=inner):
                stack.append(inner)
            case ast.If(then=then, otherwise=otherwise):
                stack += (then, otherwise)
            case ast.Match(arms=arms):
                stack += [arm.body for arm in arms]
            case ast.Var() as name:
                found.add(id(name))
            case _:
                pass
    return found


def _uses(body: Body, root: ast.Expr | ast.Field) -> Iterator[_Use]:
    """The locals that are used in `root`, and not bound in it. No two locals have one core name."""
    used: list[_Use] = []
    bound: set[str] = set()
    for node in _nodes(root):
        kind = type(node)
        if kind in _NAMES:
            found = body.facts.names.get(id(node))
            if type(found) is core.Local:
                used.append(_Use(node, found.name))  # type: ignore[arg-type]
        elif kind is ast.Lambda:
            bound.update([p.core_name for p in body.facts.lambdas[id(node)]])
        elif kind is ast.Overlay:
            bound.update(body.facts.overlays[id(node)])
        elif isinstance(node, ast.Let | ast.Arm | ast.For):
            bound.update(_bound(body.facts.patterns[id(node.pattern)]))
    return (use for use in used if use.local not in bound)


def _lets(body: Body, root: ast.Expr | ast.Field) -> Iterator[tuple[Spanned, Value]]:
    """The top-level lets that are used in `root`."""
    for node in _nodes(root):
        if type(node) in _NAMES:
            found = body.facts.names.get(id(node))
            let = body.lets.get((found.module, found.name)) if type(found) is core.Global else None
            if let is not None:
                yield node, let  # type: ignore[misc]


def _nodes(root: object) -> Iterator[object]:
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        put_parts(stack, type(node), node)


def _bound(pattern: core.CorePattern) -> Iterator[str]:
    stack: list[object] = [pattern]
    while stack:
        node = stack.pop()
        if type(node) is core.BindPattern:
            yield node.name
        elif isinstance(node, tuple):
            stack += node


def _carried(world: World, let: Value) -> bool:
    t = let.scheme.type if let.scheme is not None else let.mono
    return t is not None and carries(world, t)


def carries(world: World, t: Type) -> bool:
    """Whether a value of this type may hold an output; a function is not looked into."""
    seen: set[str] = set()
    stack: list[Type | Row | RowMap | TVar | None] = [t]
    while stack:
        node = stack.pop()
        match node:
            case Con():
                if node.name in _CARRIES:
                    return True
                stack.extend(node.args)
                if node.name not in seen:
                    seen.add(node.name)
                    info = world.infos.get(node.name)
                    if isinstance(info, SetInfo):
                        return True
                    stack.extend(_parts(info))
            case Rec():
                stack.append(node.row)
            case Row():
                stack.extend(node.fields.values())
                stack.append(node.tail if isinstance(node.tail, Row | RowMap | TVar) else None)
            case RowMap():
                if node.constructor == "Out":
                    return True
                stack.append(node.row)
            case TVar():
                stack.append(node.link)
            case _:
                pass
    return False


def _parts(info: RecordInfo | VariantInfo | AliasInfo | SetInfo | None) -> list[Type | Row | RowMap | TVar | None]:
    match info:
        case RecordInfo():
            tail = info.tail if isinstance(info.tail, RowMap) else None
            return [*[f.type for f in info.fields.values()], tail]
        case VariantInfo():
            return [p.type for con in info.constructors.values() for p in con.params]
    return []

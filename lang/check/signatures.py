"""Signatures: the types that functions, bindings and sets say of themselves, read before any body is looked at."""

from __future__ import annotations

from dataclasses import dataclass

from kiln.lang.check import mistakes, mistakes_builds
from kiln.lang.check.annotations import CONSTRAINTS, Annotations, Variables
from kiln.lang.check.failure import failure
from kiln.lang.check.functions import distinct, param_mode
from kiln.lang.check.infos import MemberInfo, ParamInfo, SetInfo, Site
from kiln.lang.check.names import Scope, Value
from kiln.lang.check.show import Printer
from kiln.lang.check.types import Con, Fn, FnParam, Scheme, TVar, Type, type_id
from kiln.lang.check.wellformed import check_rows
from kiln.lang.check.world import World
from kiln.lang.syntax import ast


@dataclass(frozen=True, slots=True)
class FnSignature:
    """`fn` has the signature's variables rigid, and fresh variables for what is not written; `full`: all is."""

    fn: Fn
    variables: Variables
    full: bool


@dataclass(frozen=True, slots=True)
class SetSignature:
    """`params` are the types of the set's parameters; `members` grows until the set is checked."""

    type: Con
    params: tuple[Type, ...]
    members: dict[str, MemberInfo]


def site_of(scope: Scope, chunk: ast.Chunk, node: ast.Name) -> Site:
    return Site(scope.module, chunk.start + node.start, chunk.start + node.end)


def param_infos(scope: Scope, chunk: ast.Chunk, params: tuple[ast.Param, ...]) -> tuple[ParamInfo, ...]:
    return tuple([ParamInfo(p.name.text, param_mode(p), site_of(scope, chunk, p.name)) for p in params])


def read_fn(annotations: Annotations, world: World, decl: ast.FnDecl) -> FnSignature:
    """Raises Failure or Poisoned."""
    distinct(decl.params)
    variables = Variables()
    params: list[FnParam] = []
    full = decl.result is not None
    for p in decl.params:
        if p.type is None:
            full = False
            t: Type = TVar()
        else:
            t = annotations.type(p.type, variables)
        params.append(FnParam(p.name.text, t, param_mode(p) != "required"))
    result = TVar() if decl.result is None else annotations.type(decl.result, variables)
    _constrain(decl, variables)
    fn = Fn(tuple(params), result)
    check_written(world, fn, decl.name)
    return FnSignature(fn, variables.closed(), full)


def _constrain(decl: ast.FnDecl, variables: Variables) -> None:
    for where in decl.where:
        var = variables.known.get(where.variable.text)
        if not isinstance(var, TVar):
            raise failure(mistakes.BadConstraint(where.variable.text, None), where.variable)
        if where.constraint.text not in CONSTRAINTS:
            raise failure(mistakes.BadConstraint(where.variable.text, where.constraint.text), where.constraint)
        var.constraints = var.constraints | {where.constraint.text}


def check_written(world: World, t: Type, node: ast.Name) -> None:
    from kiln.lang.check.clash import Clash, LabelTwice

    try:
        check_rows(world, t)
    except Clash as clash:
        if not isinstance(clash.problem, LabelTwice):
            raise
        raise failure(mistakes.OutputNamedField(clash.problem.label, clash.problem.output), node) from None


def read_let(annotations: Annotations, world: World, decl: ast.LetDecl) -> Type | None:
    if decl.type is None:
        return None
    t = annotations.type(decl.type, Variables(open=False))
    check_written(world, t, decl.name)
    return t


def read_set(
    annotations: Annotations, world: World, scope: Scope, chunk: ast.Chunk, decl: ast.SetDecl, value: Value
) -> SetSignature:
    """Puts the set, with its annotated members, into `world`; its parent comes later (`find_parent`)."""
    distinct(decl.params)
    none = Variables(open=False)
    params: list[FnParam] = []
    for p in decl.params:
        if p.type is None:
            raise failure(mistakes.SetParameter(p.name.text, decl.name.text), p)
        params.append(FnParam(p.name.text, annotations.type(p.type, none), param_mode(p) != "required"))
    name = type_id(scope.module, decl.name.text)
    members: dict[str, MemberInfo] = {}
    seen: dict[str, Site] = {}
    for m in decl.members:
        site = site_of(scope, chunk, m.name)
        if m.name.text in seen:
            raise failure(mistakes_builds.MemberTwice(decl.name.text, m.name.text, seen[m.name.text]), m.name)
        seen[m.name.text] = site
        if m.type is not None:
            members[m.name.text] = MemberInfo(annotations.type(m.type, none), True, site)
    whole = Con(name)
    world.infos[name] = SetInfo(name, members, None, site_of(scope, chunk, decl.name), decl.doc)
    value.scheme = Scheme((), Fn(tuple(params), whole))
    return SetSignature(whole, tuple([p.type for p in params]), members)


# ---- printing ---------------------------------------------------------------------------------


def fn_line(decl: ast.FnDecl, text: str, scheme: Scheme, printer: Printer) -> str:
    """The signature to paste. `text` is the declaration's, for the defaults."""
    fn = scheme.type
    assert isinstance(fn, Fn)
    params: list[str] = []
    for p, t in zip(decl.params, fn.params, strict=True):
        mark = "?: " if p.optional else ": "
        default = "" if p.default is None else f" = {text[p.default.start : p.default.end]}"
        params.append(f"{p.name.text}{mark}{printer.full(t.type)}{default}")
    where = [f"{v.name}: {c}" for v in scheme.vars for c in sorted(v.constraints)]
    tail = f" where {', '.join(where)}" if where else ""
    return f"pub fn {decl.name.text}({', '.join(params)}) -> {printer.full(fn.result)}{tail} = …;"

"""Patterns: what they bind, and what they look like in core.

A constructor says which variant it takes apart. Arguments stand in the order of the declaration in core, those left
out of a pattern with labels match anything.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from kiln.lang import core
from kiln.lang.check import mistakes, mistakes_builds
from kiln.lang.check.body import Body, Env, mismatch
from kiln.lang.check.clash import Clash
from kiln.lang.check.exhaustive import Witness, missing
from kiln.lang.check.failure import failure
from kiln.lang.check.infos import ConInfo, VariantInfo
from kiln.lang.check.lookup import meaning, type_of_label
from kiln.lang.check.subsume import subsume
from kiln.lang.check.types import BOOL, INT, STR, Fn, Rec, Row, TVar, Type, instantiate, list_of, option_of, prune
from kiln.lang.syntax import ast

Use: TypeAlias = Literal["let", "match", "for"]
Names: TypeAlias = dict[str, Type]


def bind_pattern(body: Body, env: Env, p: ast.Pattern, t: Type, use: Use, source: ast.Expr) -> core.CorePattern:
    """Bind the names of `p` in `env` (the caller's own) for a value of type `t`: `source`, or a part of it."""
    body.source = source
    if type(p) is ast.PVar:
        made: core.CorePattern = core.BindPattern(body.bind(env, p.name, t).core_name)
    else:
        made = _pattern(body, env, p, t, {})
        if use == "let":
            _must_take_all(body, p, made)
    body.source = None
    body.facts.patterns[id(p)] = made
    return made


def _must_take_all(body: Body, p: ast.Pattern, made: core.CorePattern) -> None:
    witness: Witness | None = missing([[made]], body.facts.variants)
    if witness is not None:
        raise failure(mistakes_builds.MayNotMatch(witness), p)


def _pattern(body: Body, env: Env, p: ast.Pattern, t: Type, bound: dict[str, ast.Pattern]) -> core.CorePattern:
    match p:
        case ast.PVar():
            return core.BindPattern(_name(body, env, p, p.name, t, bound))
        case ast.PWild():
            return core.AnyPattern()
        case ast.PInt():
            return _constant(body, p, p.value, INT, t)
        case ast.PStr():
            return _constant(body, p, p.value, STR, t)
        case ast.PBool():
            return _constant(body, p, p.value, BOOL, t)
        case ast.PCon():
            return _constructor(body, env, p, t, bound)
        case ast.PRecord():
            return _record(body, env, p, t, bound)
        case ast.PList():
            return _list(body, env, p, t, bound)
        case ast.POr():
            return _or(body, env, p, t, bound)


def _name(
    body: Body, env: Env, node: ast.Pattern | ast.PRest, name: str, t: Type, bound: dict[str, ast.Pattern]
) -> str:
    if name in bound:
        raise failure(mistakes.LabelTwiceHere(name, "name"), node)
    bound[name] = node  # type: ignore[assignment]
    return body.bind(env, name, t).core_name


def _constant(body: Body, p: ast.Pattern, value: int | str | bool, own: Type, t: Type) -> core.CorePattern:
    body.equal(p, own, t, "what this pattern takes")
    return core.EqualPattern(value)


def _constructor(body: Body, env: Env, p: ast.PCon, t: Type, bound: dict[str, ast.Pattern]) -> core.CorePattern:
    con = _find(body, p)
    whole = instantiate(con.scheme)
    result = whole.result if type(whole) is Fn else whole
    body.equal(p, result, t, "what this pattern takes")
    types = [x.type for x in whole.params] if type(whole) is Fn else []
    subs: list[core.CorePattern] = [core.AnyPattern()] * len(types)
    for place, arg in zip(_places(p, con), p.args, strict=True):
        field = option_of(types[place]) if con.params[place].optional else types[place]
        subs[place] = _pattern(body, env, arg.pattern, field, bound)
    made = core.ConPattern(con.name, tuple(subs))
    info = body.world.infos[con.variant]
    assert isinstance(info, VariantInfo)
    body.facts.variants[id(made)] = info
    return made


def _find(body: Body, p: ast.PCon) -> ConInfo:
    if p.qualifier is not None and p.qualifier not in body.scope.modules:
        raise failure(mistakes.UnknownName(p.qualifier, tuple(body.scope.modules), "module"), p)
    found = meaning(body, p, p.qualifier, p.name)
    if not isinstance(found, ConInfo):
        raise failure(mistakes.UnknownName(p.name, tuple(body.scope.constructors), "constructor"), p)
    return found


def _places(p: ast.PCon, con: ConInfo) -> list[int]:
    """Which field each argument of the pattern is for: labels by name, the others take what is left, all of it."""
    labels = [x.label for x in con.params]
    taken: dict[int, int] = {}
    for number, arg in enumerate(p.args):
        if arg.label is None:
            continue
        place = labels.index(arg.label.text) if arg.label.text in labels else -1
        if place < 0 or place in taken.values():
            raise failure(mistakes_builds.PatternFields(con.name, tuple(labels), len(p.args)), arg)
        taken[number] = place
    free = [place for place in range(len(labels)) if place not in taken.values()]
    by_place = [number for number in range(len(p.args)) if number not in taken]
    if (by_place or not p.args) and len(by_place) != len(free):
        raise failure(mistakes_builds.PatternFields(con.name, tuple(labels), len(p.args)), p)
    taken.update(zip(by_place, free, strict=False))
    return [taken[number] for number in range(len(p.args))]


def _record(body: Body, env: Env, p: ast.PRecord, t: Type, bound: dict[str, ast.Pattern]) -> core.CorePattern:
    fields: dict[str, core.CorePattern] = {}
    if not p.fields:
        body.equal(p, Rec(Row({}, TVar("row"))), t, "what this pattern takes")
    for f in p.fields:
        label = f.label.text
        if label in fields:
            raise failure(mistakes.LabelTwiceHere(label, "field"), f)
        fields[label] = _pattern(body, env, f.pattern, type_of_label(body, f, t, f.label), bound)
    return core.RecordPattern(tuple(fields.items()))


def _list(body: Body, env: Env, p: ast.PList, t: Type, bound: dict[str, ast.Pattern]) -> core.CorePattern:
    item = TVar()
    body.equal(p, list_of(item), t, "what this pattern takes")
    items = tuple([_pattern(body, env, x, item, bound) for x in p.items])
    if p.rest is None:
        return core.ListPattern(items, None)
    if p.rest.name is None:
        return core.ListPattern(items, core.AnyPattern())
    name = _name(body, env, p.rest, p.rest.name, list_of(item), bound)
    return core.ListPattern(items, core.BindPattern(name))


def _or(body: Body, env: Env, p: ast.POr, t: Type, bound: dict[str, ast.Pattern]) -> core.CorePattern:
    """Every side binds the same names, at one type, under the names that the first side gave them."""
    before = dict(bound)
    first: dict[str, ast.Pattern] = dict(before)
    made = [_pattern(body, env, p.options[0], t, first)]
    names = [n for n in first if n not in before]
    for option in p.options[1:]:
        side_env, side = dict(env), dict(before)
        other = _pattern(body, side_env, option, t, side)
        mine = [n for n in side if n not in before]
        for name in (*names, *mine):
            if name not in names or name not in mine:
                raise failure(mistakes_builds.OptionsBind(name), option)
        renamed = {}
        for name in names:
            _same_type(body, option, side_env[name].type, env[name].type)
            renamed[side_env[name].core_name] = env[name].core_name
        made.append(_renamed(body, other, renamed))
    bound.update(first)
    return core.OrPattern(tuple(made))


def _same_type(body: Body, node: ast.Pattern, found: Type, wanted: Type) -> None:
    body.equal(node, found, wanted)


def _renamed(body: Body, p: core.CorePattern, names: dict[str, str]) -> core.CorePattern:
    match p:
        case core.BindPattern(name):
            return core.BindPattern(names.get(name, name))
        case core.ConPattern(con, args):
            made = core.ConPattern(con, tuple([_renamed(body, a, names) for a in args]))
            body.facts.variants[id(made)] = body.facts.variants[id(p)]
            return made
        case core.RecordPattern(fields):
            return core.RecordPattern(tuple([(label, _renamed(body, f, names)) for label, f in fields]))
        case core.ListPattern(items, rest):
            tail = core.BindPattern(names.get(rest.name, rest.name)) if isinstance(rest, core.BindPattern) else rest
            return core.ListPattern(tuple([_renamed(body, i, names) for i in items]), tail)
        case core.OrPattern(options):
            return core.OrPattern(tuple([_renamed(body, o, names) for o in options]))
        case _:
            return p


def source_item(body: Body, node: ast.Expr, t: Type) -> Type:
    """The type of the items that a `for` goes through."""
    item = TVar()
    wanted = list_of(item)
    try:
        subsume(body.world, t, wanted)
    except Clash as clash:
        raise mismatch(node, t, wanted, clash, "what `for` goes through") from None
    return prune(item)

"""Unification: make two types equal by binding variables, or raise a Clash.

A declared record is a transparent name: against another record it is expanded, and a recursive one is assumed
equal where it is met again (`seen` holds the pairs of names). Binding a variable discharges its constraints
on what it is bound to.
"""

from __future__ import annotations

from collections.abc import Callable

from kiln.lang.check.clash import (
    AtArgument,
    AtParameter,
    AtResult,
    Clash,
    Different,
    Infinite,
    NotConstrained,
    NotIn,
    Rigid,
)
from kiln.lang.check.infos import RecordInfo, VariantInfo
from kiln.lang.check.rows import flat, unify_rows, unify_tails
from kiln.lang.check.types import Bound, Con, Fn, Rec, Row, RowMap, TVar, Type, occurs, prune, substitute
from kiln.lang.check.world import World

Seen = frozenset[tuple[str, str]]
NOTHING_SEEN: Seen = frozenset()
_ALWAYS_DATA = frozenset({"Int", "Bool", "Str", "Path", "Kind"})
_BY_ELEMENT = frozenset({"List", "Option", "Map"})


def is_variable(t: Type) -> bool:
    """An unbound variable that may be bound."""
    return type(t) is TVar and t.rigid is None


def unify(world: World, found: Type, wanted: Type, seen: Seen = NOTHING_SEEN) -> None:
    found, wanted = prune(found), prune(wanted)
    if found is wanted:
        return
    if type(found) is TVar and found.rigid is None:
        bind(world, found, wanted)
    elif type(wanted) is TVar and wanted.rigid is None:
        bind(world, wanted, found)
    elif type(found) is Con and type(wanted) is Con and found.name == wanted.name:
        _unify_arguments(world, found, wanted, seen)
    elif type(found) is Fn and type(wanted) is Fn:
        _unify_functions(world, found, wanted, seen)
    else:
        _unify_records(world, found, wanted, seen)


def _unify_arguments(world: World, found: Con, wanted: Con, seen: Seen) -> None:
    for index, (a, b) in enumerate(zip(found.args, wanted.args, strict=True)):
        if a is b:
            continue
        try:
            if type(a) is Row:
                unify_row(world, a, b, seen)  # type: ignore[arg-type]  # same constructor: same kinds
            else:
                unify(world, a, b, seen)  # type: ignore[arg-type]
        except Clash as clash:
            raise clash.within(AtArgument(found.name, index)) from None


def unify_row(world: World, found: Row, wanted: Row, seen: Seen = NOTHING_SEEN) -> None:
    def relate(a: Type, b: Type) -> None:
        unify(world, a, b, seen)

    unify_rows(found, wanted, relate, relate, row_binder(world))


def close_row(world: World, row: Row) -> None:
    """Make the row have no further field."""

    def relate(a: Type, b: Type) -> None:
        unify(world, a, b)

    unify_tails(row, Row({}), relate, relate, row_binder(world))


def row_binder(world: World) -> Callable[[TVar, Row], None]:
    return lambda var, row: bind(world, var, row)


def _unify_records(world: World, found: Type, wanted: Type, seen: Seen) -> None:
    a, b = world.expanded(found), world.expanded(wanted)
    if a is None or b is None:
        raise _mismatch(found, wanted)
    if type(found) is Con and type(wanted) is Con:
        pair = (found.name, wanted.name)
        if pair in seen:
            return
        seen = seen | {pair}
    unify_row(world, a.row, b.row, seen)


def _mismatch(found: Type, wanted: Type) -> Clash:
    for one, other in ((found, wanted), (wanted, found)):
        if type(one) is TVar:
            return Clash(Rigid(one, other))
    return Clash(Different(found, wanted))


def _unify_functions(world: World, found: Fn, wanted: Fn, seen: Seen) -> None:
    """Labels are a set, and parameters by place a list."""
    mine, theirs = _by_key(found), _by_key(wanted)
    if mine.keys() != theirs.keys():
        raise Clash(Different(found, wanted))
    for index, (key, t) in enumerate(mine.items()):
        try:
            unify(world, t, theirs[key], seen)
        except Clash as clash:
            raise clash.within(AtParameter(key[0], index)) from None
    try:
        unify(world, found.result, wanted.result, seen)
    except Clash as clash:
        raise clash.within(AtResult()) from None


def _by_key(fn: Fn) -> dict[tuple[str | None, int, bool], Type]:
    keyed: dict[tuple[str | None, int, bool], Type] = {}
    place = 0
    for p in fn.params:
        if p.label is None:
            keyed[None, place, p.optional] = p.type
            place += 1
        else:
            keyed[p.label, 0, p.optional] = p.type
    return keyed


def bind(world: World, var: TVar, t: Type | Row) -> None:
    if t is var:
        return
    if type(t) is Row and not t.fields:
        alone = flat(t)[1]
        if alone is var:
            return
    if var.rigid is not None:
        raise Clash(Rigid(var, t))
    if occurs(var, t):
        raise Clash(Infinite())
    if world.changes is not None:
        world.changes.append((var, var.constraints))
    var.link = t
    for constraint in var.constraints:
        if type(t) is Row:
            entail_row(world, t, constraint)
        else:
            entail(world, t, constraint)  # type: ignore[arg-type]


# ---- Data and Emit ----------------------------------------------------------------------------


def entail(world: World, t: Type, constraint: str, seen: frozenset[str] = frozenset()) -> None:
    """`t` must be `constraint`: Data (equality, show, JSON), or Emit (Data, Text and Out).

    On a variable the constraint is kept, and discharged when it is bound. A recursive type is assumed to hold
    where it is met again.
    """
    t = prune(t)
    match t:
        case TVar():
            _entail_variable(world, t, constraint)
        case Fn() | Bound():
            raise Clash(NotIn(t, constraint))
        case Rec():
            entail_row(world, t.row, constraint, seen)
        case Con():
            _entail_constructor(world, t, constraint, seen)


def _entail_variable(world: World, var: TVar, constraint: str) -> None:
    if constraint in var.constraints or (constraint == "Emit" and "Data" in var.constraints):
        return
    if var.rigid is not None:
        raise Clash(NotConstrained(var, constraint))
    if world.changes is not None:
        world.changes.append((var, var.constraints))
    var.constraints = var.constraints | {constraint}


def _entail_constructor(world: World, t: Con, constraint: str, seen: frozenset[str]) -> None:
    if t.name in _ALWAYS_DATA or (constraint == "Emit" and t.name in ("Text", "Out")):
        return
    if t.name in _BY_ELEMENT:
        entail(world, t.args[0], constraint, seen)  # type: ignore[arg-type]
        return
    if t.name in seen:
        return
    info = world.infos.get(t.name)
    if type(info) is RecordInfo:
        record = world.expanded(t)
        assert record is not None
        entail_row(world, record.row, constraint, seen | {t.name})
    elif type(info) is VariantInfo and info.constructors:
        for con in info.constructors.values():
            for p in con.params:
                entail(world, substitute(p.type, world.arguments(t)), constraint, seen | {t.name})
    else:
        raise Clash(NotIn(t, constraint))


def entail_row(world: World, row: Row, constraint: str, seen: frozenset[str] = frozenset()) -> None:
    fields, tail = flat(row)
    for t in fields.values():
        entail(world, t, constraint, seen)
    match tail:
        case None | Bound():
            pass
        case TVar():
            _entail_variable(world, tail, constraint)
        case RowMap():
            if tail.constructor == "Out" and constraint == "Data":
                close_row(world, Row({}, tail))  # an Out is not Data, so there may be none

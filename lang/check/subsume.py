"""Subsumption: whether a value of one type may stand where another is wanted.

Every coercion is the identity at run time, so nothing is recorded:
- Str where Text is wanted;
- through List, Option, Map; fields of records; function types, parameters the other way round;
- a package with more outputs where fewer are wanted, Pkg(R, O) where Drv(O) is (which forgets the recipe);
- a set that extends the wanted one.

R of a Pkg is invariant, because `with` writes what it reads. Where one side is an unbound variable
the two are unified: no bounds are kept, so a variable is the first thing that it meets.
"""

from __future__ import annotations

from collections.abc import Callable

from kiln.lang.check.clash import (
    AtArgument,
    AtParameter,
    AtResult,
    Clash,
    NoOutput,
    NoParameter,
    OutputForPackage,
    ParameterNeeded,
    RecipeForgotten,
)
from kiln.lang.check.rows import flat, unify_rows
from kiln.lang.check.types import Con, Fn, FnParam, Row, TVar, Type, prune
from kiln.lang.check.unify import NOTHING_SEEN, Seen, bind, is_variable, row_binder, unify, unify_row
from kiln.lang.check.world import World

_COVARIANT = frozenset({"List", "Option", "Map"})
_PACKAGES = frozenset({"Pkg", "Drv"})


def subsume(world: World, found: Type, wanted: Type, seen: Seen = NOTHING_SEEN) -> None:
    """Raises Clash if a `found` can't stand where a `wanted` is."""
    found, wanted = prune(found), prune(wanted)
    if found is wanted:
        return
    if is_variable(found) or is_variable(wanted):
        unify(world, found, wanted)
    elif type(found) is Con and type(wanted) is Con:
        _subsume_constructors(world, found, wanted, seen)
    elif type(found) is Fn and type(wanted) is Fn:
        _subsume_functions(world, found, wanted, seen)
    else:
        _subsume_records(world, found, wanted, seen)


def _subsume_constructors(world: World, found: Con, wanted: Con, seen: Seen) -> None:
    if found.name == wanted.name:
        if found.name in _COVARIANT:
            _step(lambda: subsume(world, found.args[0], wanted.args[0], seen), found)  # type: ignore[arg-type]
        elif found.name in _PACKAGES:
            _subsume_packages(world, found, wanted)
        elif found.args and not _same_or_variable(found, wanted) and world.record(found) is not None:
            _subsume_records(world, found, wanted, seen)
        else:
            unify(world, found, wanted)
    elif found.name == "Str" and wanted.name == "Text":
        pass
    elif found.name == "Pkg" and wanted.name == "Drv":
        _subsume_packages(world, found, wanted)
    elif found.name == "Drv" and wanted.name == "Pkg":
        raise Clash(RecipeForgotten(found, wanted))
    elif found.name == "Out" and wanted.name in _PACKAGES:
        raise Clash(OutputForPackage(found, wanted))
    elif world.set_info(found) is not None and any(s.id == wanted.name for s in world.set_chain(found.name)):
        pass
    else:
        _subsume_records(world, found, wanted, seen)


def _step(relate: Callable[[], None], found: Con) -> None:
    try:
        relate()
    except Clash as clash:
        raise clash.within(AtArgument(found.name, 0)) from None


def _same_or_variable(found: Con, wanted: Con) -> bool:
    """Each pair of arguments is one type, or has a variable: then by field or by argument is the same."""
    for a, b in zip(found.args, wanted.args, strict=True):
        if a is b:
            continue
        if type(a) is Row and type(b) is Row:
            if not (a.fields or b.fields):
                continue
            return False
        a, b = prune(a), prune(b)  # type: ignore[arg-type]
        if a is not b and not is_variable(a) and not is_variable(b):
            return False
    return True


def _subsume_packages(world: World, found: Con, wanted: Con) -> None:
    if wanted.name == "Pkg":
        try:
            unify(world, found.args[0], wanted.args[0])  # type: ignore[arg-type]
        except Clash as clash:
            raise clash.within(AtArgument("Pkg", 0)) from None
    have: Row = found.args[-1]  # type: ignore[assignment]
    want: Row = wanted.args[-1]  # type: ignore[assignment]
    there, tail = flat(want)
    if tail is not None:  # open: exactly these outputs
        unify_row(world, have, want)
        return
    here, open_tail = flat(have)
    if type(open_tail) is TVar and open_tail.rigid is None and any(label not in here for label in there):
        unify_row(world, have, want)
        return
    for label, kind in there.items():
        if label not in here:
            raise Clash(NoOutput(label, found, wanted))
        try:
            unify(world, here[label], kind)
        except Clash as clash:
            raise clash.within(AtArgument(found.name, len(found.args) - 1)) from None


def _subsume_records(world: World, found: Type, wanted: Type, seen: Seen) -> None:
    a, b = world.expanded(found), world.expanded(wanted)
    if a is None or b is None:
        unify(world, found, wanted, seen)
        return
    if type(found) is Con and type(wanted) is Con:
        pair = (found.name, wanted.name)
        if pair in seen:
            unify(world, found, wanted, seen)
            return
        seen = seen | {pair}

    def relate(x: Type, y: Type) -> None:
        subsume(world, x, y, seen)

    def equal(x: Type, y: Type) -> None:
        unify(world, x, y)

    unify_rows(a.row, b.row, relate, equal, row_binder(world))


def _subsume_functions(world: World, found: Fn, wanted: Fn, seen: Seen) -> None:
    left = list(found.params)
    for index, want in enumerate(wanted.params):
        have = _take(left, want)
        if have is None:
            raise Clash(NoParameter(want.label, found, wanted))
        if want.optional and not have.optional:
            raise Clash(ParameterNeeded(want.label, found, wanted))
        try:
            subsume(world, want.type, have.type, seen)
        except Clash as clash:
            raise clash.within(AtParameter(want.label, index)) from None
    for have in left:
        if not have.optional:
            raise Clash(ParameterNeeded(have.label, found, wanted))
    try:
        subsume(world, found.result, wanted.result, seen)
    except Clash as clash:
        raise clash.within(AtResult()) from None


def _take(left: list[FnParam], want: FnParam) -> FnParam | None:
    """The parameter that `want` is passed to: by its label, or the first that is left."""
    for index, have in enumerate(left):
        if want.label is None or have.label == want.label:
            return left.pop(index)
    return None


# ---- result first -----------------------------------------------------------------------------

_INVARIANT = {"Drv": 0, "Pkg": 1}
"""How many arguments may be bound from a result: outputs may be coerced, so theirs may not."""


def bind_result(world: World, result: Type, wanted: Type) -> None:
    """Bind the variables of a callee's `result` from the type that is wanted of the call: before its arguments are
    looked at, so that they are checked against what is wanted in the end.

    Walks both together through equal constructors: into R of a Pkg but not into O, and never into a Drv, since
    outputs may be coerced. A binding that fails is undone and passed over: the arguments decide then.
    """
    result, wanted = prune(result), prune(wanted)
    if type(wanted) is TVar and wanted.rigid is None:
        return
    if type(result) is TVar:
        if result.rigid is None and result.kind == "type":
            _try_bind(world, result, wanted)
    elif type(result) is Con and type(wanted) is Con and result.name == wanted.name:
        for a, b in list(zip(result.args, wanted.args, strict=True))[: _INVARIANT.get(result.name)]:
            if type(a) is Row and type(b) is Row:
                _bind_result_row(world, a, b)
            elif not isinstance(a, Row) and not isinstance(b, Row):
                bind_result(world, a, b)


def _bind_result_row(world: World, result: Row, wanted: Row) -> None:
    fields, tail = flat(result)
    if not fields and type(tail) is TVar and tail.rigid is None:
        _try_bind(world, tail, wanted)


def _try_bind(world: World, var: TVar, t: Type | Row) -> None:
    world.changes = []
    try:
        bind(world, var, t)
    except Clash:
        for changed, constraints in reversed(world.changes):
            changed.link = None
            changed.constraints = constraints
    finally:
        world.changes = None


def joined(world: World, a: Type, b: Type) -> Type:
    """The least type that both coerce to, of those that need no search: Str and Text make Text, through
    containers.
    """
    a, b = prune(a), prune(b)
    if type(a) is Con and type(b) is Con:
        if (a.name == "Str" and b.name == "Text") or (a.name == "Text" and b.name == "Str"):
            return a if a.name == "Text" else b
        if a.name == b.name and a.name in _COVARIANT and a is not b:
            return Con(a.name, (joined(world, a.args[0], b.args[0]),))  # type: ignore[arg-type]
    unify(world, b, a)
    return a

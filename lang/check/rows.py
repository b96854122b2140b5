"""Rows: fields and a tail, without lacks constraints.

`flat` follows links, so that all known fields stand in one dict, and the tail is None, an unbound variable,
or a `RowMap` over one. Rows are always compared flat.

`unify_rows(a, b)` relates the common fields, makes each tail supply what only the other has, and unifies what is
left of the tails. That no label comes twice rests on two things: a variable born of an access or of `_supply` always
stands behind one set of labels, and only a row without a tail is ever extended (records.py). The two holes left,
a signature's variable behind different labels and an output with the name of a field, are looked for in
signatures.py and, by `flat` itself, in `declaration.py` on everything that was instantiated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from kiln.lang.check.clash import AtField, Clash, Infinite, LabelTwice, NoField, RowsDiffer
from kiln.lang.check.types import Bound, Con, Row, RowMap, TVar, Type

FlatTail: TypeAlias = TVar | Bound | RowMap | None
Relation: TypeAlias = Callable[[Type, Type], None]
BindRow: TypeAlias = Callable[[TVar, Row], None]


def flat(row: Row) -> tuple[Mapping[str, Type], FlatTail]:
    """All known fields (not to be changed), and what may stand behind them. Raises Clash(LabelTwice)."""
    tail = row.tail
    if tail is None:
        return row.fields, None
    fields = dict(row.fields)
    while True:
        match tail:
            case None | Bound():
                return fields, tail
            case TVar(link=None):
                return fields, tail
            case TVar():
                inner: Row = tail.link  # type: ignore[assignment]  # a row's variable links to a row
            case Row():
                inner = tail
            case RowMap():
                known, behind = flat(tail.row)
                _add(fields, {label: Con(tail.constructor, (kind,)) for label, kind in known.items()}, True)
                return fields, None if behind is None else RowMap(tail.constructor, Row({}, behind))
        _add(fields, inner.fields, False)
        tail = inner.tail


def _add(fields: dict[str, Type], more: Mapping[str, Type], outputs: bool) -> None:
    for label, t in more.items():
        if label in fields:
            raise Clash(LabelTwice(label, outputs))
        fields[label] = t


def variable_of(tail: FlatTail) -> TVar | Bound | None:
    """The variable that a flat tail ends in."""
    if type(tail) is RowMap:
        return tail.row.tail  # type: ignore[return-value]  # flat: a RowMap's row is a bare variable
    return tail  # type: ignore[return-value]


def bare(tail: FlatTail) -> Row:
    return Row({}, tail)


def unify_rows(found: Row, wanted: Row, relate: Relation, unify: Relation, bind: BindRow) -> None:
    """Make the rows equal, relating fields by `relate`; `unify` is for kinds below a RowMap."""
    here, here_tail = flat(found)
    there, there_tail = flat(wanted)
    for label, t in here.items():
        other = there.get(label)
        if other is not None:
            try:
                relate(t, other)
            except Clash as clash:
                raise clash.within(AtField(label)) from None
    only_here = {label: t for label, t in here.items() if label not in there}
    only_there = {label: t for label, t in there.items() if label not in here}
    if not only_here and not only_there and here_tail is there_tail:
        return
    if only_here or only_there:
        same = variable_of(here_tail)
        if same is not None and same is variable_of(there_tail):
            raise Clash(Infinite())
    # Relating the fields may have bound a tail, so both are read again.
    rest_here = _supply(_again(here_tail), only_there, found, True, unify, bind)
    rest_there = _supply(_again(there_tail), only_here, wanted, False, unify, bind)
    unify_tails(rest_here, rest_there, relate, unify, bind)


def _again(tail: FlatTail) -> Row:
    return Row({}, tail)


def _supply(
    tail: Row, fields: Mapping[str, Type], row: Row, found_lacks: bool, unify: Relation, bind: BindRow
) -> Row:
    """Make `tail` supply `fields`; what is left of it."""
    if not fields:
        return tail
    known, behind = flat(tail)
    missing = {}
    for label, t in fields.items():
        if label in known:
            unify(known[label], t)
        else:
            missing[label] = t
    left = {label: t for label, t in known.items() if label not in fields}
    return Row(left, _need(behind, missing, row, found_lacks, unify, bind))


def _need(
    tail: FlatTail, fields: Mapping[str, Type], row: Row, found_lacks: bool, unify: Relation, bind: BindRow
) -> FlatTail:
    if not fields:
        return tail
    match tail:
        case TVar(rigid=None):
            rest = TVar("row", None, tail.constraints)
            bind(tail, Row(fields, rest))
            return rest
        case RowMap():
            kinds: dict[str, Type] = {}
            for label, t in fields.items():
                kinds[label] = TVar()
                try:
                    unify(t, Con(tail.constructor, (kinds[label],)))
                except Clash as clash:
                    raise clash.within(AtField(label)) from None
            rest_row = _need(variable_of(tail), kinds, row, found_lacks, unify, bind)
            return None if rest_row is None else RowMap(tail.constructor, Row({}, rest_row))
        case _:
            raise Clash(NoField(next(iter(fields)), row, found_lacks))


def supply(row: Row, fields: Mapping[str, Type], unify: Relation, bind: BindRow) -> FlatTail:
    """Make the tail of `row` supply `fields`, none of which it has; the tail that is left."""
    _, tail = flat(row)
    return _need(tail, fields, row, True, unify, bind)


def unify_tails(found: Row, wanted: Row, relate: Relation, unify: Relation, bind: BindRow) -> None:
    here, a = flat(found)
    there, b = flat(wanted)
    if here or there:
        unify_rows(found, wanted, relate, unify, bind)
        return
    if a is b:
        return
    if type(a) is TVar and a.rigid is None:
        bind(a, Row({}, b))
    elif type(b) is TVar and b.rigid is None:
        bind(b, Row({}, a))
    elif type(a) is RowMap and type(b) is RowMap:
        if a.constructor == b.constructor:
            unify_tails(a.row, b.row, relate, unify, bind)
        else:  # a field can't be an Out and a Kind: both are empty
            unify_tails(a.row, Row({}), relate, unify, bind)
            unify_tails(b.row, Row({}), relate, unify, bind)
    elif type(a) is RowMap and b is None:
        unify_tails(a.row, wanted, relate, unify, bind)
    elif type(b) is RowMap and a is None:
        unify_tails(found, b.row, relate, unify, bind)
    else:
        raise Clash(RowsDiffer(found, wanted))

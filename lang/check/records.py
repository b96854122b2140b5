"""Records written in place.

A record literal is filled in (defaults, optional fields) only where a *declared* type is wanted of it: a type written
in place has no defaults. `..r` is allowed in two ways: `r` has a row without a tail; or the wanted type is
declared with a tail `..Outs(o)`, and `r` is exactly `Outs(o)`. The second is sound because every use of the
declared type is looked at for an output that has the name of a field (K0330).
"""

from __future__ import annotations

from collections.abc import Mapping

from kiln.lang.check import mistakes, mistakes_values
from kiln.lang.check.body import Body, Env, Given, How, RecipeField, RecordPlan, mismatch
from kiln.lang.check.clash import Clash, LabelTwice, NoField
from kiln.lang.check.failure import Failure, InField, failure
from kiln.lang.check.infer import check, infer
from kiln.lang.check.infos import FieldInfo, RecordInfo, Site
from kiln.lang.check.lookup import find_name
from kiln.lang.check.queue import Queue
from kiln.lang.check.rows import FlatTail, flat, supply, variable_of
from kiln.lang.check.types import (
    Con,
    Rec,
    Row,
    TVar,
    Type,
    option_of,
    prune,
)
from kiln.lang.check.unify import close_row, row_binder, unify
from kiln.lang.syntax import ast


def _once(fields: tuple[ast.Field, ...]) -> None:
    seen: set[str] = set()
    for f in fields:
        if f.label.text in seen:
            raise failure(mistakes.LabelTwiceHere(f.label.text, "field"), f.label)
        seen.add(f.label.text)


def infer_record(body: Body, env: Env, e: ast.Record) -> Type:
    _once(e.fields)
    fields: dict[str, Type] = {}
    if e.rest is not None:
        fields.update(_spread_fields(body, e.rest, infer(body, env, e.rest.expr)))
    recipe = id(e) in body.recipe_literals
    for f in e.fields:
        t = fields[f.label.text] = _field_type(body, env, f)
        if recipe:
            body.recipe_fields.append(RecipeField(f.label.text, f.value or f, t))
    given: tuple[Given, ...] = tuple(
        [Given(f.label.text, f.value or f, "option" if f.optional else "as is") for f in e.fields]
    )
    body.facts.records[id(e)] = RecordPlan(None, given)
    return Rec(Row(fields))


def _field_type(body: Body, env: Env, f: ast.Field) -> Type:
    t = find_name(body, env, f, f.label.text) if f.value is None else infer(body, env, f.value)
    if f.optional:
        body.relate(f.value or f, t, option_of(TVar()), "what `? =` hands on")
    return t


def _spread_fields(body: Body, spread: ast.Spread, t: Type) -> Mapping[str, Type]:
    record = body.world.expanded(prune(t))
    if record is not None:
        fields, tail = flat(record.row)
        if tail is None:
            return fields
    raise failure(mistakes_values.OpenSpread(t), spread)


def check_record(body: Body, env: Env, e: ast.Record, wanted: Type, queue: Queue | None) -> None:
    if type(wanted) is TVar:
        body.relate(e, infer_record(body, env, e), wanted)
        return
    record = body.world.expanded(wanted)
    if record is None:
        raise failure(mistakes_values.RecordForOther(wanted), e)
    own = queue or Queue()
    _RecordCheck(body, env, e, wanted, record.row, own).run()
    if queue is None:
        own.run(body, check)


class _RecordCheck:
    """One record literal against one record type."""

    def __init__(self, body: Body, env: Env, e: ast.Record, wanted: Type, row: Row, queue: Queue) -> None:
        self.body = body
        self.env = env
        self.e = e
        self.wanted = wanted
        self.row = row
        self.queue = queue
        self.info: RecordInfo | None = body.world.record(wanted)
        self.owner = self.info.id.rpartition("#")[2] if self.info is not None else None
        declared = self.info is not None and body.world.is_recipe(self.info.id)
        self.recipe = declared or id(e) in body.recipe_literals

    def run(self) -> None:
        _once(self.e.fields)
        try:
            self.fields, self.tail = flat(self.row)
        except Clash as clash:
            raise _twice(clash, self.e) from None
        plan: list[Given] = []
        extra: list[ast.Field] = []
        for f in self.e.fields:
            if f.label.text in self.fields:
                plan.append(self._field(f))
            else:
                extra.append(f)
        given = {f.label.text for f in self.e.fields}
        spread = self._spread(given)
        missing = [label for label in self.fields if label not in given and label not in spread]
        filled = self._fill(missing, extra)
        plan.extend(self._extra(extra, spread))
        declared = self.info.id if self.info is not None else None
        self.body.facts.records[id(self.e)] = RecordPlan(declared, tuple(plan + filled))

    def _declared(self, label: str) -> FieldInfo | None:
        return None if self.info is None else self.info.fields.get(label)

    def _site(self, label: str) -> Site | None:
        info = self._declared(label)
        return None if info is None else info.site

    def _field(self, f: ast.Field) -> Given:
        label = f.label.text
        info = self._declared(label)
        t = self.fields[label]
        how: How = "as is"
        if f.optional:
            how = "option"
            if info is not None and info.mode != "optional":
                raise failure(mistakes_values.NotOptional(label, "field"), f.label)
        elif info is not None and info.mode == "optional":
            how = "some"
            option = prune(t)
            assert type(option) is Con
            t = option.args[0]  # type: ignore[assignment]
        self._put(f, t)
        return Given(label, f.value or f, how)

    def _put(self, f: ast.Field, t: Type) -> None:
        label = f.label.text
        context = InField(label, self.owner, self._site(label))
        if self.recipe:
            self.body.recipe_fields.append(RecipeField(label, f.value or f, t))
        if f.value is not None:
            self.queue.put(self.env, f.value, t, context)
            return
        found = find_name(self.body, self.env, f, label)
        try:
            self.body.relate(f, found, t)
        except Failure as failed:
            failed.contexts.extend((context, *self.queue.contexts))
            raise

    def _fill(self, missing: list[str], extra: list[ast.Field]) -> list[Given]:
        """Defaults and absent options; what has neither is missing."""
        filled: list[Given] = []
        needed: list[str] = []
        for label in missing:
            info = self._declared(label)
            if info is None or info.mode == "required":
                needed.append(label)
            else:
                filled.append(Given(label, None, "default" if info.mode == "default" else "none"))
        if not needed:
            return filled
        if extra and self._closed():
            raise self._unknown(extra[0])
        given = tuple([f.label.text for f in self.e.fields])
        raise failure(mistakes_values.MissingField(tuple(needed), self.wanted, self._site(needed[0]), given), self.e)

    def _closed(self) -> bool:
        var = variable_of(self.tail)
        return var is None or (type(var) is TVar and var.rigid is not None)

    def _unknown(self, f: ast.Field) -> Failure:
        var = variable_of(self.tail)
        rigid = var.rigid if type(var) is TVar else None
        return failure(mistakes_values.UnknownField(f.label.text, self.wanted, tuple(self.fields), rigid), f.label)

    def _extra(self, extra: list[ast.Field], spread: Mapping[str, Type]) -> list[Given]:
        """Fields that the wanted row does not name yet: its tail must have them."""
        if self.e.rest is not None and not spread and self.tail is not None:
            if extra:
                raise self._unknown(extra[0])
            return []
        wanted: dict[str, Type] = {f.label.text: TVar() for f in extra}
        for label in spread:
            if label not in self.fields and label not in wanted:
                wanted[label] = TVar()
        rest = self._supply(wanted, extra)
        for label, t in spread.items():
            if label in wanted and not any(f.label.text == label for f in extra):
                assert self.e.rest is not None
                self.body.relate(self.e.rest, t, wanted[label])
        try:
            close_row(self.body.world, Row({}, rest))
        except Clash as clash:
            raise mismatch(self.e, self.wanted, self.wanted, clash) from None
        plan: list[Given] = []
        for f in extra:
            self._put(f, option_of(TVar()) if f.optional else wanted[f.label.text])
            plan.append(Given(f.label.text, f.value or f, "option" if f.optional else "as is"))
        return plan

    def _supply(self, wanted: Mapping[str, Type], extra: list[ast.Field]) -> FlatTail:
        world = self.body.world

        def equal(a: Type, b: Type) -> None:
            unify(world, a, b)

        try:
            return supply(self.row, wanted, equal, row_binder(world))
        except Clash as clash:
            if isinstance(clash.problem, NoField) and extra:
                named = {f.label.text: f for f in extra}
                raise self._unknown(named.get(clash.problem.label, extra[0])) from None
            if isinstance(clash.problem, LabelTwice):
                raise _twice(clash, self.e) from None
            raise mismatch(self.e.rest or self.e, self.wanted, self.wanted, clash) from None

    def _spread(self, given: set[str]) -> Mapping[str, Type]:
        """The fields that `..r` supplies; each that is used must fit."""
        spread = self.e.rest
        if spread is None:
            return {}
        body = self.body
        found = infer(body, self.env, spread.expr)
        record = body.world.expanded(prune(found))
        fields: Mapping[str, Type] | None = None
        if record is not None:
            fields, tail = flat(record.row)
            if tail is not None:
                fields = None
        if fields is None:
            return self._spread_outputs(spread, found)
        for label, t in fields.items():
            if label not in given and label in self.fields:
                self._relate_spread(spread, label, t)
        return {label: t for label, t in fields.items() if label not in given}

    def _relate_spread(self, spread: ast.Spread, label: str, t: Type) -> None:
        try:
            self.body.relate(spread, t, self.fields[label])
        except Failure as failed:
            raise failed.within(InField(label, self.owner, self._site(label))) from None

    def _spread_outputs(self, spread: ast.Spread, found: Type) -> Mapping[str, Type]:
        if self.info is None or self.tail is None:
            raise failure(mistakes_values.OpenSpread(found), spread)
        self.body.equal(spread, found, Rec(Row({}, self.tail)))
        return {}


def _twice(clash: Clash, e: ast.Record) -> Failure:
    assert isinstance(clash.problem, LabelTwice)
    return failure(mistakes.OutputNamedField(clash.problem.label, clash.problem.output), e)

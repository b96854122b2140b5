"""Lists, maps, comprehensions, records and functions written in place.

A record literal is filled in (defaults, optional fields) only where a *declared* type is wanted of it: a type written
in place has no defaults. `..r` is allowed in two ways: `r` has a row without a tail; or the wanted type is declared with
a tail `..Outs(o)`, and `r` is exactly `Outs(o)`. The second is sound because every use of the declared type is
looked at for an output that has the name of a field (K0330).
"""

from __future__ import annotations

from collections.abc import Mapping

from kiln.lang.check import mistakes
from kiln.lang.check.body import Body, Env, Given, How, LambdaParam, RecordPlan, mismatch
from kiln.lang.check.captures import entered, left
from kiln.lang.check.clash import Clash, LabelTwice, NoField
from kiln.lang.check.failure import Failure, InDefault, InField, InFunction, InPart, failure
from kiln.lang.check.infer import check, check_part, infer, join
from kiln.lang.check.infos import FieldInfo, Mode, RecordInfo, Site
from kiln.lang.check.lookup import find_name
from kiln.lang.check.patterns import bind_pattern, source_item
from kiln.lang.check.queue import Queue
from kiln.lang.check.rows import FlatTail, flat, supply, variable_of
from kiln.lang.check.types import (
    BOOL,
    STR,
    Con,
    Fn,
    FnParam,
    Rec,
    Row,
    TVar,
    Type,
    list_of,
    map_of,
    option_of,
    prune,
)
from kiln.lang.check.unify import close_row, row_binder, unify
from kiln.lang.syntax import ast

# ---- lists and maps ---------------------------------------------------------------------------


def infer_list(body: Body, env: Env, e: ast.ListLit) -> Type:
    item: Type = TVar()
    for x in e.items:
        item = join(body, _inner(x), item, _item_type(body, env, x), "this item")
    return list_of(item)


def _inner(x: ast.Expr | ast.Spread) -> ast.Expr:
    return x.expr if isinstance(x, ast.Spread) else x


def _item_type(body: Body, env: Env, x: ast.Expr | ast.Spread) -> Type:
    if isinstance(x, ast.Spread):
        return source_item(body, x.expr, infer(body, env, x.expr))
    return infer(body, env, x)


def check_list(body: Body, env: Env, e: ast.ListLit, wanted: Type, queue: Queue | None) -> None:
    if type(wanted) is not Con or wanted.name != "List":
        body.relate(e, infer_list(body, env, e), wanted)
        return
    own = queue or Queue()
    for x in e.items:
        if isinstance(x, ast.Spread):
            own.put(env, x.expr, wanted, InPart("what `..` spreads"))
        else:
            own.put(env, x, wanted.args[0], InPart("this item"))  # type: ignore[arg-type]
    if queue is None:
        own.run(body, check)


def infer_map(body: Body, env: Env, e: ast.MapLit) -> Type:
    value: Type = TVar()
    for entry in e.entries:
        check_part(body, env, entry.key, STR, "a key")
        value = join(body, entry.value, value, infer(body, env, entry.value), "this value")
    return map_of(value)


def check_map(body: Body, env: Env, e: ast.MapLit, wanted: Type, queue: Queue | None) -> None:
    if type(wanted) is not Con or wanted.name != "Map":
        body.relate(e, infer_map(body, env, e), wanted)
        return
    own = queue or Queue()
    for entry in e.entries:
        own.put(env, entry.key, STR, InPart("a key"))
        own.put(env, entry.value, wanted.args[0], InPart("this value"))  # type: ignore[arg-type]
    if queue is None:
        own.run(body, check)


def _enter_clauses(body: Body, env: Env, clauses: tuple[ast.For | ast.When, ...]) -> Env:
    env = dict(env)
    for clause in clauses:
        if isinstance(clause, ast.When):
            check_part(body, env, clause.condition, BOOL, "the condition")
        else:
            item = source_item(body, clause.source, infer(body, env, clause.source))
            bind_pattern(body, env, clause.pattern, item, "for")
    return env


def infer_list_comp(body: Body, env: Env, e: ast.ListComp) -> Type:
    return list_of(_item_type(body, _enter_clauses(body, env, e.clauses), e.item))


def check_list_comp(body: Body, env: Env, e: ast.ListComp, wanted: Type, queue: Queue | None) -> None:
    if type(wanted) is not Con or wanted.name != "List":
        body.relate(e, infer_list_comp(body, env, e), wanted)
        return
    inner = _enter_clauses(body, env, e.clauses)
    if isinstance(e.item, ast.Spread):
        check_part(body, inner, e.item.expr, wanted, "what `..` spreads")
    else:
        check_part(body, inner, e.item, wanted.args[0], "this item")  # type: ignore[arg-type]


def infer_map_comp(body: Body, env: Env, e: ast.MapComp) -> Type:
    inner = _enter_clauses(body, env, e.clauses)
    check_part(body, inner, e.key, STR, "a key")
    return map_of(infer(body, inner, e.value))


def check_map_comp(body: Body, env: Env, e: ast.MapComp, wanted: Type, queue: Queue | None) -> None:
    if type(wanted) is not Con or wanted.name != "Map":
        body.relate(e, infer_map_comp(body, env, e), wanted)
        return
    inner = _enter_clauses(body, env, e.clauses)
    check_part(body, inner, e.key, STR, "a key")
    check_part(body, inner, e.value, wanted.args[0], "this value")  # type: ignore[arg-type]


# ---- records ----------------------------------------------------------------------------------


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
        if recipe and isinstance(f.value, ast.Lambda):
            body.recipe_fields[id(f.value)] = f.label.text
        fields[f.label.text] = _field_type(body, env, f)
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
    raise failure(mistakes.OpenSpread(t), spread)


def check_record(body: Body, env: Env, e: ast.Record, wanted: Type, queue: Queue | None) -> None:
    if type(wanted) is TVar:
        body.relate(e, infer_record(body, env, e), wanted)
        return
    record = body.world.expanded(wanted)
    if record is None:
        raise failure(mistakes.RecordForOther(wanted), e)
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
                raise failure(mistakes.NotOptional(label, "field"), f.label)
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
        if self.recipe and isinstance(f.value, ast.Lambda):
            self.body.recipe_fields[id(f.value)] = label
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
        raise failure(mistakes.MissingField(tuple(needed), self.wanted, self._site(needed[0]), given), self.e)

    def _closed(self) -> bool:
        var = variable_of(self.tail)
        return var is None or (type(var) is TVar and var.rigid is not None)

    def _unknown(self, f: ast.Field) -> Failure:
        var = variable_of(self.tail)
        rigid = var.rigid if type(var) is TVar else None
        return failure(mistakes.UnknownField(f.label.text, self.wanted, tuple(self.fields), rigid), f.label)

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
            raise failure(mistakes.OpenSpread(found), spread)
        self.body.equal(spread, found, Rec(Row({}, self.tail)))
        return {}


def _twice(clash: Clash, e: ast.Record) -> Failure:
    assert isinstance(clash.problem, LabelTwice)
    return failure(mistakes.OutputNamedField(clash.problem.label, clash.problem.output), e)


# ---- functions --------------------------------------------------------------------------------


def param_mode(p: ast.Param) -> Mode:
    return "optional" if p.optional else "default" if p.default is not None else "required"


def check_default(body: Body, p: ast.Param, t: Type) -> None:
    """A default sees top-level names only."""
    if p.default is None:
        return
    try:
        check(body, {}, p.default, t)
    except Failure as f:
        raise f.within(InDefault(p.name.text)) from None


def bind_param(body: Body, env: Env, p: ast.Param, t: Type, label: str | None) -> LambdaParam:
    """Inside, an optional parameter is an Option."""
    mode = param_mode(p)
    local = body.bind(env, p.name.text, option_of(t) if mode == "optional" else t)
    return LambdaParam(local.core_name, label, mode)


def distinct(params: tuple[ast.Param, ...]) -> None:
    seen: set[str] = set()
    for p in params:
        if p.name.text in seen:
            raise failure(mistakes.LabelTwiceHere(p.name.text, "parameter"), p.name)
        seen.add(p.name.text)


def infer_lambda(body: Body, env: Env, e: ast.Lambda) -> Type:
    """By place, but for what may be left out: that has a label."""
    distinct(e.params)
    outer = entered(body, e)
    inner = dict(env)
    params: list[FnParam] = []
    plan: list[LambdaParam] = []
    for p in e.params:
        t = TVar() if p.type is None else body.annotation(p.type)
        check_default(body, p, t)
        mode = param_mode(p)
        label = None if mode == "required" else p.name.text
        plan.append(bind_param(body, inner, p, t, label))
        params.append(FnParam(label, t, mode != "required"))
    body.facts.lambdas[id(e)] = tuple(plan)
    result = _result(body, inner, e)
    left(body, outer)
    return Fn(tuple(params), result)


def _result(body: Body, env: Env, e: ast.Lambda) -> Type:
    if e.result is None:
        return infer(body, env, e.body)
    t = body.annotation(e.result)
    try:
        check(body, env, e.body, t)
    except Failure as f:
        raise f.within(InFunction()) from None
    return t


def check_lambda(body: Body, env: Env, e: ast.Lambda, wanted: Type, queue: Queue | None) -> None:
    if type(wanted) is not Fn:
        body.relate(e, infer_lambda(body, env, e), wanted)
        return
    distinct(e.params)
    outer = entered(body, e)
    inner = dict(env)
    matched = _match_params(e, wanted)
    plan: list[LambdaParam] = []
    for p in e.params:
        want = matched.get(p.name.text)
        plan.append(bind_param(body, inner, p, _param_type(body, p, want), want.label if want else p.name.text))
    body.facts.lambdas[id(e)] = tuple(plan)
    try:
        if e.result is None:
            check(body, inner, e.body, wanted.result)
        else:
            body.relate(e, _result(body, inner, e), wanted.result)
    except Failure as f:
        raise f.within(InFunction()) from None
    left(body, outer)


def _match_params(e: ast.Lambda, wanted: Fn) -> dict[str, FnParam]:
    """Which wanted parameter each of the function's own takes: one with its label, or the next in order."""
    own = {p.name.text: p for p in e.params}
    by_label = {w.label: w for w in wanted.params if w.label is not None and w.label in own}
    matched: dict[str, FnParam] = {label: w for label, w in by_label.items() if label is not None}
    rest = [w for w in wanted.params if w.label not in by_label]
    for p in e.params:
        if p.name.text not in matched and rest:
            matched[p.name.text] = rest.pop(0)
    unmatched = [p for p in e.params if p.name.text not in matched and param_mode(p) == "required"]
    if rest or unmatched:
        raise failure(mistakes.LambdaParameters(len(e.params), wanted, len(wanted.params)), e)
    for p in e.params:
        want = matched.get(p.name.text)
        if want is not None and want.optional and param_mode(p) == "required":
            raise failure(mistakes.ParameterMayBeAbsent(p.name.text, wanted), p.name)
    return matched


def _param_type(body: Body, p: ast.Param, want: FnParam | None) -> Type:
    if p.type is None:
        t: Type = TVar() if want is None else want.type
    else:
        t = body.annotation(p.type)
        if want is not None:
            body.relate(p, want.type, t, "what this parameter is given")
    check_default(body, p, t)
    return t

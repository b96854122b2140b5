"""Lists, maps and comprehensions."""

from __future__ import annotations

from kiln.lang.check.body import Body, Env
from kiln.lang.check.failure import Failure, InPart
from kiln.lang.check.infer import check, check_part, infer, join
from kiln.lang.check.patterns import bind_pattern, source_item
from kiln.lang.check.queue import Queue, rank
from kiln.lang.check.types import (
    BOOL,
    STR,
    Con,
    TVar,
    Type,
    list_of,
    map_of,
)
from kiln.lang.syntax import ast

_ITEM = InPart("this item")
_SPREAD = InPart("what `..` spreads")


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
    if queue is None and rank(e) == 0:  # each item's turn is when it is met
        for x in e.items:
            what, t, part = (_SPREAD, wanted, x.expr) if type(x) is ast.Spread else (_ITEM, wanted.args[0], x)
            try:
                check(body, env, part, t)  # type: ignore[arg-type]
            except Failure as f:
                raise f.within(what) from None
        return
    own = queue or Queue()
    for x in e.items:
        if isinstance(x, ast.Spread):
            own.put(env, x.expr, wanted, _SPREAD)
        else:
            own.put(env, x, wanted.args[0], _ITEM)  # type: ignore[arg-type]
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
            bind_pattern(body, env, clause.pattern, item, "for", clause.source)
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

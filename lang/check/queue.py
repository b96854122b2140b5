"""The order in which a call's arguments are checked: by rank, then by place.

    0  whatever has a type of its own
    1  literals that an expected type may fill in: records, and lists, ifs, matches and lets that hold one
    2  functions with a parameter whose type isn't written

So a literal sees what the other arguments decided, and a function's body sees all of it. A record or list
literal that is an argument puts its parts on the same queue. Each rank is needed; tests/types shows a program
for each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from kiln.lang.check.failure import Context, Failure
from kiln.lang.check.types import Type
from kiln.lang.syntax import ast

if TYPE_CHECKING:
    from kiln.lang.check.body import Body, Env

RANKS = 3


class Item(NamedTuple):
    env: Env
    expr: ast.Expr
    wanted: Type
    contexts: tuple[Context, ...]


CheckItem: TypeAlias = "Callable[[Body, Env, ast.Expr, Type, Queue], None]"


class Queue:
    __slots__ = ("_waiting", "contexts")

    def __init__(self) -> None:
        self._waiting: tuple[deque[Item], ...] = (deque(), deque(), deque())
        self.contexts: tuple[Context, ...] = ()
        """Of the item that is being checked: its parts are asked for in these too."""

    def put(self, env: Env, expr: ast.Expr, wanted: Type, *contexts: Context) -> None:
        self._waiting[rank(expr)].append(Item(env, expr, wanted, contexts + self.contexts))

    def run(self, body: Body, check: CheckItem) -> None:
        """Check everything, what is put on meanwhile too."""
        outer = self.contexts
        while (waiting := next(filter(None, self._waiting), None)) is not None:
            item = waiting.popleft()
            self.contexts = item.contexts
            try:
                check(body, item.env, item.expr, item.wanted, self)
            except Failure as failed:
                failed.contexts.extend(item.contexts)
                raise
        self.contexts = outer


def rank(e: ast.Expr) -> int:
    find = _RANKS.get(type(e))
    return 0 if find is None else find(e)


def _lambda(e: ast.Lambda) -> int:
    return 2 if any(p.type is None for p in e.params) else 0


def _list(e: ast.ListLit) -> int:
    return _highest([i.expr if type(i) is ast.Spread else i for i in e.items])  # type: ignore[misc]


def _body(e: ast.Expr) -> int:
    while isinstance(e, ast.Let | ast.Assert):
        e = e.body
    return rank(e)


_RANKS: Final[dict[type, Callable[[Any], int]]] = {
    ast.Record: lambda e: 1,
    ast.Lambda: _lambda,
    ast.ListLit: _list,
    ast.MapLit: lambda e: _highest([entry.value for entry in e.entries]),
    ast.If: lambda e: _highest([e.then, e.otherwise]),
    ast.Match: lambda e: _highest([arm.body for arm in e.arms]),
    ast.Let: _body,
    ast.Assert: _body,
}


def _highest(parts: list[ast.Expr]) -> int:
    best = 0
    for part in parts:
        find = _RANKS.get(type(part))
        if find is not None:
            best = max(best, find(part))
        if best == RANKS - 1:
            break
    return best

"""Comprehensions: nested loops that fill one list or map.

A closure made inside a loop must capture this round's values, and Python's closures capture variables; so where
the rest of a comprehension makes closures, it becomes a function that is called once a round.

`map` and `filter` with a function written on the spot are comprehensions too, which saves a call for each item:

    map(xs, fn(x) => e)    [e for x in xs]        filter(xs, fn(x) => e)    [x for x in xs if e]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kiln.interpreter.evaluate.emit import BLOCKS, DEEP, local
from kiln.interpreter.evaluate.patterns import matching
from kiln.interpreter.evaluate.walk import makes_closures
from kiln.interpreter.imports import PRELUDE
from kiln.lang.core import (
    Absent,
    BindPattern,
    Call,
    Comprehend,
    Expr,
    ForClause,
    Function,
    Local,
    SpreadItem,
    WhenClause,
)

if TYPE_CHECKING:
    from kiln.interpreter.evaluate.compile import Compiler


def comprehension(self: Compiler, e: Comprehend) -> str:
    """Python for the finished list or map."""
    made = self.spilled("[]" if e.key is None else "{}", e.at)
    _clause(self, e, 0, made)
    return f"_tuple({made})" if e.key is None else made


def loop_of(e: Call) -> Comprehend | None:
    """The comprehension that a call of the prelude's `map` or `filter` stands for, if it is one."""
    if e.fn.module != PRELUDE or e.fn.name not in ("map", "filter"):
        return None
    items, f = e.args
    if not isinstance(f, Function) or f.params[0].mode != "required" or isinstance(items, Absent):
        return None
    name = f.params[0].name
    every = ForClause(BindPattern(name), items)
    if e.fn.name == "map":
        return Comprehend(e.at, None, f.body, (every,))
    return Comprehend(e.at, None, Local(f.at, name), (every, WhenClause(f.body)))


def _clause(self: Compiler, e: Comprehend, place: int, made: str) -> None:
    if place == len(e.clauses):
        _add(self, e, made)
        return
    clause = e.clauses[place]
    if self.out.depth > DEEP or self.out.blocks > BLOCKS:
        rest_of = (e.key, e.item, e.clauses[place:])
        call = self.moved_body(rest_of, (made,), lambda: _clause(self, e, place, made), e.at)
        self.out.line(call, e.at)
        return
    if not isinstance(clause, ForClause):
        self.out.open(f"if {self.small(clause.condition)}:", clause.condition.at)
        _clause(self, e, place + 1, made)
        self.out.close()
        return
    source = _source(self, clause.source)
    at = clause.source.at

    def rest() -> None:
        _clause(self, e, place + 1, made)

    if makes_closures(e.key, e.item, e.clauses[place + 1 :]):
        name, item = "_b" + self.temp()[1:], self.temp()
        self.nested(f"def {name}({item}):", at, lambda: _round(self, clause, item, rest))
        self.out.open_loop(f"for {item} in {source}:", at)
        self.out.line(f"{name}({item})", at)
    elif isinstance(clause.pattern, BindPattern):
        self.out.open_loop(f"for {local(clause.pattern.name)} in {source}:", at)
        rest()
    else:
        item = self.temp()
        self.out.open_loop(f"for {item} in {source}:", at)
        _round(self, clause, item, rest)
    self.out.close_loop()


def _source(self: Compiler, e: Expr) -> str:
    """Python for what a loop goes through, counted where steps are."""
    items = _items(self, e)
    return f"_turns({items})" if self.metered else items


def _items(self: Compiler, e: Expr) -> str:
    """The numbers of a range need not be there at once."""
    if isinstance(e, Call) and e.fn.module == PRELUDE and e.fn.name == "range" and not isinstance(e.args[0], Absent):
        return f"_range({self.small(e.args[0])})"
    return self.small(e)


def _round(self: Compiler, clause: ForClause, item: str, rest: Callable[[], None]) -> None:
    """The body of a loop: items that don't match the pattern are passed over."""
    found = matching(clause.pattern, item, self)
    at = clause.source.at
    if found.tests:
        self.out.open(f"if {' and '.join(found.tests)}:", at)
    for name, value in found.bindings:
        self.out.line(f"{name} = {value}", at)
    rest()
    if found.tests:
        self.out.close()


def _add(self: Compiler, e: Comprehend, made: str) -> None:
    if isinstance(e.item, SpreadItem):
        self.out.line(f"{made}.extend({self.small(e.item.expr)})", e.item.at)
    elif e.key is None:
        self.out.line(f"{made}.append({self.code(e.item)})", e.item.at)
    else:
        key, item = self.small(e.key), self.small(e.item)
        self.out.line(f"_put({made}, {key}, {item})", e.key.at)

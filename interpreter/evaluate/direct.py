"""Lets that are computed without compiling anything.

A let runs once, and to write and compile Python for it takes some ten times as long as what it does. So a let that
only names, calls and puts together becomes a row of steps for a small stack machine:

    mk("b", [a], flags = common ++ ["-g"])

    LITERAL "b"    CELL 3 (a)    APPLY list, 1    CELL 4 (common)    LITERAL "-g"    APPLY list, 1
    APPLY +, 2     CALL _f1, 3

Names are found in the namespace of compiled code. What branches, binds or makes functions is compiled, and so is
every function. Both ways give the same values in the same order, and take two Python frames for a let in a let.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from kiln.interpreter.evaluate.packages import DIRECT_FRAMES
from kiln.interpreter.evaluate.sets import member
from kiln.interpreter.evaluate.values import Value, attribute, record_maker, text_of
from kiln.lang.core import (
    Absent,
    BinaryOn,
    Call,
    Construct,
    DefaultOf,
    Expr,
    GetField,
    Global,
    Interpolate,
    Literal_,
    MakeList,
    MakeRecord,
    Method,
    PathValue,
    SpreadItem,
)

if TYPE_CHECKING:
    from kiln.interpreter.evaluate.compile import Links
    from kiln.interpreter.evaluate.units import Unit

LITERAL, CELL, NAME, CALL, APPLY = range(5)
Step: TypeAlias = tuple[int, Any, int, int]
"""(kind, what, how many values it takes, offset): a value; a cell's number; a name; a function's name; a function."""


class Cells(Protocol):
    """The numbers of cells. Asking for one makes the unit depend on it."""

    def let_cell(self, item: Global) -> int | None:
        """None for a function."""
        ...

    def default_cell(self, item: DefaultOf) -> int: ...
    def parameter_cell(self, fn: Global, place: int) -> int: ...


class _Compiled(Exception):
    """There is something in the let that has to be compiled."""


def steps_of(body: Expr, links: Links, cells: Cells) -> list[Step] | None:
    """The steps that compute a let's body, or None where it is to be compiled."""
    if type(body) not in _KINDS:
        return None
    planner = _Planner(links, cells)
    try:
        planner.add(body)
    except _Compiled:
        return None
    return planner.steps


def run(unit: Unit, steps: list[Step], namespace: dict[str, Any], get: Callable[[int], Value]) -> Value:
    """The value that steps come to. Messages find `unit` and `at` in this function's frame."""
    stack: list[Value] = []
    for kind, what, count, at in steps:  # noqa: B007
        if kind == LITERAL:
            stack.append(what)
        elif kind == CELL:
            stack.append(get(what))
        elif kind == NAME:
            stack.append(namespace[what])
        else:
            function = what if kind == APPLY else namespace[what]
            first = len(stack) - count
            args = stack[first:]
            del stack[first:]
            stack.append(function(*args))
    return stack[0]


DIRECT_FRAMES.add(run.__code__)


class _Planner:
    """Writes steps: an expression's operands from the left, then what is made of them."""

    def __init__(self, links: Links, cells: Cells) -> None:
        self.steps: list[Step] = []
        self._links = links
        self._cells = cells

    def add(self, e: Expr) -> None:
        """Raises _Compiled."""
        kind = type(e)
        if kind is Literal_:
            self.steps.append((LITERAL, e.value, 0, e.at))  # type: ignore[union-attr]
            return
        write = _KINDS.get(kind)
        if write is None:
            raise _Compiled
        write(self, e)

    def _apply(self, function: Callable[..., Value], operands: tuple[Expr, ...], at: int) -> None:
        for operand in operands:
            self.add(operand)
        self.steps.append((APPLY, function, len(operands), at))

    def _global(self, e: Global) -> None:
        cell = self._cells.let_cell(e)
        if cell is None:
            self.steps.append((NAME, self._links.value(e), 0, e.at))
        else:
            self.steps.append((CELL, cell, 0, e.at))

    def _default_of(self, e: DefaultOf) -> None:
        self.steps.append((CELL, self._cells.default_cell(e), 0, e.at))

    def _path(self, e: PathValue) -> None:
        self.steps.append((NAME, self._links.path(e), 0, e.at))

    def _call(self, e: Call) -> None:
        target = self._links.target(e.fn)
        for place, arg in enumerate(e.args):
            if type(arg) is not Absent:
                self.add(arg)  # type: ignore[arg-type]
            elif target.modes[place] == "optional":
                self.steps.append((NAME, self._links.constructor("None", 0), 0, e.at))
            elif target.fills:
                self.steps.append((NAME, "_ABSENT", 0, e.at))
            else:
                self.steps.append((CELL, self._cells.parameter_cell(e.fn, place), 0, e.at))
        self.steps.append((CALL, target.name, len(e.args), e.at))

    def _method(self, e: Method) -> None:
        for operand in (e.base, *e.args):
            self.add(operand)
        self.steps.append((CALL, self._links.method(e.name), 1 + len(e.args), e.at))

    def _construct(self, e: Construct) -> None:
        name = self._links.constructor(e.con, len(e.args))
        for arg in e.args:
            self.add(arg)
        self.steps.append((CALL if e.args else NAME, name, len(e.args), e.at))

    def _list(self, e: MakeList) -> None:
        if any(type(item) is SpreadItem for item in e.items):
            raise _Compiled
        self._apply(_listed, e.items, e.at)  # type: ignore[arg-type]

    def _record(self, e: MakeRecord) -> None:
        if e.rest is not None:
            raise _Compiled
        make = record_maker(tuple([label for label, _ in e.fields]))
        self._apply(make, tuple([value for _, value in e.fields]), e.at)

    def _field(self, e: GetField) -> None:
        slot = attribute(e.label)
        self._apply((lambda base: member(base, slot)) if e.member else operator.attrgetter(slot), (e.base,), e.at)

    def _interpolate(self, e: Interpolate) -> None:
        if e.shell:
            raise _Compiled
        for part in e.parts:
            if isinstance(part, str):
                self.steps.append((LITERAL, part, 0, e.at))
            elif part.kind == "Int":
                self._apply(str, (part.expr,), part.at)
            else:
                self.add(part.expr)
        self.steps.append((APPLY, _interpolated, len(e.parts), e.at))

    def _binary(self, e: BinaryOn) -> None:
        """In a loop from the left: a join may have 100,000 parts."""
        spine: list[BinaryOn] = []
        first: Expr = e
        while type(first) is BinaryOn:
            if first.op not in _JOINS:
                raise _Compiled
            spine.append(first)
            first = first.left
        self.add(first)
        for node in reversed(spine):
            self.add(node.right)
            self.steps.append((APPLY, _JOINS[node.op], 2, node.at))


def _listed(*items: Value) -> Value:
    return items


def _interpolated(*pieces: Value) -> Value:
    return text_of(pieces)


_JOINS: Final[dict[str, Callable[..., Value]]] = {
    "concat_list": operator.add, "concat_str": operator.add, "concat_text": operator.add,
    "concat_map": operator.or_,
}  # fmt: skip

_KINDS: Final[dict[type, Callable[[_Planner, Any], None]]] = {
    Literal_: _Planner.add, Global: _Planner._global, DefaultOf: _Planner._default_of, PathValue: _Planner._path,
    Call: _Planner._call, Method: _Planner._method, Construct: _Planner._construct, MakeList: _Planner._list,
    MakeRecord: _Planner._record, GetField: _Planner._field, Interpolate: _Planner._interpolate,
    BinaryOn: _Planner._binary,
}  # fmt: skip

"""From a typed expression to flat Python source.

Every operation that can fail is a statement of its own, into a local; what cannot fail (fields, sums, records,
lists) may stand inside another line while that line is short. Kiln's locals are Python's, known functions are called
directly with their arguments in order, and a value that must be remembered has a cell in the module's namespace:

    fn f(n: Int) -> Int = if n < 2 then n else f(n - 1) + limit;

    def _f7(n):
     if (n < 2):
      return n
     _1 = _f7((n - 1))
     _2 = _get(3) if _c3 is None else _c3
     return (_1 + _2)

Two ways to compile an expression: `code` gives Python for a whole right-hand side and `small` for an operand;
`flow` compiles one in a place where statements can branch, to be returned (`dest` None) or put into a local.
Lets, branches and chains of `else if` are followed in a loop, so that long ones don't nest.

What each kind of expression becomes is in expressions.py. Locals that begin with `_` are temporaries, and the
namespace's names begin with `_` too: no Kiln binder does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from kiln.interpreter.evaluate.emit import BLOCKS, DEEP, SPILL, Writer, local
from kiln.interpreter.evaluate.expressions import CODE, LEAVES, PLAIN
from kiln.interpreter.evaluate.patterns import matching
from kiln.interpreter.evaluate.walk import free_locals
from kiln.lang.core import (
    AssertThen,
    BindPattern,
    DefaultOf,
    Expr,
    Global,
    IfElse,
    LetIn,
    MatchOn,
    PathValue,
)


class Target(NamedTuple):
    """A known function: its Python name, and how each parameter is passed."""

    name: str
    modes: tuple[str, ...]
    fills: bool
    """Whether it fills in absent arguments itself; an extern does not."""


class Links(Protocol):
    """Names of what lies outside the unit. Asking for one makes the unit depend on it."""

    def target(self, fn: Global) -> Target: ...
    def value(self, item: Global) -> str: ...
    def default_of(self, item: DefaultOf) -> str: ...
    def parameter_default(self, fn: Global, place: int) -> str: ...
    def record(self, labels: tuple[str, ...]) -> str: ...
    def variant(self, con: str, arity: int) -> str: ...
    def constructor(self, con: str, arity: int) -> str: ...
    def path(self, item: PathValue) -> str: ...
    def method(self, name: str) -> str: ...


Dest: TypeAlias = str | None


class Compiler:
    """Compiles one unit: `out` is the function being written, `done` those that are finished."""

    def __init__(self, links: Links, prefix: str, *, metered: bool = False) -> None:
        self.links = links
        self.prefix = prefix
        self.metered = metered
        """Whether calls of functions and turns of loops are counted (`budget.Steps`)."""
        self.out = Writer()
        self.done: list[Writer] = []
        self._count = 0

    # ---- names --------------------------------------------------------------------------------

    def temp(self) -> str:
        self._count += 1
        return f"_{self._count}"

    def variant(self, con: str, arity: int) -> str:
        return self.links.variant(con, arity)

    # ---- functions ----------------------------------------------------------------------------

    def function(self, head: str, at: int, prologue: Callable[[], None], body: Expr) -> None:
        """A function of the unit: `head` is its `def` line."""
        outer, self.out = self.out, Writer()
        self.out.open(head, at)
        prologue()
        self.flow(body, None)
        self.done.append(self.out)
        self.out = outer

    def nested(self, head: str, at: int, body: Callable[[], None]) -> None:
        """A function inside the one being written: it captures what it names."""
        blocks, self.out.blocks = self.out.blocks, 0
        self.out.open(head, at)
        body()
        self.out.close()
        self.out.blocks = blocks

    def moved(self, expr: Expr) -> str:
        """A call of a function, outside the one being written, that computes `expr`."""
        return self.moved_body(expr, (), lambda: self.flow(expr, None), expr.at)

    def moved_body(self, syntax: object, temps: tuple[str, ...], body: Callable[[], None], at: int) -> str:
        """The same for any statements: `syntax` is what they are made of, `temps` the temporaries that they use."""
        names = ", ".join([*temps, *sorted(map(local, free_locals(syntax)))])
        name = f"{self.prefix}_{self.temp()[1:]}"
        outer, self.out = self.out, Writer()
        self.out.open(f"def {name}({names}):", at)
        body()
        self.done.append(self.out)
        self.out = outer
        return f"{name}({names})"

    def step(self, at: int) -> None:
        """Where steps are counted, the count of one call."""
        if self.metered:
            self.out.line("_step()", at)

    # ---- expressions --------------------------------------------------------------------------

    def code(self, expr: Expr) -> str:
        """Python for a whole right-hand side."""
        kind = type(expr)
        if (self.out.depth > DEEP or self.out.blocks > BLOCKS) and kind not in LEAVES:
            return self.moved(expr)
        found: str = CODE[kind](self, expr)
        return found

    def small(self, expr: Expr) -> str:
        """Python for an operand: short, and unable to fail."""
        return self.held(self.code(expr), expr)

    def held(self, code: str, expr: Expr) -> str:
        """The same, for an expression whose code this is."""
        if (len(code) <= SPILL and type(expr) in PLAIN) or code.isidentifier():
            return code
        return self.spilled(code, expr.at)

    def atom(self, expr: Expr) -> str:
        """Python for what is named more than once, or stands in an f-string."""
        code = self.small(expr)
        return code if code.isidentifier() else self.spilled(code, expr.at)

    def spilled(self, code: str, at: int) -> str:
        name = self.temp()
        self.out.line(f"{name} = {code}", at)
        return name

    def flow(self, expr: Expr, dest: Dest) -> None:
        """Statements that return the value, or put it into `dest`."""
        looped = 0
        while True:
            kind = type(expr)
            if (self.out.depth > DEEP or self.out.blocks > BLOCKS) and kind not in LEAVES:
                self.put(self.moved(expr), dest, expr.at)
                break
            if isinstance(expr, LetIn):
                self._let(expr)
                expr = expr.body
            elif isinstance(expr, AssertThen):
                self._assert(expr)
                expr = expr.body
            elif isinstance(expr, IfElse):
                if dest is not None and isinstance(expr.otherwise, IfElse | MatchOn | LetIn) and not looped:
                    self.out.open_loop("while True:", expr.at)
                    looped = 1
                self.out.open(f"if {self.small(expr.condition)}:", expr.at)
                self.flow(expr.then, dest)
                if looped:
                    self.out.line("break", expr.at)
                self.out.close()
                if dest is not None and not looped:
                    self.out.open("else:", expr.at)
                    self.flow(expr.otherwise, dest)
                    self.out.close()
                    break
                expr = expr.otherwise
            elif isinstance(expr, MatchOn):
                self._match(expr, dest)
                break
            else:
                self.put(self.code(expr), dest, expr.at)
                break
        if looped:
            self.out.line("break", expr.at)
            self.out.close_loop()

    def put(self, code: str, dest: Dest, at: int) -> None:
        self.out.line(f"return {code}" if dest is None else f"{dest} = {code}", at)

    def _let(self, expr: LetIn) -> None:
        if isinstance(expr.pattern, BindPattern):
            self.flow(expr.value, local(expr.pattern.name))
            return
        subject = self.atom(expr.value)
        found = matching(expr.pattern, subject, self)
        if found.tests:
            self.out.open(f"if not ({' and '.join(found.tests)}):", expr.at)
            self.out.line(f"_unmatched({subject})", expr.at)
            self.out.close()
        for name, value in found.bindings:
            self.out.line(f"{name} = {value}", expr.at)

    def _assert(self, expr: AssertThen) -> None:
        self.out.open(f"if not {self.small(expr.condition)}:", expr.at)
        self.out.line(f"_failed({self.small(expr.message)})", expr.at)
        self.out.close()

    def _match(self, expr: MatchOn, dest: Dest) -> None:
        subject = self.atom(expr.subject)
        if dest is not None:
            self.out.open_loop("while True:", expr.at)
        for arm in expr.arms:
            found = matching(arm.pattern, subject, self)
            if found.tests:
                self.out.open(f"if {' and '.join(found.tests)}:", arm.at)
            for name, value in found.bindings:
                self.out.line(f"{name} = {value}", arm.at)
            if arm.guard is not None:
                self.out.open(f"if {self.small(arm.guard)}:", arm.at)
            self.flow(arm.body, dest)
            if dest is not None:
                self.out.line("break", arm.at)
            if arm.guard is not None:
                self.out.close()
            if found.tests:
                self.out.close()
            elif arm.guard is None:
                break
        else:
            self.out.line(f"_unmatched({subject})", expr.at)
        if dest is not None:
            self.out.close_loop()


def _nothing() -> None:
    pass

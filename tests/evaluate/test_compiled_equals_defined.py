"""Compiled code comes to what the language means: generated programs against a definition that walks the tree."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kiln.interpreter.evaluate.deep import run_deep
from kiln.interpreter.evaluate.emit import BLOCKS, DEEP
from kiln.interpreter.evaluate.units import Linker
from kiln.interpreter.evaluate.values import NONE, SOME_CLASS, Record, equal, record, some
from kiln.lang import core
from kiln.lang.core import (
    AnyPattern,
    Apply,
    AssertThen,
    BinaryOn,
    BindPattern,
    Comprehend,
    ConPattern,
    Construct,
    CoreArm,
    CoreEdit,
    CoreLet,
    CoreModule,
    CoreParam,
    EqualPattern,
    Expr,
    ForClause,
    Function,
    GetField,
    IfElse,
    LetIn,
    ListPattern,
    Literal_,
    Local,
    MakeList,
    MakeRecord,
    MatchOn,
    Not,
    OrPattern,
    SpreadItem,
    WhenClause,
    WithEdits,
)

# ---- the definition -----------------------------------------------------------------------------


class Ended(Exception):
    """An assert that failed."""


def meaning(e: Expr, env: dict[str, Any]) -> Any:
    match e:
        case Literal_(_, value):
            return value
        case Local(_, name):
            return env[name]
        case BinaryOn(_, op, left, right):
            return binary(op, meaning(left, env), lambda: meaning(right, env))
        case Not(_, operand):
            return not meaning(operand, env)
        case IfElse(_, condition, then, otherwise):
            return meaning(then if meaning(condition, env) else otherwise, env)
        case LetIn(_, pattern, value, body):
            bound = matched(pattern, meaning(value, env))
            assert bound is not None
            return meaning(body, {**env, **bound})
        case AssertThen(_, condition, _, body):
            if not meaning(condition, env):
                raise Ended
            return meaning(body, env)
        case MatchOn(_, subject, arms):
            found = meaning(subject, env)
            for arm in arms:
                bound = matched(arm.pattern, found)
                if bound is not None and (arm.guard is None or meaning(arm.guard, {**env, **bound})):
                    return meaning(arm.body, {**env, **bound})
            raise AssertionError("not exhaustive")
        case MakeList(_, items):
            return tuple(
                value
                for item in items
                for value in (meaning(item.expr, env) if isinstance(item, SpreadItem) else (meaning(item, env),))
            )
        case Comprehend(_, None, item, clauses):
            return tuple(meaning(item, inner) for inner in rounds(clauses, env))  # type: ignore[arg-type]
        case MakeRecord(_, fields, _):
            return record(**{label: meaning(value, env) for label, value in fields})
        case GetField(_, base, label):
            return getattr(meaning(base, env), label + "_")
        case WithEdits(_, base, _, edits):
            fields = dict(meaning(base, env).items())
            return record(**{**fields, **{edit.path[0]: meaning(edit.value, env) for edit in edits}})
        case Construct(_, con, args):
            return some(meaning(args[0], env)) if con == "Some" else NONE
        case Function(_, params, body):
            return lambda *args: meaning(body, {**env, **dict(zip([p.name for p in params], args, strict=True))})
        case Apply(_, fn, args):
            return meaning(fn, env)(*[meaning(arg, env) for arg in args])
        case _:
            raise AssertionError(e)


def binary(op: str, left: Any, right: Any) -> Any:
    match op:
        case "and":
            return left and right()
        case "or":
            return left or right()
        case "eq":
            return equal(left, right())
        case "add" | "concat_list":
            return left + right()
        case "sub":
            return left - right()
        case "mul":
            return left * right()
        case "div":
            return left // right()
        case "mod":
            return left % right()
        case "lt":
            return left < right()
        case _:
            raise AssertionError(op)


def rounds(clauses: tuple[ForClause | WhenClause, ...], env: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not clauses:
        yield env
        return
    first, *rest = clauses
    if isinstance(first, WhenClause):
        if meaning(first.condition, env):
            yield from rounds(tuple(rest), env)
        return
    for item in meaning(first.source, env):
        bound = matched(first.pattern, item)
        if bound is not None:
            yield from rounds(tuple(rest), {**env, **bound})


def matched(pattern: core.CorePattern, value: Any) -> dict[str, Any] | None:
    match pattern:
        case BindPattern(name):
            return {name: value}
        case AnyPattern():
            return {}
        case EqualPattern(wanted):
            return {} if value == wanted else None
        case ConPattern("None"):
            return {} if value is NONE else None
        case ConPattern("Some", args):
            return matched(args[0], value._0) if type(value) is SOME_CLASS else None
        case ListPattern(items, rest):
            if len(value) < len(items) or (rest is None and len(value) != len(items)):
                return None
            return together([*zip(items, value, strict=False), *([(rest, value[len(items) :])] if rest else [])])
        case core.RecordPattern(fields):
            return together([(part, getattr(value, label + "_")) for label, part in fields])
        case OrPattern(options):
            return next((found for option in options if (found := matched(option, value)) is not None), None)
        case _:
            raise AssertionError(pattern)


def together(parts: list[tuple[Any, Any]]) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for pattern, value in parts:
        bound = matched(pattern, value)
        if bound is None:
            return None
        found |= bound
    return found


# ---- generated expressions: of type Int, Bool, List(Int), Option(Int), { a: Int, b: Int } ----------


class Grow:
    """Draws expressions; `scope` maps each local to its type, and every binder has a name of its own."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.names = (f"{word}{n}" if n else word for n in itertools.count() for word in ("x", "len", "class"))

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def expr(self, kind: str, scope: dict[str, str], depth: int) -> Expr:
        known = [name for name, found in scope.items() if found == kind]
        if known and self.draw(st.booleans()):
            return Local(0, self.pick(*known))
        if depth == 0:
            return self.leaf(kind)
        shape = self.pick("own", "own", "if", "let", "match", "assert", "apply", "field" if kind == "int" else "own")
        make = getattr(self, f"make_{shape}" if shape != "own" else f"make_{kind}")
        result: Expr = make(scope, depth - 1) if shape == "own" else make(kind, scope, depth - 1)
        return result

    def leaf(self, kind: str) -> Expr:
        match kind:
            case "int":
                return Literal_(0, self.pick(-2, 0, 1, 2, 3, 1 << 70))
            case "bool":
                return Literal_(0, self.draw(st.booleans()))
            case "list":
                return MakeList(0, ())
            case "option":
                return Construct(0, "None", ())
            case _:
                return MakeRecord(0, (("a", Literal_(0, 1)), ("b", Literal_(0, 2))), None)

    def make_int(self, scope: dict[str, str], depth: int) -> Expr:
        op = self.pick("add", "sub", "mul", "div", "mod")
        return BinaryOn(0, op, self.expr("int", scope, depth), self.expr("int", scope, depth))

    def make_bool(self, scope: dict[str, str], depth: int) -> Expr:
        op = self.pick("and", "or", "eq", "lt", "not")
        if op == "not":
            return Not(0, self.expr("bool", scope, depth))
        kind = (
            "bool" if op in ("and", "or") else "int" if op == "lt" else self.pick("list", "option", "record", "int")
        )
        return BinaryOn(0, op, self.expr(kind, scope, depth), self.expr(kind, scope, depth))

    def make_list(self, scope: dict[str, str], depth: int) -> Expr:
        if self.draw(st.booleans()):
            return self.comprehension(scope, depth)
        items = [
            SpreadItem(0, self.expr("list", scope, depth))
            if self.draw(st.booleans())
            else self.expr("int", scope, depth)
            for _ in range(self.draw(st.integers(0, 3)))
        ]
        return MakeList(0, tuple(items))

    def comprehension(self, scope: dict[str, str], depth: int) -> Expr:
        clauses: list[ForClause | WhenClause] = []
        inner = dict(scope)
        for _ in range(self.draw(st.integers(1, 2))):
            source = self.expr("list", inner, depth)
            pattern: core.CorePattern = BindPattern(next(self.names))
            if self.draw(st.booleans()):
                inner[pattern.name] = "int"
            else:
                pattern = EqualPattern(1)
            clauses.append(ForClause(pattern, source))
            if self.draw(st.booleans()):
                clauses.append(WhenClause(self.expr("bool", inner, depth)))
        if self.draw(st.booleans()):
            return Comprehend(0, None, self.expr("int", inner, depth), tuple(clauses))
        made = Comprehend(0, None, Function(0, (), self.expr("int", inner, depth)), tuple(clauses))
        called = next(self.names)
        return Comprehend(0, None, Apply(0, Local(0, called), (), ()), (ForClause(BindPattern(called), made),))

    def make_option(self, scope: dict[str, str], depth: int) -> Expr:
        return Construct(0, "Some", (self.expr("int", scope, depth),))

    def make_record(self, scope: dict[str, str], depth: int) -> Expr:
        if self.draw(st.booleans()):
            edit = CoreEdit(0, (self.pick("a", "b"),), "set", self.expr("int", scope, depth))
            return WithEdits(0, self.expr("record", scope, depth), False, (edit,))
        return MakeRecord(0, tuple((label, self.expr("int", scope, depth)) for label in "ab"), None)

    def make_field(self, kind: str, scope: dict[str, str], depth: int) -> Expr:
        return GetField(0, self.expr("record", scope, depth), self.pick("a", "b"))

    def make_if(self, kind: str, scope: dict[str, str], depth: int) -> Expr:
        return IfElse(
            0, self.expr("bool", scope, depth), self.expr(kind, scope, depth), self.expr(kind, scope, depth)
        )

    def make_let(self, kind: str, scope: dict[str, str], depth: int) -> Expr:
        bound = self.pick("int", "bool", "list", "option", "record")
        value = self.expr(bound, scope, depth)
        if bound == "record" and self.draw(st.booleans()):
            one, two = next(self.names), next(self.names)
            pattern: core.CorePattern = core.RecordPattern((("a", BindPattern(one)), ("b", BindPattern(two))))
            return LetIn(0, pattern, value, self.expr(kind, {**scope, one: "int", two: "int"}, depth))
        name = next(self.names)
        return LetIn(0, BindPattern(name), value, self.expr(kind, {**scope, name: bound}, depth))

    def make_assert(self, kind: str, scope: dict[str, str], depth: int) -> Expr:
        return AssertThen(0, self.expr("bool", scope, depth), Literal_(0, "no"), self.expr(kind, scope, depth))

    def make_apply(self, kind: str, scope: dict[str, str], depth: int) -> Expr:
        name = next(self.names)
        body = self.expr(kind, {**scope, name: "int"}, depth)
        fn = Function(0, (CoreParam(name, name, "required", None),), body)
        return Apply(0, fn, (self.expr("int", scope, depth),), ())

    def make_match(self, kind: str, scope: dict[str, str], depth: int) -> Expr:
        if self.draw(st.booleans()):
            return self.match_option(kind, scope, depth)
        first, rest, alone = next(self.names), next(self.names), next(self.names)
        two = ListPattern((BindPattern(first), OrPattern((EqualPattern(0), EqualPattern(1)))), BindPattern(rest))
        arms = (
            CoreArm(0, two, None, self.expr(kind, {**scope, first: "int", rest: "list"}, depth)),
            CoreArm(
                0, ListPattern((BindPattern(alone),), None), None, self.expr(kind, {**scope, alone: "int"}, depth)
            ),
            CoreArm(0, AnyPattern(), None, self.expr(kind, scope, depth)),
        )
        return MatchOn(0, self.expr("list", scope, depth), arms)

    def match_option(self, kind: str, scope: dict[str, str], depth: int) -> Expr:
        guarded, bound = next(self.names), next(self.names)
        inner = {**scope, guarded: "int"}
        arms = (
            CoreArm(
                0,
                ConPattern("Some", (BindPattern(guarded),)),
                self.expr("bool", inner, depth),
                self.expr(kind, inner, depth),
            ),
            CoreArm(0, ConPattern("Some", (EqualPattern(2),)), None, self.expr(kind, scope, depth)),
            CoreArm(
                0, ConPattern("Some", (BindPattern(bound),)), None, self.expr(kind, {**scope, bound: "int"}, depth)
            ),
            CoreArm(0, ConPattern("None", ()), None, self.expr(kind, scope, depth)),
        )
        return MatchOn(0, self.expr("option", scope, depth), arms)


@st.composite
def expressions(draw: st.DrawFn) -> Expr:
    kind = draw(st.sampled_from(["int", "bool", "list", "option", "record"]))
    return Grow(draw).expr(kind, {}, draw(st.integers(1, 4)))


def outcome(work: Any) -> Any:
    try:
        value = work()
    except (Ended, ZeroDivisionError) as error:
        return type(error).__name__
    except Exception as error:
        mistake = getattr(error, "mistake", None)
        if type(mistake).__name__ == "AssertionFailed":
            return "Ended"
        raise
    return tuple(value.items()) if isinstance(value, Record) else value


def compiled(e: Expr) -> Any:
    linker = Linker({"m": CoreModule("m", "m.kiln", "", (), (CoreLet("x", 0, e),))}, {"m": "/"})
    return linker.get(linker.let("m", "x").id)


@settings(max_examples=150, deadline=None)
@given(expressions())
def test_compiled_equals_defined(e: Expr) -> None:
    left = run_deep(lambda: outcome(lambda: compiled(e)))
    right = run_deep(lambda: outcome(lambda: meaning(e, {})))
    assert type(left) is type(right)
    assert equal(left, right)


@settings(max_examples=60, deadline=None)
@given(expressions(), st.integers(2, 4))
def test_where_code_is_moved_into_functions(e: Expr, depth: int) -> None:
    """The limits that move code outwards, made so small that every expression meets them."""
    import kiln.interpreter.evaluate.compile as compiler
    import kiln.interpreter.evaluate.comprehend as comprehend

    for module in (compiler, comprehend):
        module.DEEP, module.BLOCKS = depth, 1  # type: ignore[attr-defined]
    try:
        left = run_deep(lambda: outcome(lambda: compiled(e)))
    finally:
        for module in (compiler, comprehend):
            module.DEEP, module.BLOCKS = DEEP, BLOCKS  # type: ignore[attr-defined]
    assert equal(left, run_deep(lambda: outcome(lambda: meaning(e, {}))))

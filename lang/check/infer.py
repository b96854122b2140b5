"""The two modes, and the expressions that belong to neither calls nor literals.

`infer` finds the type of an expression; `check` makes it fit a wanted type, and goes into records, lists, functions,
`if`, `match`, `let`, calls and strings, so that a literal inside is checked against its part of the wanted type. For
everything else checking is inferring, and then subsumption. Each node is visited once: nothing is tried twice.

The functions for each kind of node stand in two tables, which `modes.py` fills.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from kiln.lang import core
from kiln.lang.check import mistakes, mistakes_values
from kiln.lang.check.body import Body, Env, mismatch
from kiln.lang.check.clash import Clash
from kiln.lang.check.failure import Failure, InAnnotation, InPart, failure
from kiln.lang.check.lookup import find_global, find_name, module_behind, type_of_label
from kiln.lang.check.patterns import bind_pattern
from kiln.lang.check.queue import Queue, rank
from kiln.lang.check.subsume import joined
from kiln.lang.check.types import BOOL, INT, PATH, STR, TEXT, Con, TVar, Type, is_named, prune
from kiln.lang.check.unify import entail, is_variable
from kiln.lang.syntax import ast

Infer: TypeAlias = Callable[[Body, Env, Any], Type]
Check: TypeAlias = Callable[[Body, Env, Any, Type, "Queue | None"], None]

INFER: dict[type, Infer] = {}
CHECK: dict[type, Check] = {}


def infer(body: Body, env: Env, e: ast.Expr) -> Type:
    return INFER[type(e)](body, env, e)


def check(body: Body, env: Env, e: ast.Expr, wanted: Type, queue: Queue | None = None) -> None:
    """`queue` is that of the call whose argument `e` is: parts of literals go there."""
    into = CHECK.get(type(e))
    if into is None:
        body.relate(e, INFER[type(e)](body, env, e), wanted)
    else:
        into(body, env, e, prune(wanted), queue)


def check_part(body: Body, env: Env, e: ast.Expr, wanted: Type, what: str) -> None:
    """Check a part that is `what` (the subject of a sentence) of the construct around it."""
    try:
        check(body, env, e, wanted)
    except Failure as f:
        raise f.within(InPart(what)) from None


def join(body: Body, node: ast.Expr, a: Type, b: Type, what: str) -> Type:
    """The type of both; `node` is the one whose type is `b`, and it is `what`."""
    if a is b:
        return a
    try:
        return joined(body.world, a, b)
    except Clash as clash:
        raise mismatch(node, b, a, clash, what) from None


# ---- literals and names -----------------------------------------------------------------------


def infer_int(body: Body, env: Env, e: ast.Int) -> Type:
    return INT


def infer_bool(body: Body, env: Env, e: ast.Bool) -> Type:
    return BOOL


def infer_path(body: Body, env: Env, e: ast.PathLit) -> Type:
    return PATH


def infer_var(body: Body, env: Env, e: ast.Var) -> Type:
    return find_name(body, env, e, e.name)


def infer_con(body: Body, env: Env, e: ast.Con) -> Type:
    return find_global(body, e, None, e.name)


def infer_get(body: Body, env: Env, e: ast.Get) -> Type:
    module = module_behind(body, env, e.base)
    if module is not None:
        return find_global(body, e, module, e.label.text)
    return type_of_label(body, e, infer(body, env, e.base), e.label)


def infer_get_con(body: Body, env: Env, e: ast.GetCon) -> Type:
    module = module_behind(body, env, e.base)
    if module is None:
        raise failure(mistakes.UnknownName(e.name.text, tuple(body.scope.modules), "module"), e)
    return find_global(body, e, module, e.name.text)


# ---- bindings and branches --------------------------------------------------------------------


def bind_let(body: Body, env: Env, e: ast.Let) -> None:
    """Check the value of a `let` and bind its pattern in `env`; local lets don't generalise."""
    if e.type is None:
        t = infer(body, env, e.value)
    else:
        t = body.annotation(e.type)
        try:
            check(body, env, e.value, t)
        except Failure as f:
            raise f.within(InAnnotation()) from None
    bind_pattern(body, env, e.pattern, t, "let", e.value)


def enter_lets(body: Body, env: Env, e: ast.Let | ast.Assert) -> tuple[Env, ast.Expr]:
    """Go through a chain of `let` and `assert`, of any length, to what stands behind it."""
    env = dict(env)
    inner: ast.Expr = e
    while True:
        match inner:
            case ast.Let():
                bind_let(body, env, inner)
                inner = inner.body
            case ast.Assert():
                check_part(body, env, inner.condition, BOOL, "the condition")
                check_part(body, env, inner.message, STR, "the message")
                inner = inner.body
            case _:
                return env, inner


def infer_let(body: Body, env: Env, e: ast.Let | ast.Assert) -> Type:
    return infer(body, *enter_lets(body, env, e))


def check_let(body: Body, env: Env, e: ast.Let | ast.Assert, wanted: Type, queue: Queue | None) -> None:
    inner, last = enter_lets(body, env, e)
    check(body, inner, last, wanted, queue)


def infer_if(body: Body, env: Env, e: ast.If) -> Type:
    check_part(body, env, e.condition, BOOL, "the condition")
    t = infer(body, env, e.then)
    rest = e.otherwise
    while type(rest) is ast.If:
        check_part(body, env, rest.condition, BOOL, "the condition")
        t = join(body, rest.then, t, infer(body, env, rest.then), "this branch")
        rest = rest.otherwise
    return join(body, rest, t, infer(body, env, rest), "this branch")


def check_if(body: Body, env: Env, e: ast.If, wanted: Type, queue: Queue | None) -> None:
    rest: ast.Expr = e
    while type(rest) is ast.If:
        check_part(body, env, rest.condition, BOOL, "the condition")
        check(body, env, rest.then, wanted)
        rest = rest.otherwise
    check(body, env, rest, wanted)


def infer_annotated(body: Body, env: Env, e: ast.Annotated) -> Type:
    t = body.annotation(e.type)
    try:
        check(body, env, e.expr, t)
    except Failure as f:
        raise f.within(InAnnotation()) from None
    return t


# ---- operators --------------------------------------------------------------------------------

_ARITHMETIC = frozenset("+-*/%")
_ORDER = frozenset({"<", "<=", ">", ">="})
_JOINED = frozenset({"Str", "Text", "List", "Map"})


def infer_binary(body: Body, env: Env, e: ast.Binary) -> Type:
    """A chain that leans to the left is walked in a loop: an addition may have thousands of terms."""
    if e.op == "++":
        return _infer_concat(body, env, e)
    if e.op in _ORDER:
        return _infer_order(body, env, e)
    if e.op in ("==", "!="):
        return _infer_equality(body, env, e)
    t: Type = INT if e.op in _ARITHMETIC else BOOL
    left: ast.Expr = e
    while type(left) is ast.Binary and (left.op in _ARITHMETIC) == (t is INT) and _plain(left.op):
        _operand(body, env, left, left.right, t)
        left = left.left
    _operand(body, env, e, left, t)
    return t


def _plain(op: str) -> bool:
    return op in _ARITHMETIC or op in ("&&", "||")


def _operand(body: Body, env: Env, e: ast.Binary, side: ast.Expr, wanted: Type) -> None:
    found = prune(infer(body, env, side))
    if wanted is INT and not is_named(found, "Int") and type(found) is not TVar:
        raise failure(mistakes_values.OperatorOn(e.op, found), side)
    body.relate(side, found, wanted, f"what `{e.op}` stands beside")


def _infer_order(body: Body, env: Env, e: ast.Binary) -> Type:
    t = prune(infer(body, env, e.left))
    other = prune(infer(body, env, e.right))
    if is_variable(t) and not is_variable(other):
        t, other = other, t
    if is_variable(t):
        body.equal(e.left, t, INT)
        t = INT
    if not is_named(t, "Int", "Str"):
        raise failure(mistakes_values.OperatorOn(e.op, t), e)
    body.equal(e.right, other, t, "the right side")
    return BOOL


def _infer_equality(body: Body, env: Env, e: ast.Binary) -> Type:
    """A literal is checked against the type of the other side."""
    first, second = (e.right, e.left) if rank(e.left) == 1 and rank(e.right) != 1 else (e.left, e.right)
    t = infer(body, env, first)
    if isinstance(second, ast.Record | ast.ListLit | ast.MapLit):
        check_part(body, env, second, t, "the other side")
    else:
        t = join(body, second, t, infer(body, env, second), "the other side")
    try:
        entail(body.world, t, "Data")
    except Clash as clash:
        raise mismatch(e, t, t, clash) from None
    return BOOL


def concat_chain(e: ast.Expr) -> list[ast.Expr]:
    """The operands of a chain of `++`, whichever way it leans."""
    found: list[ast.Expr] = []
    stack = [e]
    while stack:
        node = stack.pop()
        if type(node) is ast.Binary and node.op == "++":
            stack.append(node.right)
            stack.append(node.left)
        else:
            found.append(node)
    return found


def _infer_concat(body: Body, env: Env, e: ast.Binary) -> Type:
    t: Type = TVar()
    for part in concat_chain(e):
        t = join(body, part, t, _joinable(body, part, infer(body, env, part)), "this part")
    body.facts.types[id(e)] = t
    return t


def check_binary(body: Body, env: Env, e: ast.Binary, wanted: Type, queue: Queue | None) -> None:
    if e.op == "++" and type(wanted) is Con and wanted.name in _JOINED:
        for part in concat_chain(e):
            check_part(body, env, part, wanted, "this part")
        body.facts.types[id(e)] = wanted
    else:
        body.relate(e, infer_binary(body, env, e), wanted)


def _joinable(body: Body, node: ast.Expr, t: Type) -> Type:
    t = prune(t)
    if not is_variable(t) and not (type(t) is Con and t.name in _JOINED):
        raise failure(mistakes_values.OperatorOn("++", t), node)
    return t


def infer_unary(body: Body, env: Env, e: ast.Unary) -> Type:
    t: Type = INT if e.op == "-" else BOOL
    check_part(body, env, e.operand, t, f"what `{e.op}` stands before")
    return t


# ---- strings ----------------------------------------------------------------------------------

_HOLES: dict[str, core.HoleKind] = {"Str": "Str", "Int": "Int", "Text": "Text", "Out": "Out"}


def infer_str(body: Body, env: Env, e: ast.Str) -> Type:
    return _string(body, env, e, STR)


def check_str(body: Body, env: Env, e: ast.Str, wanted: Type, queue: Queue | None) -> None:
    body.relate(e, _string(body, env, e, TEXT if is_named(wanted, "Text") else STR), wanted)


def _string(body: Body, env: Env, e: ast.Str, unknown: Type) -> Type:
    """A hole of unknown type becomes `unknown`: a Text where one is wanted."""
    if e.tag is not None:
        return _shell(body, env, e)
    result = STR
    for part in e.parts:
        if type(part) is str:
            continue
        assert isinstance(part, ast.Hole)
        t = prune(infer(body, env, part.expr))
        if is_variable(t):
            body.equal(part.expr, t, unknown)
            t = unknown
        kind = _HOLES.get(t.name) if type(t) is Con else None
        if kind is None:
            raise failure(mistakes_values.CantInterpolate(t, False), part.expr)
        if kind in ("Text", "Out"):
            result = TEXT
        body.facts.holes[id(part)] = kind
    body.facts.types[id(e)] = result
    return result


def _shell(body: Body, env: Env, e: ast.Str) -> Type:
    if e.tag != "sh":
        raise failure(mistakes_values.UnknownTag(e.tag or ""), e)
    for part in e.parts:
        if isinstance(part, ast.Hole):
            body.facts.holes[id(part)] = _shell_hole(body, env, part.expr)
    return TEXT


def is_raw(body: Body, env: Env, e: ast.Expr) -> bool:
    """`raw(e)`, where no other `raw` is in scope."""
    return (
        type(e) is ast.Call
        and type(e.fn) is ast.Var
        and e.fn.name == "raw"
        and "raw" not in env
        and body.scope.value("raw") is None
        and len(e.args) == 1
        and e.args[0].label is None
    )


def _shell_hole(body: Body, env: Env, e: ast.Expr) -> core.HoleKind:
    if is_raw(body, env, e):
        assert isinstance(e, ast.Call)
        t = prune(infer(body, env, e.args[0].value))
        if not is_named(t, *_HOLES):
            body.relate(e.args[0].value, t, TEXT)
        return "RawInt" if is_named(t, "Int") else "Raw"
    t = prune(infer(body, env, e))
    if is_variable(t):
        body.equal(e, t, TEXT)
        t = TEXT
    if type(t) is Con and t.name == "List":
        item = prune(t.args[0])  # type: ignore[arg-type]
        if is_variable(item):
            body.equal(e, item, TEXT)
            item = TEXT
        if is_named(item, "Str"):
            return "ListStr"
        if is_named(item, "Text", "Out"):
            return "ListText"
    kind = _HOLES.get(t.name) if type(t) is Con else None
    if kind is None:
        raise failure(mistakes_values.CantInterpolate(t, True), e)
    return kind

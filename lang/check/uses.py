"""Which of the module's items a declaration's text names, and how deep the text is nested.

`mentioned` looks at names alone, so it is quick and may see too much: a local may have the name of an item.
Where that makes items seem to need each other, `free_names` looks again, with scopes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from kiln.lang.syntax import ast

_NAMED = frozenset({ast.Var, ast.Con, ast.TypeName})


def mentioned(node: object, known: Collection[str]) -> list[str]:
    """The names in `known` that occur in the text."""
    found: dict[str, None] = {}
    stack: list[object] = [node]
    while stack:
        n = stack.pop()
        kind = type(n)
        if kind in _NAMED:
            name: str = n.name  # type: ignore[attr-defined]
            if name in known:
                found[name] = None
        elif kind is ast.Field and n.value is None and n.label.text in known:  # type: ignore[attr-defined]
            found[n.label.text] = None  # type: ignore[attr-defined]
        put_parts(stack, kind, n)
    return list(found)


def put_parts(stack: list[object], kind: type, n: object) -> None:
    """Put what a node or a row of them holds on a stack, in its order; and plain values, which hold nothing."""
    if kind is tuple:
        stack += n  # type: ignore[arg-type]
        return
    for place in ast.INNER.get(kind, ()):
        part = n[place]  # type: ignore[index]
        if part:
            stack.append(part)


def free_names(node: object, known: Collection[str]) -> list[str]:
    """The names in `known` that occur in the text and are not bound in it."""
    found: dict[str, None] = {}
    stack: list[tuple[object, frozenset[str]]] = [(node, frozenset())]
    while stack:
        n, bound = stack.pop()
        match n:
            case ast.Var(name=name) | ast.Con(name=name):
                if name in known and name not in bound:
                    found[name] = None
            case ast.Field(value=None, label=label):
                if label.text in known and label.text not in bound:
                    found[label.text] = None
            case tuple():
                stack.extend(_parts(n, bound))
    return list(found)


def _parts(n: tuple[object, ...], bound: frozenset[str]) -> Iterator[tuple[object, frozenset[str]]]:
    """The parts of a node, each with the names that are bound in it."""
    match n:
        case ast.Lambda() | ast.FnDecl() | ast.SetDecl():
            inner = bound | {p.name.text for p in n.params}
            inner = inner | {"self"} if isinstance(n, ast.SetDecl) else inner
            yield from ((p.default, bound) for p in n.params)
            rest = (*n.members, n.parent) if isinstance(n, ast.SetDecl) else (n.body,)
            yield from ((x, inner) for x in rest)
        case ast.Let():
            yield n.value, bound
            yield n.body, bound | binders(n.pattern)
        case ast.Arm():
            inner = bound | binders(n.pattern)
            yield n.guard, inner
            yield n.body, inner
        case ast.ListComp() | ast.MapComp():
            inner = bound
            for clause in n.clauses:
                if isinstance(clause, ast.For):
                    yield clause.source, inner
                    inner = inner | binders(clause.pattern)
                else:
                    yield clause.condition, inner
            yield from ((x, inner) for x in ((n.item,) if isinstance(n, ast.ListComp) else (n.key, n.value)))
        case ast.Overlay():
            yield n.base, bound
            inner = bound | {n.self_name.text, n.super_name.text}
            yield from ((edit.value, inner) for edit in n.edits)
        case _:
            yield from ((x, bound) for x in n if isinstance(x, tuple))


def binders(p: ast.Pattern) -> frozenset[str]:
    found: set[str] = set()
    stack: list[object] = [p]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.PVar):
            found.add(node.name)
        elif isinstance(node, ast.PRest):
            if node.name is not None:
                found.add(node.name)
        elif isinstance(node, tuple):
            stack.extend([x for x in node if isinstance(x, tuple)])
    return frozenset(found)


# ---- depth ------------------------------------------------------------------------------------

MAX_DEPTH = 300
"""Levels of nesting in one declaration. The checker goes down a level with a handful of Python frames."""


def too_deep(node: object, length: int) -> object | None:
    """A node that lies deeper than `MAX_DEPTH`; `length` is that of the text, which a level needs a character of.

    What the checker walks in a loop counts as one level: `let` and `assert` with what follows, operators that
    lean to one side, `else if`.
    """
    if length <= MAX_DEPTH:
        return None
    level: list[object] = [node]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        stack = level
        while stack:
            n = stack.pop()
            same, deeper = _levels(n)
            stack.extend(same)
            below.extend(deeper)
        if not below:
            return None
        level = below
    return next((n for n in level if hasattr(n, "start")), node)


def _levels(n: object) -> tuple[list[object], list[object]]:
    """The parts that are on the same level as `n`, and those that are a level deeper."""
    if not isinstance(n, tuple):
        return [], []
    match n:
        case ast.Let() | ast.Assert():
            same: list[object] = [n.body]
        case ast.Binary():
            same = [n.left, n.right] if n.op == "++" else [n.left]
            same = [x for x in same if isinstance(x, ast.Binary)]
        case ast.If():
            same = [n.otherwise] if isinstance(n.otherwise, ast.If) else []
        case _ if not hasattr(n, "start"):
            return [x for x in n if isinstance(x, tuple)], []
        case _:
            same = []
    inside = {id(x) for x in same}
    return same, [x for x in n if isinstance(x, tuple) and id(x) not in inside]

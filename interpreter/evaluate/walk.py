"""Walking typed expressions without recursion: which locals one needs from outside, and whether it makes closures."""

from __future__ import annotations

from typing import Any

from kiln.interpreter.evaluate.patterns import binders
from kiln.lang.core import (
    CoreArm,
    CoreParam,
    ForClause,
    Function,
    LetIn,
    Local,
    OverlayOf,
)


def free_locals(syntax: object) -> set[str]:
    """The locals that an expression, or a tuple of parts of one, uses and does not bind.

    Each binder's name occurs once in a declaration, so that where it is bound does not matter.
    """
    used: set[str] = set()
    bound: set[str] = set()
    pending: list[Any] = [syntax]
    while pending:
        node = pending.pop()
        kind = type(node)
        if kind is Local:
            used.add(node.name)
            continue
        if kind is LetIn or kind is CoreArm or kind is ForClause:
            binders(node.pattern, bound.add)
        elif kind is CoreParam:
            bound.add(node.name)
        elif kind is OverlayOf:
            bound.update((node.self_name, node.super_name))
        if isinstance(node, tuple):
            pending.extend([part for part in node if isinstance(part, tuple)])
    return used - bound


def makes_closures(*roots: object) -> bool:
    """Whether a function or an overlay, which may capture locals, is made anywhere inside."""
    pending: list[Any] = [root for root in roots if isinstance(root, tuple)]
    while pending:
        node = pending.pop()
        if type(node) is Function or type(node) is OverlayOf:
            return True
        pending.extend([part for part in node if isinstance(part, tuple)])
    return False

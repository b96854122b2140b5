"""Whether two trees are the same but for where their nodes stand."""

from __future__ import annotations

from functools import cache
from typing import Any

from kiln.lang.syntax import ast

_PLACES = frozenset(("start", "end", "at", "source_start", "source_end"))


def same_module(one: ast.Module, other: ast.Module) -> bool:
    """Whether two files declare the same, in the same order and with the same documentation."""
    declared = [chunk.decl for chunk in one.chunks], [chunk.decl for chunk in other.chunks]
    return one.doc == other.doc and len(declared[0]) == len(declared[1]) and _same(*declared)


def _same(one: Any, other: Any) -> bool:
    stack = [(one, other)]
    while stack:
        left, right = stack.pop()
        if type(left) is not type(right):
            return False
        if isinstance(left, (tuple, list)):
            if len(left) != len(right):
                return False
            stack += [(left[place], right[place]) for place in _parts(type(left), len(left))]
        elif left != right:
            return False
    return True


@cache
def _parts(kind: type, size: int) -> tuple[int, ...]:
    """The indices of a node that say what it is."""
    fields = getattr(kind, "_fields", None)
    if fields is None:
        return tuple(range(size))
    return tuple(index for index, field in enumerate(fields) if field not in _PLACES)

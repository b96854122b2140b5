"""How large a type is, as a tree.

An expression's depth is limited by its text, but each of many declarations can wrap the type of the one before
it, and a type can hold another twice, so that a short text has a type that no one could print. Such a type ends
the declaration (K0390), and everything else may recurse over types. Measured once for each part that is shared.
"""

from __future__ import annotations

from collections.abc import Iterable

from kiln.lang.check.types import Con, Fn, Rec, Row, RowMap, TVar, Type

MAX_TYPE_DEPTH = 300
MAX_TYPE_SIZE = 100_000

Part = Con | Rec | Fn | Row | RowMap


class Measure:
    """Remembers the types it has measured, which must not be bound any further: they are finished."""

    __slots__ = ("_kept", "_known")

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}
        self._kept: list[Part] = []
        """So that no identity in `_known` is used again."""

    def is_too_large(self, t: Type) -> bool:
        if type(t) is Con and not t.args:
            return False
        depth, size = self._measured(t)
        return depth > MAX_TYPE_DEPTH or size > MAX_TYPE_SIZE

    def _measured(self, t: Type) -> tuple[int, int]:
        stack: list[object] = [t]
        while stack:
            node = stack[-1]
            if id(node) in self._known or not isinstance(node, Con | Rec | Fn | Row | RowMap):
                stack.pop()
                continue
            parts = list(_parts(node))
            waiting = [p for p in parts if id(p) not in self._known]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            depths = [self._known[id(p)] for p in parts]
            self._known[id(node)] = (
                1 + max([d for d, _ in depths], default=0),
                1 + sum([s for _, s in depths]),
            )
            self._kept.append(node)
        return self._known.get(id(t), (1, 1))


def _parts(node: Part) -> Iterable[Part]:
    match node:
        case Con():
            inner: list[object] = list(node.args)
        case Rec() | RowMap():
            inner = [node.row]
        case Fn():
            inner = [*[p.type for p in node.params], node.result]
        case Row():
            inner = [*node.fields.values(), node.tail]
    for x in inner:
        while isinstance(x, TVar) and x.link is not None:
            x = x.link
        if isinstance(x, Con | Rec | Fn | Row | RowMap):
            yield x

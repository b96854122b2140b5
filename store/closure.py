"""Closures: an object, what it refers to, and so on. No recursion, however deep a graph is."""

from __future__ import annotations

from collections.abc import Callable

from kiln.store.digest import ObjectId
from kiln.store.info import ObjectInfo


def order_into(
    ordered: dict[ObjectId, ObjectInfo],
    start: ObjectId,
    find: Callable[[ObjectId], ObjectInfo | None],
) -> None:
    """Add `start` and all it refers to, references first. Those that `find` does not have are left out."""
    stack: list[tuple[ObjectId, ObjectInfo | None]] = [(start, None)]
    while stack:
        object_id, info = stack.pop()
        if object_id in ordered:
            continue
        if info is not None:
            ordered[object_id] = info
            continue
        info = find(object_id)
        if info is not None:
            stack.append((object_id, info))
            stack.extend((item, None) for item in reversed(info.references) if item not in ordered)

"""What holds what alive, and what it costs: for each holder, the size of its closure and what it alone keeps.

An object's cost is the bytes of its files. What is shared by several holders is charged to none of them: it would
still be there if one let go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kiln.store.acyclic import no_cycles
from kiln.store.alive import Holder, Reach, Snapshot, find_all, link_holders
from kiln.store.digest import ObjectId
from kiln.store.index import Environment
from kiln.store.info import ObjectInfo
from kiln.store.inuse import paths_in_use
from kiln.store.layout import Layout
from kiln.store.presence import live_pins


class Share(NamedTuple):
    """One holder: bytes of all that it reaches, and of what would go if it let go."""

    holder: Holder
    closure: int
    alone: int


class Usage(NamedTuple):
    """All of a store, in bytes and objects. `shares`: the costliest first."""

    infos: dict[ObjectId, ObjectInfo]
    shares: tuple[Share, ...]
    objects: int
    size: int
    dead_objects: int
    dead_size: int

    def why(self, target: ObjectId) -> list[tuple[Holder, tuple[ObjectInfo, ...]]]:
        """Each holder that reaches an object, with a shortest chain of references to it."""
        found = []
        for share in self.shares:
            chain = _chain(self.infos, share.holder.object, target)
            if chain:
                found.append((share.holder, chain))
        return found

    def closure_size(self, target: ObjectId) -> int:
        return _size(self.infos, _reached(self.infos, target))


def usage(layout: Layout, index: Environment) -> Usage:
    """Look at everything once. Reads only; what others do meanwhile may be seen or not."""
    with no_cycles():
        snapshot = index.view(Snapshot.of)
    holders = link_holders(layout, index)
    holders += [Holder("a running kiln", ObjectId(item)) for item in live_pins(layout)]
    holders += [Holder("a running program", item) for item in find_all(index, paths_in_use(layout)).values()]
    holders = [item for item in dict.fromkeys(holders) if item.object in snapshot.infos]
    reached = {holder: _reached(snapshot.infos, holder.object) for holder in holders}
    count: dict[ObjectId, int] = {}
    for members in reached.values():
        for item in members:
            count[item] = count.get(item, 0) + 1
    shares = [
        Share(holder, _size(snapshot.infos, items), _size(snapshot.infos, [it for it in items if count[it] == 1]))
        for holder, items in reached.items()
    ]
    total = _size(snapshot.infos, snapshot.infos)
    return Usage(
        infos=snapshot.infos,
        shares=tuple(sorted(shares, key=lambda share: (-share.closure, share.holder.name))),
        objects=len(snapshot.infos),
        size=total,
        dead_objects=len(snapshot.infos) - len(count),
        dead_size=total - _size(snapshot.infos, count),
    )


def _reached(infos: dict[ObjectId, ObjectInfo], start: ObjectId) -> set[ObjectId]:
    reach = Reach(Snapshot(infos, {}, 0))
    reach.add([start])
    return reach.alive


def _size(infos: dict[ObjectId, ObjectInfo], items: Iterable[ObjectId]) -> int:
    return sum(infos[item].size for item in items)


def _chain(infos: dict[ObjectId, ObjectInfo], start: ObjectId, target: ObjectId) -> tuple[ObjectInfo, ...]:
    """From `start` to `target` by references, both included; empty when there is no way."""
    came: dict[ObjectId, ObjectId | None] = {start: None}
    queue = [start]
    for item in queue:
        if item == target:
            break
        for reference in infos[item].references if item in infos else ():
            if reference not in came:
                came[reference] = item
                queue.append(reference)
    if target not in came:
        return ()
    way: list[ObjectInfo] = []
    at: ObjectId | None = target
    while at is not None:
        way.append(infos[at])
        at = came[at]
    return tuple(reversed(way))

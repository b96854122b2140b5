"""What is alive: all that can be reached from what somebody holds.

Holders are links (a result link, a named root), what a link showed before as far as it is asked for, pins of
running processes, and paths of the store that running programs have open. References are followed on a snapshot
of the index that is read once, as one pass over the rows is many times faster than a look-up for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kiln.store import tables
from kiln.store.digest import ObjectId
from kiln.store.index import Environment, Txn
from kiln.store.info import ObjectInfo, decode_row
from kiln.store.inuse import paths_in_use
from kiln.store.layout import Layout
from kiln.store.paths import StorePath
from kiln.store.presence import live_pins
from kiln.store.roots import linked_path


class Holder(NamedTuple):
    """Somebody who keeps an object: a link's path, or a few words."""

    name: str
    object: ObjectId


class Snapshot(NamedTuple):
    """Every object with its number in the log, at one moment; `last` is the highest number."""

    infos: dict[ObjectId, ObjectInfo]
    numbers: dict[ObjectId, int]
    last: int

    @classmethod
    def of(cls, txn: Txn) -> Snapshot:
        infos = {ObjectId(key): decode_row(key, row) for key, row in txn.items(tables.OBJECTS)}
        numbers = {ObjectId(value): int.from_bytes(key, "big") for key, value in txn.items(tables.LOG)}
        return cls(infos, numbers, max(numbers.values(), default=0))


class Reach:
    """What is known to be alive; it only grows."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._infos = snapshot.infos
        self.alive: set[ObjectId] = set()

    def add(self, starts: Iterable[ObjectId], txn: Txn | None = None) -> None:
        """Mark these and all they refer to; what is newer than the snapshot is read from `txn`."""
        stack = [item for item in starts if item not in self.alive]
        while stack:
            item = stack.pop()
            if item in self.alive:
                continue
            info = self._infos.get(item)
            if info is None and txn is not None:
                info = tables.get_object(txn, item)
            if info is not None:
                self.alive.add(item)
                stack.extend(ref for ref in info.references if ref not in self.alive)


def link_holders(layout: Layout, index: Environment, keep_last: int = 0) -> list[Holder]:
    """The links that still show an object of this store, and the last that each showed before."""

    def body(txn: Txn) -> list[tuple[str, list[ObjectId]]]:
        return [(root.link, tables.history_of(txn, root.link)[:keep_last]) for root in tables.all_roots(txn)]

    found: list[Holder] = []
    shown: list[tuple[str, StorePath]] = []
    for link, before in index.view(body):
        path = linked_path(layout, link)
        if path is not None:
            shown.append((link, path))
            found.extend(Holder(f"{link} (before)", item) for item in before)
    objects = find_all(index, [path for _, path in shown])
    found.extend(Holder(link, objects[path]) for link, path in shown if path in objects)
    return found


def find_all(index: Environment, paths: Iterable[StorePath]) -> dict[StorePath, ObjectId]:
    """The registered objects that these paths show."""
    wanted = list(paths)

    def body(txn: Txn) -> dict[StorePath, ObjectId]:
        found = {path: tables.find_by_path(txn, path) for path in wanted}
        return {path: item for path, item in found.items() if item is not None}

    return index.view(body)


def holders(layout: Layout, index: Environment, keep_last: int = 0) -> list[Holder]:
    """Everybody who keeps something now. In the sole passage nobody can be missed."""
    found = link_holders(layout, index, keep_last)
    found.extend(Holder("a running kiln", ObjectId(item)) for item in live_pins(layout))
    in_use = find_all(index, paths_in_use(layout))
    found.extend(Holder("a running program", item) for item in in_use.values())
    return found

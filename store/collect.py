"""Collecting what nobody holds, while others build.

    1  a snapshot of the index, and what is held (see `alive`): everything else is a candidate
    2  candidates in an order in which an object comes before those it refers to, what was wanted longest ago first
    3  in batches, each in the sole passage: learn again what is held; in one transaction mark that, and all that
       was registered since the snapshot (the log names it), and take those of the batch that are still dead out of
       the index, noting their names in the table `trash`; rename them and their small files into .trash
    4  when the renames are on disk, the notes go
    5  what lies in .trash is unlinked later, by a process of its own

So an object never stands in the index without those it refers to, and never in the index without being there. A
crash after the transaction of step 3 leaves notes, which recovery follows. Records stay: they are valid, and
speak of objects that are not here.
"""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from kiln.store import tables
from kiln.store.acyclic import no_cycles
from kiln.store.alive import Reach, Snapshot, holders
from kiln.store.digest import ObjectId
from kiln.store.disk import disk_errors, open_directory
from kiln.store.disposable import USED, Memo
from kiln.store.errors import StoreLocked
from kiln.store.failpoint import failpoint
from kiln.store.freeing import Freeing
from kiln.store.index import Environment, Txn
from kiln.store.info import ObjectInfo
from kiln.store.lastuse import DAY, seconds_of
from kiln.store.layout import Layout
from kiln.store.locks import FileLock
from kiln.store.passage import sole_passage
from kiln.store.pool import Pool
from kiln.store.trash import Bin

BATCH = 1000
"""Objects taken out in one passage, during which commits wait: some tens of milliseconds."""


class Policy(NamedTuple):
    """What is to be collected of what nobody holds.

    `max_freed`: stop when that many bytes are free. `older_than`: only what was wanted that many days ago.
    `keep_last`: what each link showed before what it shows now is kept too, that many of them.
    """

    max_freed: int | None = None
    older_than: float | None = None
    keep_last: int = 0
    dry_run: bool = False


class Collected(NamedTuple):
    """What was taken out (or, in a dry run, would be), in order; `alive` is how many objects are held.

    `freed` is what the disk gets back once the trash is empty: see `freeing`.
    """

    objects: tuple[ObjectInfo, ...]
    freed: int
    alive: int


@contextmanager
def collector_lock(layout: Layout) -> Iterator[None]:
    """One collector or repair at a time; the others are told who it is. Raises StoreLocked."""
    lock = FileLock(layout, f"{layout.locks}/collect")
    with disk_errors("locking the store"):
        if not lock.try_acquire():
            raise StoreLocked(
                "another process is collecting or repairing this store",
                found=f"process {lock.holder()}",
                help="wait until it is done",
            )
    try:
        yield
    finally:
        lock.release()


def collect(layout: Layout, index: Environment, memo: Memo, policy: Policy) -> Collected:
    """Take out what nobody holds. The caller holds `collector_lock`, and has a folder under .tmp, which lets
    recovery know if he dies. Raises StoreLocked, NoSpace, StoreError.
    """
    if not policy.dry_run and index.view(lambda txn: txn.first_at(tables.TRASH, b"")) is not None:
        settle_notes(layout, index)  # Of one that failed and lived on.
    with no_cycles():
        snapshot = index.view(Snapshot.of)
    reach = Reach(snapshot)
    reach.add(holder.object for holder in holders(layout, index, policy.keep_last))
    used = _last_wanted(layout, memo, snapshot, reach.alive, policy)
    if policy.older_than is not None:
        limit = time.time() - policy.older_than * DAY
        reach.add([item for item, at in used.items() if at > limit])
    alive = len(reach.alive)
    doomed = _in_order([info for item, info in snapshot.infos.items() if item not in reach.alive], used)
    freeing = Freeing(layout)
    if policy.max_freed is not None:
        doomed = _first_bytes(freeing, doomed, policy.max_freed)
    failpoint("collect:marked")
    freeing.look(doomed)
    if not policy.dry_run:
        doomed = _Sweep(layout, index, policy, snapshot, reach).run(doomed)
    count = freeing.count()
    for info in doomed:
        count.add(info)
    if not policy.dry_run:
        Pool(layout).give_up(count.entries)
    return Collected(tuple(doomed), count.freed, alive)


def _last_wanted(
    layout: Layout, memo: Memo, snapshot: Snapshot, alive: set[ObjectId], policy: Policy
) -> dict[ObjectId, float]:
    """When each dead object was last wanted, in seconds since 1970; nothing when no rule asks for it."""
    if policy.older_than is None and policy.max_freed is None:
        return {}
    dead = [info for item, info in snapshot.infos.items() if item not in alive]
    noted = memo.get_many(USED, [info.id for info in dead])
    found: dict[ObjectId, float] = {}
    folder = open_directory(layout.meta)
    try:
        for info in dead:
            try:
                registered = os.stat(info.path.base, dir_fd=folder, follow_symlinks=False).st_mtime
            except FileNotFoundError:
                registered = 0.0
            found[info.id] = max(registered, seconds_of(noted[info.id]))
    finally:
        os.close(folder)
    return found


def _in_order(dead: list[ObjectInfo], used: dict[ObjectId, float]) -> list[ObjectInfo]:
    """Referrers before what they refer to; among those that may go, the one wanted longest ago first."""
    by_id = {info.id: info for info in dead}
    waiting = dict.fromkeys(by_id, 0)
    for info in dead:
        for reference in info.references:
            if reference in waiting:
                waiting[reference] += 1
    ready = [(used.get(item, 0.0), item) for item, count in waiting.items() if not count]
    heapq.heapify(ready)
    ordered = []
    while ready:
        info = by_id[heapq.heappop(ready)[1]]
        ordered.append(info)
        for reference in info.references:
            if reference in waiting:
                waiting[reference] -= 1
                if not waiting[reference]:
                    heapq.heappush(ready, (used.get(reference, 0.0), reference))
    return ordered


def _first_bytes(freeing: Freeing, doomed: Iterable[ObjectInfo], wanted: int) -> list[ObjectInfo]:
    """As many as it takes to free that many bytes."""
    chosen: list[ObjectInfo] = []
    count = freeing.count()
    for info in doomed:
        if count.freed >= wanted:
            break
        freeing.look([info])
        count.add(info)
        chosen.append(info)
    return chosen


class _Sweep:
    """Step 3 and 4."""

    def __init__(self, layout: Layout, index: Environment, policy: Policy, snapshot: Snapshot, reach: Reach) -> None:
        self._layout = layout
        self._index = index
        self._policy = policy
        self._numbers = snapshot.numbers
        self._seen = snapshot.last
        self._reach = reach

    def run(self, doomed: list[ObjectInfo]) -> list[ObjectInfo]:
        """What went."""
        gone: list[ObjectInfo] = []
        for start in range(0, len(doomed), BATCH):
            gone += self._batch(doomed[start : start + BATCH])
        if gone:
            settle_notes(self._layout, self._index)
        return gone

    def _batch(self, batch: list[ObjectInfo]) -> list[ObjectInfo]:
        with sole_passage(self._layout):
            held = [holder.object for holder in holders(self._layout, self._index, self._policy.keep_last)]
            failpoint("collect:held")
            gone, self._seen = self._index.update(lambda txn: self._take_out(txn, held, batch))
            failpoint("collect:taken-out")
            move_out(self._layout, gone)
        return gone

    def _take_out(self, txn: Txn, held: list[ObjectId], batch: list[ObjectInfo]) -> tuple[list[ObjectInfo], int]:
        new = txn.after(tables.LOG, self._seen.to_bytes(8, "big"))
        self._reach.add([*held, *(ObjectId(value) for _, value in new)], txn)
        gone = [info for info in batch if info.id not in self._reach.alive]
        for info in gone:
            tables.remove_object(txn, info.id, info, self._numbers[info.id])
        failpoint("collect:in-transaction")
        return gone, int.from_bytes(new[-1][0], "big") if new else self._seen


def move_out(layout: Layout, gone: Iterable[ObjectInfo]) -> None:
    """Rename objects and their small files into .trash; what is gone already is no error."""
    with disk_errors("moving objects into the trash"), Bin(layout) as trash:
        for info in gone:
            trash.take(layout.store, info.path.base, is_tree=info.kind == "tree")
            trash.take(layout.meta, info.path.base, suffix=".meta")
            failpoint("collect:renamed")


def settle_notes(layout: Layout, index: Environment) -> None:
    """Follow the notes of a collection to the end, and strike them. Not while another process collects."""
    with sole_passage(layout):
        names, live = index.view(_notes)
        with disk_errors("moving objects into the trash"), Bin(layout) as trash:
            for name in names:
                if name not in live:
                    trash.take(layout.store, name, is_tree=None)
                    trash.take(layout.meta, name, suffix=".meta")
            for folder in (layout.store, layout.meta):
                fd = open_directory(folder)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)

        def body(txn: Txn) -> None:
            for name in names:
                txn.delete(tables.TRASH, name.encode())

        index.update(body)


def _notes(txn: Txn) -> tuple[list[str], set[str]]:
    """The names that were noted, and those of them that are registered again."""
    names = [key.decode() for key, _ in txn.items(tables.TRASH)]
    return names, {name for name in names if tables.find_base(txn, name) is not None}

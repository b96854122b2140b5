"""The part of a store that keeps it in order: roots, locks of builders, checks, recovery, collection."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from kiln.store import tables
from kiln.store.digest import BlobDigest, ObjectId, ResolvedDigest
from kiln.store.disk import disk_errors
from kiln.store.errors import NotInStore
from kiln.store.firstlook import look_at_index
from kiln.store.info import ObjectInfo
from kiln.store.layout import open_layout
from kiln.store.locks import STOPPED_LIMIT, build_lock
from kiln.store.lookup import Lookup
from kiln.store.openlock import ALONE_LIMIT

if TYPE_CHECKING:
    from kiln.store.collect import Collected, Policy
    from kiln.store.leftovers import Swept
    from kiln.store.reader import StoreReader
    from kiln.store.rebuild import Rebuilt
    from kiln.store.recovery import Recovered
    from kiln.store.repair import Elsewhere, Repaired
    from kiln.store.roots import Root
    from kiln.store.usage import Usage
    from kiln.store.verify import Problem


class Upkeep(Lookup):
    """What is done to a store rather than with it."""

    def add_root(self, link: str, target: ObjectId) -> Root:
        """Make a symlink at `link` to the object, and keep the object for as long as it is there.

        Only a symlink into a store is replaced. Raises NotInStore, Refused, BadName, StoreError.
        """
        from kiln.store.passage import shared_passage
        from kiln.store.roots import check_link, make_link, new_root, write_history_file, write_root_file

        root = new_root(link, target)
        check_link(self.layout, root.link)
        with shared_passage(self.layout):
            info = self.info(target)
            if info is None:
                raise NotInStore("no such object in this store", found=str(target))
            kept = self._index.view(lambda txn: tables.get_root(txn, root.link))
            if kept is None or kept.object != target:
                write_root_file(self.layout, root)
                if kept is not None:
                    before = self._index.view(lambda txn: tables.history_of(txn, root.link))
                    write_history_file(self.layout, root.link, [kept.object, *before][: tables.HISTORY_KEPT])
                self._index.update(lambda txn: tables.put_root(txn, root))
            make_link(root.link, self.physical(info.path))
        return root

    def roots(self) -> list[Root]:
        """The roots whose links still point to their objects."""
        from kiln.store.roots import linked_path

        found = []
        for root in self._index.view(tables.all_roots):
            path = linked_path(self.layout, root.link)
            info = None if path is None else self.by_path(path)
            if info is not None:
                found.append(root._replace(object=info.id))
        return found

    def lock_build(
        self,
        resolved: ResolvedDigest,
        *,
        limit: float | None = None,
        stopped: float | None = STOPPED_LIMIT,
        on_wait: Callable[[int | None], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> AbstractContextManager[bool]:
        """Only one builder of a resolved derivation at a time; see `locks.build_lock`."""
        name = resolved.hex()
        return build_lock(self.layout, name, limit=limit, stopped=stopped, on_wait=on_wait, cancelled=cancelled)

    def sha256_of(self, blob: BlobDigest) -> bytes | None:
        """The SHA-256 that was remembered for a file's bytes, if any."""
        from kiln.store.disposable import SHA256

        return self.memo().get(SHA256, blob)

    def remember_sha256(self, blob: BlobDigest, sha256: bytes) -> None:
        from kiln.store.disposable import SHA256

        self.memo().put(SHA256, blob, sha256)

    def tree_sha256(self, info: ObjectInfo, physical: str | None = None) -> tuple[bytes, bytes]:
        """(SHA-256, BLAKE3) of an object: of the bytes for a file, of the canonical archive for a tree.

        `physical` is where an object lies that is not committed yet. Raises Refused for a symlink.
        """
        from kiln.store.subject import subject_digests

        return subject_digests(self.memo(), info, physical or self.physical(info.path))

    def verify(self, object_id: ObjectId) -> list[Problem]:
        """Read an object whole and say what is wrong with it. Raises NotInStore."""
        from kiln.store.verify import verify_object

        info = self.info(object_id)
        if info is None:
            raise NotInStore("no such object in this store", found=str(object_id))
        return verify_object(self.layout, info)

    def check(self, *, contents: bool = False) -> list[Problem]:
        """Every invariant of the store: nothing half registered, nothing missing. With `contents`, read all.

        Raises Damaged (the index cannot be read), StoreError.
        """
        from kiln.store.check import check_store

        look_at_index(self.layout)
        with disk_errors("checking the store"):
            return check_store(self.layout, self._index, contents=contents)

    def recover(self) -> Recovered:
        """Finish or undo what dead processes left; `open` does this."""
        from kiln.store.recovery import recover

        return recover(self.layout, self._index)

    def collect(self, policy: Policy) -> Collected:
        """Take out what nobody holds (see `collect`); others go on building meanwhile.

        Raises StoreLocked, Damaged (the index), NoSpace, StoreError.
        """
        from kiln.store.collect import collect, collector_lock

        look_at_index(self.layout)
        self._make_room()
        self._writing()
        with disk_errors("collecting"), collector_lock(self.layout):
            return collect(self.layout, self._index, self.memo(), policy)

    def repair(self, others: Sequence[StoreReader] = (), elsewhere: Elsewhere | None = None) -> Repaired:
        """Make damaged objects whole from other stores or elsewhere, or take them out (see `repair`).

        Raises StoreLocked, NoSpace, StoreError.
        """
        from kiln.store.collect import collector_lock
        from kiln.store.repair import repair

        look_at_index(self.layout)
        self._make_room()
        session = self._writing()
        with disk_errors("repairing the store"), collector_lock(self.layout):
            return repair(self.layout, self._index, session, others, elsewhere)

    def _make_room(self) -> None:
        """Where the disk is full, free what can be freed without writing anything."""
        from kiln.store.reserve import make_room

        if make_room(self.layout):
            self.empty_trash()

    def leave_trash(self) -> None:
        """Let a process of its own unlink what lies in the trash: closing the store then doesn't."""
        from kiln.store.trash import empty_in_background

        self.trash_seconds = 0.0
        if os.listdir(self.layout.trash):
            empty_in_background(self.layout)

    def sweep_rest(self, *, evidence: bool = False, dry_run: bool = False) -> Swept:
        """Remove what else a store gathers, by the rules of `leftovers`. Raises StoreLocked, NoSpace, StoreError."""
        from kiln.store.collect import collector_lock
        from kiln.store.leftovers import sweep_leftovers

        session = self._writing()
        with disk_errors("removing leftovers"), collector_lock(self.layout):
            return sweep_leftovers(self.layout, self._index, session, evidence=evidence, dry_run=dry_run)

    def usage(self) -> Usage:
        """What holds what alive, and what it costs."""
        from kiln.store.usage import usage

        return usage(self.layout, self._index)

    def add_named_root(self, name: str, target: ObjectId) -> Root:
        """Keep an object under a name of the user's, until `remove_root`. Raises BadName, NotInStore, StoreError."""
        from kiln.store.roots import named_link

        return self.add_root(named_link(self.layout, name), target)

    def remove_root(self, link: str) -> bool:
        """Remove a root's link, if it shows an object of this store, and forget it; whether it was there."""
        from kiln.store.passage import shared_passage
        from kiln.store.roots import remove_link

        path = os.path.normpath(link)
        with shared_passage(self.layout):
            known = self._index.view(lambda txn: tables.get_root(txn, path))
            if known is None:
                return False
            remove_link(self.layout, path)
            self._index.update(lambda txn: tables.drop_root(txn, path))
        return True

    @classmethod
    def rebuild_index(cls, root: str, *, limit: float = ALONE_LIMIT) -> Rebuilt:
        """Make the index again from the objects' and records' small files; until that is done the old one stays.

        Raises StoreLocked (somebody has the store open for longer than `limit` seconds: he is named), NoSpace,
        StoreError.
        """
        from kiln.store.rebuild import rebuild_index

        return rebuild_index(open_layout(os.path.abspath(root), create=False), limit)

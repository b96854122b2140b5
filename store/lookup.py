"""The part of a store that answers which objects there are. Nothing here waits for a writer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kiln.store import tables
from kiln.store.acyclic import no_cycles
from kiln.store.closure import order_into
from kiln.store.digest import ObjectId
from kiln.store.errors import NotInStore
from kiln.store.index import Txn
from kiln.store.info import ObjectInfo, decode_row
from kiln.store.opened import Opened
from kiln.store.paths import StorePath

if TYPE_CHECKING:
    from kiln.store.meta import ObjectMeta


class Lookup(Opened):
    """Reading what is registered. All of a question is answered from one snapshot of the index."""

    def physical(self, path: StorePath) -> str:
        """Where an object lies on this machine."""
        return f"{self.store_dir}/{path.base}"

    def infos(self, object_ids: Iterable[ObjectId]) -> dict[ObjectId, ObjectInfo]:
        """What is registered under these ids, on one snapshot; ids that are not here are left out."""
        wanted = list(object_ids)

        def body(txn: Txn) -> dict[ObjectId, ObjectInfo]:
            found = {item: tables.get_object(txn, item) for item in wanted}
            return {item: info for item, info in found.items() if info is not None}

        return self._index.view(body)

    def info(self, object_id: ObjectId) -> ObjectInfo | None:
        """What is registered under an id."""
        return self._index.view(lambda txn: tables.get_object(txn, object_id))

    def by_path(self, path: StorePath) -> ObjectInfo | None:
        """The object that a store path shows, if the name is its name too."""

        def body(txn: Txn) -> ObjectInfo | None:
            object_id = tables.find_by_path(txn, path)
            info = None if object_id is None else tables.get_object(txn, object_id)
            return info if info is not None and info.name == path.name else None

        return self._index.view(body)

    def closure(self, ids: Iterable[ObjectId]) -> list[ObjectInfo]:
        """These objects and all they refer to, references before referrers. Raises NotInStore."""
        wanted = list(ids)

        def body(txn: Txn) -> list[ObjectInfo]:
            ordered: dict[ObjectId, ObjectInfo] = {}
            for start in wanted:
                order_into(ordered, start, lambda item: _require(txn, item))
            return list(ordered.values())

        with no_cycles():
            return self._index.view(body)

    def referrers(self, object_id: ObjectId) -> list[ObjectId]:
        """The objects that refer to this one directly."""
        return [ObjectId(item) for item in self._index.view(lambda txn: txn.values(tables.REFERRERS, object_id))]

    def all_objects(self) -> list[ObjectInfo]:
        """Every registered object, in the order of ids."""
        with no_cycles():
            return self._index.view(lambda txn: [decode_row(key, row) for key, row in txn.items(tables.OBJECTS)])

    def version(self) -> int:
        """A number that grows whenever something is registered, said or forgotten."""
        return self._index.version()

    def registered_after(self, number: int) -> tuple[int, list[ObjectId]]:
        """What was registered since the log stood at `number`: where it stands now, and the objects."""

        def body(txn: Txn) -> tuple[int, list[ObjectId]]:
            rows = txn.after(tables.LOG, number.to_bytes(8, "big"))
            last = int.from_bytes(rows[-1][0], "big") if rows else number
            return last, [ObjectId(value) for _, value in rows]

        return self._index.view(body)

    def meta(self, object_id: ObjectId) -> ObjectMeta:
        """An object's manifest and self-references, proven. Raises NotInStore, Damaged."""
        from kiln.store.verify import read_meta

        info = self.info(object_id)
        if info is None:
            raise NotInStore("no such object in this store", found=str(object_id))
        return read_meta(self.layout, info.path.base)

    def pin(self, object_ids: Iterable[ObjectId]) -> dict[ObjectId, ObjectInfo]:
        """Those of these objects that are here, which then stay, with all they refer to, until the store is closed.

        What this process adds is pinned without being asked for. Raises NoSpace, StoreLocked, StoreError.
        """
        from kiln.store.passage import shared_passage

        wanted = list(object_ids)
        if not wanted:
            return {}
        presence = self._present()
        with shared_passage(self.layout):
            found = self.infos(wanted)
            presence.pin(found)
        return found


def _require(txn: Txn, object_id: ObjectId) -> ObjectInfo:
    info = tables.get_object(txn, object_id)
    if info is None:
        raise NotInStore("no such object in this store", found=str(object_id))
    return info

"""The store: objects by their content, and what is known about where they came from.

One owning user, any number of that user's processes and threads. Reading never waits for writing. Everything
that a method reports as done is on disk and survives a crash. Opening an existing store and asking it for
records and objects imports little; what writes is imported where it is first needed.

A store must not be used in a forked child, which opens its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Self

from kiln.store import tables
from kiln.store.digest import EnvelopeDigest, ObjectId
from kiln.store.disk import disk_errors, exists_at, open_directory
from kiln.store.errors import NotInStore
from kiln.store.firstlook import died_reading, look_at_index
from kiln.store.index import Environment
from kiln.store.info import ObjectInfo
from kiln.store.layout import Layout, open_layout
from kiln.store.locks import is_alive
from kiln.store.paths import OutputName
from kiln.store.recordkeeping import RecordKeeping
from kiln.store.records import Claim, Resolution, Witness
from kiln.store.tables import Origin, Witnessed
from kiln.store.upkeep import Upkeep

if TYPE_CHECKING:
    from kiln.store.commit import Records, Staged
    from kiln.store.ingest import CaseCollision
    from kiln.store.reader import StoreReader
    from kiln.store.rewrite import BuiltOutput, StagedOutputs
    from kiln.store.tree import Select


class Store(RecordKeeping, Upkeep):
    """An open store. Make one with `open`; it is a context manager. Its methods may be called from any thread."""

    @classmethod
    def open(cls, root: str, *, create: bool = True) -> Self:
        """Open the store at `root`, and finish or undo what dead processes left in it.

        Raises NotOwner, NotInStore (`create` is false and nothing is there), Damaged, NoSpace, StoreError.
        """
        layout = open_layout(os.path.abspath(root), create=create)
        leftovers, mid_read = _has_leftovers(layout), died_reading(layout)
        if leftovers or mid_read:
            look_at_index(layout)
        store = cls(layout, Environment.shared(layout, layout.critical))
        try:
            if mid_read:
                store._index.check_readers()
            if leftovers:
                store.recovered = store.recover()
        except BaseException:
            store.close()
            raise
        return store

    @staticmethod
    def open_readonly(root: str) -> StoreReader:
        """Any user's store, to take objects from with `borrow`. Raises NotInStore, StoreError."""
        from kiln.store.reader import StoreReader

        return StoreReader.open(os.path.abspath(root))

    # Objects

    def new_temp(self, prefix: str) -> str:
        """A fresh folder on the store's file system, mode 0700, gone when this process is."""
        return self._writing().new_folder(prefix)

    def add_object(
        self,
        source: str,
        name: str,
        *,
        references: Iterable[ObjectId] = (),
        move: bool,
        select: Select | None = None,
        on_collision: Callable[[CaseCollision], None] | None = None,
    ) -> ObjectInfo:
        """Add a file, directory or symlink as it is, without scanning it.

        With `move` the source is taken (normalised where it lies, on the store's file system, then renamed);
        without, it is only read, and not even that when it is what it was when it was last added.
        `select(path, is_dir)` chooses what of a directory is taken. Raises Refused (the file is named), BadName,
        NotInStore (a reference), NoSpace, StoreLocked, StoreError.
        """
        from kiln.store.add import stage_copy, stage_moved
        from kiln.store.commit import Records, Staged
        from kiln.store.sourcememo import SourceMemo

        wanted = tuple(references)
        self._check_references(wanted)
        session = self._writing()
        staged: Staged | ObjectInfo
        if move and select is None:
            staged, collisions = stage_moved(session, source, name, wanted)
        else:
            remembered = SourceMemo(self.memo(), source)
            staged, collisions = stage_copy(session, source, name, wanted, select, self._is_present, remembered)
        for collision in collisions if on_collision is not None else ():
            assert on_collision is not None
            on_collision(collision)
        if not isinstance(staged, Staged):
            return staged
        self._commit([staged], Records())
        return staged.meta.info

    def borrow(self, other: StoreReader, object_id: ObjectId) -> ObjectInfo:
        """Copy an object and all it refers to from another store, each hashed on the way.

        Raises NotInStore, Damaged (it is not what its id says), Refused, NoSpace, StoreLocked, StoreError.
        """
        from kiln.store.borrow import stage_borrowed
        from kiln.store.commit import Records

        session = self._writing()
        for info in other.closure([object_id]):
            if not self._is_present(info):
                self._commit([stage_borrowed(session, other, info.id)], Records())
        return info

    def stage_outputs(self, outputs: Sequence[BuiltOutput], closure: Iterable[ObjectInfo]) -> StagedOutputs:
        """Scan, order and rewrite what a builder left; nothing is registered yet.

        The objects' ids and contents are final, so that statements about them can be signed and then
        registered in the same transaction by `commit`. Raises Refused, ReferenceCycle, NoSpace, StoreError.
        """
        from kiln.store.rewrite import stage_outputs

        return stage_outputs(outputs, closure, self.layout.owner)

    def commit(
        self,
        staged: StagedOutputs | None = None,
        *,
        witnesses: Iterable[tuple[Claim, Witness]] = (),
        resolutions: Iterable[Resolution] = (),
        envelopes: Iterable[bytes] = (),
        origin: Origin = "built",
    ) -> dict[OutputName, ObjectInfo]:
        """Register objects and what is said about them, in one transaction: all or nothing.

        Raises Damaged (a reference is not here), NoSpace, StoreLocked, StoreError.
        """
        from kiln.store.commit import Records

        records = Records(
            witnesses=tuple(Witnessed(claim, witness, origin) for claim, witness in witnesses),
            resolutions=self._new_resolutions(resolutions),
            envelopes=tuple(envelopes),
        )
        self._commit([] if staged is None else [item for _, item in staged.staged], records)
        return {} if staged is None else staged.infos

    def admit(
        self,
        staged: Sequence[Staged],
        *,
        witnesses: Iterable[Witnessed] = (),
        resolutions: Iterable[Resolution] = (),
        envelopes: Iterable[bytes] = (),
    ) -> None:
        """Register what came from elsewhere and was verified, in one transaction: objects after their references.

        Raises Damaged (a reference is not here), NoSpace, StoreLocked, StoreError.
        """
        from kiln.store.commit import Records

        new = self._new_witnesses(witnesses)
        self._commit(staged, Records(new, self._new_resolutions(resolutions), tuple(envelopes)))

    def add_outputs(
        self, outputs: Sequence[BuiltOutput], closure: Iterable[ObjectInfo]
    ) -> dict[OutputName, ObjectInfo]:
        """`stage_outputs` and `commit` in one, with no records."""
        return self.commit(self.stage_outputs(outputs, closure))

    # Claims, witnesses, resolutions, envelopes

    def put_witness(self, claim: Claim, witness: Witness, *, origin: Origin = "built") -> None:
        """Keep a claim and a signature under it. The signature is the caller's to check."""
        self.commit(witnesses=[(claim, witness)], origin=origin)

    def put_witnesses(self, items: Iterable[tuple[Claim, Witness]], *, origin: Origin = "built") -> None:
        """The same for many, in one transaction."""
        self.commit(witnesses=items, origin=origin)

    def put_resolution(self, resolution: Resolution) -> None:
        self.commit(resolutions=[resolution])

    def put_resolutions(self, resolutions: Iterable[Resolution]) -> None:
        """Keep resolutions. One that says what a kept one by the same key says is left out."""
        self.commit(resolutions=resolutions)

    def put_envelope(self, data: bytes) -> EnvelopeDigest:
        """Keep a DSSE envelope's bytes for ever."""
        from kiln.store.commit import envelope_digest, envelope_file

        digest = envelope_digest(data)
        if not os.path.lexists(f"{self.layout.envelopes}/{envelope_file(digest)}"):
            self.commit(envelopes=[data])
        return digest

    # Locks, memo, upkeep

    def _commit(self, staged: Sequence[Staged], records: Records) -> None:
        from kiln.store.commit import commit, discard
        from kiln.store.passage import shared_passage
        from kiln.store.pool import Pool

        session = self._writing()
        with shared_passage(self.layout):
            present = {item.meta.info.id for item in staged if self._is_present(item.meta.info)}
        for item in staged:
            if item.meta.info.id in present:
                discard(item, self.layout)
        new = [item for item in staged if item.meta.info.id not in present]
        if new or any(records):
            pool = Pool(self.layout)
            with disk_errors("committing"):
                pool.share(new)
                commit(self.layout, self._index, session, new, records)
                pool.offer(item.meta for item in new)

    def _is_present(self, info: ObjectInfo) -> bool:
        """Registered, and there: it is pinned then."""
        from kiln.store.passage import shared_passage

        with shared_passage(self.layout):
            if self.info(info.id) is None:
                return False
            store_fd = open_directory(self.layout.store)
            try:
                if not exists_at(store_fd, info.path.base.encode()):
                    return False
            finally:
                os.close(store_fd)
            self._present().pin([info.id])
            return True

    def _check_references(self, references: Sequence[ObjectId]) -> None:
        missing = set(references) - self.pin(references).keys()
        if missing:
            raise NotInStore("a reference to an object that is not in this store", found=str(min(missing)))

    def _new_witnesses(self, items: Iterable[Witnessed]) -> tuple[Witnessed, ...]:
        given = {item.claim.digest + item.witness.digest: item for item in items}
        kept = self._index.view(lambda txn: {key for key in given if txn.get(tables.WITNESSES, key) is not None})
        return tuple(item for key, item in given.items() if key not in kept)

    def _new_resolutions(self, resolutions: Iterable[Resolution]) -> tuple[Resolution, ...]:
        given = list(resolutions)
        if not given:
            return ()
        kept = self.resolutions_for({item.drv for item in given})
        return tuple(item for item in given if not any(_says_same(item, old) for old in kept.get(item.drv, ())))


def _has_leftovers(layout: Layout) -> bool:
    """Whether a process that wrote died. Those that run are known by their locks, at the cost of one each."""
    return not all(is_alive(layout, name) for name in os.listdir(layout.temp))


def _says_same(new: Resolution, old: Resolution) -> bool:
    return (new.resolved, new.pins, new.keyid) == (old.resolved, old.pins, old.keyid)

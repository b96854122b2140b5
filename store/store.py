"""The store: objects by their content, and what is known about where they came from.

One owning user, any number of that user's processes and threads. Reading never waits for writing. Everything
that a method reports as done is on disk and survives a crash. Opening an existing store and asking it for
records and objects imports little; what writes is imported where it is first needed.

A store must not be used in a forked child, which opens its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Self

from kiln.store import tables
from kiln.store.closure import order_into
from kiln.store.digest import BlobDigest, DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.disk import disk_errors, exists_at, open_directory, read_file
from kiln.store.errors import Damaged, NotInStore, StoreError
from kiln.store.index import Environment, Txn
from kiln.store.info import ObjectInfo, decode_row
from kiln.store.layout import Layout, open_layout
from kiln.store.locks import build_lock, is_alive
from kiln.store.paths import OutputName, StorePath
from kiln.store.records import Claim, Resolution, Witness
from kiln.store.tables import Origin, Witnessed

if TYPE_CHECKING:
    from kiln.store.commit import Records, Staged
    from kiln.store.disposable import Memo
    from kiln.store.ingest import CaseCollision
    from kiln.store.meta import ObjectMeta
    from kiln.store.recovery import Rebuilt, Recovered
    from kiln.store.rewrite import BuiltOutput, StagedOutputs
    from kiln.store.roots import Root
    from kiln.store.session import Session
    from kiln.store.tree import Select
    from kiln.store.verify import Problem

TRASH_SECONDS = 2.0
"""How long closing a store may go on unlinking trash."""


class Store:
    """An open store. Make one with `open`; it is a context manager. Its methods may be called from any thread."""

    def __init__(self, layout: Layout, index: Environment) -> None:
        self.layout = layout
        self.root = layout.root
        self.store_dir = layout.store
        self._environment: Environment | None = index
        self._pid = os.getpid()
        self._guard = threading.Lock()
        self._session: Session | None = None  # guarded by _guard
        self._memo: Memo | None = None  # guarded by _guard
        self.recovered: Recovered | None = None
        """What opening put in order, if there was anything."""

    @classmethod
    def open(cls, root: str, *, create: bool = True) -> Self:
        """Open the store at `root`, and finish or undo what dead processes left in it.

        Raises NotOwner, NotInStore (`create` is false and nothing is there), Damaged, NoSpace, StoreError.
        """
        layout = open_layout(os.path.abspath(root), create=create)
        store = cls(layout, Environment.shared(layout, layout.critical))
        try:
            if _has_leftovers(layout):
                store.recovered = store.recover()
        except BaseException:
            store.close()
            raise
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove this process' temporary folders and let go of everything. Idempotent.

        In a forked child it does nothing: all of that is the parent's.
        """
        if self._pid != os.getpid():
            return
        with self._guard:
            session, self._session = self._session, None
            memo, self._memo = self._memo, None
            index, self._environment = self._environment, None
        if session is not None:
            session.close()
        if memo is not None:
            memo.close()
        if index is not None:
            index.close()
        if session is not None and os.listdir(self.layout.trash):
            self.empty_trash(TRASH_SECONDS)

    @property
    def _index(self) -> Environment:
        if self._environment is None:
            raise StoreError("this store was closed")
        return self._environment

    # Objects

    def physical(self, path: StorePath) -> str:
        """Where an object lies on this machine."""
        return f"{self.store_dir}/{path.base}"

    def info(self, object_id: ObjectId) -> ObjectInfo | None:
        """What is registered under an id."""
        return self._index.view(lambda txn: tables.get_object(txn, object_id))

    def infos(self, object_ids: Iterable[ObjectId]) -> dict[ObjectId, ObjectInfo]:
        """The same for many, on one snapshot; ids that are not here are left out."""
        wanted = list(object_ids)

        def body(txn: Txn) -> dict[ObjectId, ObjectInfo]:
            found = {item: tables.get_object(txn, item) for item in wanted}
            return {item: info for item, info in found.items() if info is not None}

        return self._index.view(body)

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

        return self._index.view(body)

    def referrers(self, object_id: ObjectId) -> list[ObjectId]:
        """The objects that refer to this one directly."""
        return [ObjectId(item) for item in self._index.view(lambda txn: txn.values(tables.REFERRERS, object_id))]

    def all_objects(self) -> list[ObjectInfo]:
        """Every registered object, in the order of ids."""
        return self._index.view(lambda txn: [decode_row(key, row) for key, row in txn.items(tables.OBJECTS)])

    def meta(self, object_id: ObjectId) -> ObjectMeta:
        """An object's manifest and self-references, proven. Raises NotInStore, Damaged."""
        from kiln.store.verify import read_meta

        info = self.info(object_id)
        if info is None:
            raise NotInStore("no such object in this store", found=str(object_id))
        return read_meta(self.layout, info.path.base)

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
        without, it is only read, and nothing is written when the store has it already. `select(path, is_dir)`
        chooses what of a directory is taken. Raises Refused (the file is named), BadName, NotInStore (a
        reference), NoSpace, StoreLocked, StoreError.
        """
        from kiln.store.add import stage_copy, stage_moved
        from kiln.store.commit import Records, Staged

        wanted = tuple(references)
        self._check_references(wanted)
        session = self._writing()
        staged: Staged | ObjectInfo
        if move and select is None:
            staged, collisions = stage_moved(session, source, name, wanted)
        else:
            staged, collisions = stage_copy(session, source, name, wanted, select, self._is_present)
        for collision in collisions if on_collision is not None else ():
            assert on_collision is not None
            on_collision(collision)
        if not isinstance(staged, Staged):
            return staged
        self._commit([staged], Records())
        return staged.meta.info

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

    def claims_for(self, resolved: ResolvedDigest) -> list[Witnessed]:
        """Every (claim, witness, origin) about a resolved derivation."""
        return self._index.view(lambda txn: tables.claims_for(txn, resolved))

    def claims_for_many(self, resolved: Iterable[ResolvedDigest]) -> dict[ResolvedDigest, list[Witnessed]]:
        """The same for many, on one snapshot; derivations without any are left out."""
        wanted = list(resolved)

        def body(txn: Txn) -> dict[ResolvedDigest, list[Witnessed]]:
            return {item: found for item in wanted if (found := tables.claims_for(txn, item))}

        return self._index.view(body)

    def producers(self, object_id: ObjectId) -> list[Witnessed]:
        """Every (claim, witness, origin) of which this object is the result."""
        return self._index.view(lambda txn: tables.producers_of(txn, object_id))

    def resolutions_for(self, drvs: Iterable[DrvDigest]) -> dict[DrvDigest, list[Resolution]]:
        """Every resolution of these derivations, in one look-up; derivations without any are left out."""
        wanted = list(drvs)

        def body(txn: Txn) -> dict[DrvDigest, list[Resolution]]:
            return {drv: found for drv in wanted if (found := tables.resolutions_for(txn, drv))}

        return self._index.view(body)

    def put_envelope(self, data: bytes) -> EnvelopeDigest:
        """Keep a DSSE envelope's bytes for ever."""
        from kiln.store.commit import envelope_digest, envelope_file

        digest = envelope_digest(data)
        if not os.path.lexists(f"{self.layout.envelopes}/{envelope_file(digest)}"):
            self.commit(envelopes=[data])
        return digest

    def envelope(self, digest: EnvelopeDigest) -> bytes:
        """An envelope's bytes. Raises NotInStore, Damaged."""
        from kiln.store.digest import blob_digest

        with disk_errors("reading an envelope"):
            try:
                data = read_file(f"{self.layout.envelopes}/{digest.hex()}.json")
            except FileNotFoundError:
                raise NotInStore("no such envelope in this store", found=str(digest)) from None
        if bytes(blob_digest(data)) != bytes(digest):
            raise Damaged("an envelope's file was changed", found=f"{self.layout.envelopes}/{digest.hex()}.json")
        return data

    # Roots

    def add_root(self, link: str, target: ObjectId) -> Root:
        """Make a symlink at `link` to the object, and keep the object for as long as it is there.

        Only a symlink into a store is replaced. Raises NotInStore, Refused, BadName, StoreError.
        """
        from kiln.store.roots import check_link, make_link, new_root, write_root_file

        info = self.info(target)
        if info is None:
            raise NotInStore("no such object in this store", found=str(target))
        root = new_root(link, target)
        check_link(self.layout, root.link)
        write_root_file(self.layout, root)
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

    # Locks, memo, upkeep

    def lock_build(
        self,
        resolved: ResolvedDigest,
        *,
        limit: float | None = None,
        on_wait: Callable[[int | None], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> AbstractContextManager[bool]:
        """Only one builder of a resolved derivation at a time; see `locks.build_lock`."""
        return build_lock(self.layout, resolved.hex(), limit=limit, on_wait=on_wait, cancelled=cancelled)

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

    def memo(self) -> Memo:
        """The disposable environment."""
        from kiln.store.disposable import Memo

        with self._guard:
            if self._memo is None:
                self._memo = Memo(self.layout)
            return self._memo

    def verify(self, object_id: ObjectId) -> list[Problem]:
        """Read an object whole and say what is wrong with it. Raises NotInStore."""
        from kiln.store.verify import verify_object

        info = self.info(object_id)
        if info is None:
            raise NotInStore("no such object in this store", found=str(object_id))
        return verify_object(self.layout, info)

    def check(self, *, contents: bool = False) -> list[Problem]:
        """Every invariant of the store: nothing half registered, nothing missing. With `contents`, read all."""
        from kiln.store.check import check_store

        return check_store(self.layout, self._index, contents=contents)

    def recover(self) -> Recovered:
        """Finish or undo what dead processes left; `open` does this."""
        from kiln.store.recovery import recover

        return recover(self.layout, self._index)

    def empty_trash(self, seconds: float | None = None) -> int:
        """Unlink what was moved to the trash; how many entries are left."""
        from kiln.store.trash import empty_trash

        return empty_trash(self.layout, seconds)

    @classmethod
    def rebuild_index(cls, root: str) -> Rebuilt:
        """Make the index again from the objects' and records' small files; the old one goes to the trash.

        No other process may have the store open. Raises StoreError.
        """
        from kiln.store.recovery import rebuild_at

        return rebuild_at(open_layout(os.path.abspath(root), create=False))

    def _writing(self) -> Session:
        from kiln.store.session import Session

        with self._guard:
            if self._pid != os.getpid():
                raise StoreError("a store was used across a fork", help="open the store again in the child process")
            if self._session is None:
                self._session = Session(self.layout)
            return self._session

    def _commit(self, staged: Sequence[Staged], records: Records) -> None:
        from kiln.store.commit import commit, discard

        present = {item.meta.info.id for item in staged if self._is_present(item.meta.info)}
        for item in staged:
            if item.meta.info.id in present:
                discard(item, self.layout)
        new = [item for item in staged if item.meta.info.id not in present]
        if new or any(records):
            commit(self.layout, self._index, self._writing(), new, records)

    def _is_present(self, info: ObjectInfo) -> bool:
        """Registered, and there."""
        if self.info(info.id) is None:
            return False
        store_fd = open_directory(self.layout.store)
        try:
            return exists_at(store_fd, info.path.base.encode())
        finally:
            os.close(store_fd)

    def _check_references(self, references: Sequence[ObjectId]) -> None:
        missing = set(references) - self.infos(references).keys() if references else set()
        if missing:
            raise NotInStore("a reference to an object that is not in this store", found=str(min(missing)))

    def _new_resolutions(self, resolutions: Iterable[Resolution]) -> tuple[Resolution, ...]:
        given = list(resolutions)
        if not given:
            return ()
        kept = self.resolutions_for({item.drv for item in given})
        return tuple(item for item in given if not any(_says_same(item, old) for old in kept.get(item.drv, ())))


def _has_leftovers(layout: Layout) -> bool:
    """Whether a process that wrote died. Those that run are known by their locks, at the cost of one each."""
    return not all(is_alive(layout, name) for name in os.listdir(layout.temp))


def _require(txn: Txn, object_id: ObjectId) -> ObjectInfo:
    info = tables.get_object(txn, object_id)
    if info is None:
        raise NotInStore("no such object in this store", found=str(object_id))
    return info


def _says_same(new: Resolution, old: Resolution) -> bool:
    return (new.resolved, new.pins, new.keyid) == (old.resolved, old.pins, old.keyid)

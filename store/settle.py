"""Settling one commit of a process that died: its objects are adopted or trashed, its records follow or go.

What proves itself is adopted in the shared passage, where nobody can take out what it refers to; that may read
much. What does not is looked at again in the sole passage, in which no other process is between placing and
registering it: only what nobody registered meanwhile goes to the trash. Records are registered when every object
is here and every file of the commit, records and envelopes, proved itself: a witness never stands without its
evidence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from kiln.store import tables
from kiln.store.commit import (
    META,
    RECORDS,
    Intent,
    Move,
    Records,
    envelope_digest,
    envelope_file,
    register,
    seal,
    sync_folders,
)
from kiln.store.disk import exists_at, open_directory, read_file
from kiln.store.errors import StoreError
from kiln.store.failpoint import failpoint
from kiln.store.index import Environment, Txn
from kiln.store.layout import Layout
from kiln.store.meta import ObjectMeta, decode_meta
from kiln.store.passage import shared_passage, sole_passage
from kiln.store.paths import StorePath
from kiln.store.recordfile import RecordFile, decode_record_files
from kiln.store.records import Resolution
from kiln.store.trash import to_trash
from kiln.store.verify import is_intact, read_meta


class Settler:
    """Settles commits, and remembers which entries of store/ it adopted and trashed."""

    def __init__(self, layout: Layout, index: Environment) -> None:
        self._layout = layout
        self._index = index
        self.adopted: list[str] = []
        self.trashed: list[str] = []

    def settle(self, folder: str, intent: Intent) -> None:
        """Finish a commit whose drafts lie in `folder`, or undo it. Raises StoreLocked, NoSpace, StoreError."""
        metas = [move for move in intent.moves if move.folder == META]
        others = [move for move in intent.moves if move.folder != META]
        with shared_passage(self._layout):
            self._finish_moves(folder, [move for move in metas if self._proven_bytes(folder, move) is not None])
            doubtful = [base for base in intent.objects if not self._adopt_entry(base)]
        failpoint("recover:looked")
        kept = [self._keep_or_trash(base) for base in doubtful]
        complete = all(kept)
        found = {move: self._proven_bytes(folder, move) for move in others} if complete else {}
        if complete and None not in found.values():
            self._finish_records(folder, found)
        else:
            self._drop_records(others)

    def _proven_bytes(self, folder: str, move: Move) -> bytes | None:
        """A file's bytes, from where it was drafted or where it was going, if they are what its name says."""
        for path in (f"{folder}/{move.draft}", self._target(move)):
            try:
                data = read_file(path)
            except FileNotFoundError:
                continue
            return data if proves(move, data) else None
        return None

    def _target(self, move: Move) -> str:
        return f"{self._layout.root}/{move.folder}/{move.name}"

    def _finish_moves(self, folder: str, moves: Iterable[Move]) -> None:
        """Bring what is still in the session's folder to where it was going."""
        done = list(moves)
        for move in done:
            if os.path.lexists(draft := f"{folder}/{move.draft}"):
                os.rename(draft, self._target(move))
        sync_folders(self._layout, [], done)

    def _adopt_entry(self, base: str) -> bool:
        """Whether an entry of store/ is registered, now at the latest. In the shared passage."""
        store_fd = open_directory(self._layout.store)
        try:
            if not exists_at(store_fd, base.encode()):
                return False
            registered = self._is_registered(base)
            meta = _proven(self._layout, store_fd, base)
            if meta is not None:
                seal(store_fd, base.encode(), meta)
                os.fsync(store_fd)
        finally:
            os.close(store_fd)
        if registered:
            return True
        failpoint("recover:adopting")
        if meta is None or not self._index.update(lambda txn: _adopt(txn, meta)):
            return False
        self.adopted.append(base)
        return True

    def _keep_or_trash(self, base: str) -> bool:
        """Whether somebody registered what could not be adopted; otherwise it goes, and its small file."""
        with sole_passage(self._layout):
            store_fd = open_directory(self._layout.store)
            try:
                there = exists_at(store_fd, base.encode())
                if self._is_registered(base):
                    return there
                if there:
                    failpoint("recover:trashing")
                    to_trash(self._layout, store_fd, base.encode())
                    self.trashed.append(base)
            finally:
                os.close(store_fd)
            if os.path.lexists(path := f"{self._layout.meta}/{base}"):
                os.unlink(path)
        return False

    def _is_registered(self, base: str) -> bool:
        wanted = StorePath.parse(base)
        return self._index.view(lambda txn: tables.find_by_path(txn, wanted)) is not None

    def _finish_records(self, folder: str, found: dict[Move, bytes | None]) -> None:
        with shared_passage(self._layout):
            self._finish_moves(folder, found)
            records = [
                record
                for move, data in found.items()
                if move.folder == RECORDS and data is not None
                for record in decode_record_files(move.name, data)
            ]
            if records:
                self._index.update(lambda txn: register(txn, [], as_records(records)))

    def _drop_records(self, moves: Iterable[Move]) -> None:
        """Remove files of records that came into place and that nobody registered: a new index would take them up."""
        placed = [move.name for move in moves if move.folder == RECORDS and os.path.lexists(self._target(move))]
        if not placed:
            return
        with sole_passage(self._layout):
            folder_fd = open_directory(self._layout.records)
            try:
                for name in placed:
                    records = _read_records(self._layout, name)
                    if records and not self._index.view(lambda txn, some=records: _knows_any(txn, some)):  # type: ignore[misc]
                        to_trash(self._layout, folder_fd, name.encode())
            finally:
                os.close(folder_fd)


def proves(move: Move, data: bytes) -> bool:
    """Whether these bytes are what the name they are to have says."""
    try:
        match move.folder:
            case "objects-meta":
                return decode_meta(data).info.path.base == move.name
            case "records":
                decode_record_files(move.name, data)
                return True
            case "envelopes":
                return envelope_file(envelope_digest(data)) == move.name
            case _:
                return False
    except StoreError:
        return False


def as_records(found: Iterable[RecordFile]) -> Records:
    """What `register` takes, of what files under records/ hold."""
    items = list(found)
    return Records(
        witnesses=tuple(item for item in items if not isinstance(item, Resolution)),
        resolutions=tuple(item for item in items if isinstance(item, Resolution)),
    )


def _proven(layout: Layout, store_fd: int, base: str) -> ObjectMeta | None:
    """The orphan's small file, if that proves itself and the object has its bytes."""
    try:
        meta = read_meta(layout, base)
        return meta if is_intact(layout, store_fd, base.encode(), meta) else None
    except (StoreError, OSError):
        return None


def _adopt(txn: Txn, meta: ObjectMeta) -> bool:
    """Register an orphan if its references are here."""
    if any(tables.get_object(txn, reference) is None for reference in meta.info.references):
        return False
    tables.put_object(txn, meta.info)
    return True


def _read_records(layout: Layout, name: str) -> list[RecordFile]:
    try:
        return decode_record_files(name, read_file(f"{layout.records}/{name}"))
    except (FileNotFoundError, StoreError):
        return []


def _knows_any(txn: Txn, records: Iterable[RecordFile]) -> bool:
    """Whether one of these stands in the index."""
    for item in records:
        if isinstance(item, Resolution):
            row = txn.get(tables.RESOLUTIONS, item.drv + item.digest)
        else:
            row = txn.get(tables.WITNESSES, item.claim.digest + item.witness.digest)
        if row is not None:
            return True
    return False

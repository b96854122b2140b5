"""Putting a store in order after processes that died in it.

At each open, folders under .tmp whose session nobody locks are taken up, by one process at a time. What their
intents name and is in place but not registered is an orphan. It is adopted if its small file proves itself, its
bytes are the manifest's and its references are here; otherwise it goes to the trash. When all the objects of a
commit are registered, its records follow. Then the session's folder goes to the trash. A store in which nobody
died costs one listing of an empty folder.

`rebuild_index` does the same for every object, with a new index: nothing but the small files is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kiln.store import tables
from kiln.store.closure import order_into
from kiln.store.commit import (
    META,
    RECORDS,
    Intent,
    Move,
    Records,
    decode_intent,
    envelope_digest,
    envelope_file,
    register,
    seal,
    sync_folders,
)
from kiln.store.digest import ObjectId
from kiln.store.disk import disk_errors, exists_at, open_directory, read_file
from kiln.store.errors import StoreError
from kiln.store.failpoint import failpoint
from kiln.store.index import Environment, Txn
from kiln.store.info import ObjectInfo
from kiln.store.layout import Layout
from kiln.store.locks import WRITE_LIMIT, FileLock, is_alive
from kiln.store.meta import ObjectMeta, decode_meta
from kiln.store.passage import shared_passage
from kiln.store.paths import StorePath
from kiln.store.recordfile import RecordFile, decode_record_files
from kiln.store.records import Resolution
from kiln.store.roots import Root, read_root_files
from kiln.store.session import INTENT
from kiln.store.trash import to_trash
from kiln.store.verify import is_intact, read_meta


class Recovered(NamedTuple):
    """What a recovery did: store entries adopted and trashed, sessions of dead processes removed."""

    adopted: tuple[str, ...] = ()
    trashed: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()


def dead_sessions(layout: Layout) -> list[str]:
    """Folders under .tmp whose process is gone."""
    return [name for name in os.listdir(layout.temp) if not is_alive(layout, name)]


def recover(layout: Layout, index: Environment) -> Recovered:
    """Take up what dead processes left. Raises StoreLocked, NoSpace, Damaged, StoreError."""
    if not os.listdir(layout.temp):
        return Recovered()
    lock = FileLock(layout, f"{layout.locks}/recover")
    if not lock.try_acquire():
        return Recovered()
    try:
        with disk_errors("putting the store in order"):
            names = dead_sessions(layout)
            if not names:
                return Recovered()
            index.check_readers()
            adopted: list[str] = []
            trashed: list[str] = []
            for folder, intent in _intents(layout, names):
                with shared_passage(layout):
                    _settle(layout, index, folder, intent, adopted, trashed)
            _settle_collection(layout, index)
            for name in names:
                _discard_session(layout, name)
            return Recovered(tuple(adopted), tuple(trashed), tuple(names))
    finally:
        lock.release()


def _intents(layout: Layout, sessions: Iterable[str]) -> Iterator[tuple[str, Intent]]:
    """Each unfinished commit, with the folder that holds its drafts."""
    for session in sessions:
        folder = f"{layout.temp}/{session}"
        for name in sorted(os.listdir(folder)):
            if name.startswith(INTENT):
                yield folder, decode_intent(read_file(f"{folder}/{name}"))


def _settle(
    layout: Layout, index: Environment, folder: str, intent: Intent, adopted: list[str], trashed: list[str]
) -> None:
    """Finish one commit as far as its objects came into place; its records only if all of them are here."""
    _finish_moves(layout, folder, [move for move in intent.moves if move.folder == META])
    complete = True
    store_fd = open_directory(layout.store)
    try:
        for base in intent.objects:
            complete &= _settle_object(layout, index, store_fd, base, adopted, trashed)
    finally:
        os.close(store_fd)
    if complete:
        others = [move for move in intent.moves if move.folder != META]
        _finish_moves(layout, folder, others)
        found = [_read_records(layout, move.name) for move in others if move.folder == RECORDS]
        records = _as_records(record for some in found for record in some)
        index.update(lambda txn: register(txn, [], records))


def _finish_moves(layout: Layout, folder: str, moves: Iterable[Move]) -> None:
    """Bring drafts that are still in the session's folder, and prove themselves, to where they were going."""
    done = []
    for move in moves:
        draft = f"{folder}/{move.draft}"
        if os.path.lexists(draft) and _proves(move, read_file(draft)):
            os.rename(draft, f"{layout.root}/{move.folder}/{move.name}")
        done.append(move)
    sync_folders(layout, [], done)


def _proves(move: Move, data: bytes) -> bool:
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


def _settle_object(
    layout: Layout, index: Environment, store_fd: int, base: str, adopted: list[str], trashed: list[str]
) -> bool:
    """Adopt or trash one entry of store/; whether it is registered now."""
    if not exists_at(store_fd, base.encode()):
        _drop_meta_of_nothing(layout, index, base)
        return False
    wanted = StorePath.parse(base)
    registered = index.view(lambda txn: tables.find_by_path(txn, wanted)) is not None
    meta = _proven(layout, store_fd, base)
    if meta is not None:
        seal(store_fd, base.encode(), meta)
        os.fsync(store_fd)
    if registered:
        return True
    failpoint("recover:adopting")
    if meta is None or not index.update(lambda txn: _adopt(txn, meta)):
        failpoint("recover:trashing")
        to_trash(layout, store_fd, base.encode())
        _drop_meta_of_nothing(layout, index, base)
        trashed.append(base)
        return False
    adopted.append(base)
    return True


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


def _drop_meta_of_nothing(layout: Layout, index: Environment, base: str) -> None:
    """Remove the small file of an object that never came, unless it is registered."""
    path = f"{layout.meta}/{base}"
    if not os.path.lexists(path):
        return
    wanted = StorePath.parse(base)
    if index.view(lambda txn: tables.find_by_path(txn, wanted)) is None:
        os.unlink(path)


def _read_records(layout: Layout, name: str) -> list[RecordFile]:
    try:
        return decode_record_files(name, read_file(f"{layout.records}/{name}"))
    except (FileNotFoundError, StoreError):
        return []


def _as_records(found: Iterable[RecordFile]) -> Records:
    items = list(found)
    return Records(
        witnesses=tuple(item for item in items if not isinstance(item, Resolution)),
        resolutions=tuple(item for item in items if isinstance(item, Resolution)),
    )


def _settle_collection(layout: Layout, index: Environment) -> None:
    """Finish what a collector that died had taken out of the index."""
    if index.view(lambda txn: txn.first_at(tables.TRASH, b"")) is None:
        return
    from kiln.store.collect import settle_notes

    lock = FileLock(layout, f"{layout.locks}/collect")
    if lock.try_acquire():
        try:
            settle_notes(layout, index)
        finally:
            lock.release()


def _discard_session(layout: Layout, name: str) -> None:
    temp_fd = open_directory(layout.temp)
    try:
        to_trash(layout, temp_fd, os.fsencode(name))
    finally:
        os.close(temp_fd)


def rebuild_at(layout: Layout) -> Rebuilt:
    """Put the index that is there into the trash, and make a new one."""
    lock = FileLock(layout, f"{layout.locks}/recover")
    lock.acquire("the store's recovery lock", WRITE_LIMIT)
    try:
        with disk_errors("making the index again"):
            folder_fd = open_directory(os.path.dirname(layout.critical))
            try:
                to_trash(layout, folder_fd, os.path.basename(layout.critical).encode())
            finally:
                os.close(folder_fd)
        index = Environment.shared(layout, layout.critical)
        try:
            return rebuild(layout, index)
        finally:
            index.close()
    finally:
        lock.release()


class Rebuilt(NamedTuple):
    """What an index was made from, and the files that were of no use for it, with the reason."""

    objects: int
    records: int
    roots: int
    skipped: tuple[tuple[str, str], ...]


def rebuild(layout: Layout, index: Environment) -> Rebuilt:
    """Fill an index from the small files. Objects are not read; `verify` does that. Raises StoreError."""
    skipped: list[tuple[str, str]] = []
    with disk_errors("making the index again"):
        infos = _all_infos(layout, skipped)
        records = _all_records(layout, skipped)
        roots = read_root_files(layout)
    failpoint("rebuild:scanned")

    def body(txn: Txn) -> None:
        register(txn, infos.values(), _as_records(records))
        for link, path, made in roots:
            object_id = tables.find_by_path(txn, path)
            if object_id is not None:
                tables.put_root(txn, Root(link, object_id, made))

    index.update(body)
    return Rebuilt(len(infos), len(records), len(roots), tuple(skipped))


def _all_infos(layout: Layout, skipped: list[tuple[str, str]]) -> dict[ObjectId, ObjectInfo]:
    """Every object that is there and whose small file proves itself, references first."""
    found: dict[ObjectId, ObjectInfo] = {}
    for base in sorted(os.listdir(layout.store)):
        try:
            info = read_meta(layout, base).info
        except StoreError as error:
            skipped.append((base, error.message))
        else:
            found[info.id] = info
    ordered: dict[ObjectId, ObjectInfo] = {}
    for start in found:
        order_into(ordered, start, found.get)
    for lost in [info for info in ordered.values() if any(item not in ordered for item in info.references)]:
        skipped.append((lost.path.base, "an object that it refers to is missing"))
        del ordered[lost.id]
    return ordered


def _all_records(layout: Layout, skipped: list[tuple[str, str]]) -> list[RecordFile]:
    found: list[RecordFile] = []
    for name in sorted(os.listdir(layout.records)):
        try:
            found.extend(decode_record_files(name, read_file(f"{layout.records}/{name}")))
        except StoreError as error:
            skipped.append((name, error.message))
    return found

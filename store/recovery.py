"""Putting a store in order after processes that died in it.

At each open, folders under .tmp whose session nobody locks are taken up, by one process at a time. What their
intents name and is in place but not registered is an orphan: it is adopted if its small file proves itself, its
bytes are the manifest's and its references are here, and goes to the trash otherwise. Then the folder goes to
the trash. A store in which nobody died costs one listing of an empty folder.

`rebuild_index` does the same for every object, with a new index: nothing but the small files is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from kiln.store import tables
from kiln.store.closure import order_into
from kiln.store.commit import Intent, Records, decode_intent, is_intact, register, seal
from kiln.store.digest import ObjectId
from kiln.store.disk import disk_errors, exists_at, open_directory, read_file
from kiln.store.errors import StoreError
from kiln.store.failpoint import failpoint
from kiln.store.index import Environment, Txn
from kiln.store.info import ObjectInfo
from kiln.store.layout import Layout
from kiln.store.locks import WRITE_LIMIT, FileLock, is_alive
from kiln.store.meta import ObjectMeta, decode_meta
from kiln.store.recordfile import RecordFile, decode_record_file
from kiln.store.records import Resolution
from kiln.store.roots import Root, read_root_files
from kiln.store.session import INTENT
from kiln.store.trash import to_trash
from kiln.store.verify import read_meta


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
            objects, records = _intents(layout, names)
            adopted, trashed = _settle(layout, index, objects, records)
            for name in names:
                _discard_session(layout, name)
            return Recovered(tuple(adopted), tuple(trashed), tuple(names))
    finally:
        lock.release()


def _intents(layout: Layout, sessions: Iterable[str]) -> tuple[list[str], list[str]]:
    objects: dict[str, None] = {}
    records: dict[str, None] = {}
    for session in sessions:
        folder = f"{layout.temp}/{session}"
        for name in sorted(os.listdir(folder)):
            intent = decode_intent(read_file(f"{folder}/{name}")) if name.startswith(INTENT) else Intent((), ())
            objects.update(dict.fromkeys(intent.objects))
            records.update(dict.fromkeys(intent.records))
            _restore_metas(layout, folder, name, intent)
    return list(objects), list(records)


def _restore_metas(layout: Layout, folder: str, name: str, intent: Intent) -> None:
    """Objects move before their small files do: bring the drafts of those that lack one into place."""
    missing = {base for base in intent.objects if not os.path.lexists(f"{layout.meta}/{base}")}
    if not missing:
        return
    for draft in sorted(os.listdir(folder)):
        if not draft.startswith("draft-"):
            continue
        try:
            base = decode_meta(read_file(f"{folder}/{draft}")).info.path.base
        except StoreError:
            continue
        if base in missing and os.path.lexists(f"{layout.store}/{base}"):
            os.rename(f"{folder}/{draft}", f"{layout.meta}/{base}")


def _settle(
    layout: Layout, index: Environment, objects: Iterable[str], records: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Adopt or trash each orphan, in the order given: references come first."""
    adopted, trashed = [], []
    store_fd = open_directory(layout.store)
    try:
        for base in objects:
            if not exists_at(store_fd, base.encode()):
                _drop_meta_of_nothing(layout, index, base)
                continue
            meta = _proven(layout, store_fd, base)
            if meta is None:
                failpoint("recover:trashing")
                to_trash(layout, store_fd, base.encode())
                trashed.append(base)
                continue
            seal(store_fd, base.encode(), meta)
            failpoint("recover:adopting")
            if _adopt(layout, index, meta):
                adopted.append(base)
        os.fsync(store_fd)
    finally:
        os.close(store_fd)
    for name in records:
        _adopt_record(layout, index, name)
    return adopted, trashed


def _proven(layout: Layout, store_fd: int, base: str) -> ObjectMeta | None:
    """The orphan's small file, if that proves itself and the object has its bytes."""
    try:
        meta = read_meta(layout, base)
        return meta if is_intact(store_fd, base.encode(), meta) else None
    except (StoreError, OSError):
        return None


def _adopt(layout: Layout, index: Environment, meta: ObjectMeta) -> bool:
    """Register an orphan whose references are here; whether it was one."""
    fd = open_directory(layout.meta)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

    def body(txn: Txn) -> bool:
        if any(tables.get_object(txn, reference) is None for reference in meta.info.references):
            return False
        return tables.put_object(txn, meta.info)

    return index.update(body)


def _drop_meta_of_nothing(layout: Layout, index: Environment, base: str) -> None:
    path = f"{layout.meta}/{base}"
    if not os.path.lexists(path):
        return
    try:
        known = index.view(lambda txn: tables.get_object(txn, read_meta(layout, base).info.id))
    except StoreError:
        known = None
    if known is None:
        os.unlink(path)


def _adopt_record(layout: Layout, index: Environment, name: str) -> None:
    try:
        record = decode_record_file(name, read_file(f"{layout.records}/{name}"))
    except (FileNotFoundError, StoreError):
        return
    index.update(lambda txn: register(txn, [], _as_records([record])))


def _as_records(found: Iterable[RecordFile]) -> Records:
    items = list(found)
    return Records(
        witnesses=tuple(item for item in items if not isinstance(item, Resolution)),
        resolutions=tuple(item for item in items if isinstance(item, Resolution)),
    )


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
            found.append(decode_record_file(name, read_file(f"{layout.records}/{name}")))
        except StoreError as error:
            skipped.append((name, error.message))
    return found

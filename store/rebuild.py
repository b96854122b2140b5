"""Making the index again from the small files: nothing else is needed.

The new index is built in a folder of this process' own, synced, and changes places with the old one by one rename,
so that there is a whole index at every moment: whoever dies on the way, or finds the disk full, leaves the old one
as it was. Nobody may have the store open meanwhile (see `openlock`).
"""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from kiln.store import tables
from kiln.store.closure import order_into
from kiln.store.commit import register
from kiln.store.digest import ObjectId
from kiln.store.disk import disk_errors, exchange, open_directory, read_file
from kiln.store.errors import StoreError
from kiln.store.failpoint import failpoint
from kiln.store.index import Environment, Txn
from kiln.store.info import ObjectInfo
from kiln.store.layout import Layout
from kiln.store.openlock import hold_alone
from kiln.store.presence import Presence
from kiln.store.recordfile import RecordFile, decode_record_files
from kiln.store.reserve import make_room
from kiln.store.roots import Root, read_history_file, read_root_files
from kiln.store.session import Session
from kiln.store.settle import as_records
from kiln.store.trash import to_trash
from kiln.store.verify import read_meta


class Rebuilt(NamedTuple):
    """What an index was made from, and the files that were of no use for it, with the reason."""

    objects: int
    records: int
    roots: int
    skipped: tuple[tuple[str, str], ...]


def rebuild_index(layout: Layout, limit: float) -> Rebuilt:
    """Put a new index in the old one's place. Raises StoreLocked (it is open elsewhere), NoSpace."""
    make_room(layout)
    with hold_alone(layout, limit):
        presence = Presence(layout)
        session = Session(layout, presence)
        try:
            with disk_errors("making the index again"):
                path = f"{session.new_folder('index')}/{os.path.basename(layout.critical)}"
                rebuilt = _write(layout, path)
                _put_in_place(layout, path)
        finally:
            presence.close(remove=session.close())
    return rebuilt


def _write(layout: Layout, path: str) -> Rebuilt:
    index = Environment.shared(layout, path)
    try:
        rebuilt = rebuild(layout, index)
    finally:
        index.close()
    _sync(path)
    failpoint("rebuild:written")
    return rebuilt


def _put_in_place(layout: Layout, path: str) -> None:
    """One rename; the old index is then where the new one was, and goes with that folder."""
    folder = os.path.dirname(layout.critical)
    folder_fd, new_fd = open_directory(folder), open_directory(os.path.dirname(path))
    name = os.path.basename(path).encode()
    try:
        if os.path.lexists(layout.critical):
            try:
                exchange(new_fd, name, folder_fd, name)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOSYS):
                    raise
                to_trash(layout, folder_fd, name)  # For a moment there is none, which opening calls damage.
                os.rename(name, name, src_dir_fd=new_fd, dst_dir_fd=folder_fd)
        else:
            os.rename(name, name, src_dir_fd=new_fd, dst_dir_fd=folder_fd)
        failpoint("rebuild:placed")
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)
        os.close(new_fd)


def _sync(path: str) -> None:
    fd = open_directory(path)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rebuild(layout: Layout, index: Environment) -> Rebuilt:
    """Fill an index from the small files. Objects are not read; `verify` does that. Raises StoreError."""
    skipped: list[tuple[str, str]] = []
    with disk_errors("making the index again"):
        infos = _all_infos(layout, skipped)
        records = _all_records(layout, skipped)
        roots = read_root_files(layout)
        before = {link: read_history_file(layout, link) for link, _, _ in roots}
    failpoint("rebuild:scanned")

    def body(txn: Txn) -> None:
        register(txn, infos.values(), as_records(records))
        for link, path, made in roots:
            object_id = tables.find_by_path(txn, path)
            if object_id is not None:
                tables.put_root(txn, Root(link, object_id, made))
                tables.put_history(txn, link, before[link])

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

"""Committing: how objects and records become part of the store, whole or not at all.

    1  everything lies under .tmp: objects where they were built, their small files, records, envelopes
    2  an intent file names what is about to move; one syncfs makes all of it durable
    3  rename into place without replacing; the top directory, which its owner could not rename at mode 0555,
       gets that mode now
    4  sync the folders that got a new entry
    5  one LMDB transaction registers the lot; the intent goes

Steps 3 to 5 are done in the shared passage (see `passage`), and what is registered is pinned by its process.

A crash before step 5 leaves orphans that the intent names: recovery adopts those that verify. What is
registered has always been synced. When the target of a rename is there, it is another process' commit of the
same object, or an orphan: equal bytes are kept, others are moved to the trash.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

import msgpack

from kiln.store import tables
from kiln.store.digest import EnvelopeDigest, blob_digest
from kiln.store.disk import disk_errors, open_directory, rename_new, write_all
from kiln.store.failpoint import failpoint
from kiln.store.index import Environment, Txn
from kiln.store.info import ObjectInfo
from kiln.store.ingest import MTIME_NS
from kiln.store.layout import Layout
from kiln.store.meta import ObjectMeta, encode_meta
from kiln.store.passage import shared_passage
from kiln.store.recordfile import (
    encode_bundle,
    encode_resolution_file,
    encode_witness_file,
    resolution_file,
    witness_file,
)
from kiln.store.records import Resolution
from kiln.store.session import INTENT, Session
from kiln.store.trash import to_trash
from kiln.store.verify import is_intact

META, RECORDS, ENVELOPES = "objects-meta", "records", "envelopes"
_BUNDLED_FROM = 16
"""More records than this, registered together, lie in one file."""
_DRAFT = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class Staged(NamedTuple):
    """An object that is normalised and hashed, and lies as `entry` in `folder` on the store's file system."""

    meta: ObjectMeta
    folder: str
    entry: bytes

    @property
    def physical(self) -> str:
        return os.path.join(self.folder, os.fsdecode(self.entry))


class Records(NamedTuple):
    """What is registered together with objects. Envelopes are the bytes of DSSE envelopes."""

    witnesses: tuple[tables.Witnessed, ...] = ()
    resolutions: tuple[Resolution, ...] = ()
    envelopes: tuple[bytes, ...] = ()


class Move(NamedTuple):
    """A file drafted in the session's folder, on its way to `name` in one of the store's folders."""

    draft: str
    folder: str
    name: str


class Intent(NamedTuple):
    """What a commit moves: entries of store/, and drafts. In msgpack: [1, [entry …], [[draft, folder, name] …]]."""

    objects: tuple[str, ...]
    moves: tuple[Move, ...]

    def encode(self) -> bytes:
        packed: bytes = msgpack.packb([1, list(self.objects), [list(move) for move in self.moves]])
        return packed


def decode_intent(data: bytes) -> Intent:
    """An intent; an empty one when the file was not written whole, which is before anything moved."""
    try:
        match msgpack.unpackb(data):
            case [1, list(objects), list(moves)]:
                return Intent(tuple(map(str, objects)), tuple(Move(*map(str, move)) for move in moves))
    except (ValueError, TypeError):
        pass
    return Intent((), ())


def commit(layout: Layout, index: Environment, session: Session, staged: Iterable[Staged], records: Records) -> None:
    """Make objects and records part of the store, in one transaction; objects before those that refer to them.

    Raises NoSpace, StoreLocked, Damaged, StoreError. What was registered when it fails is nothing; what moved
    is finished or undone by the recovery that the next open does.
    """
    objects = list(staged)
    moves = [*draft_metas(session, objects), *_draft_records(session, records)]
    failpoint("commit:staged")
    intent = write_intent(session, objects, moves)
    failpoint("commit:intent")
    session.sync()
    failpoint("commit:synced")
    with shared_passage(layout):
        _move(layout, session, objects, moves)
        session.presence.pin(item.meta.info.id for item in objects)

        def body(txn: Txn) -> None:
            register(txn, [item.meta.info for item in objects], records)
            failpoint("commit:in-transaction")

        index.update(body)
    failpoint("commit:registered")
    with disk_errors("finishing a commit"):
        os.unlink(intent, dir_fd=session.fd)


def _move(layout: Layout, session: Session, objects: list[Staged], moves: list[Move]) -> None:
    with disk_errors("moving objects into the store"):
        _place_objects(layout, objects)
        for move in moves:
            os.rename(move.draft, f"{layout.root}/{move.folder}/{move.name}", src_dir_fd=session.fd)
            failpoint("commit:draft-renamed")
        sync_folders(layout, ["store"] if objects else [], moves)
    failpoint("commit:directories-synced")


def register(txn: Txn, infos: Iterable[ObjectInfo], records: Records) -> None:
    """The rows of a commit. References come before their referrers in `infos`, or are registered already."""
    for info in infos:
        tables.put_object(txn, info)
    for item in records.witnesses:
        tables.put_witness(txn, item)
    for resolution in records.resolutions:
        tables.put_resolution(txn, resolution)


def discard(item: Staged, layout: Layout) -> None:
    """Throw away a staged object that the store has already."""
    with disk_errors("removing a second copy"):
        folder_fd = open_directory(item.folder)
        try:
            to_trash(layout, folder_fd, item.entry)
        finally:
            os.close(folder_fd)


def envelope_digest(data: bytes) -> EnvelopeDigest:
    return EnvelopeDigest(blob_digest(data))


def envelope_file(digest: EnvelopeDigest) -> str:
    return f"{digest.hex()}.json"


def draft_metas(session: Session, objects: Iterable[Staged]) -> list[Move]:
    """Write the small files of objects into the session's folder."""
    return [Move(draft(session, encode_meta(item.meta)), META, item.meta.info.path.base) for item in objects]


def _draft_records(session: Session, records: Records) -> list[Move]:
    files = [(witness_file(item.witness), encode_witness_file(item)) for item in records.witnesses]
    files += [(resolution_file(item), encode_resolution_file(item)) for item in records.resolutions]
    if len(files) > _BUNDLED_FROM:
        files = [encode_bundle(files)]
    moves = [Move(draft(session, data), RECORDS, name) for name, data in files]
    for data in records.envelopes:
        moves.append(Move(draft(session, data), ENVELOPES, envelope_file(envelope_digest(data))))
    return moves


def draft(session: Session, data: bytes, name: str | None = None) -> str:
    """Write a file into the session's folder; its name. Raises NoSpace, StoreError."""
    name = name or session.fresh("draft-")
    with disk_errors("writing a record"):
        fd = os.open(name, _DRAFT, 0o444, dir_fd=session.fd)
        try:
            write_all(fd, data)
            session.layout.owner.take(fd)
        finally:
            os.close(fd)
    return name


def write_intent(session: Session, objects: Iterable[Staged], moves: Iterable[Move]) -> str:
    """Say what is about to move, so that recovery can finish it; the file's name. It is to be removed at the end."""
    intent = Intent(tuple(item.meta.info.path.base for item in objects), tuple(moves))
    return draft(session, intent.encode(), session.fresh(INTENT))


def _place_objects(layout: Layout, objects: Iterable[Staged]) -> None:
    store_fd = open_directory(layout.store)
    try:
        for item in objects:
            _place(layout, store_fd, item)
            failpoint("commit:object-renamed")
    finally:
        os.close(store_fd)


def _place(layout: Layout, store_fd: int, item: Staged) -> None:
    """Rename one object into the store, or find it there."""
    base = item.meta.info.path.base.encode()
    folder_fd = open_directory(item.folder)
    try:
        while True:
            try:
                rename_new(folder_fd, item.entry, store_fd, base)
                break
            except FileExistsError:
                if is_intact(layout, store_fd, base, item.meta):
                    to_trash(layout, folder_fd, item.entry)
                    break
                to_trash(layout, store_fd, base)
    finally:
        os.close(folder_fd)
    seal(store_fd, base, item.meta)


def seal(store_fd: int, base: bytes, meta: ObjectMeta) -> None:
    """Give an object's top directory its last mode and time. Harmless when it has them."""
    if meta.info.kind != "tree":
        return
    fd = open_directory(base, store_fd)
    try:
        os.utime(fd, ns=(MTIME_NS, MTIME_NS))
        os.fchmod(fd, 0o555)
    finally:
        os.close(fd)


def sync_folders(layout: Layout, folders: Iterable[str], moves: Iterable[Move]) -> None:
    """Make new entries durable in these folders of the store, and in those that the moves went to."""
    for folder in sorted({*folders, *(move.folder for move in moves)}):
        fd = open_directory(f"{layout.root}/{folder}")
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

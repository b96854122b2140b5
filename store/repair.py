"""Repair: what is damaged is made whole from elsewhere, or taken out, so that nothing uses it.

    1  every object is read and hashed
    2  one whose bytes are right gets its modes, times and small file back; any other that is damaged or missing is
       put together from its own whole files and the pool's (see `reassemble`), or copied from another store, and
       put in its place by one exchange of names (renameat2(2), RENAME_EXCHANGE), so that nobody sees it missing;
       what lay there goes to quarantine/
    3  what is still wanting is asked of `Elsewhere`, all at once: brought from caches, or made again
    4  what nobody has is taken out of the index, with all that refers to it, which is useless without it, and
       moved to quarantine/ with its small files: the next realisation makes it again
    5  what is in quarantine/ is looked at again, references first: what is whole and has its references back returns

Nothing in quarantine/ is ever used. What lies there whole, or is in the store again, goes; the rest stays to be
looked at until it is a month old, and the last of it longer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from kiln.store import tables
from kiln.store.add import make_meta
from kiln.store.alive import Snapshot
from kiln.store.borrow import stage_as, stage_borrowed
from kiln.store.commit import Staged, draft_metas, seal, sync_folders, write_intent
from kiln.store.digest import ObjectId
from kiln.store.disk import disk_errors, exchange, exists_at, open_directory, rename_new
from kiln.store.errors import NoSpace, StoreError
from kiln.store.failpoint import failpoint
from kiln.store.index import Environment, Txn
from kiln.store.info import ObjectInfo
from kiln.store.ingest import Measure, Normalise, ingest
from kiln.store.lastuse import DAY
from kiln.store.layout import Layout
from kiln.store.meta import ObjectMeta, decode_meta
from kiln.store.passage import sole_passage
from kiln.store.reader import StoreReader
from kiln.store.reassemble import stage_reassembled
from kiln.store.session import Session
from kiln.store.trash import Bin, to_trash
from kiln.store.tree import make_enterable
from kiln.store.verify import read_meta, verify_object

QUARANTINE = "quarantine"
QUARANTINE_DAYS = 30
QUARANTINE_KEPT = 40
"""Files: an object and its small file are two."""


class Repaired(NamedTuple):
    """`mended` are whole again; `lost` were damaged and are out; `useless` are out since they refer to one
    that is; `returned` came back out of quarantine."""

    checked: int
    mended: tuple[ObjectInfo, ...]
    lost: tuple[ObjectInfo, ...]
    useless: tuple[ObjectInfo, ...]
    returned: tuple[ObjectInfo, ...]


class Elsewhere(Protocol):
    """Where whole objects may come from that no store of this machine has. Each is asked once."""

    def bring(self, wanting: Sequence[ObjectInfo]) -> Iterable[Staged]:
        """Those that a cache has. Nothing of them is believed: what is not the object is passed over."""
        ...

    def remake(self, wanting: Sequence[ObjectInfo]) -> Iterable[StoreReader]:
        """Stores in which what could be made again lies now."""
        ...


def repair(
    layout: Layout,
    index: Environment,
    session: Session,
    others: Sequence[StoreReader],
    elsewhere: Elsewhere | None = None,
) -> Repaired:
    """The caller holds the collector's lock. Raises StoreLocked, NoSpace, StoreError."""
    snapshot = index.view(Snapshot.of)
    infos = list(snapshot.infos.values())
    damaged = [info for info in infos if verify_object(layout, info)]
    lost = [info for info in damaged if not _mended_here(layout, session, info, others)]
    if lost and elsewhere is not None:
        lost = _mended_elsewhere(layout, session, lost, elsewhere)
    mended = [info for info in damaged if info not in lost]
    useless = _take_out(layout, index, snapshot, lost)
    returned = _return(layout, index, session)
    return Repaired(len(infos), tuple(mended), tuple(lost), tuple(useless), tuple(returned))


def _mended_here(layout: Layout, session: Session, info: ObjectInfo, others: Sequence[StoreReader]) -> bool:
    """By what this machine has."""
    if _heal(layout, session, info):
        return True
    staged = _reassemble(layout, session, info) or _borrow(session, info.id, others)
    if staged is not None:
        _mend(layout, session, staged)
    return staged is not None


def _mended_elsewhere(
    layout: Layout, session: Session, lost: Sequence[ObjectInfo], elsewhere: Elsewhere
) -> list[ObjectInfo]:
    """What is lost all the same."""
    wanting = {info.id: info for info in lost}
    for staged in elsewhere.bring(lost):
        if wanting.get(staged.meta.info.id) == staged.meta.info:
            del wanting[staged.meta.info.id]
            _mend(layout, session, staged)
    if wanting:
        others = list(elsewhere.remake(list(wanting.values())))
        for info in list(wanting.values()):
            staged_again = _borrow(session, info.id, others)
            if staged_again is not None:
                del wanting[info.id]
                _mend(layout, session, staged_again)
    return list(wanting.values())


def _heal(layout: Layout, session: Session, info: ObjectInfo) -> bool:
    """Whether the object is whole after what needs no other copy: its bytes are right.

    Nobody has to be kept out: no byte changes, and nothing is collected meanwhile.
    """
    base = info.path.base.encode()
    store_fd = open_directory(layout.store)
    try:
        found = ingest(store_fd, base, Measure())
        if found.manifest.root != info.root:
            return False
        meta = make_meta(found, info.name, info.references)
        if meta.info == info:  # No self-references: the small file follows from the bytes.
            with disk_errors("writing an object's small file"):
                _write_meta(layout, session, meta)
        ingest(store_fd, base, Normalise(layout.owner))
        seal(store_fd, base, meta)
    except NoSpace:
        raise
    except (OSError, StoreError):
        return False
    finally:
        os.close(store_fd)
    return not verify_object(layout, info)


def _reassemble(layout: Layout, session: Session, info: ObjectInfo) -> Staged | None:
    try:
        meta = read_meta(layout, info.path.base)
        return stage_reassembled(layout, session, meta) if meta.info == info else None
    except NoSpace:
        raise
    except StoreError:
        return None


def _borrow(session: Session, object_id: ObjectId, others: Iterable[StoreReader]) -> Staged | None:
    for other in others:
        try:
            return stage_borrowed(session, other, object_id)
        except NoSpace:
            raise
        except StoreError:
            continue
    return None


def _mend(layout: Layout, session: Session, staged: Staged) -> None:
    """Put a whole copy where a damaged object lies, and its small file beside it.

    The copy is on the disk before others are kept out. Whoever dies here leaves an intent, which recovery follows.
    """
    [meta] = moves = draft_metas(session, [staged])
    intent = write_intent(session, [staged], moves)
    session.sync()
    failpoint("repair:synced")
    with sole_passage(layout), disk_errors("repairing an object"):
        os.rename(meta.draft, f"{layout.meta}/{meta.name}", src_dir_fd=session.fd)
        _exchange(layout, staged)
        sync_folders(layout, ["store"], moves)
    with disk_errors("repairing an object"):
        os.unlink(intent, dir_fd=session.fd)


def _exchange(layout: Layout, staged: Staged) -> None:
    base = staged.meta.info.path.base.encode()
    store_fd, folder_fd = open_directory(layout.store), open_directory(staged.folder)
    try:
        if exists_at(store_fd, base):
            make_enterable(store_fd, base)
            exchange(folder_fd, staged.entry, store_fd, base)
            failpoint("repair:exchanged")
            seal(store_fd, base, staged.meta)
            _into_quarantine(layout, folder_fd, staged.entry, base.decode())
        else:
            rename_new(folder_fd, staged.entry, store_fd, base)
            seal(store_fd, base, staged.meta)
    finally:
        os.close(store_fd)
        os.close(folder_fd)


def _write_meta(layout: Layout, session: Session, meta: ObjectMeta) -> None:
    [move] = draft_metas(session, [Staged(meta, "", b"")])
    session.sync()
    os.rename(move.draft, f"{layout.meta}/{move.name}", src_dir_fd=session.fd)


def _quarantine_fd(layout: Layout) -> int:
    path = f"{layout.root}/{QUARANTINE}"
    layout.make_folder(path, 0o700)
    return open_directory(path)


def _into_quarantine(layout: Layout, folder_fd: int, entry: bytes, base: str) -> None:
    """Move an entry there; an earlier one of that name goes to the trash."""
    fd = _quarantine_fd(layout)
    try:
        to_trash(layout, fd, base.encode())
        with suppress(FileNotFoundError):
            make_enterable(folder_fd, entry)
            os.rename(entry, base, src_dir_fd=folder_fd, dst_dir_fd=fd)
    finally:
        os.close(fd)


def _take_out(layout: Layout, index: Environment, snapshot: Snapshot, lost: Sequence[ObjectInfo]) -> list[ObjectInfo]:
    """Out of the index first, then out of store/; what went besides the lost."""
    if not lost:
        return []

    def body(txn: Txn) -> list[ObjectInfo]:
        new = txn.after(tables.LOG, snapshot.last.to_bytes(8, "big"))
        numbers = {**snapshot.numbers, **{ObjectId(value): int.from_bytes(key, "big") for key, value in new}}
        gone = _with_referrers(txn, [info.id for info in lost])
        for info in gone:
            tables.remove_object(txn, info.id, info, numbers[info.id])
        return gone

    with sole_passage(layout), disk_errors("moving damaged objects into quarantine"):
        gone = index.update(body)
        failpoint("repair:taken-out")
        store_fd, meta_fd = open_directory(layout.store), open_directory(layout.meta)
        try:
            for info in gone:
                _into_quarantine(layout, store_fd, info.path.base.encode(), info.path.base)
                _into_quarantine(layout, meta_fd, info.path.base.encode(), f"{info.path.base}.meta")
                failpoint("repair:moved")
            os.fsync(store_fd)
            os.fsync(meta_fd)
        finally:
            os.close(store_fd)
            os.close(meta_fd)
        index.update(lambda txn: [txn.delete(tables.TRASH, info.path.base.encode()) for info in gone])
    own = {info.id for info in lost}
    return [info for info in gone if info.id not in own]


def _with_referrers(txn: Txn, starts: Iterable[ObjectId]) -> list[ObjectInfo]:
    found: dict[ObjectId, ObjectInfo] = {}
    stack = list(starts)
    while stack:
        item = stack.pop()
        info = None if item in found else tables.get_object(txn, item)
        if info is not None:
            found[item] = info
            stack.extend(ObjectId(value) for value in txn.values(tables.REFERRERS, item))
    return list(found.values())


def _return(layout: Layout, index: Environment, session: Session) -> list[ObjectInfo]:
    """Bring back what is whole, until nothing more can come; what is old, or here again, goes."""
    from kiln.store.commit import Records, commit

    folder = f"{layout.root}/{QUARANTINE}"
    if not os.path.isdir(folder):
        return []
    returned: list[ObjectInfo] = []
    waiting = _quarantined(folder)
    while True:
        ready = [meta for meta in waiting if _has_references(index, meta)]
        waiting = [meta for meta in waiting if meta not in ready]
        for meta in ready:
            if index.view(lambda txn, item=meta.info.id: tables.get_object(txn, item)) is None:  # type: ignore[misc]
                try:
                    staged = stage_as(session, meta, folder)
                except NoSpace:
                    raise
                except StoreError:
                    continue
                commit(layout, index, session, [staged], Records())
                returned.append(meta.info)
            _discard(layout, folder, meta.info.path.base)
        if not ready:
            break
    _discard_old(layout, folder)
    return returned


def _quarantined(folder: str) -> list[ObjectMeta]:
    found = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".meta"):
            with suppress(StoreError, OSError), open(f"{folder}/{name}", "rb") as file:
                found.append(decode_meta(file.read()))
    return found


def _has_references(index: Environment, meta: ObjectMeta) -> bool:
    def body(txn: Txn) -> bool:
        return all(tables.get_object(txn, item) is not None for item in meta.info.references)

    return index.view(body)


def _discard(layout: Layout, folder: str, base: str) -> None:
    with disk_errors("emptying the quarantine"), Bin(layout) as trash:
        trash.take(folder, base, is_tree=None)
        trash.take(folder, f"{base}.meta")


def _discard_old(layout: Layout, folder: str) -> None:
    """The youngest stay, whatever their age: a clock that jumps ahead makes everything old at once."""
    found = []
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):
            found.append((os.lstat(f"{folder}/{name}").st_ctime, name))
    for changed, name in sorted(found, reverse=True)[QUARANTINE_KEPT:]:
        if time.time() - changed > QUARANTINE_DAYS * DAY:
            _discard(layout, folder, name)

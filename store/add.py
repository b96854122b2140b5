"""Adding what is already there: a fetched file, an unpacked tree, a source. Nothing is scanned."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from kiln.store.commit import Staged
from kiln.store.copying import Copy, Recall, check_same
from kiln.store.digest import ObjectId
from kiln.store.disk import FULL, disk_errors, open_directory
from kiln.store.errors import Refused
from kiln.store.info import ObjectInfo, sorted_references
from kiln.store.ingest import CaseCollision, Ingested, Measure, Normalise, ingest, show_path
from kiln.store.manifest import object_id
from kiln.store.meta import ObjectMeta, kind_of
from kiln.store.patch import split
from kiln.store.paths import check_name
from kiln.store.session import Session
from kiln.store.sourcememo import SourceMemo
from kiln.store.trash import to_trash
from kiln.store.tree import Select, remove_tree

Known = Callable[[ObjectInfo], bool]


def make_meta(found: Ingested, name: str, references: Iterable[ObjectId]) -> ObjectMeta:
    """An object that does not mention itself."""
    refs = sorted_references(references)
    identity = object_id(check_name(name), found.manifest, (), refs)
    info = ObjectInfo(identity, found.manifest.root, name, found.size, refs, kind_of(found.node))
    return ObjectMeta(info, found.manifest, ())


def stage_moved(
    session: Session, source: str, name: str, references: Iterable[ObjectId]
) -> tuple[Staged, tuple[CaseCollision, ...]]:
    """Normalise the source where it lies; from another file system it is copied, then removed."""
    check_name(name)
    folder, entry = split(source)
    with disk_errors("adding to the store"):
        parent_fd = open_directory(folder)
        try:
            if os.stat(entry, dir_fd=parent_fd, follow_symlinks=False).st_dev != os.fstat(session.fd).st_dev:
                staged, collisions = stage_copy(session, source, name, references, None, lambda _: False)
                assert isinstance(staged, Staged)
                remove_tree(parent_fd, entry)
                return staged, collisions
            found = ingest(parent_fd, entry, Normalise(session.layout.owner))
        finally:
            os.close(parent_fd)
    return Staged(make_meta(found, name, references), folder, entry), found.collisions


def stage_copy(
    session: Session,
    source: str,
    name: str,
    references: Iterable[ObjectId],
    select: Select | None,
    known: Known,
    memo: SourceMemo | None = None,
) -> tuple[Staged | ObjectInfo, tuple[CaseCollision, ...]]:
    """Copy a source, reading it once, unless the store has it already.

    What is remembered of the source tells at the price of a stat for each file; what is not, when the copy is
    made, which then goes. Raises Refused when a file changed meanwhile, or it holds what an object cannot.
    """
    check_name(name)
    refs = tuple(references)
    folder, entry = split(source)
    with _reading(source):
        parent_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if memo is not None and memo.is_known():
                seen = ingest(parent_fd, entry, Recall(memo), select=select)
                memo.save()
                meta = make_meta(seen, name, refs)
                if known(meta.info):
                    return meta.info, seen.collisions
            return _copy(session, parent_fd, entry, name, refs, select, known, memo)
        finally:
            os.close(parent_fd)


def _copy(
    session: Session,
    parent_fd: int,
    entry: bytes,
    name: str,
    references: tuple[ObjectId, ...],
    select: Select | None,
    known: Known,
    memo: SourceMemo | None,
) -> tuple[Staged | ObjectInfo, tuple[CaseCollision, ...]]:
    target = session.fresh("copy-").encode()
    visitor = Copy(session.fd, target, session.layout.owner, memo)
    try:
        copied = ingest(parent_fd, entry, visitor, select=select)
        check_same(parent_fd, entry, visitor.facts, select)
    except BaseException as error:
        remove_tree(session.fd, target)
        if isinstance(error, OSError) and error.errno in FULL:
            seen = ingest(parent_fd, entry, Measure(), select=select)
            info = make_meta(seen, name, references).info
            if known(info):
                return info, seen.collisions
        raise
    finally:
        visitor.close()
    if memo is not None:
        memo.save()
    meta = make_meta(copied, name, references)
    if known(meta.info):
        to_trash(session.layout, session.fd, target)  # Unlinking many files takes longer than all the rest.
        return meta.info, copied.collisions
    return Staged(meta, session.path, target), copied.collisions


@contextmanager
def _reading(source: str) -> Iterator[None]:
    """What cannot be read is the user's to mend; a full disk is not."""
    with disk_errors("adding to the store"):
        try:
            yield
        except (PermissionError, FileNotFoundError) as error:
            raise Refused(
                "a source cannot be read",
                expected="files and directories that this user can read",
                found=f"{error.strerror}: {_shown(error.filename)} in {source!r}",
            ) from error


def _shown(path: object) -> str:
    return show_path(path) if isinstance(path, bytes) else repr(path)

"""Adding what is already there: a fetched file, an unpacked tree, a source. Nothing is scanned."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from kiln.store.commit import Staged
from kiln.store.digest import ObjectId
from kiln.store.disk import disk_errors, open_directory
from kiln.store.errors import Refused
from kiln.store.info import ObjectInfo, sorted_references
from kiln.store.ingest import CaseCollision, Copy, Ingested, Measure, Normalise, ingest, show_path
from kiln.store.manifest import object_id
from kiln.store.meta import ObjectMeta, kind_of
from kiln.store.patch import split
from kiln.store.paths import check_name
from kiln.store.session import Session
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
) -> tuple[Staged | ObjectInfo, tuple[CaseCollision, ...]]:
    """Read the source; copy it only if the store does not have it.

    Raises Refused when it changed between the two, or holds what an object cannot.
    """
    check_name(name)
    folder, entry = split(source)
    with _reading(source):
        parent_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            seen = ingest(parent_fd, entry, Measure(), select=select)
            meta = make_meta(seen, name, references)
            if known(meta.info):
                return meta.info, seen.collisions
            target = session.fresh("copy-")
            visitor = Copy(session.fd, target.encode(), session.layout.owner)
            try:
                copied = ingest(parent_fd, entry, visitor, select=select)
            finally:
                visitor.close()
        finally:
            os.close(parent_fd)
    if copied.manifest.root != seen.manifest.root:
        raise Refused(
            "a source changed while it was being read",
            found=show_path(os.fsencode(source)),
            help="stop what writes it, then run the same command again",
        )
    return Staged(meta, session.path, target.encode()), seen.collisions


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
                found=f"{error.strerror}: {error.filename!r} in {source!r}",
            ) from error

"""Roots: links outside the store that keep objects alive.

A root is an absolute path at which a symlink to an object was made (a `result` link). It is registered before
the link is made, both in the index and as a symlink in roots/, named by BLAKE3 of the path and pointing at it,
with the object's path behind it:

    roots/<32 hex digits>  →  /home/a/project/result
    roots/<32 hex digits>.before     msgpack [1, [id …]]: what the link showed before, the newest first

A named root is the same with the link in the store itself, at roots/named/<name>.

The link itself says which object it keeps: when the user removes or changes it, the root is gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import msgpack
from blake3 import blake3

from kiln.store.digest import ObjectId
from kiln.store.disk import disk_errors, open_directory, read_file, write_all
from kiln.store.errors import BadName, Refused, StoreError
from kiln.store.layout import Layout
from kiln.store.paths import StorePath, check_name


class Root(NamedTuple):
    """`link` is absolute; `made` is in milliseconds since 1970."""

    link: str
    object: ObjectId
    made: int


def root_key(link: str) -> bytes:
    """16 bytes that name a link, however long its path is."""
    return blake3(os.fsencode(link)).digest(16)


def new_root(link: str, object_id: ObjectId) -> Root:
    """Raises BadName for a path that is not absolute."""
    if not os.path.isabs(link) or "\0" in link:
        raise BadName("a root's link needs an absolute path", found=repr(link[:200]))
    return Root(os.path.normpath(link), object_id, time.time_ns() // 1_000_000)


def named_link(layout: Layout, name: str) -> str:
    """Where the link of a named root lies. Raises BadName."""
    folder = f"{layout.roots}/named"
    with disk_errors("making a folder for named roots"):
        layout.make_folder(folder)
    return f"{folder}/{check_name(name)}"


def remove_link(layout: Layout, link: str) -> None:
    """Remove a root's link, if it still shows an object of this store, and the copy outside the index."""
    with disk_errors("removing a root"):
        if linked_path(layout, link) is not None:
            os.unlink(link)
        for path in (_root_file(layout, link), _history_file(layout, link)):
            with suppress(FileNotFoundError):
                os.unlink(path)


def check_link(layout: Layout, link: str) -> None:
    """Refuse to replace anything but a symlink into this store. Raises Refused."""
    try:
        target = os.readlink(link)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Refused(
            "something that is not a link lies where the result link should be",
            found=repr(link),
            help="move it away, or give another place with --out-link",
        ) from error
    if not _points_into(layout, target):
        raise Refused(
            "the link that lies there does not point into this store",
            found=f"{link!r} → {target!r}",
            help="move it away, or give another place with --out-link",
        )


def _points_into(layout: Layout, target: str) -> bool:
    """A link of this store's or of another Kiln store's, which may be replaced."""
    try:
        StorePath.parse(os.path.basename(target))
    except BadName:
        return False
    return os.path.basename(os.path.dirname(target)) == os.path.basename(layout.store)


def write_root_file(layout: Layout, root: Root) -> None:
    """The copy of a root outside the index."""
    path = _root_file(layout, root.link)
    draft = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    with disk_errors("writing a root"):
        os.symlink(root.link, draft)
        layout.owner.take_at(None, draft)
        os.rename(draft, path)
        fd = open_directory(layout.roots)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _root_file(layout: Layout, link: str) -> str:
    return f"{layout.roots}/{root_key(link).hex()}"


def _history_file(layout: Layout, link: str) -> str:
    return f"{_root_file(layout, link)}.before"


def write_history_file(layout: Layout, link: str, before: Sequence[ObjectId]) -> None:
    """The copy, outside the index, of what a link showed before."""
    path = _history_file(layout, link)
    draft = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    with disk_errors("writing what a root showed before"):
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            write_all(fd, msgpack.packb([1, list(before)]))
            layout.owner.take(fd)
            os.fsync(fd)
            os.rename(draft, path)
        except OSError:
            os.unlink(draft)
            raise
        finally:
            os.close(fd)


def read_history_file(layout: Layout, link: str) -> list[ObjectId]:
    """What a link showed before, the newest first; nothing where that was not kept, or does not parse."""
    try:
        match msgpack.unpackb(read_file(_history_file(layout, link))):
            case [1, list(before)]:
                return [ObjectId(item) for item in before]
    except (OSError, ValueError, TypeError, StoreError):
        pass
    return []


def make_link(link: str, physical: str) -> None:
    """A symlink at `link`, replacing the one that is there, never half made."""
    with disk_errors("making a result link"):
        draft = f"{link}.kiln-{os.getpid()}-{os.urandom(4).hex()}"
        os.symlink(physical, draft)
        try:
            os.rename(draft, link)
        except OSError:
            os.unlink(draft)
            raise


def linked_path(layout: Layout, link: str) -> StorePath | None:
    """The object of this store that a link keeps alive now, if it still does."""
    try:
        target = os.readlink(link)
    except OSError:
        return None
    if os.path.dirname(target) != layout.store:
        return None
    try:
        return StorePath.parse(os.path.basename(target))
    except BadName:
        return None


def read_root_files(layout: Layout) -> list[tuple[str, StorePath, int]]:
    """What roots/ and the links themselves say: link, store path, time made. Stale ones are left out."""
    found = []
    for name in sorted(os.listdir(layout.roots)):
        path = f"{layout.roots}/{name}"
        try:
            link, made = os.readlink(path), os.lstat(path).st_mtime_ns // 1_000_000
        except OSError:
            continue
        target = linked_path(layout, link)
        if name == root_key(link).hex() and target is not None:
            found.append((link, target, made))
    return found

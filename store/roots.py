"""Roots: links outside the store that keep objects alive.

A root is an absolute path at which a symlink to an object was made (a `result` link). It is registered before
the link is made, both in the index and as a symlink in roots/, named by BLAKE3 of the path and pointing at it,
with the object's path behind it:

    roots/<32 hex digits>  →  /home/a/project/result

A named root is the same with the link in the store itself, at roots/named/<name>.

The link itself says which object it keeps: when the user removes or changes it, the root is gone.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple

from blake3 import blake3

from kiln.store.digest import ObjectId
from kiln.store.disk import disk_errors, open_directory
from kiln.store.errors import BadName, Refused
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
        with suppress(FileNotFoundError):
            os.unlink(f"{layout.roots}/{root_key(link).hex()}")


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
    path = f"{layout.roots}/{root_key(root.link).hex()}"
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

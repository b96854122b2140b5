"""The pool: big files with equal bytes lie on the disk once, and no build can tell.

    pool/<2 hex>/<62 hex>      a file of mode 0444, by the BLAKE3 of its bytes; with `x` behind it, one of mode 0555

When an object is about to be committed, each of its files of at least 64 KiB that the pool has is replaced by it:
by a clone where the file system shares blocks, else by a hard link. What it does not have is linked into it once the
object is on the disk, so that what is in the pool has always been synced. Before it is used, an entry is hashed: no
good copy is ever given up for one that was damaged.

Hard links could be seen: two names of one file in one tree make `cp -a` and tar write the second as a link to the
first. So a file is shared at most once in an object. Small files are never shared: they gain little, and tools that
edit in place would find many of them. When an inode has all the links that the file system allows, the entry is
given up and the next copy takes its place. An entry goes with the last object that is linked to it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress

from kiln.store.bigcopy import clone
from kiln.store.commit import Staged
from kiln.store.disk import disk_errors, open_directory
from kiln.store.ingest import finish_directory, finish_file, hash_file
from kiln.store.layout import Layout
from kiln.store.manifest import FileNode, entries_of
from kiln.store.meta import ObjectMeta

SMALLEST = 64 << 10
"""Bytes; smaller files are never shared."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Pool:
    """The pool of one store."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._root = f"{layout.root}/pool"

    def exists(self) -> bool:
        """Whether anything was ever put into it."""
        return os.path.isdir(self._root)

    def share(self, items: Iterable[Staged]) -> None:
        """Replace what the pool has, in objects that are staged. Raises NoSpace, StoreError."""
        if not self.exists():
            return
        with disk_errors("sharing files of the store"):
            for item in items:
                for path, node in big_files(item.meta):
                    self._replace(item, path, node, self.entry(node))

    def offer(self, metas: Iterable[ObjectMeta]) -> None:
        """Link what the pool does not have into it, from objects that are registered. Never raises for it."""
        for meta in metas:
            for path, node in big_files(meta):
                with suppress(OSError):
                    self._add(f"{self._layout.store}/{meta.info.path.base}", path, node)

    def give_up(self, entries: Iterable[str]) -> None:
        """Remove these entries, which no object links to any more; who is just taking one copies instead."""
        with disk_errors("pruning the pool"):
            for entry in entries:
                _give_up(entry)

    def prune(self) -> int:
        """Remove entries that no object links to; how many. Those of objects in the trash stay."""
        removed = 0
        with disk_errors("pruning the pool"):
            for entry in list(self._entries()):
                with suppress(FileNotFoundError):
                    if os.lstat(entry).st_nlink == 1:
                        os.unlink(entry)
                        removed += 1
        return removed

    def _entries(self) -> Iterator[str]:
        if self.exists():
            for name in os.listdir(self._root):
                for inner in os.listdir(f"{self._root}/{name}"):
                    yield f"{self._root}/{name}/{inner}"

    def entry(self, node: FileNode) -> str:
        """Where the pool has a file, if it has it."""
        digits = node.digest.hex()
        return f"{self._root}/{digits[:2]}/{digits[2:]}{'x' if node.executable else ''}"

    def has(self, entry: str) -> bool:
        """Whether an entry is there."""
        return os.path.isfile(entry)

    def _add(self, physical: str, path: bytes, node: FileNode) -> None:
        entry = self.entry(node)
        if os.path.lexists(entry):
            return
        self._layout.make_folder(self._root, 0o700)
        self._layout.make_folder(os.path.dirname(entry), 0o700)
        fd, name = open_parent(os.fsencode(physical), path)
        try:
            if stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                os.link(name, entry, src_dir_fd=fd, follow_symlinks=False)
        finally:
            os.close(fd)

    def _replace(self, item: Staged, path: bytes, node: FileNode, entry: str) -> None:
        """By the entry, if there is one, and it is still there when it is needed: a collection may prune it."""
        try:
            source = os.open(entry, _READ)
        except FileNotFoundError:
            return
        try:
            if hash_file(source, node.size, path) != (node.size, node.digest):
                _give_up(entry)
                return
            fd, name = open_parent(os.fsencode(item.physical), path)
            try:
                self._put(fd, name, path, node, entry, source)
            finally:
                os.close(fd)
        finally:
            os.close(source)

    def _put(self, fd: int, name: bytes, path: bytes, node: FileNode, entry: str, source: int) -> None:
        """A clone of, or a link to, the entry in the place of a file. The directory is as it was afterwards."""
        draft = b".kiln-" + os.urandom(8).hex().encode()
        if path:
            os.fchmod(fd, 0o755)
        try:
            if not self._cloned(fd, draft, node, source):
                os.link(entry, draft, dst_dir_fd=fd, follow_symlinks=False)
            os.rename(draft, name, src_dir_fd=fd, dst_dir_fd=fd)
        except OSError as error:
            if error.errno not in (errno.EMLINK, errno.ENOENT):
                raise
            _give_up(entry)
        finally:
            if path:
                finish_directory(fd, is_top=b"/" not in path)

    def _cloned(self, fd: int, draft: bytes, node: FileNode, source: int) -> bool:
        out = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)
        try:
            if clone(source, out):
                finish_file(out, node.executable, self._layout.owner)
                return True
        finally:
            os.close(out)
        os.unlink(draft, dir_fd=fd)
        return False


def _give_up(entry: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(entry)


def big_files(meta: ObjectMeta) -> list[tuple[bytes, FileNode]]:
    """The files that may be shared, each content once."""
    if meta.info.size < SMALLEST:
        return []
    found: dict[FileNode, bytes] = {}
    for path, node in entries_of(meta.manifest):
        if isinstance(node, FileNode) and node.size >= SMALLEST:
            found.setdefault(node, path)
    return [(path, node) for node, path in found.items()]


def open_parent(top: bytes, path: bytes) -> tuple[int, bytes]:
    """The folder of an entry below `top`, opened without following anything, and the entry's name there."""
    if not path:
        return open_directory(os.path.dirname(top)), os.path.basename(top)
    *above, name = path.split(b"/")
    fd = open_directory(top)
    for component in above:
        inner = open_directory(component, fd)
        os.close(fd)
        fd = inner
    return fd, name

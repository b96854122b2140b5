"""What the disk gets back when objects go.

A small file is its object's own. A big one may be shared with other objects (see `pool`): its bytes are free when the
last link to it goes, and one of its links is the pool's own, which goes with the last object's. Where the file
system clones, what is shared can't be seen, and each object counts whole. A file that lies in the trash as well, or
is being committed again, is not free yet and counts nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from kiln.store.errors import StoreError
from kiln.store.info import ObjectInfo
from kiln.store.layout import Layout
from kiln.store.pool import SMALLEST, Pool, big_files, open_parent
from kiln.store.verify import read_meta


class _Shared(NamedTuple):
    """A file of an object that the pool has too. `links` are those besides the pool's."""

    inode: int
    size: int
    links: int
    entry: str


class Freeing:
    """Counts what objects free as they go, one after the other. Looks at each before it goes."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._pool = Pool(layout)
        self._looked: dict[bytes, tuple[_Shared, ...]] = {}

    def look(self, infos: Iterable[ObjectInfo]) -> None:
        """Learn what these share, while they are in store/."""
        for info in infos:
            if info.size >= SMALLEST and info.id not in self._looked:
                self._looked[info.id] = self._shared(info)

    def count(self) -> Count:
        return Count(self)

    def of(self, info: ObjectInfo) -> tuple[_Shared, ...]:
        """What an object shares; to be looked at first."""
        return self._looked.get(info.id, ())

    def _shared(self, info: ObjectInfo) -> tuple[_Shared, ...]:
        if not self._pool.exists():
            return ()
        found = []
        try:
            meta = read_meta(self._layout, info.path.base)
            for path, node in big_files(meta):
                entry = self._pool.entry(node)
                own, pooled = _facts(f"{self._layout.store}/{info.path.base}", path), _entry_facts(entry)
                if pooled is not None and own.st_ino == pooled.st_ino:
                    found.append(_Shared(own.st_ino, node.size, own.st_nlink - 1, entry))
        except (OSError, StoreError):  # It is damaged: nobody knows what it shares.
            return ()
        return tuple(found)


class Count:
    """How much goes, and which entries of the pool nobody links to any more then."""

    def __init__(self, freeing: Freeing) -> None:
        self._freeing = freeing
        self._taken: dict[int, int] = {}
        self.freed = 0
        self.entries: list[str] = []

    def add(self, info: ObjectInfo) -> None:
        """This object goes too."""
        shared = self._freeing.of(info)
        self.freed += info.size - sum(item.size for item in shared)
        for item in shared:
            taken = self._taken[item.inode] = self._taken.get(item.inode, 0) + 1
            if taken == item.links:
                self.freed += item.size
                self.entries.append(item.entry)


def _facts(physical: str, path: bytes) -> os.stat_result:
    fd, name = open_parent(os.fsencode(physical), path)
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    finally:
        os.close(fd)


def _entry_facts(entry: str) -> os.stat_result | None:
    try:
        return os.lstat(entry)
    except FileNotFoundError:
        return None

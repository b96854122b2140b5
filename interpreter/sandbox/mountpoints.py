"""Keeping mount points from one build to the next.

Each input is mounted on an entry of its own in the directory that is shown as /kiln/store, on the store's file
system, since the outputs arise beside them. Making such an entry costs 20 µs on ext4 and removing it 60, several
times what the mount itself costs, and the next build has nearly the same inputs. So a directory that a build has
left clean is lent to the next one, after the entries that the next one does not have were removed; what the builder
made is moved out first.

A directory is lent to one build at a time, and looks as if it were new: a builder, whose own it is, may have changed
its mode, its attributes, and what lies where a symlink stood, which nothing is mounted on. The mode is set again;
of whatever else is not as it was, it is never lent again. Its size, and the order in which its entries are read, may
differ (docs/spec/sandbox.md).
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from typing import NamedTuple

_MODE = 0o755
_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS of <linux/fs.h>


class Lent(NamedTuple):
    """A directory for one build. `ready` are the mount points that it has already, which nobody can have touched."""

    path: str
    ready: frozenset[str] = frozenset()


class MountPoints:
    """Directories with mount points below `folder`, which the caller owns and removes when he ends.

    `folder` lies on the store's file system. Safe for any number of threads.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._free: list[str] = []
        self._made = 0
        self._flags: bytes | None = None
        """What `chattr` shows of a directory that nobody has used."""
        self._guard = threading.Lock()

    def lend(self, bases: frozenset[str], owner: tuple[int, int] | None) -> Lent:
        """A directory with no entry but mount points for `bases`; some may be missing."""
        while True:
            with self._guard:
                path = self._free.pop() if self._free else None
            if path is None:
                return Lent(self._make(owner))
            ready = frozenset(os.listdir(path))
            if all(remove_mount_point(f"{path}/{base}") for base in ready - bases):
                return Lent(path, ready & bases)

    def give_back(self, lent: Lent, bases: frozenset[str]) -> None:
        """Take back a directory of mount points for `bases`, and forget one that holds anything else."""
        with os.scandir(lent.path) as entries:
            if not all(entry.name in lent.ready or _is_new_one(entry, bases) for entry in entries):
                return
        os.chmod(lent.path, _MODE)
        if os.listxattr(lent.path) or _flags(lent.path) != self._flags:
            return
        with self._guard:
            self._free.append(lent.path)

    def _make(self, owner: tuple[int, int] | None) -> str:
        with self._guard:
            self._made += 1
            path = f"{self._folder}/{self._made}"
        os.mkdir(path)
        os.chmod(path, _MODE)
        if self._flags is None:
            self._flags = _flags(path)
        if owner is not None:
            os.chown(path, *owner)
        return path


def _is_new_one(entry: os.DirEntry[str], bases: frozenset[str]) -> bool:
    """Whether an entry is a mount point of this build's: those are empty, and no symlinks."""
    if entry.name not in bases or entry.is_symlink():
        return False
    if entry.is_dir(follow_symlinks=False):
        return not os.listdir(entry.path)
    return entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_size == 0


def _flags(path: str) -> bytes:
    """A directory's attributes as chattr(1) sets them; empty where the file system has none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def remove_mount_point(path: str) -> bool:
    """Remove an empty directory, an empty file or a symlink; False when something else has taken its place."""
    try:
        found = os.lstat(path)
        if stat.S_ISDIR(found.st_mode):
            os.rmdir(path)
        elif stat.S_ISLNK(found.st_mode) or found.st_size == 0:
            os.unlink(path)
        else:
            return False
    except OSError:
        return False
    return True

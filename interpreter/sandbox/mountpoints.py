"""Keeping mount points from one build to the next.

Each input is mounted on an entry of its own in the directory that is shown as /kiln/store, on the store's file
system, since the outputs arise beside them. Making such an entry costs 20 µs on ext4 and removing it 60, several
times what the mount itself costs, and the next build has nearly the same inputs. So a directory that a build has
left clean is lent to the next one, after the entries that the next one does not have were removed; what the builder
made is moved out first.

A directory is lent to one build at a time. Whatever else is found in one, it is never lent again.
"""

from __future__ import annotations

import os
import stat
import threading


class MountPoints:
    """Directories with mount points below `folder`, which the caller owns and removes when he ends.

    `folder` lies on the store's file system. Safe for any number of threads.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._free: list[str] = []
        self._made = 0
        self._guard = threading.Lock()

    def lend(self, bases: frozenset[str], owner: tuple[int, int] | None) -> str:
        """A directory with no entry but mount points for `bases`; some may be missing."""
        with self._guard:
            lent = self._free.pop() if self._free else None
            self._made += lent is None
            path = lent or f"{self._folder}/{self._made}"
        if lent is None:
            os.mkdir(path)
            os.chmod(path, 0o755)
            if owner is not None:
                os.chown(path, *owner)
        for base in os.listdir(path):
            if base not in bases:
                remove_mount_point(f"{path}/{base}")
        return path

    def give_back(self, path: str) -> None:
        """Take back a directory that holds mount points alone; symlinks go, as a builder can replace them."""
        for entry in os.scandir(path):
            if entry.is_symlink():
                os.unlink(entry.path)
        with self._guard:
            self._free.append(path)


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

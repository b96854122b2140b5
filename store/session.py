"""A writing process' place in the store: a folder under .tmp that dies with it.

The folder is named like the process' locked file (see `presence`), which is there before the folder is made and
let go after it is removed: a folder whose file nobody locks belongs to a process that is gone, and recovery may
take it.
"""

from __future__ import annotations

import itertools
import os
import threading

from kiln.store.disk import disk_errors, open_directory, sync_filesystem
from kiln.store.errors import StoreError
from kiln.store.layout import Layout
from kiln.store.presence import Presence
from kiln.store.tree import remove_tree

INTENT = "intent-"
"""Begins the name of a file that says which objects a commit is about to move into place."""


class Session:
    """Open from the first write of a process until it closes the store."""

    def __init__(self, layout: Layout, presence: Presence) -> None:
        self.layout = layout
        self.name = presence.name
        self.presence = presence
        self._numbers = itertools.count(1)
        self.path = f"{layout.temp}/{presence.name}"
        with disk_errors("making a folder for this process"):
            layout.make_folder(self.path, 0o711)
            self.fd = open_directory(self.path)
            # Opened before anything is written: syncfs reports the errors since then.
            self._sync = GroupSync(self.fd)

    def sync(self) -> None:
        """Return once everything written before the call is on disk. Raises StoreError, NoSpace."""
        with disk_errors("writing to the store's disk"):
            self._sync.sync()

    def fresh(self, prefix: str) -> str:
        """A name that nothing in this session's folder has."""
        return f"{prefix}{next(self._numbers)}"

    def new_folder(self, prefix: str) -> str:
        """A fresh folder, mode 0700. Raises NoSpace."""
        if "/" in prefix or prefix.startswith(INTENT):
            raise StoreError("not a prefix for a folder's name", found=repr(prefix))
        path = f"{self.path}/{self.fresh(prefix + '-')}"
        with disk_errors("making a folder in the store"):
            self.layout.make_folder(path, 0o700)
        return path

    def close(self) -> bool:
        """Remove the folder, unless a commit in it did not end: recovery then finishes that, and this is False."""
        unfinished = any(name.startswith(INTENT) for name in os.listdir(self.fd))
        os.close(self.fd)
        if unfinished:
            return False
        temp_fd = open_directory(self.layout.temp)
        try:
            remove_tree(temp_fd, self.name.encode())
        finally:
            os.close(temp_fd)
        return True


class GroupSync:
    """syncfs for many threads: those who ask while one runs share the next one."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._state = threading.Condition()
        self._started = 0
        self._finished = 0
        self._failed: dict[int, OSError] = {}

    def sync(self) -> None:
        """Raises OSError when the file system could not write something."""
        with self._state:
            needed = self._started + 1
            while self._finished < needed and self._started > self._finished:
                self._state.wait()
            if self._finished < needed:
                self._started += 1
                needed, lead = self._started, True
            else:
                lead = False
        if lead:
            self._run(needed)
        failure = next((self._failed[at] for at in sorted(self._failed) if at >= needed), None)
        if failure is not None:
            raise OSError(failure.errno, failure.strerror)

    def _run(self, number: int) -> None:
        failure: OSError | None = None
        try:
            sync_filesystem(self._fd)
        except OSError as error:
            failure = error
        with self._state:
            if failure is not None:
                self._failed[number] = failure
            self._finished = number
            self._state.notify_all()

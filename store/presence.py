"""A running process in the store: a locked file that names it and what it needs.

    locks/sessions/<process id>-<12 hex>      the process id in 20 characters and a newline,
                                              then the ids that it has pinned, 32 bytes each

The kernel drops the lock when the process ends, however it ends, and its pins end with it: nothing has to be
cleaned up for the collector to be right. A pin is written under the shared passage in which the object was seen
to be there (see `passage`), so that the collector, who reads pins in the sole passage, sees every one of them.
No pin is synced: after a power failure nobody runs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress

from kiln.store.digest import ObjectId
from kiln.store.disk import disk_errors, read_file
from kiln.store.layout import Layout
from kiln.store.locks import FileLock, is_alive
from kiln.store.reserve import with_reserve

_HEAD = 21
_ID = 32


class Presence:
    """This process' own file. Open from the first pin or write until the store is closed."""

    def __init__(self, layout: Layout) -> None:
        self._guard = threading.Lock()
        self._pinned: set[bytes] = set()  # guarded by _guard
        self._end = _HEAD  # guarded by _guard
        with disk_errors("announcing this process to the store"):
            self._lock, self.name = with_reserve(layout, lambda: _take_name(layout))
        self._layout = layout

    @property
    def pinned(self) -> set[bytes]:
        with self._guard:
            return set(self._pinned)

    def pin(self, ids: Iterable[ObjectId]) -> None:
        """Keep these objects, which are there, for as long as this process has the store open.

        To be called in the shared passage. Raises NoSpace, StoreError.
        """
        with self._guard, disk_errors("noting what this process needs"):
            new = [item for item in ids if item not in self._pinned]
            if new:
                with_reserve(self._layout, lambda: self._lock.write(b"".join(new), self._end))
                self._end += _ID * len(new)
                self._pinned.update(new)

    def close(self, *, remove: bool) -> None:
        """Let go. The file stays where a commit did not end, so that recovery finds its folder's owner dead."""
        self._lock.release(remove=remove)


def _take_name(layout: Layout) -> tuple[FileLock, str]:
    while True:
        name = f"{os.getpid()}-{os.urandom(6).hex()}"
        lock = FileLock(layout, f"{layout.locks}/sessions/{name}")
        if lock.try_acquire():
            return lock, name


def live_pins(layout: Layout) -> set[bytes]:
    """What running processes have pinned. Files of dead processes go. To be called in the sole passage."""
    found: set[bytes] = set()
    folder = f"{layout.locks}/sessions"
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):
            if is_alive(layout, name):
                data = read_file(f"{folder}/{name}")[_HEAD:]
                found.update(data[at : at + _ID] for at in range(0, len(data) - _ID + 1, _ID))
    return found

"""Who has a store's index open, so that making a new one is nobody's surprise.

Whoever opens the index holds `locks/index` shared by flock(2) until he closes it; who makes the index again holds
it alone. A process with the old index open would go on registering objects where nobody sees them any more.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kiln.store.disk import disk_errors
from kiln.store.errors import StoreLocked
from kiln.store.layout import Layout
from kiln.store.locks import WRITE_LIMIT, command_of

ALONE_LIMIT = 5.0
"""Seconds to wait for those who only look something up; anybody else is named."""
_NAP = 0.02


def hold_open(layout: Layout, limit: float = WRITE_LIMIT) -> int:
    """Note that this process has the index open, until the descriptor is closed.

    Raises StoreLocked (the index is being made again for longer than `limit`), StoreError.
    """
    with disk_errors("opening the index"):
        fd = _open(layout)
        if _lock(fd, fcntl.LOCK_SH, limit):
            return fd
        who = _names(fd)
        os.close(fd)
    raise StoreLocked(
        f"the index of this store is being made again, for more than {limit:.0f} s",
        found=f"{who} does it",
        help="wait until it is done, then run the same command again",
    )


@contextmanager
def hold_alone(layout: Layout, limit: float = ALONE_LIMIT) -> Iterator[None]:
    """Nobody has the index open, and nobody opens it meanwhile. Raises StoreLocked (naming them), StoreError."""
    with disk_errors("locking the index"):
        fd = _open(layout)
        held = _lock(fd, fcntl.LOCK_EX, limit)
    try:
        if not held:
            raise StoreLocked(
                "the index cannot be made again while others have the store open",
                found=f"{_names(fd)} has it open",
                help="end what is named, then run the same command again",
            )
        yield
    finally:
        os.close(fd)


def _open(layout: Layout) -> int:
    path = f"{layout.locks}/index"
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        layout.owner.take(fd)
        return fd


def _lock(fd: int, mode: int, limit: float) -> bool:
    deadline = time.monotonic() + limit
    while True:
        try:
            fcntl.flock(fd, mode | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
        if time.monotonic() >= deadline:
            return False
        time.sleep(_NAP)


def _names(fd: int) -> str:
    from kiln.store.passage import holders

    return ", ".join(f"process {pid} ({command_of(pid)})" for pid in holders(fd)) or "this process"

"""Small text files that a user may edit by hand, and that Kiln changes: trusted keys, caches, what was seen.

A change is made under an advisory lock on a file beside it, `<path>.lock`, so that of two commands that read,
change and write at once none loses the other's change. What is written appears whole, or not at all.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kiln.store.errors import StoreLocked

LIMIT = 10.0
"""Seconds to wait for another command, which itself takes milliseconds."""
_NAP = 0.005


@contextmanager
def editing(path: str, *, limit: float = LIMIT) -> Iterator[None]:
    """Hold the lock of a file, whose folder is made when it is not there. Raises StoreLocked, OSError."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    lock = f"{path}.lock"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _wait(descriptor, lock, limit)
        yield
    finally:
        os.close(descriptor)


def replace(path: str, text: str, *, mode: int = 0o644) -> None:
    """Write a file beside its place, sync it, and rename it there. The mode is exact, whatever the umask.

    A symbolic link is followed, so that a file that lies elsewhere stays there. Raises OSError.
    """
    place = os.path.realpath(path)
    draft = f"{place}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        with open(draft, "x", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, place)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(draft)
        raise


def _wait(descriptor: int, lock: str, limit: float) -> None:
    end = time.monotonic() + limit
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
        if time.monotonic() > end:
            raise StoreLocked(
                f"another command holds {lock}",
                expected="a few milliseconds of patience",
                found=f"it held it for {limit:g} s",
                help="end that command, then run this one again",
            )
        time.sleep(_NAP)

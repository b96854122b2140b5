"""The passage into the store: commits go through together, the collector goes alone.

What is registered and what lies in store/ are changed one after the other, so that somebody who sees both at a
moment in between could be wrong about an object. Who adds, or asks for something that has to stay, holds the
passage shared: from looking whether an object is there until it is registered or pinned. The collector, and
repair, hold it exclusively: from learning what is pinned until what they took out of the index has left store/.

Two files under locks/, locked by flock(2). `turn` is taken for a moment, in the mode in which the passage itself
is wanted, and let go once that is held: a collector that waits for those inside keeps newcomers out meanwhile, so
that it is not passed over for ever. Within one thread a shared passage may be entered again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kiln.store.disk import disk_errors
from kiln.store.errors import StoreLocked
from kiln.store.layout import Layout
from kiln.store.locks import command_of, is_stopped

LIMIT = 60.0
"""Seconds to wait for others to leave the passage, in which nobody stays for longer than some milliseconds."""
_FIRST_NAP = 0.0002
_LONGEST_NAP = 0.02
_within = threading.local()


@contextmanager
def shared_passage(layout: Layout, limit: float = LIMIT) -> Iterator[None]:
    """Add or pin while this is held. Raises StoreLocked (naming the holder), StoreError."""
    if getattr(_within, "depth", 0):
        yield
        return
    fd = _enter(layout, fcntl.LOCK_SH, limit)
    _within.depth = 1
    try:
        yield
    finally:
        _within.depth = 0
        os.close(fd)


@contextmanager
def sole_passage(layout: Layout, limit: float = LIMIT) -> Iterator[None]:
    """Take objects out while this is held. Raises StoreLocked (naming the holder), StoreError."""
    assert not getattr(_within, "depth", 0), "the passage would wait for itself"
    fd = _enter(layout, fcntl.LOCK_EX, limit)
    _within.depth = 1
    try:
        yield
    finally:
        _within.depth = 0
        os.close(fd)


def _enter(layout: Layout, mode: int, limit: float) -> int:
    deadline = time.monotonic() + limit
    with disk_errors("locking the store"):
        turn = _lock(layout, "turn", mode, deadline, limit)
        try:
            return _lock(layout, "passage", mode, deadline, limit)
        finally:
            os.close(turn)


def _lock(layout: Layout, name: str, mode: int, deadline: float, limit: float) -> int:
    path = f"{layout.locks}/{name}"
    fd = _open(layout, path)
    nap = _FIRST_NAP
    try:
        while True:
            try:
                fcntl.flock(fd, mode | fcntl.LOCK_NB)
                return fd
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
            if time.monotonic() >= deadline:
                raise _locked(layout, fd, path, limit)
            time.sleep(nap)
            nap = min(nap * 1.5, _LONGEST_NAP)
    except BaseException:
        os.close(fd)
        raise


def _open(layout: Layout, path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        layout.owner.take(fd)
        return fd


def _locked(layout: Layout, fd: int, path: str, limit: float) -> StoreLocked:
    """Names who is inside, if anybody is: who holds the turn may only be waiting for him."""
    pids = _inside(layout) or holders(fd)
    who = ", ".join(f"process {pid} ({command_of(pid)})" for pid in pids) or "another process"
    return StoreLocked(
        f"{who} kept others out of the store for more than {limit:.0f} s",
        found=f"{who} holds {path!r}",
        help=f"if it is stopped, continue it (kill -CONT {pids[0]}) or end it (kill {pids[0]})" if pids else None,
    )


def _inside(layout: Layout) -> list[int]:
    """The processes that hold the passage, those that are stopped first."""
    fd = _open(layout, f"{layout.locks}/passage")
    try:
        return sorted(holders(fd), key=lambda pid: not is_stopped(pid))
    finally:
        os.close(fd)


def holders(fd: int) -> list[int]:
    """The processes that hold a flock on this file, from /proc/locks (proc_locks(5))."""
    facts = os.fstat(fd)
    wanted = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    found = []
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            for line in file:
                fields = line.split()
                if "->" not in fields and len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == wanted:
                    found.append(int(fields[4]))
    except (OSError, ValueError):
        return []
    return [pid for pid in found if pid > 0 and pid != os.getpid()]

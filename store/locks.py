"""Advisory locks by flock(2), with a time limit and the holder's name.

A lock file holds the process id of who has it, for messages alone. The kernel drops a lock when its holder
dies, however it dies; a stopped holder keeps it, which is why waiting ends with StoreLocked: after some time, where
what the holder does is short, or after the holder was seen stopped for some time, where it may take hours. Each
`FileLock` opens the file anew, so that threads of one process exclude each other like processes do.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kiln.store.disk import FULL
from kiln.store.errors import StoreLocked
from kiln.store.layout import Layout

WRITE_LIMIT = 60.0
"""Seconds to wait for another process' write transaction, which itself takes milliseconds."""
STOPPED_LIMIT = 60.0
"""Seconds to wait for another process that is stopped (SIGSTOP, a debugger) before saying so."""
_FIRST_NAP = 0.0005
_LONGEST_NAP = 0.05


class FileLock:
    """An exclusive lock on a file that is made when it is not there. Not reentrant."""

    def __init__(self, layout: Layout, path: str) -> None:
        self._layout = layout
        self._path = path
        self._fd = -1

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it."""
        while True:
            fd = self._open()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(fd)
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    return False
                raise
            if self._is_current(fd):
                try:
                    os.pwrite(fd, b"%-20d\n" % os.getpid(), 0)
                except OSError as error:
                    if error.errno not in FULL:  # On a full disk the lock still locks; only its holder has no name.
                        os.close(fd)
                        raise
                self._fd = fd
                return True
            os.close(fd)

    def acquire(
        self,
        what: str,
        limit: float | None,
        *,
        stopped: float | None = None,
        on_wait: Callable[[int | None], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> bool:
        """Take the lock, waiting at most `limit` seconds (None: as long as it takes).

        A holder that is stopped is waited for at most `stopped` seconds (None: as long as `limit` allows).
        `on_wait` is called once, with the holder's process id, when somebody else has it; `cancelled` is asked
        between attempts and ends the wait with False. Raises StoreLocked, which names the holder.
        """
        start, nap, told = time.monotonic(), _FIRST_NAP, False
        last_seen_running = start
        while not self.try_acquire():
            if cancelled is not None and cancelled():
                return False
            if on_wait is not None and not told:
                on_wait(self.holder())
                told = True
            now = time.monotonic()
            if limit is not None and now - start >= limit:
                raise self._locked(what, now - start)
            if stopped is not None:
                pid = self.holder()
                if pid is None or not is_stopped(pid):
                    last_seen_running = now
                elif now - last_seen_running >= stopped:
                    raise self._locked(what, now - start, stopped=True)
            time.sleep(nap)
            nap = min(nap * 1.5, _LONGEST_NAP)
        return True

    def release(self, *, remove: bool = False) -> None:
        """Let go. With `remove` the file goes too, while it is still held: who waits opens the next one."""
        if self._fd < 0:
            return
        if remove:
            os.unlink(self._path)
        fd, self._fd = self._fd, -1
        os.close(fd)

    def write(self, data: bytes, offset: int) -> None:
        """Write into the file, which must be held. Raises OSError."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, offset)
            view, offset = view[done:], offset + done

    def holder(self) -> int | None:
        """The process id that the file names; None when it names none."""
        try:
            with open(self._path, "rb") as file:
                return int(file.read(20))
        except (OSError, ValueError):
            return None

    def _open(self) -> int:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        self._layout.owner.take(fd)
        return fd

    def _is_current(self, fd: int) -> bool:
        """Whether the name still means this file: its last holder may have removed it before letting go."""
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self._path, follow_symlinks=False))
        except FileNotFoundError:
            return False

    def _locked(self, what: str, waited: float, *, stopped: bool = False) -> StoreLocked:
        pid = self.holder()
        who = f"process {pid} ({command_of(pid)})" if pid else "another process"
        is_so = f"{who} is stopped, and" if stopped else who
        return StoreLocked(
            f"{is_so} has held {what} for more than {waited:.0f} s",
            found=f"{who} holds {self._path!r}",
            help=f"if it is stopped, continue it (kill -CONT {pid}) or end it (kill {pid})" if pid else None,
        )


def command_of(pid: int) -> str:
    """What a process calls itself, for messages."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return "gone"


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal or a debugger: the states T and t of proc(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


@contextmanager
def build_lock(
    layout: Layout,
    name: str,
    *,
    limit: float | None = None,
    stopped: float | None = STOPPED_LIMIT,
    on_wait: Callable[[int | None], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[bool]:
    """Only one builder of one resolved derivation, in this process or any other; False when cancelled."""
    lock = FileLock(layout, f"{layout.locks}/builds/{name}")
    held = lock.acquire(f"the build of {name[:12]}", limit, stopped=stopped, on_wait=on_wait, cancelled=cancelled)
    try:
        yield held
    finally:
        lock.release(remove=True)


def is_alive(layout: Layout, session: str) -> bool:
    """Whether the process of a session still runs: it holds the session's lock for as long as it does."""
    path = f"{layout.locks}/sessions/{session}"
    if not os.path.lexists(path):
        return False
    lock = FileLock(layout, path)
    if not lock.try_acquire():
        return True
    lock.release(remove=True)
    return False

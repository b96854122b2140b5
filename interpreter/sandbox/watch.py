"""How much a build uses, as process 1 of its sandbox sees it: processes, memory, disk.

A resource limit that the kernel holds for one process (rlimits) can be read by the builder, and so is the same for
every build. What a recipe limits is outside its digest and must not be seen: it is measured here, from outside the
builder's processes and inside their namespaces, and exceeding it ends the namespace. A control group, where there is
one, is the fence that holds between two looks.

    processes   entries of /proc, and the threads of each
    memory      anonymous and shared memory of all processes (what they share counted once), and what lies in /tmp and
                /dev/shm
    disk        blocks of all that lies in /build and beside the inputs in /kiln/store, and of deleted files that are
                still open; walked a piece at a time, and only when the file system has grown by what was left, or ten
                seconds have passed

Stand-alone: imported under `python -I -S`, and after the library has gone, so that nothing may be imported late.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from kiln.interpreter.sandbox import footprint, syscalls, world

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEP = 2000
"""Entries of a folder that are looked at in one go: process 1 has others to serve."""
_WALK_SECONDS = 10.0
_SHARED_SECONDS = 1.0
_PERIOD, _QUICK = 0.5, 0.1


class Watch(NamedTuple):
    """What to hold: processes and threads; bytes of memory and of disk, 0 for no limit.

    `given` are the names in /kiln/store that are not the build's own.
    """

    processes: int
    memory: int
    disk: int
    given: tuple[str, ...] = ()


class Exceeded(NamedTuple):
    """A limit's name in a recipe, and how much was found."""

    limit: str
    found: int


class Watcher:
    """Looks now and then; `pause` seconds may pass until the next look."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._memory = _Memory(watch.memory) if watch.memory else None
        self._disk = _Disk(watch) if watch.disk else None
        self.pause = _QUICK if watch.memory or watch.disk else _PERIOD

    def look(self) -> Exceeded | None:
        """The first limit that is exceeded now."""
        processes = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
        tasks = sum(map(_threads, processes))
        if tasks >= self._watch.processes:
            return Exceeded("processes", tasks)
        if self._memory is not None:
            found = self._memory.look(processes)
            if found > self._watch.memory:
                return Exceeded("memory", found)
        if self._disk is not None:
            used = self._disk.look(processes)
            if used > self._watch.disk:
                return Exceeded("disk", used)
        return None


def _threads(process: str) -> int:
    try:
        return os.stat(f"/proc/{process}/task").st_nlink - 2
    except OSError:
        return 0


def _used(folder: str) -> int:
    """Bytes in use on a folder's file system, by whomever."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _tmp_is_disk() -> bool:
    """Whether /tmp is no tmpfs but a folder beside /build."""
    return os.stat(f"/{world.TMP}").st_dev == os.stat(f"/{world.BUILD}").st_dev


class _Memory:
    """What is in use, told exactly only where it matters: it is dear."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._device = footprint.memory_device()
        self._unseen = 0
        """The machine's shared memory when the build's was last looked for."""
        self._due = 0.0

    def look(self, processes: list[str]) -> int:
        """Bytes; more than there are as long as that is within the limit."""
        files = sum(map(_used, ("/dev/shm",) if _tmp_is_disk() else ("/dev/shm", f"/{world.TMP}")))
        found = [footprint.resident(process) for process in processes]
        private = sum([process.private for process in found])
        rough = files + private + sum([process.shared for process in found])
        if rough <= self._limit and not self._may_have_grown(self._limit - rough):
            return rough
        files += footprint.shared(processes, self._device)
        if files + private <= self._limit:
            return files + private
        # One process after the other: what forks meanwhile is seen before in full and then again in part. A second
        # look, after the forks, is not so misled.
        sums = (sum(map(footprint.proportional, processes)) for _ in range(2))
        return files + min(private, *sums)

    def _may_have_grown(self, left: int) -> bool:
        """Whether memory that no process has mapped may be more than what is left: whosever it is, it shows in the
        machine's. Others may have freed as much meanwhile, so that it is looked for now and then anyway.
        """
        taken, now = syscalls.shared_memory(), time.monotonic()
        if taken - self._unseen <= left and now < self._due:
            return False
        self._unseen, self._due = taken, now + _SHARED_SECONDS
        return True


class _Disk:
    """The last whole walk's sum, and the walk that goes on."""

    def __init__(self, watch: Watch) -> None:
        self._limit = watch.disk
        self._given = frozenset(watch.given)
        self._memory = {footprint.memory_device(), os.stat("/dev/shm").st_dev}
        if not _tmp_is_disk():
            self._memory.add(os.stat(f"/{world.TMP}").st_dev)
        self._walk: Iterator[int] | None = None
        self._sum = 0
        self._grown = _used(f"/{world.BUILD}")
        self._due = time.monotonic() + _WALK_SECONDS

    def look(self, processes: list[str]) -> int:
        """Bytes found so far: at least the last whole walk's, more where a walk that goes on has found more."""
        if self._walk is None:
            taken = _used(f"/{world.BUILD}")
            if taken - self._grown < self._limit - self._sum and time.monotonic() < self._due:
                return self._sum
            self._grown = taken
            self._walk = self._steps(processes)
        found = next(self._walk, None)
        if found is None:
            self._walk = None
            return self._sum
        return found

    def _steps(self, processes: list[str]) -> Iterator[int]:
        total, count = self._deleted(processes), 0
        began = time.monotonic()
        linked: set[int] = set()
        folders = [f"/{world.BUILD}", f"/{world.STORE}", *((f"/{world.TMP}",) if _tmp_is_disk() else ())]
        while folders:
            folder = folders.pop()
            for entry in _entries(folder):
                if folder == f"/{world.STORE}" and entry.name in self._given:
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                if found.st_nlink == 1 or found.st_ino not in linked:
                    linked.add(found.st_ino)
                    total += found.st_blocks * 512
                count += 1
                if count % _STEP == 0:
                    yield total
        self._sum = total
        # A walk may take a twentieth of the time, however large the tree is.
        self._due = time.monotonic() + max(_WALK_SECONDS, 20 * (time.monotonic() - began))
        yield total

    def _deleted(self, processes: list[str]) -> int:
        """Bytes of files without a name on any file system but memory's, where they count as such."""
        found = footprint.opened(processes).items()
        return sum([size for (device, _), size in found if device not in self._memory])


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []

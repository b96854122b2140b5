"""What processes hold, as /proc tells of them: memory, also of the kinds that no process's own counters have, and
files that no name leads to any more.

    private     anonymous pages; those that a fork shares divided by how many share them (Pss_Anon)
    shared      pages of shared mappings, memfds and System V segments. All are inodes of one file system of the
                kernel's; each counts as what is seen of it, by a descriptor or by the pages that are mapped.
    deleted     regular files without a name, held by a descriptor

Not seen: what only a message in a socket's queue holds, what is mapped alone of a deleted file, and the kernel's own
memory (pipes, page tables). Descriptors are looked for in every thread, which may have a table of its own; memory in
a thread where the first one has ended, and so has none to show.

Stand-alone: imported under `python -I -S`.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from kiln.interpreter.sandbox import syscalls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Inode = tuple[int, int]
"""Device and number."""
_SYSTEM_V = b"/SYSV"


class Resident(NamedTuple):
    """One process's pages, in bytes; what it shares with others is counted in full."""

    private: int
    shared: int


def resident(process: str) -> Resident:
    """By the process's own counters (proc_pid_status(5)): cheap, and too much where pages are shared."""
    text = read(f"/proc/{process}/status")
    found = _resident(text)
    if found == (0, 0) and b"\nThreads:\t1\n" not in text:
        # The first thread has ended, and with it the folder's view of the memory that the others share.
        tasks = (_resident(read(f"/proc/{process}/task/{task}/status")) for task in listed(f"/proc/{process}/task"))
        return max(tasks, default=found)
    return found


def _resident(text: bytes) -> Resident:
    return Resident(
        _kilobytes(text, b"\nRssAnon:") + _kilobytes(text, b"\nVmSwap:") + _kilobytes(text, b"\nHugetlbPages:"),
        _kilobytes(text, b"\nRssShmem:"),
    )


def proportional(process: str) -> int:
    """Private pages, each divided by how many processes have it (proc_pid_smaps(5)); dear."""
    text = read(f"/proc/{process}/smaps_rollup")
    if text:
        return _kilobytes(text, b"\nPss_Anon:") + _kilobytes(text, b"\nSwapPss:")
    # It ends, and its pages are others' by now; or its first thread alone has ended.
    return resident(process).private if len(listed(f"/proc/{process}/task")) > 1 else 0


def memory_device() -> int:
    """The device of the inodes that shared memory consists of."""
    made = os.memfd_create("device", os.MFD_CLOEXEC)
    try:
        return os.fstat(made).st_dev
    finally:
        os.close(made)


def shared(processes: Iterable[str], device: int) -> int:
    """Bytes of shared memory, each page once; `device` as `memory_device` gives it."""
    held = {inode: size for inode, size in opened(processes).items() if inode[0] == device}
    mapped: dict[Inode, int] = {}
    system_v = 0
    for process in processes:
        if not resident(process).shared:
            continue
        for number, size, is_system_v in _mapped(process, device):
            if is_system_v:
                system_v += size
            else:
                mapped[device, number] = mapped.get((device, number), 0) + size
    inodes = held.keys() | mapped.keys()
    total = sum([max(held.get(inode, 0), mapped.get(inode, 0)) for inode in inodes])
    return total + max(system_v, syscalls.system_v_memory())


def _mapped(process: str, device: int) -> Iterator[tuple[int, int, bool]]:
    """Of each mapping of an inode of `device`: its number, its proportional size, whether System V made it."""
    wanted = b"%02x:%02x" % (os.major(device), os.minor(device))
    for task in listed(f"/proc/{process}/task"):
        text = read(f"/proc/{process}/task/{task}/smaps", whole=True)
        if not text:
            continue
        number, is_system_v = 0, False
        for line in text.splitlines():
            if line.startswith(b"Pss:"):
                if number:
                    yield number, int(line.split()[1]) * 1024, is_system_v
            elif line[:1] in b"0123456789abcdef" and line[:1]:
                fields = line.split(None, 5)
                number = int(fields[4]) if fields[3] == wanted else 0
                is_system_v = len(fields) > 5 and fields[5].startswith(_SYSTEM_V)
        return


def opened(processes: Iterable[str]) -> dict[Inode, int]:
    """Regular files that have no name, held by descriptors: the bytes of each."""
    found: dict[Inode, int] = {}
    for process in processes:
        for task in listed(f"/proc/{process}/task"):
            folder = f"/proc/{process}/task/{task}/fd"
            for descriptor in listed(folder):
                try:
                    facts = os.stat(f"{folder}/{descriptor}")
                except OSError:
                    continue
                if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 0:
                    found[facts.st_dev, facts.st_ino] = facts.st_blocks * 512
    return found


def listed(folder: str) -> list[str]:
    """The names in a folder; none for a process that has ended."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def read(path: str, *, whole: bool = False) -> bytes:
    """What a file of /proc says at once, or all of it; empty for a process that has ended."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    parts = []
    try:
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
            if not whole:
                break
    except OSError:
        return b""
    finally:
        os.close(descriptor)
    return b"".join(parts)


def _kilobytes(text: bytes, name: bytes) -> int:
    """The number of kilobytes behind a name, in bytes; 0 where there is no such line."""
    at = text.find(name)
    return int(text[at + len(name) : text.index(b"kB", at)]) * 1024 if at >= 0 else 0

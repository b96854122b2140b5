"""Room that a store keeps for the day on which the disk is full.

    <root>/reserve/0 … 7     files of up to 1 MiB each, that hold nothing

On a full disk nothing could be collected: a collection writes into the index before anything is gone, and a plan
that builds nothing notes what it needs. So what frees room, and what puts the store in order, gives the reserve up
first where less than that is free; a process that only notes its presence takes one file. Whoever closes the
store after writing to it makes the reserve whole again, as far as there is room. A file is blocks and an inode, so
that it helps where either is used up, or a quota.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from kiln.store.disk import FULL
from kiln.store.layout import Layout

T = TypeVar("T")
COUNT = 8
_LARGEST = 1 << 20
_SHARE = 256
"""Each file takes at most this part of a small file system."""


def fill(layout: Layout) -> None:
    """Make the files that are missing. Never raises: there may be no room."""
    with suppress(OSError):
        layout.make_folder(_folder(layout), 0o700)
        missing = {str(number) for number in range(COUNT)} - set(os.listdir(_folder(layout)))
        size = _size(layout) if missing else 0
        for name in sorted(missing):
            _make(layout, f"{_folder(layout)}/{name}", size)


def spend(layout: Layout, number: int = COUNT) -> int:
    """Give up so many files; how many there were to give."""
    done = 0
    with suppress(OSError):
        for name in os.listdir(_folder(layout)):
            if done < number:
                os.unlink(f"{_folder(layout)}/{name}")
                done += 1
    return done


def make_room(layout: Layout) -> bool:
    """Give the reserve up if less than that is free besides (or twice as many inodes); whether it was."""
    probe = f"{_folder(layout)}/probe.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        layout.make_folder(_folder(layout), 0o700)
        facts = os.statvfs(layout.root)
        if facts.f_files and facts.f_favail < 2 * COUNT:
            return spend(layout) > 0
        _make(layout, probe, COUNT * _size(layout))
        os.unlink(probe)
    except OSError as error:
        return error.errno in FULL and spend(layout) > 0
    return False


def with_reserve(layout: Layout, body: Callable[[], T]) -> T:
    """Run `body`, again with a file of the reserve given up whenever there is no room. Raises OSError."""
    while True:
        try:
            return body()
        except OSError as error:
            if error.errno not in FULL or not spend(layout, 1):
                raise


def _folder(layout: Layout) -> str:
    return f"{layout.root}/reserve"


def _size(layout: Layout) -> int:
    facts = os.statvfs(layout.root)
    return max(4096, min(_LARGEST, facts.f_frsize * facts.f_blocks // _SHARE))


def _make(layout: Layout, path: str, size: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        layout.owner.take(fd)
        os.posix_fallocate(fd, 0, size)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(fd)

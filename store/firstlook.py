"""A look at the whole index in a process that may die of it.

LMDB trusts its pages: one that was damaged can end in an assertion or a read outside the map, and so in the death
of whoever reads it. Where the process before did not end cleanly, and before every object is checked, collected or
repaired, a forked child therefore reads all of the index first: the keys and their order, values of several pages,
and the list of free pages, each as far as LMDB itself looks at it. How the child ended is what is known then.

That a process died *while it read* can be seen without asking LMDB: its place in the table of readers still names
a transaction. The table lies in lock.mdb, written by LMDB 0.9 on Linux:

    offset 56    number of places in use, 4 bytes          (magic, format, mutex and transaction's number before it)
    offset 128   a place: transaction's number (all ones: none), 8 bytes; process id, 4 bytes; 64 bytes in all

A wrong guess costs one look too many or too few.
"""

from __future__ import annotations

import os
import sys

import lmdb

from kiln.store.disk import disk_errors
from kiln.store.errors import Damaged, StoreError
from kiln.store.index import DAMAGE
from kiln.store.layout import Layout

_TABLE = 4096
_NUMBER_AT, _PLACES_AT, _PLACE = 56, 128, 64
_IDLE = b"\xff" * 8
_ROOM = 256 << 20
"""Bytes by which the index may grow while the child reads it."""
_OWN_SIGNALS = {4, 6, 7, 8, 11, 14}
"""SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, and SIGALRM after the limit; not what others send."""
_LIMIT = 600
"""Seconds after which the kernel ends a child that reads in circles."""


def died_reading(layout: Layout) -> bool:
    """Whether a process ended in the middle of a read of the index, as far as the table of readers tells."""
    try:
        fd = os.open(f"{layout.critical}/lock.mdb", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        table = os.pread(fd, _TABLE, 0)
    finally:
        os.close(fd)
    number = int.from_bytes(table[_NUMBER_AT : _NUMBER_AT + 4], sys.byteorder)
    for at in range(_PLACES_AT, min(_PLACES_AT + number * _PLACE, len(table)), _PLACE):
        pid = int.from_bytes(table[at + 8 : at + 12], sys.byteorder)
        if pid and table[at : at + 8] != _IDLE and not os.path.exists(f"/proc/{pid}"):
            return True
    return False


def look_at_index(layout: Layout) -> None:
    """Raises Damaged when the index cannot be read to its end, StoreError when that could not be found out.

    Not to be called in a transaction.
    """
    import faulthandler
    import resource
    import signal

    try:
        size = os.stat(f"{layout.critical}/data.mdb").st_size
    except OSError:
        return  # There is none, which opening it says better.
    if size == 0:
        return
    with disk_errors("looking at the index"):
        read_end, write_end = os.pipe()
        child = os.fork()
    if child == 0:
        code = 2
        try:
            faulthandler.disable()  # What an assertion or a fault has to say helps nobody.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_LIMIT)
            code = _look(layout.critical, size, write_end, nowhere)
        finally:
            os._exit(code)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as file:
        said = file.read().decode("utf-8", "replace")
    _judge(layout, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said)


def _judge(layout: Layout, code: int, said: str) -> None:
    """What the child's end means: 1 and the signals of its own making are damage."""
    if code == 1 or -code in _OWN_SIGNALS:
        how = said or f"reading it ended a process with signal {-code}"
        raise Damaged("the index is damaged", found=f"{layout.critical!r}: {how}", help="kiln store rebuild-index")
    if code != 0:
        raise StoreError(
            "the index could not be looked at",
            found=f"the process that did it ended with {code}: {said}",
            help="run the same command again, with more memory free",
        )


def _look(path: str, size: int, answer: int, nowhere: int) -> int:
    """What the child does; its exit code."""
    try:
        _read_all(path, size, nowhere)
    except lmdb.MapResizedError:
        return 0  # It became many times larger in this moment: somebody writes it, and can.
    except (lmdb.Error, ValueError) as error:
        os.write(answer, str(error).encode()[:1000])
        return 1 if isinstance(error, (*DAMAGE, ValueError)) else 2
    return 0


def _read_all(path: str, size: int, nowhere: int) -> None:
    env = lmdb.open(path, readonly=True, map_size=2 * size + _ROOM, create=False, max_readers=1024)
    with env.begin() as txn:
        before = b""
        for key in txn.cursor().iternext(values=False):
            if key <= before:
                raise ValueError("its keys are not in order")
            before = key
    env.copyfd(nowhere, compact=True)

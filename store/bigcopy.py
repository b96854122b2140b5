"""Copying a big file and hashing it with one reading.

Where the file system can share blocks (FICLONE, ioctl_ficlone(2)), the copy is a clone and the clone is hashed.
Elsewhere the bytes that are hashed are the bytes that are written, by a thread of their own, and the kernel is
told to begin with the disk at once (sync_file_range(2)), so that reading, hashing and writing overlap and the
sync at the end finds little left.
"""

from __future__ import annotations

import fcntl
import os
import queue
import threading

from blake3 import blake3

from kiln.store.digest import BlobDigest
from kiln.store.disk import start_writing, write_all

_FICLONE = 0x40049409
_PIECE = 8 << 20


def clone(source: int, target: int) -> bool:
    """Let an empty file share the blocks of another; whether the file system could."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def copy_big(source: int, target: int) -> tuple[int, BlobDigest]:
    """Copy to the end: how many bytes, and their BLAKE3. Raises OSError."""
    if clone(source, target):
        return _hash(os.open(f"/proc/self/fd/{target}", os.O_RDONLY | os.O_CLOEXEC))
    writer = _Writer(target)
    hasher = blake3(max_threads=blake3.AUTO)
    total = 0
    try:
        while data := os.read(source, _PIECE):
            writer.put(data)
            hasher.update(data)
            total += len(data)
    finally:
        writer.finish()
    writer.check()
    return total, BlobDigest(hasher.digest())


def _hash(fd: int) -> tuple[int, BlobDigest]:
    hasher = blake3(max_threads=blake3.AUTO)
    total = 0
    try:
        while data := os.read(fd, _PIECE):
            hasher.update(data)
            total += len(data)
    finally:
        os.close(fd)
    return total, BlobDigest(hasher.digest())


class _Writer:
    """A thread that writes what it is given, in order; at most two pieces wait."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._failure: OSError | None = None
        self._pieces: queue.Queue[bytes | None] = queue.Queue(2)
        self._thread = threading.Thread(target=self._run, name="kiln-copy", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        self.check()
        self._pieces.put(data)

    def finish(self) -> None:
        self._pieces.put(None)
        self._thread.join()

    def check(self) -> None:
        """Raises OSError when something could not be written."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        offset = 0
        while (data := self._pieces.get()) is not None:
            if self._failure is not None:
                continue  # Taken and dropped, so that who puts never waits for ever.
            try:
                write_all(self._fd, data)
                start_writing(self._fd, offset, len(data))
            except OSError as error:
                self._failure = error
            offset += len(data)

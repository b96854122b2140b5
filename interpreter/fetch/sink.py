"""A file while it comes: written once, hashed with BLAKE3 and SHA-256 as it is written."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from blake3 import blake3

from kiln.interpreter.fetch.errors import CannotKeep
from kiln.store.digest import BlobDigest


class Received(NamedTuple):
    """A whole file: its size in bytes and both digests. `sha256` is hexadecimal."""

    path: str
    size: int
    blake3: BlobDigest
    sha256: str


class Sink:
    """Takes bytes in order. What it holds after a broken connection is where the next try goes on.

    Not for two threads at once; `write` may run on any.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0
        self.highest = 0
        """The most bytes that it ever held, for telling progress from going round."""
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _cannot_keep(path, error) from None
        self._start()

    def _start(self) -> None:
        self.size = 0
        self._blake3 = blake3()
        self._sha256 = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Append. Raises CannotKeep."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise _cannot_keep(self.path, error) from None
        self._blake3.update(data)
        self._sha256.update(data)
        self.size += len(data)
        self.highest = max(self.highest, self.size)

    def restart(self) -> None:
        """Forget everything: the next byte is the file's first."""
        if self.size:
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)
            self._start()

    def received(self) -> Received:
        return Received(self.path, self.size, BlobDigest(self._blake3.digest()), self._sha256.hexdigest())

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cannot_keep(path: str, error: OSError) -> CannotKeep:
    return CannotKeep(
        "a download cannot be written",
        found=f"{path}: {error.strerror}",
        help="free some space, or choose another store with --store",
    )

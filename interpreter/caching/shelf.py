"""A folder of entries, each one file that is there whole or not at all.

    <cache folder>/<shelf>/<40 hex digits>      32 bytes BLAKE3 of the rest, then the rest

A file is written under a name of its process and renamed, so that processes may share a shelf; one that is
damaged does not match its digest and is as good as absent. An entry's time of change is when it was last of use,
to the day; at the first write of a process the entries longest out of use go, where there are too many.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from typing import Final

from blake3 import blake3

from kiln.interpreter.answers import LANGUAGE, fingerprint, is_off

MOST_BYTES: Final = 256 << 20
MOST_ENTRIES: Final = 4096
_DAY: Final = 86_400
_FORMAT: Final = b"1"


@functools.cache
def code() -> bytes:
    """Stands in a key for Kiln's own code, the entries' format, and this Python's data format."""
    tag = f"{sys.implementation.cache_tag} {sys.byteorder}".encode()
    return blake3(b"\0".join((_FORMAT, tag, fingerprint(LANGUAGE)))).digest()


def key(*parts: bytes) -> str:
    """The name of the entry that was made from these, in this order, by this code."""
    digest = blake3(code())
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:40]


def cache_folder() -> str:
    """`$XDG_CACHE_HOME/kiln`, or `~/.cache/kiln`; a relative XDG_CACHE_HOME is ignored, as its specification says."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "kiln")


class Shelf:
    """One kind of entry. Never raises for what the file system does."""

    def __init__(self, name: str, most_bytes: int = MOST_BYTES, most_entries: int = MOST_ENTRIES) -> None:
        self._name = name
        self._most_bytes = most_bytes
        self._most_entries = most_entries
        self._tidied = False

    @property
    def folder(self) -> str:
        return os.path.join(cache_folder(), self._name)

    def read(self, name: str) -> bytes | None:
        """What was kept under a name."""
        if is_off():
            return None
        path = os.path.join(self.folder, name)
        try:
            with open(path, "rb") as file:
                data = file.read()
                if os.fstat(file.fileno()).st_mtime < time.time() - _DAY:
                    os.utime(path)
        except OSError:
            return None
        body = data[32:]
        return body if blake3(body).digest() == data[:32] else None

    def write(self, name: str, body: bytes) -> None:
        """Keep this under a name, in place of what was there."""
        if is_off():
            return
        folder = self.folder
        temporary = os.path.join(folder, f".{name}.{os.getpid()}")
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(blake3(body).digest())
                file.write(body)
            os.replace(temporary, os.path.join(folder, name))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            return
        if not self._tidied:
            self._tidied = True
            self._tidy(folder)

    def _tidy(self, folder: str) -> None:
        """Bring the shelf to three quarters of its bounds where it is beyond one, oldest entries first."""
        entries = _entries(folder)
        size = sum(entry[1] for entry in entries)
        if size <= self._most_bytes and len(entries) <= self._most_entries:
            return
        count = len(entries)
        for _, own, path in entries:
            if size <= self._most_bytes * 3 // 4 and count <= self._most_entries * 3 // 4:
                return
            with contextlib.suppress(OSError):
                os.unlink(path)
            size, count = size - own, count - 1


def _entries(folder: str) -> list[tuple[float, int, str]]:
    """(time, bytes, path) of each file, the oldest first; what a killed process left half written is one too."""
    found: list[tuple[float, int, str]] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                info = entry.stat(follow_symlinks=False)
                found.append((info.st_mtime, info.st_size, entry.path))
    return sorted(found)

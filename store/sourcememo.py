"""What the files of a source were when they were last read, so that unchanged ones need not be read again.

One row of the disposable environment for each directory (table `stat`), under 16 bytes of BLAKE3 of its absolute
path, or of a file's own path where the source is one file:

    [1, device, {name: inode, size, mtime, ctime, executable (`>QQqqB`), BLAKE3 of the bytes}]

A file is taken as unchanged when all of these are as they were. Whatever writes to a file sets its change time,
which nobody can set back, so a row is trusted once that time lies behind the moment of reading by more than a
tick of the file system's clock: a file that was changed just before it was read could be changed again within the
same tick. File systems that count in whole seconds give themselves away by times without a fraction, and get two
seconds.
"""

from __future__ import annotations

import os
import struct
import time

import msgpack
from blake3 import blake3

from kiln.store.digest import BlobDigest
from kiln.store.disposable import STAT, Memo
from kiln.store.manifest import FileNode

_FACTS = struct.Struct(">QQqqB")
_FINE_TICK = 50_000_000
_COARSE_TICK = 2_100_000_000
_SECOND = 1_000_000_000


class _Folder:
    """One directory's row as it was, and as it is seen now."""

    __slots__ = ("changed", "device", "known", "path", "seen")

    def __init__(self, path: bytes, device: int, known: dict[bytes, bytes]) -> None:
        self.path = path
        self.device = device
        self.known = known
        self.seen: dict[bytes, bytes] = {}
        self.changed = False


class SourceMemo:
    """What is remembered of one source, a file or a tree at an absolute path. For one walk at a time."""

    def __init__(self, memo: Memo, source: str) -> None:
        self._memo = memo
        self._source = os.fsencode(os.path.abspath(source))
        self._rows: dict[bytes, bytes] = {}
        self._stack: list[_Folder] = []

    def is_known(self) -> bool:
        """Whether there is anything about the top: else a look would be a reading of everything."""
        return self._memo.get(STAT, _key(self._source)) is not None

    def begin(self) -> None:
        """A walk begins: what an earlier one saw and did not finish is forgotten."""
        self._stack.clear()

    def enter(self, path: bytes, device: int) -> None:
        full = self._source + b"/" + path if path else self._source
        row = self._rows.get(_key(full)) or self._memo.get(STAT, _key(full))
        folder = _Folder(full, device, _decode(row, device))
        folder.changed = row is None and not self._stack  # The top has a row even if no file lies in it.
        self._stack.append(folder)

    def leave(self) -> None:
        folder = self._stack.pop()
        if folder.changed or len(folder.seen) < len(folder.known):
            # Two sources may choose different files of one folder: neither's are forgotten for the other's.
            kept = {**folder.known, **folder.seen}
            if len(kept) > 2 * len(folder.seen) + 16:
                kept = folder.seen
            if folder.changed or len(kept) < len(folder.known):
                self._rows[_key(folder.path)] = msgpack.packb([1, folder.device, kept])

    def recall(self, name: bytes, facts: os.stat_result) -> FileNode | None:
        """The file's node, if it is what it was."""
        folder = self._stack[-1]
        row = folder.known.get(name)
        if row is None or row[:-32] != pack_facts(facts):
            return None
        folder.seen[name] = row
        return FileNode(facts.st_size, BlobDigest(row[-32:]), bool(facts.st_mode & 0o111))

    def note(self, name: bytes, facts: os.stat_result, node: FileNode, read_at: int) -> None:
        """Remember a file that was read: its facts are those from before and after, `read_at` is the time before,
        in nanoseconds since 1970."""
        tick = _FINE_TICK if facts.st_ctime_ns % _SECOND else _COARSE_TICK
        folder = self._stack[-1]
        if facts.st_ctime_ns < read_at - tick:
            folder.seen[name] = pack_facts(facts) + node.digest
        folder.known.pop(name, None)
        folder.changed = True

    def save(self) -> None:
        """Write what is new. Never raises: it may be forgotten."""
        if self._rows:
            self._memo.put_many(STAT, self._rows)
            self._rows = {}


def now() -> int:
    """Nanoseconds since 1970, as `note` compares them with times of files."""
    return time.time_ns()


def _key(path: bytes) -> bytes:
    return blake3(path).digest(16)


def pack_facts(facts: os.stat_result) -> bytes:
    """What a file cannot change without changing."""
    return _FACTS.pack(facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, bool(facts.st_mode & 0o111))


def _decode(row: bytes | None, device: int) -> dict[bytes, bytes]:
    if row is None:
        return {}
    try:
        version, of_device, rows = msgpack.unpackb(row, raw=True, strict_map_key=False)
    except (ValueError, TypeError):
        return {}
    return rows if version == 1 and of_device == device and isinstance(rows, dict) else {}

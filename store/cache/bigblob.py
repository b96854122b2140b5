"""A big blob put together from chunks, in a file that outlives this process.

    partial/<blob's BLAKE3>         the blob as far as it came
    partial/<blob's BLAKE3>.have    numbers of the chunks that are in it, 4 bytes each, big-endian

Nothing here is synced or believed: when the same blob is wanted again, each chunk that is noted is hashed before it
counts, and the whole blob is hashed before it is used. What lies here is bounded: the oldest go first. The second
file is locked while a process works on it; another that wants the same blob takes a place of its own.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import suppress

from blake3 import blake3

from kiln.store.cache.chunking import Chunk, Chunks, chunk_digest
from kiln.store.cache.localchunks import LocalPlace
from kiln.store.digest import BlobDigest
from kiln.store.disk import start_writing
from kiln.store.ingest import MANY_THREADS
from kiln.store.layout import Layout

FOLDER = "partial"
LIMIT = 16 << 30
"""Bytes that blobs which did not arrive may take up."""
AGE = 7 * 86400.0
"""Seconds for which they are kept."""
_RESUMED_FROM = 8 << 20
"""Blobs of fewer bytes are begun again."""
_RUN = 16 << 20
_WINDOW = 32 << 20
"""Bytes that are mapped at a time: all of them count as memory of the process."""
_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class BigBlob:
    """One blob on its way. `put` may be called from several threads, each with another chunk; the rest from one."""

    def __init__(self, layout: Layout, scratch: str, digest: BlobDigest, chunks: Chunks) -> None:
        self.digest = digest
        self.size = sum(chunk.size for chunk in chunks)
        self._chunks = chunks
        self._offsets: dict[Chunk, list[int]] = {}
        self._numbers: dict[Chunk, int] = {}
        offset = 0
        for number, chunk in enumerate(chunks):
            self._offsets.setdefault(chunk, []).append(offset)
            self._numbers.setdefault(chunk, number)
            offset += chunk.size
        self._had: set[Chunk] = set()
        self._journal = _open_journal(layout, digest) if self.size >= _RESUMED_FROM else None
        folder = f"{layout.root}/{FOLDER}" if self._journal is not None else scratch
        self.path = f"{folder}/{digest.hex()}"
        self._fd = os.open(self.path, _OPEN, 0o600)
        layout.owner.take(self._fd)
        os.ftruncate(self._fd, self.size)
        if self._journal is not None:
            self._resume()

    @property
    def lacking(self) -> list[Chunk]:
        """The chunks that have not come, each once, in order."""
        return [chunk for chunk in self._offsets if chunk not in self._had]

    def copy(self, places: dict[Chunk, LocalPlace]) -> int:
        """Copy chunks from files of this machine, unseen: the whole blob is hashed at the end. Bytes copied."""
        copied = 0
        for path, start, target, length, members in list(self._runs(places)):
            try:
                source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                if _copy_range(source, start, self._fd, target, length):
                    self._had.update(members)
                    copied += length
            finally:
                os.close(source)
        return copied

    def put(self, chunk: Chunk, data: bytes) -> bool:
        """A chunk came, and has been verified; whether it was the last. Raises OSError."""
        for offset in self._offsets[chunk]:
            _write_at(self._fd, data, offset)
            start_writing(self._fd, offset, len(data))
        self._had.add(chunk)
        if self._journal is not None:
            os.write(self._journal, self._numbers[chunk].to_bytes(4, "big"))
        return len(self._had) == len(self._offsets)

    def is_whole(self) -> bool:
        """Whether the file has the blob's digest; if not, chunks that are wrong are lacking again."""
        if self._hash() == self.digest:
            return True
        self._had = {chunk for chunk in self._had if self._is_there(chunk)}
        return False

    def take(self) -> str:
        """Where the whole blob lies; the caller moves it away."""
        os.close(self._fd)
        self._fd = -1
        self._drop_journal(remove=True)
        return self.path

    def give_up(self) -> None:
        """Let go; what came is kept for the next time."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if self._journal is None:
                with suppress(OSError):
                    os.unlink(self.path)
            self._drop_journal(remove=False)

    def _hash(self) -> BlobDigest:
        """Of the whole file, mapped window by window: nobody else can shorten it, and holes read as zeros."""
        hasher = blake3(max_threads=blake3.AUTO) if self.size >= MANY_THREADS else blake3()
        for offset in range(0, self.size, _WINDOW):
            with mmap.mmap(self._fd, min(_WINDOW, self.size - offset), prot=mmap.PROT_READ, offset=offset) as window:
                hasher.update(window)
        return BlobDigest(hasher.digest())

    def _is_there(self, chunk: Chunk) -> bool:
        return all(
            chunk_digest(os.pread(self._fd, chunk.size, offset)) == chunk.digest for offset in self._offsets[chunk]
        )

    def _resume(self) -> None:
        assert self._journal is not None
        noted = os.pread(self._journal, 4 * len(self._chunks) + 4096, 0)
        numbers = {int.from_bytes(noted[at : at + 4], "big") for at in range(0, len(noted) - 3, 4)}
        for number in sorted(numbers):
            if number < len(self._chunks) and self._is_there(self._chunks[number]):
                self._had.add(self._chunks[number])
        os.ftruncate(self._journal, 0)
        kept = b"".join(self._numbers[chunk].to_bytes(4, "big") for chunk in self._had)
        os.write(self._journal, kept)

    def _runs(self, places: dict[Chunk, LocalPlace]) -> Iterator[tuple[str, int, int, int, list[Chunk]]]:
        """(file, offset there, offset here, length, chunks): neighbours in both files make one run."""
        path, start, target, length = "", 0, 0, 0
        members: list[Chunk] = []
        offset = 0
        for chunk in self._chunks:
            place = places.get(chunk) if chunk not in self._had else None
            fits = place is not None and place == LocalPlace(path, start + length) and target + length == offset
            if not fits or length + chunk.size > _RUN:
                if members:
                    yield path, start, target, length, members
                members, length = [], 0
                if place is not None:
                    path, start, target = place.path, place.offset, offset
            if place is not None:
                members.append(chunk)
                length += chunk.size
            offset += chunk.size
        if members:
            yield path, start, target, length, members

    def _drop_journal(self, *, remove: bool) -> None:
        if self._journal is not None:
            if remove:
                with suppress(OSError):
                    os.unlink(f"{self.path}.have")
            os.close(self._journal)
            self._journal = None


def _open_journal(layout: Layout, digest: BlobDigest) -> int | None:
    """The locked journal; None where another process works on this blob, or there is no place for it."""
    folder = f"{layout.root}/{FOLDER}"
    try:
        layout.make_folder(folder, 0o700)
        _make_room(folder, digest.hex())
        fd = os.open(f"{folder}/{digest.hex()}.have", _OPEN | os.O_APPEND, 0o600)
    except OSError:
        return None
    try:
        layout.owner.take(fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink == 0:
            raise OSError  # it was finished, and removed, between opening and locking
    except OSError:
        os.close(fd)
        return None
    return fd


def _make_room(folder: str, wanted: str) -> None:
    """Remove what is too old, and the oldest while there is too much; never what a process works on."""
    found = []
    for name in os.listdir(folder):
        with suppress(OSError):
            facts = os.lstat(f"{folder}/{name}")
            found.append((facts.st_mtime, facts.st_blocks * 512, name))
    total = sum(size for _, size, _ in found)
    for changed, size, name in sorted(found):
        if name.startswith(wanted) or (total <= LIMIT and changed > time.time() - AGE):
            continue
        if _is_idle(folder, name.removesuffix(".have")):
            with suppress(OSError):
                os.unlink(f"{folder}/{name}")
                total -= size


def _is_idle(folder: str, base: str) -> bool:
    try:
        fd = os.open(f"{folder}/{base}.have", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _write_at(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def _copy_range(source: int, start: int, target: int, offset: int, length: int) -> bool:
    """Copy within the kernel, where both file systems can, else through memory; whether all of it was there."""
    done = 0
    while done < length:
        try:
            step = os.copy_file_range(source, target, length - done, start + done, offset + done)
        except OSError:
            data = os.pread(source, min(length - done, MANY_THREADS), start + done)
            _write_at(target, data, offset + done)
            step = len(data)
        if step <= 0:
            return False
        start_writing(target, offset + done, step)
        done += step
    return True

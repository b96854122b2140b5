"""Big blobs as chunks, many on their way at once: blocks of files are read, cut, hashed, looked for, compressed.

    blobs, one after the other ──blocks of 8 MiB──► chunks ──is it there?──► compressed, in the order of the blobs

Whether a chunk is there is a round trip on a network, so that many blocks wait for their answers side by side, of one
big blob or of many small ones; what is on its way is bounded in bytes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import NamedTuple, TypeVar

from blake3 import blake3

from kiln.store.cache.chunking import LARGEST, Chunk, chunk_digest, cut_lengths, encode_chunk
from kiln.store.cache.objectrecord import BlobPlace, Chunked
from kiln.store.cache.sources import OPEN, File, Source, damaged, fill_from
from kiln.store.digest import BlobDigest
from kiln.store.disk import disk_errors
from kiln.store.failpoint import failpoint

WINDOW = 8 << 20
_ASKING = 24
_IN_FLIGHT = 32 << 20
"""Bytes of buffers that are on their way."""
T = TypeVar("T")


class BigSending:
    """Sends big blobs; `compressing` are the threads that compress. To be closed."""

    def __init__(self, reuse: Callable[[Sequence[str]], set[str]], compressing: ThreadPoolExecutor) -> None:
        self._reuse = reuse
        self._compressing = compressing
        self._asking = ThreadPoolExecutor(_ASKING, "kiln-push-ask")
        self._reading = ThreadPoolExecutor(1, "kiln-push-read")
        self._hashing = ThreadPoolExecutor(1, "kiln-push-hash")  # one thread: a blob's windows come in order
        self._free: SimpleQueue[bytearray] = SimpleQueue()
        self.reused: set[str] = set()
        """Chunks that were there, and that no head need name."""

    def close(self) -> None:
        for pool in (self._reading, self._hashing, self._asking):
            pool.shutdown(cancel_futures=True)

    def blobs(self, sources: Mapping[BlobDigest, Source], placed: dict[BlobDigest, BlobPlace]) -> Iterator[File]:
        """The files that hold these blobs. `placed` has each when its files have come out."""
        waiting: deque[_Going] = deque()
        load = 0
        for going in self._begun(sources):
            waiting.append(going)
            load += going.size
            while load > _IN_FLIGHT or len(waiting) > _ASKING:
                load -= waiting[0].size
                yield from self._passed(waiting.popleft(), placed)
        while waiting:
            yield from self._passed(waiting.popleft(), placed)

    def _begun(self, sources: Mapping[BlobDigest, Source]) -> Iterator[_Going]:
        for digest, source in sources.items():
            blob = _Blob(digest, source, blake3(), [])
            left = source.size
            for view, lengths, buffer in _cut(self._ahead(_blocks(source, self._free)), source.size):
                left -= len(view)
                hashed = self._hashing.submit(_update, blob.hasher, view)
                window = self._asking.submit(self._window, view, lengths)
                yield _Going(blob, hashed, window, buffer, len(view), not left)

    def _passed(self, going: _Going, placed: dict[BlobDigest, BlobPlace]) -> Iterator[File]:
        blob, window = going.blob, going.window.result()
        going.hashed.result()
        blob.chunks.extend(window.chunks)
        if len(going.buffer) == LARGEST + WINDOW:
            self._free.put(going.buffer)
        for file in window.files:
            yield file
            failpoint("push:chunk")
        if going.is_last:
            if blob.hasher.digest() != bytes(blob.digest):
                raise damaged(blob.source)
            placed[blob.digest] = Chunked(tuple(blob.chunks))

    def _ahead(self, items: Iterator[T]) -> Iterator[T]:
        """The same items, each made while the one before it is worked on."""
        coming = self._reading.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = self._reading.submit(next, items, None)
            yield item

    def _window(self, view: memoryview, lengths: Sequence[int]) -> _Window:
        """A window's chunks, and the files of those that are not there."""
        at = 0
        pieces: list[tuple[Chunk, memoryview]] = []
        for length in lengths:
            content = view[at : at + length]
            pieces.append((Chunk(chunk_digest(content), length), content))
            at += length
        there = self._reuse([chunk.path for chunk, _ in pieces])
        self.reused |= there
        new = [(chunk.path, content) for chunk, content in pieces if chunk.path not in there]
        files = self._compressing.submit(_compressed, new).result() if new else []
        return _Window([chunk for chunk, _ in pieces], files)


class _Blob(NamedTuple):
    digest: BlobDigest
    source: Source
    hasher: blake3
    chunks: list[Chunk]


class _Window(NamedTuple):
    chunks: list[Chunk]
    files: list[File]


class _Going(NamedTuple):
    """A block of a blob on its way."""

    blob: _Blob
    hashed: Future[None]
    window: Future[_Window]
    buffer: bytearray
    size: int
    is_last: bool


def _update(hasher: blake3, view: memoryview) -> None:
    hasher.update(view)


def _compressed(pieces: Sequence[tuple[str, memoryview]]) -> list[File]:
    return [(path, encode_chunk(content)) for path, content in pieces]


def _blocks(source: Source, free: SimpleQueue[bytearray]) -> Iterator[tuple[bytearray, int]]:
    """A big file in buffers: each with `LARGEST` bytes of room, then so many of the file. Raises Damaged, StoreError.

    Buffers are used again, as new ones cost as much as reading; a file that is one block has one of its own size.
    """
    with disk_errors("reading an object to push it"):
        fd = os.open(source.path, OPEN)
        try:
            for offset in range(0, source.size, WINDOW):
                length = min(WINDOW, source.size - offset)
                if source.size <= WINDOW:
                    buffer = bytearray(LARGEST + length)
                else:
                    buffer = bytearray(LARGEST + WINDOW) if free.empty() else free.get()
                fill_from(fd, memoryview(buffer)[LARGEST : LARGEST + length], offset, source)
                yield buffer, length
            if os.pread(fd, 1, source.size):
                raise damaged(source)
        finally:
            os.close(fd)


def _cut(blocks: Iterator[tuple[bytearray, int]], size: int) -> Iterator[tuple[memoryview, list[int], bytearray]]:
    """Whole chunks: bytes, lengths, the buffer; what is left of a chunk goes in front of the next block."""
    carried, done = b"", 0
    for buffer, length in blocks:
        start = LARGEST - len(carried)
        buffer[start:LARGEST] = carried
        view = memoryview(buffer)[start : LARGEST + length].toreadonly()
        lengths = list(cut_lengths(view))
        done += length
        carried = bytes(view[len(view) - lengths.pop() :]) if done < size else b""
        yield view[: sum(lengths)], lengths, buffer

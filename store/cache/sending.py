"""Objects' files as a cache's files: small blobs into packs, big ones into chunks, each read once.

    blobs of one batch of objects ──already there?──► rows kept
        small ──by kind and name──► packs of 8 MiB      compressed by a few threads
        big   ──blocks of 8 MiB───► chunks              hashed, looked for, compressed by a few threads
    then the batch's object records ──► packs

What is read is proven: a small blob has its digest, a big one too when its last window has gone through. What is
damaged here is an error and never leaves. No more than a few windows and packs are in memory at once, however much
is pushed; the files come out as a stream that whoever sends them pulls.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from blake3 import blake3

from kiln.store.cache.chunking import CHUNKED_FROM, LARGEST, Chunk, chunk_digest, cut_lengths, encode_chunk
from kiln.store.cache.objectrecord import BlobPlace, Chunked, Sliced
from kiln.store.cache.pack import OTHER, TEXT, Pack, PackWriter, Place
from kiln.store.digest import BlobDigest, Digest, blob_digest
from kiln.store.disk import disk_errors
from kiln.store.errors import Damaged
from kiln.store.failpoint import failpoint
from kiln.store.ingest import show_path
from kiln.store.manifest import HASH_BYTES, ZEROS, FileNode, entries_of
from kiln.store.meta import ObjectMeta

WINDOW = 8 << 20
WORKERS = 3
_IN_FLIGHT = 4
_PACK_CONTENT = 8 << 20
_PART = 4 << 20
_PROBE = 4096
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK

File: TypeAlias = "tuple[str, bytes]"
"""A file of a cache: its path and its bytes."""
D = TypeVar("D", bound=Digest)
T = TypeVar("T")
Piece: TypeAlias = "tuple[D, int, bytes]"
"""Something for a pack: its name, its kind, its bytes."""


class Source(NamedTuple):
    """Where a blob's bytes lie here: a file, and the places in it that are zero when it travels."""

    path: bytes
    size: int
    zeroed: tuple[int, ...]


def sources_of(meta: ObjectMeta, physical: str) -> dict[BlobDigest, Source]:
    """The blobs of an object as they travel, and where to read each; without the empty one."""
    own = {place.path: place for place in meta.places}
    found: dict[BlobDigest, Source] = {}
    top = os.fsencode(physical)
    for path, node in entries_of(meta.manifest):
        place = own.get(path)
        travels = node if place is None else place.modulo
        if isinstance(travels, FileNode) and travels.size:
            where = top + b"/" + path if path else top
            offsets = () if place is None else place.offsets
            found.setdefault(travels.digest, Source(where, travels.size, offsets))
    return found


class Sending:
    """A stream of files, and where each blob went. One for each push; a context manager."""

    def __init__(self, reuse: Callable[[Sequence[str]], set[str]]) -> None:
        self._reuse = reuse
        self._pool = ThreadPoolExecutor(WORKERS, "kiln-push")
        self._reading = ThreadPoolExecutor(1, "kiln-push-read")
        self._hashing = ThreadPoolExecutor(1, "kiln-push-hash")  # one thread: a blob's windows come in order
        self.reused: set[str] = set()
        """Chunks that were there, and that no head need name."""

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in (self._reading, self._hashing, self._pool):
            pool.shutdown(cancel_futures=True)

    def blobs(self, sources: Mapping[BlobDigest, Source], placed: dict[BlobDigest, BlobPlace]) -> Iterator[File]:
        """The files that hold these blobs; `placed` is filled as they go. Raises Damaged, StoreError, CacheError."""
        small = {digest: source for digest, source in sources.items() if source.size <= CHUNKED_FROM}

        def done(digest: BlobDigest, place: Place) -> None:
            placed[digest] = Sliced(place)

        yield from self.pieces(_small_pieces(small), done)
        for digest, source in sources.items():
            if source.size > CHUNKED_FROM:
                yield from self._big(digest, source, placed)

    def pieces(self, items: Iterable[Piece[D]], done: Callable[[D, Place], None]) -> Iterator[File]:
        """Packs of the pieces, in the order given; `done` is told where each went, before its pack comes out."""
        waiting: deque[Future[_Filled[D]]] = deque()
        for group in _groups(items):
            waiting.append(self._pool.submit(_fill, group))
            if len(waiting) >= WORKERS:
                yield from _finished(waiting.popleft().result(), done)
        while waiting:
            yield from _finished(waiting.popleft().result(), done)

    def _big(self, digest: BlobDigest, source: Source, placed: dict[BlobDigest, BlobPlace]) -> Iterator[File]:
        chunks: list[Chunk] = []
        waiting: deque[tuple[Future[None], Future[_Window], bytearray]] = deque()
        free: SimpleQueue[bytearray] = SimpleQueue()
        whole = blake3()

        def passed() -> Iterator[File]:
            hashed, window, buffer = waiting.popleft()
            hashed.result()
            chunks.extend(window.result().chunks)
            free.put(buffer)
            for file in window.result().files:
                yield file
                failpoint("push:chunk")

        for view, lengths, buffer in _cut(self._ahead(_blocks(source, free)), source.size):
            hashed = self._hashing.submit(_update, whole, view)
            waiting.append((hashed, self._pool.submit(self._window, view, lengths), buffer))
            if len(waiting) >= _IN_FLIGHT:
                yield from passed()
        while waiting:
            yield from passed()
        if whole.digest() != bytes(digest):
            raise _damaged(source)
        placed[digest] = Chunked(tuple(chunks))

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
        files = [(chunk.path, encode_chunk(content)) for chunk, content in pieces if chunk.path not in there]
        return _Window([chunk for chunk, _ in pieces], files)


class _Window(NamedTuple):
    chunks: list[Chunk]
    files: list[File]


def _update(hasher: blake3, view: memoryview) -> None:
    hasher.update(view)


def _blocks(source: Source, free: SimpleQueue[bytearray]) -> Iterator[tuple[bytearray, int]]:
    """A big file in buffers: each with `LARGEST` bytes of room, then so many of the file. Raises Damaged, StoreError.

    Buffers are used again: new ones cost as much as reading.
    """
    with disk_errors("reading an object to push it"):
        fd = os.open(source.path, _OPEN)
        try:
            for offset in range(0, source.size, WINDOW):
                length = min(WINDOW, source.size - offset)
                buffer = bytearray(LARGEST + WINDOW) if free.empty() else free.get()
                _fill_from(fd, memoryview(buffer)[LARGEST : LARGEST + length], offset, source)
                yield buffer, length
            if os.pread(fd, 1, source.size):
                raise _damaged(source)
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


def _fill_from(fd: int, into: memoryview, offset: int, source: Source) -> None:
    """Read a piece of a file, with zeros where they belong."""
    done = 0
    while done < len(into):
        got = os.preadv(fd, [into[done:]], offset + done)
        if not got:
            raise _damaged(source)
        done += got
    for place in source.zeroed:
        begin, end = max(place - offset, 0), min(place + HASH_BYTES - offset, len(into))
        if begin < end:
            into[begin:end] = ZEROS[: end - begin]


def _small_pieces(sources: Mapping[BlobDigest, Source]) -> Iterator[Piece[BlobDigest]]:
    """Small blobs, those alike side by side."""
    for digest in sorted(sources, key=lambda item: (_likeness(sources[item].path), item)):
        source = sources[digest]
        with disk_errors("reading an object to push it"):
            fd = os.open(source.path, _OPEN)
            try:
                buffer = bytearray(source.size)
                _fill_from(fd, memoryview(buffer), 0, source)
                longer = os.pread(fd, 1, source.size)
            finally:
                os.close(fd)
        data = bytes(buffer)
        if longer or blob_digest(data) != digest:
            raise _damaged(source)
        yield digest, OTHER if b"\0" in data[:_PROBE] else TEXT, data


def _likeness(path: bytes) -> tuple[bytes, bytes]:
    name = path[path.rfind(b"/") + 1 :]
    dot = name.rfind(b".")
    return (name[dot:] if dot > 0 else b"", name)


def _groups(items: Iterable[Piece[D]]) -> Iterator[list[Piece[D]]]:
    """Pieces of about a pack together, those of one kind side by side."""
    group: list[Piece[D]] = []
    size = 0
    for item in items:
        group.append(item)
        size += len(item[2])
        if size >= _PACK_CONTENT:
            yield sorted(group, key=lambda piece: piece[1])
            group, size = [], 0
    if group:
        yield sorted(group, key=lambda piece: piece[1])


class _Filled(NamedTuple, Generic[D]):
    """Finished packs, and where each piece went."""

    packs: list[Pack]
    places: list[tuple[D, Place]]


def _fill(group: list[Piece[D]]) -> _Filled[D]:
    """A group's packs: one, unless a piece is larger than a pack."""
    writer = PackWriter()
    packs: list[Pack] = []
    parts: list[tuple[D, list[tuple[int, int]]]] = []
    for name, kind, data in group:
        where: list[tuple[int, int]] = []
        for start in range(0, len(data), _PART):
            part = data[start : start + _PART]
            if not writer.room_for(len(part)):
                packs.append(writer.finish())
                writer = PackWriter()
            where.append((len(packs), writer.add(kind, part)))
        parts.append((name, where))
    packs.append(writer.finish())
    places = [(name, tuple(slice for at, n in where for slice in packs[at].places[n])) for name, where in parts]
    return _Filled(packs, places)


def _finished(filled: _Filled[D], done: Callable[[D, Place], None]) -> Iterator[File]:
    for name, place in filled.places:
        done(name, place)
    for pack in filled.packs:
        yield pack.path, pack.data
        failpoint("push:pack")


def _damaged(source: Source) -> Damaged:
    return Damaged(
        "an object to be pushed is damaged: a file is not what it was when it was registered",
        found=show_path(source.path),
        help="kiln store repair",
    )

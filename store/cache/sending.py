"""Objects' files as a cache's files: small blobs into packs, big ones into chunks, each read once.

    blobs of one batch of objects ──already there?──► rows kept
        small ──by kind and name──► packs of 8 MiB      compressed by a few threads
        big   ──blocks of 8 MiB───► chunks              hashed, looked for, compressed (`bigsend`)
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
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from kiln.store.cache.bigsend import BigSending
from kiln.store.cache.chunking import CHUNKED_FROM
from kiln.store.cache.objectrecord import BlobPlace, Sliced
from kiln.store.cache.pack import OTHER, TEXT, Pack, PackWriter, Place
from kiln.store.cache.sources import OPEN, File, Source, damaged, fill_from
from kiln.store.digest import BlobDigest, Digest, blob_digest
from kiln.store.disk import disk_errors
from kiln.store.failpoint import failpoint

WORKERS = 3
_PACK_CONTENT = 8 << 20
_PART = 4 << 20
_PROBE = 4096

D = TypeVar("D", bound=Digest)
Piece: TypeAlias = "tuple[D, int, bytes]"
"""Something for a pack: its name, its kind, its bytes."""


class Sending:
    """A stream of files, and where each blob went. One for each push; a context manager."""

    def __init__(self, reuse: Callable[[Sequence[str]], set[str]]) -> None:
        self._pool = ThreadPoolExecutor(WORKERS, "kiln-push")
        self._big = BigSending(reuse, self._pool)

    @property
    def reused(self) -> set[str]:
        """Chunks that were there, and that no head need name."""
        return self._big.reused

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, *_: object) -> None:
        self._big.close()
        self._pool.shutdown(cancel_futures=True)

    def blobs(self, sources: Mapping[BlobDigest, Source], placed: dict[BlobDigest, BlobPlace]) -> Iterator[File]:
        """The files that hold these blobs; `placed` is filled as they go. Raises Damaged, StoreError, CacheError."""
        small = {digest: source for digest, source in sources.items() if source.size <= CHUNKED_FROM}

        def done(digest: BlobDigest, place: Place) -> None:
            placed[digest] = Sliced(place)

        yield from self.pieces(_small_pieces(small), done)
        big = {digest: source for digest, source in sources.items() if source.size > CHUNKED_FROM}
        yield from self._big.blobs(big, placed)

    def pieces(self, items: Iterable[Piece[D]], done: Callable[[D, Place], None]) -> Iterator[File]:
        """Packs of the pieces, in the order given; `done` is told where each went, before its pack comes out."""
        waiting: deque[Future[_Filled[D]]] = deque()
        for group in _groups(items):
            waiting.append(self._pool.submit(_fill, group))
            if len(waiting) >= WORKERS:
                yield from _finished(waiting.popleft().result(), done)
        while waiting:
            yield from _finished(waiting.popleft().result(), done)


def _small_pieces(sources: Mapping[BlobDigest, Source]) -> Iterator[Piece[BlobDigest]]:
    """Small blobs, those alike side by side."""
    for digest in sorted(sources, key=lambda item: (_likeness(sources[item].path), item)):
        source = sources[digest]
        with disk_errors("reading an object to push it"):
            fd = os.open(source.path, OPEN)
            try:
                buffer = bytearray(source.size)
                fill_from(fd, memoryview(buffer), 0, source)
                longer = os.pread(fd, 1, source.size)
            finally:
                os.close(fd)
        data = bytes(buffer)
        if longer or blob_digest(data) != digest:
            raise damaged(source)
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

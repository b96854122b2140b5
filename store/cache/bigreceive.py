"""Big blobs out of a cache: the chunks of many of them are asked for together, so that each file costs no round trip.

    a group of blobs ──chunks that this machine has──► copied
                     ──the rest, in one question────► verified, written as they come, in any order
    a blob whose last chunk came ──hashed whole──► handed on

As many blobs are open at a time as file descriptors and the tail of a group allow. A blob that turns out wrong (what
was copied here was another, say) is asked for once more with its group.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue

from kiln.store.cache.backend import Request
from kiln.store.cache.bigblob import BigBlob
from kiln.store.cache.chunking import Chunk, Chunks, open_chunk
from kiln.store.cache.localchunks import LocalPlace, local_chunks
from kiln.store.cache.reader import CacheReader
from kiln.store.digest import BlobDigest
from kiln.store.disk import disk_errors
from kiln.store.errors import Damaged
from kiln.store.manifest import FileNode
from kiln.store.pool import Pool
from kiln.store.store import Store

OPEN_AT_ONCE = 96
"""Blobs that are put together at a time."""
_WORKERS = 2
_IN_HAND = 12
"""Chunks that wait to be verified and written."""
_TRIES = 2


class BigBlobs:
    """Receives big blobs for one batch. `place` takes each whole one; `progress` is told of bytes."""

    def __init__(
        self, store: Store, folder: str, place: Callable[[BigBlob], None], progress: Callable[[int], None]
    ) -> None:
        self._store = store
        self._folder = folder
        self._place = place
        self._progress = progress

    def receive(self, reader: CacheReader, wanted: Mapping[BlobDigest, Chunks]) -> None:
        """What this cache can give of the blobs. Raises CacheDown, CacheDenied, NoSpace, StoreError."""
        items = iter(wanted.items())
        while group := list(islice(items, OPEN_AT_ONCE)):
            with disk_errors("writing a big file from a cache"):
                self._receive_group(reader, group)

    def _receive_group(self, reader: CacheReader, group: Sequence[tuple[BlobDigest, Chunks]]) -> None:
        blobs: list[BigBlob] = []
        try:
            for digest, chunks in group:
                blobs.append(BigBlob(self._store.layout, self._folder, digest, chunks))
                self._copy(blobs[-1], chunks)
            left = blobs
            for _ in range(_TRIES):
                left = self._fetch(reader, left) if left else left
            for blob in left:
                reader.tell(f"{reader.name}: a big file could not be put together ({blob.digest.short})")
        finally:
            for blob in blobs:
                blob.give_up()

    def _copy(self, blob: BigBlob, chunks: Chunks) -> None:
        """Take what this machine has. It may turn out to be wrong: then it is fetched."""
        lacking = blob.lacking
        self._progress(blob.size - sum(chunk.size for chunk in lacking))
        if lacking:
            self._progress(blob.copy(self._local(blob.digest, chunks, lacking)))

    def _local(self, digest: BlobDigest, chunks: Chunks, lacking: Sequence[Chunk]) -> dict[Chunk, LocalPlace]:
        """Where the chunks should lie on this machine: in the pool under the blob's own name, or another's."""
        layout = self._store.layout
        pool, size = Pool(layout), sum(chunk.size for chunk in chunks)
        for executable in (False, True):
            entry = pool.entry(FileNode(size, digest, executable))
            if pool.has(entry):
                return _laid_out(chunks, entry)
        return local_chunks(layout, self._store.memo(), lacking)

    def _fetch(self, reader: CacheReader, blobs: Sequence[BigBlob]) -> list[BigBlob]:
        """Fetch what the blobs lack, and hand on those that are whole; those that are left."""
        users: dict[Request, list[tuple[BigBlob, Chunk]]] = {}
        left = dict.fromkeys(blobs)
        complete: SimpleQueue[BigBlob] = SimpleQueue()
        for blob in blobs:
            lacking = blob.lacking
            for chunk in lacking:
                users.setdefault(Request(chunk.path, None, chunk.size), []).append((blob, chunk))
            if not lacking:
                complete.put(blob)
        room = threading.Semaphore(_IN_HAND)
        waiting: list[Future[None]] = []

        def work(request: Request, data: bytes) -> None:
            try:
                self._take(users[request], data, complete)
            except Damaged as error:
                reader.tell(f"{reader.name}: {error.message} ({request.path}); passed over")
            finally:
                room.release()

        with ThreadPoolExecutor(_WORKERS, "kiln-chunk") as workers:
            for request, data in reader.fetch(users) if users else ():
                self._progress(0)  # which may end it
                room.acquire()
                waiting.append(workers.submit(work, request, data))
                self._hand_on(complete, left)
        for future in waiting:
            future.result()
        self._hand_on(complete, left)
        return list(left)

    def _take(self, users: Sequence[tuple[BigBlob, Chunk]], data: bytes, complete: SimpleQueue[BigBlob]) -> None:
        """Verify a chunk, and write it wherever it belongs. Raises Damaged."""
        content = open_chunk(users[0][1], data)
        for blob, chunk in users:
            if blob.put(chunk, content):
                complete.put(blob)
            self._progress(chunk.size)

    def _hand_on(self, complete: SimpleQueue[BigBlob], left: dict[BigBlob, None]) -> None:
        for blob in _drained(complete):
            if blob in left and not blob.lacking and blob.is_whole():
                del left[blob]
                self._place(blob)


def _drained(queue: SimpleQueue[BigBlob]) -> Iterator[BigBlob]:
    while not queue.empty():
        yield queue.get()


def _laid_out(chunks: Chunks, path: str) -> dict[Chunk, LocalPlace]:
    """Where each chunk lies in a file that is the blob."""
    found: dict[Chunk, LocalPlace] = {}
    offset = 0
    for chunk in chunks:
        found.setdefault(chunk, LocalPlace(path, offset))
        offset += chunk.size
    return found

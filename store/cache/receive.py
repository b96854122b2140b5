"""Taking objects out of caches, many at once, in whatever order their bytes come.

    records ──► drafts: directories stand ──► blobs: frames and chunks, verified one by one ──► staged objects

Nothing waits for what it refers to: order matters only when objects are registered, which is the caller's. Each blob
is asked for once, however many files of however many objects it is. Big ones lie in chunks: those that this machine
has in other files are copied, those that came before an interruption are kept, the rest is fetched.

A cache that fails for an object (a file that is missing, bytes that are wrong, or it is down) is passed over for the
next one that has it; what came from the first is kept. What nobody could give is said, and nothing of it is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from kiln.store.cache.assemble import Draft
from kiln.store.cache.backend import Request
from kiln.store.cache.bigblob import BigBlob
from kiln.store.cache.chunking import Chunk, Chunks, open_chunk
from kiln.store.cache.errors import CacheError
from kiln.store.cache.localchunks import LocalPlace, local_chunks, remember_chunks
from kiln.store.cache.objectrecord import BlobPlace, Chunked, ObjectRecord, Sliced
from kiln.store.cache.reader import CacheReader
from kiln.store.commit import Staged
from kiln.store.digest import BlobDigest, ObjectId, blob_digest
from kiln.store.disk import disk_errors
from kiln.store.errors import Damaged, StoreError
from kiln.store.manifest import FileNode, entries_of
from kiln.store.meta import ObjectMeta
from kiln.store.pool import Pool
from kiln.store.store import Store

_WORKERS = 2
_IN_HAND = 12
"""Chunks that wait to be verified and written."""


class Receiver:
    """Receives one batch of objects; make a new one for the next. Used by one thread."""

    def __init__(self, store: Store, progress: Callable[[int], None] = lambda _: None) -> None:
        self._store = store
        self._folder = store.new_temp("cache")
        self._progress = progress
        self._made = 0
        self._drafts: dict[ObjectId, Draft] = {}
        self._big: dict[FileNode, Chunks] = {}
        self.sources: dict[ObjectId, CacheReader] = {}
        """Who gave an object's record, and most of its bytes."""
        self.problems: dict[ObjectId, StoreError] = {}

    def receive(self, wanted: Mapping[ObjectId, Sequence[CacheReader]]) -> list[Staged]:
        """What could be had, ready to be registered, in the order given. `wanted` names for each who has it, the
        preferred one first. Raises NoSpace, StoreError for what is wrong on this machine.
        """
        left = dict.fromkeys(wanted)
        for reader in _in_order(wanted):
            mine = [item for item in left if reader in wanted[item]]
            if mine:
                try:
                    self._receive_from(reader, mine)
                except CacheError as error:
                    reader.tell_failure(error)
                    self.problems.update(dict.fromkeys(mine, error))
            for item in mine:
                draft = self._drafts.get(item)
                if draft is not None and not draft.missing:  # a refused one is no longer among them
                    self.sources.setdefault(item, reader)
                    del left[item]
        with disk_errors("finishing objects from a cache"):
            return [self._drafts[item].finish() for item in wanted if item not in left]

    def remember(self) -> None:
        """Note where chunks lie now that the objects are in the store."""
        remember_chunks(self._store.memo(), self._big)

    def _receive_from(self, reader: CacheReader, ids: Iterable[ObjectId]) -> None:
        rows = reader.objects(ids)
        places: dict[BlobDigest, BlobPlace] = {}
        users: dict[BlobDigest, list[Draft]] = {}
        for item, record in reader.records(rows).items():
            draft = self._draft(item, record)
            if draft is None:
                continue
            for digest in draft.missing:
                places.setdefault(digest, record.blobs[digest])
                users.setdefault(digest, []).append(draft)
        self._receive_small(reader, places, users)
        self._receive_big(reader, places, users)

    def _draft(self, item: ObjectId, record: ObjectRecord) -> Draft | None:
        draft = self._drafts.get(item)
        if draft is None:
            self._made += 1
            try:
                with disk_errors("laying out an object from a cache"):
                    draft = Draft(record.meta, self._folder, str(self._made), self._store.layout.owner)
            except Damaged as error:
                self.problems[item] = error
                return None
            self._drafts[item] = draft
            self._note_big(record.meta, record.blobs)
        return draft

    def _note_big(self, meta: ObjectMeta, blobs: Mapping[BlobDigest, BlobPlace]) -> None:
        chunked = {digest: blob.chunks for digest, blob in blobs.items() if isinstance(blob, Chunked)}
        if not chunked:
            return
        zeroed = {place.path: place.modulo for place in meta.places}
        for path, node in entries_of(meta.manifest):
            if isinstance(node, FileNode):
                travels = zeroed.get(path, node)
                assert isinstance(travels, FileNode)
                if travels.digest in chunked:
                    self._big[node] = chunked[travels.digest]

    def _receive_small(
        self,
        reader: CacheReader,
        places: Mapping[BlobDigest, BlobPlace],
        users: Mapping[BlobDigest, Sequence[Draft]],
    ) -> None:
        sliced = {digest: blob.place for digest, blob in places.items() if isinstance(blob, Sliced)}
        for digest, data in reader.read(sliced):
            if blob_digest(data) != digest:
                reader.tell(f"{reader.name}: a file is not what its record says ({digest.short}); passed over")
                continue
            with disk_errors("writing a file from a cache"):
                for draft in users[digest]:
                    self._fill(draft, digest, data)
            self._progress(len(data))

    def _fill(self, draft: Draft, digest: BlobDigest, data: bytes) -> None:
        try:
            draft.fill(digest, data)
        except Damaged as error:
            self._refuse(draft, error)

    def _refuse(self, draft: Draft, error: Damaged) -> None:
        """The record itself is wrong about its object: nobody's bytes can help."""
        self.problems[draft.meta.info.id] = error
        self._drafts.pop(draft.meta.info.id, None)

    def _receive_big(
        self,
        reader: CacheReader,
        places: Mapping[BlobDigest, BlobPlace],
        users: Mapping[BlobDigest, Sequence[Draft]],
    ) -> None:
        chunked = {digest: blob.chunks for digest, blob in places.items() if isinstance(blob, Chunked)}
        for digest, chunks in chunked.items():
            with disk_errors("writing a big file from a cache"):
                blob = BigBlob(self._store.layout, self._folder, digest, chunks)
                try:
                    if self._fetch_big(reader, blob, chunks, users[digest]):
                        self._place(blob, users[digest])
                    else:
                        reader.tell(f"{reader.name}: a big file could not be put together ({digest.short})")
                finally:
                    blob.give_up()

    def _fetch_big(self, reader: CacheReader, blob: BigBlob, chunks: Chunks, users: Sequence[Draft]) -> bool:
        """Whether the blob is whole. What is copied here may turn out to be wrong: then it is fetched."""
        lacking = blob.lacking
        self._progress(blob.size - sum(chunk.size for chunk in lacking))
        if lacking:
            self._progress(blob.copy(self._local(blob, chunks, lacking, users)))
        for _ in range(2):
            self._fetch_chunks(reader, blob)
            if not blob.lacking and blob.is_whole():
                return True
        return False

    def _local(
        self, blob: BigBlob, chunks: Chunks, lacking: Sequence[Chunk], users: Sequence[Draft]
    ) -> dict[Chunk, LocalPlace]:
        """Where the chunks should lie on this machine: in the pool under the blob's own name, or another's."""
        layout = self._store.layout
        pool = Pool(layout)
        for executable in (False, True):
            entry = pool.entry(FileNode(blob.size, blob.digest, executable))
            if pool.has(entry):
                return _laid_out(chunks, entry)
        return local_chunks(layout, self._store.memo(), lacking)

    def _fetch_chunks(self, reader: CacheReader, blob: BigBlob) -> None:
        requests = {Request(chunk.path, None, chunk.size): chunk for chunk in blob.lacking}
        if not requests:
            return
        room = threading.Semaphore(_IN_HAND)
        waiting: list[Future[None]] = []

        def work(chunk: Chunk, data: bytes) -> None:
            try:
                blob.put(chunk, open_chunk(chunk, data))
                self._progress(chunk.size)
            except Damaged as error:
                reader.tell(f"{reader.name}: {error.message} ({chunk.path}); passed over")
            finally:
                room.release()

        with ThreadPoolExecutor(_WORKERS, "kiln-chunk") as workers:
            for request, data in reader.fetch(requests):
                self._progress(0)  # which may end it
                room.acquire()
                waiting.append(workers.submit(work, requests[request], data))
        for future in waiting:
            future.result()

    def _place(self, blob: BigBlob, users: Sequence[Draft]) -> None:
        path = blob.take()
        last = len(users) - 1
        for at, draft in enumerate(users):
            try:
                draft.fill_from(blob.digest, path, take=at == last)
            except Damaged as error:
                self._refuse(draft, error)


def _laid_out(chunks: Chunks, path: str) -> dict[Chunk, LocalPlace]:
    """Where each chunk lies in a file that is the blob."""
    found: dict[Chunk, LocalPlace] = {}
    offset = 0
    for chunk in chunks:
        found.setdefault(chunk, LocalPlace(path, offset))
        offset += chunk.size
    return found


def _in_order(wanted: Mapping[ObjectId, Sequence[CacheReader]]) -> list[CacheReader]:
    """Every reader once, those first that the first objects prefer."""
    seen: dict[CacheReader, None] = {}
    for readers in wanted.values():
        seen.update(dict.fromkeys(readers))
    return list(seen)

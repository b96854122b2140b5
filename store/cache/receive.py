"""Taking objects out of caches, many at once, in whatever order their bytes come.

    records ──► drafts: directories stand ──► blobs: frames and chunks, verified one by one ──► staged objects

Nothing waits for what it refers to: order matters only when objects are registered, which is the caller's. Each blob
is asked for once, however many files of however many objects it is. Big ones lie in chunks: those that this machine
has in other files are copied, those that came before an interruption are kept, the rest is fetched (`bigreceive`).

A cache that fails for an object (a file that is missing, bytes that are wrong, or it is down) is passed over for the
next one that has it; what came from the first is kept. What nobody could give is said, and nothing of it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from kiln.store.cache.assemble import Draft
from kiln.store.cache.bigblob import BigBlob
from kiln.store.cache.bigreceive import BigBlobs
from kiln.store.cache.chunking import Chunks
from kiln.store.cache.errors import CacheError
from kiln.store.cache.localchunks import remember_chunks
from kiln.store.cache.objectrecord import BlobPlace, Chunked, ObjectRecord, Sliced
from kiln.store.cache.reader import CacheReader
from kiln.store.commit import Staged
from kiln.store.digest import BlobDigest, ObjectId, blob_digest
from kiln.store.disk import disk_errors
from kiln.store.errors import Damaged, StoreError
from kiln.store.manifest import FileNode, entries_of
from kiln.store.meta import ObjectMeta
from kiln.store.store import Store


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
        big = BigBlobs(self._store, self._folder, lambda blob: self._place(blob, users[blob.digest]), self._progress)
        big.receive(reader, chunked)

    def _place(self, blob: BigBlob, users: Sequence[Draft]) -> None:
        path = blob.take()
        last = len(users) - 1
        for at, draft in enumerate(users):
            try:
                draft.fill_from(blob.digest, path, take=at == last)
            except Damaged as error:
                self._refuse(draft, error)


def _in_order(wanted: Mapping[ObjectId, Sequence[CacheReader]]) -> list[CacheReader]:
    """Every reader once, those first that the first objects prefer."""
    seen: dict[CacheReader, None] = {}
    for readers in wanted.values():
        seen.update(dict.fromkeys(readers))
    return list(seen)

"""Pushing: what is selected and not there goes into a cache, and then becomes visible at once.

    1  ask the segments which objects, envelopes and records are there              one bulk question a table
    2  for each batch of new objects: their blobs into chunks and packs, then their records
    3  envelopes
    4  one segment with all new rows
    5  the head                                                                     the commit point
    6  where there are many segments: merge the small ones

Files of the steps 2 to 4 are named by their content and never change. A push that is killed leaves some that no
head names: the next one makes the same again, finds them there, and goes on; two that push one thing at once write
the same files. A collection may take such a file for rubbish: so its age begins anew when it is found there
(`Backend.reuse_many`), and it is looked for once more before a head names it, and again when one does. Where it went
nevertheless the push begins again, and what its own head says of lost files is not counted.

A push also counts on rows that the own head had. If they are gone when it comes to write its head (retention by the
same key, a merge), that is a conflict, and the selection is asked for anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kiln.store.cache.backend import YOUNG
from kiln.store.cache.casing import check_names
from kiln.store.cache.errors import CacheError, Conflict
from kiln.store.cache.head import SegmentEntry
from kiln.store.cache.merging import merge_segments
from kiln.store.cache.objectrecord import MAX_RECORD, BlobPlace, ObjectRecord, encode_record
from kiln.store.cache.pack import ENVELOPES as ENVELOPE_KIND
from kiln.store.cache.pack import RECORDS, Place
from kiln.store.cache.rows import (
    BLOBS,
    CLAIMS,
    ENVELOPES,
    MAX_LABEL,
    MAX_VALUE,
    OBJECTS,
    RESOLUTIONS,
    TARGETS,
    ObjectRow,
    TargetRow,
    decode_blob,
    decode_target,
    encode_blob,
    encode_claims,
    encode_envelope,
    encode_object,
    encode_resolutions,
    encode_target,
    key,
)
from kiln.store.cache.segment import write_segments
from kiln.store.cache.selection import Selection, Target
from kiln.store.cache.sending import Sending
from kiln.store.cache.sources import File, Source, sources_of
from kiln.store.cache.upstream import LIFETIME, Identity, Update, Upstream, merge_into
from kiln.store.digest import BlobDigest, EnvelopeDigest, ObjectId
from kiln.store.errors import Damaged
from kiln.store.failpoint import failpoint
from kiln.store.info import ObjectInfo
from kiln.store.meta import ObjectMeta
from kiln.store.store import Store

_BATCH_OBJECTS = 2048
_BATCH_BLOBS = 8192
_ATTEMPTS = 4
_REFRESH = 24 * 3600
"""Seconds after which a target that is pushed again is noted as pushed again."""


class Progress(NamedTuple):
    """How far a push is: objects whose files are on their way, of how many; files and bytes sent."""

    objects: int
    of: int
    files: int
    sent: int


@dataclass(slots=True)
class Pushed:
    """What a push did, or with `dry_run` would do. Sizes are in bytes; `content` is that of new objects' files."""

    objects: int = 0
    there: int = 0
    content: int = 0
    envelopes: int = 0
    records: int = 0
    files: int = 0
    sent: int = 0
    version: int = 0
    dry_run: bool = False
    withheld: list[ObjectInfo] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        return not (self.objects or self.envelopes or self.records)


class Options(NamedTuple):
    dry_run: bool = False
    lifetime: int = LIFETIME
    on_progress: Callable[[Progress], None] = lambda _: None


def push(
    store: Store, upstream: Upstream, identity: Identity, selection: Selection, options: Options | None = None
) -> Pushed:
    """Push what is selected. Raises CacheError, CaseClash, Damaged, StoreError; then nothing is visible."""
    store.pin([info.id for info in selection.objects])
    given = options or Options()
    for attempt in range(_ATTEMPTS):
        work = _Push(store, upstream, identity, selection, given)
        try:
            return work.run()
        except (_Vanished, Conflict):
            if attempt == _ATTEMPTS - 1:
                raise
            upstream.look_again(identity)
    raise AssertionError


class _Vanished(CacheError):
    """A file that was there, and that nobody named, has been collected meanwhile."""

    code = "K0654"


class _Push:
    """One attempt. `_rows` grows step by step into the new segment."""

    def __init__(
        self, store: Store, upstream: Upstream, identity: Identity, selection: Selection, options: Options
    ) -> None:
        self._store = store
        self._upstream = upstream
        self._identity = identity
        self._selection = selection
        self._options = options
        self._now = int(time.time())
        self._rows: dict[bytes, bytes] = {}
        self._done = Pushed(dry_run=options.dry_run, withheld=selection.withheld)
        self._reused: set[str] = set()
        self._sizes: dict[str, int] = {}  # of the files that were to be sent
        self._began = time.monotonic()

    def run(self) -> Pushed:
        dry = self._options.dry_run
        if not dry:
            self._upstream.introduce(self._identity, self._now)
        self._upstream.known(self._questions())
        new = self._new_objects()
        envelopes = self._new_envelopes()
        backend = self._upstream.backend
        with Sending(lambda paths: (backend.exists_many if dry else backend.reuse_many)(paths)) as sending:
            self._send(self._content(sending, new, envelopes))
            self._reused |= sending.reused
            failpoint("push:content")
            self._add_records()
            if not dry:
                self._check_still_there()
        if self._rows or self._is_stale():
            self._publish()
        if not dry and self._upstream.own is not None:
            self._done.version = self._upstream.own.version
            merge_segments(self._upstream, self._identity, self._options.lifetime)
        return self._done

    # What is missing.

    def _questions(self) -> Iterator[bytes]:
        """All that will be asked but blobs: asking at once brings the answers in one go."""
        selection = self._selection
        yield from (key(OBJECTS, info.id) for info in selection.objects)
        yield from (key(ENVELOPES, digest) for digest in selection.envelopes)
        yield from (key(CLAIMS, resolved) for resolved in selection.claims)
        yield from (key(RESOLUTIONS, drv) for drv in selection.resolutions)
        yield from (key(TARGETS, target.object) for target in selection.targets)

    def _new_objects(self) -> list[ObjectInfo]:
        infos = self._selection.objects
        names = [key(OBJECTS, info.id) for info in infos]
        own = self._upstream.known(names, own=True)
        others = self._upstream.known(name for name in names if name not in own)
        self._rows.update(others)
        new = [info for info in infos if key(OBJECTS, info.id) not in own and key(OBJECTS, info.id) not in others]
        self._add_origins(own)
        self._done.objects, self._done.there = len(new), len(infos) - len(new)
        self._done.content = sum(info.size for info in new)
        return new

    def _add_origins(self, own: Mapping[bytes, bytes]) -> None:
        """Derivations that an object which is there is now known to come from, too."""
        from kiln.store.cache.rows import decode_object

        for name, value in own.items():
            row = decode_object(value)
            more = set(self._selection.made_by.get(ObjectId(name[1:]), ())) - set(row.resolved)
            if more:
                self._rows[name] = encode_object(row._replace(resolved=(*row.resolved, *more)))

    def _new_envelopes(self) -> list[EnvelopeDigest]:
        wanted = self._selection.envelopes
        names = [key(ENVELOPES, digest) for digest in wanted]
        own = self._upstream.known(names, own=True)
        others = self._upstream.known(name for name in names if name not in own)
        self._rows.update(others)
        new = [digest for digest in wanted if not {key(ENVELOPES, digest)} & (own.keys() | others.keys())]
        self._done.envelopes = len(new)
        return new

    # Content.

    def _content(
        self, sending: Sending, new: Sequence[ObjectInfo], envelopes: Sequence[EnvelopeDigest]
    ) -> Iterator[File]:
        reported = 0
        for batch in self._batches(new):
            yield from self._batch(sending, batch)
            reported += len(batch)
            self._report(reported)

        def done(digest: EnvelopeDigest, place: Place) -> None:
            self._rows[key(ENVELOPES, digest)] = encode_envelope(place)

        pieces = ((digest, ENVELOPE_KIND, self._store.envelope(digest)) for digest in sorted(envelopes))
        yield from sending.pieces(pieces, done)

    def _batches(self, new: Sequence[ObjectInfo]) -> Iterator[list[tuple[ObjectMeta, dict[BlobDigest, Source]]]]:
        batch: list[tuple[ObjectMeta, dict[BlobDigest, Source]]] = []
        blobs = 0
        for info in new:
            meta = self._store.meta(info.id)
            check_names(meta)
            sources = sources_of(meta, self._store.physical(info.path))
            batch.append((meta, sources))
            blobs += len(sources)
            if blobs >= _BATCH_BLOBS or len(batch) >= _BATCH_OBJECTS:
                yield batch
                batch, blobs = [], 0
        if batch:
            yield batch

    def _batch(
        self, sending: Sending, batch: Sequence[tuple[ObjectMeta, Mapping[BlobDigest, Source]]]
    ) -> Iterator[File]:
        sources: dict[BlobDigest, Source] = {}
        for _, found in batch:
            sources.update(found)
        placed = self._known_blobs(sources)
        todo = {digest: source for digest, source in sources.items() if digest not in placed}
        yield from sending.blobs(todo, placed)
        for digest in todo:
            self._rows[key(BLOBS, digest)] = encode_blob(placed[digest])

        def done(object_id: ObjectId, place: Place) -> None:
            made = self._selection.made_by.get(object_id, ())
            self._rows[key(OBJECTS, object_id)] = encode_object(ObjectRow(sizes[object_id], place, made))

        sizes = {meta.info.id: meta.info.size for meta, _ in batch}
        yield from sending.pieces(_records(batch, placed), done)

    def _known_blobs(self, sources: Mapping[BlobDigest, Source]) -> dict[BlobDigest, BlobPlace]:
        """Where those of the blobs lie that are there, or were sent in an earlier batch."""
        placed: dict[BlobDigest, BlobPlace] = {}
        asked: list[bytes] = []
        for digest in sources:
            row = self._rows.get(key(BLOBS, digest))
            if row is None:
                asked.append(key(BLOBS, digest))
            else:
                placed[digest] = decode_blob(row)
        own = self._upstream.known(asked, own=True)
        others = self._upstream.known(name for name in asked if name not in own)
        self._rows.update(others)
        for found in (own, others):
            placed.update((BlobDigest(name[1:]), decode_blob(value)) for name, value in found.items())
        return {
            digest: place for digest, place in placed.items() if place.size == sources[digest].size
        }  # of another size: a row that is wrong, and no reader would take

    # Records.

    def _add_records(self) -> None:
        """Rows of what is said, as far as it is new."""
        said: dict[bytes, bytes] = {}
        for resolved, claims in self._selection.claims.items():
            said[key(CLAIMS, resolved)] = encode_claims(claims)
        for drv, resolutions in self._selection.resolutions.items():
            said[key(RESOLUTIONS, drv)] = encode_resolutions(resolutions)
        merge_into(said, self._upstream.known(said, own=True))
        targets = {key(TARGETS, target.object): target for target in self._selection.targets}
        there = self._upstream.known(targets, own=True)
        for name, target in targets.items():
            old = decode_target(there[name]) if name in there else None
            row = self._target_row(target, old)
            value = encode_target(row)
            if len(value) <= MAX_VALUE and not (old is not None and _says_same(row, old)):
                said[name] = value
        self._rows.update(said)
        self._done.records = len(said)

    def _target_row(self, target: Target, old: TargetRow | None) -> TargetRow:
        """A target's row, under the name that it has there where it was given none."""
        label = target.label or (target.name if old is None else old.label)
        shown = "".join(char if char.isprintable() else "?" for char in label)[:MAX_LABEL]
        closure, evidence = sorted(set(target.closure)), sorted(set(target.evidence))
        return TargetRow(self._now * 1000, shown, tuple(closure), tuple(evidence))

    # Sending and publishing.

    def _send(self, files: Iterable[File]) -> None:
        counted = self._counted(files)
        if self._options.dry_run:
            for _ in counted:
                pass
        else:
            reused = self._upstream.backend.put_many(counted)
            self._reused |= reused
            self._done.files -= len(reused)
            self._done.sent -= sum(self._sizes.pop(path) for path in reused)

    def _counted(self, files: Iterable[File]) -> Iterator[File]:
        for path, data in files:
            self._done.files += 1
            self._done.sent += len(data)
            self._sizes[path] = len(data)
            yield path, data

    def _report(self, objects: int) -> None:
        self._options.on_progress(
            Progress(objects, len(self._selection.objects) - self._done.there, self._done.files, self._done.sent)
        )

    def _check_still_there(self) -> None:
        """That what was there, and nobody named, is there still; after hours, that what was sent is, too."""
        paths = set(self._reused)
        if time.monotonic() - self._began > YOUNG:
            paths |= self._sizes.keys()
        gone = paths - self._upstream.backend.exists_many(sorted(paths)) if paths else set()
        if gone:
            raise _Vanished(
                "a cache was collected while it was pushed to",
                cache=self._upstream.backend.name,
                path=min(gone),
                help="push once more",
            )

    def _is_stale(self) -> bool:
        """Whether the head should be signed again though nothing is new."""
        own = self._upstream.own
        return own is not None and own.expires - self._now < self._options.lifetime // 2

    def _publish(self) -> None:
        """The segment, then the head."""
        segments = write_segments(self._rows)
        self._send((segment.path, segment.data) for segment in segments)
        failpoint("push:segment")
        if self._options.dry_run:
            return
        added = tuple(map(SegmentEntry.of, segments))
        update = Update(added, relied=tuple(self._upstream.relied))
        self._upstream.commit(self._identity, update, self._now, self._options.lifetime)
        failpoint("push:head")
        try:
            self._check_still_there()
        except _Vanished:
            self._upstream.disregard(added)
            raise


def _records(
    batch: Sequence[tuple[ObjectMeta, Mapping[BlobDigest, Source]]], placed: Mapping[BlobDigest, BlobPlace]
) -> Iterator[tuple[ObjectId, int, bytes]]:
    for meta, sources in batch:
        data = encode_record(ObjectRecord(meta, {digest: placed[digest] for digest in sources}))
        if len(data) > MAX_RECORD:
            raise Damaged("an object with too many files for a cache", found=str(meta.info.path))
        yield meta.info.id, RECORDS, data


def _says_same(new: TargetRow, old: TargetRow) -> bool:
    """Whether a target's row need not be written again."""
    same = new._replace(pushed=old.pushed) == old
    return same and new.pushed - old.pushed < _REFRESH * 1000

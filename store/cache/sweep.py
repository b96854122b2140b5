"""What a cache keeps, and what goes: retention by the uploader, collection by whoever looks after the place.

**Retention** decides target by target (see `rows`), and only the uploader can do it, as it changes his head: of the
targets that his segments name, those are kept that are young enough, or among the last of their name, or among the
objects that are to stay. With a target stay the objects of its closure and all that is said of them; whatever no kept
target needs goes from his tables. The old segments are *retired*: the head says since when.

**Collection** removes files that no head names, whoever runs it, where files can be listed:

    1  read every head; what segments in force, and segments retired less than a grace period ago, name is alive:
       the segments, the packs and chunks of their objects' records, blobs and envelopes
    2  list the files; of those that are not alive, take the ones that are older than the grace period
    3  read the heads again: if one has changed meanwhile, begin again
    4  remove them

So a reader with a head from before has a grace period to finish, and so has an uploader between his first file and
his head. A head that cannot be read stops collection: what it names would be lost.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kiln.store.cache.backend import Backend, Entry
from kiln.store.cache.card import CARD_PATH
from kiln.store.cache.errors import CacheError, Conflict
from kiln.store.cache.head import MAX_HEAD, Head, SegmentEntry, decode_head
from kiln.store.cache.objectrecord import BlobPlace, Chunked, Sliced, decode_record
from kiln.store.cache.pack import Frame, Place, cut, open_frame
from kiln.store.cache.rows import (
    BLOBS,
    CLAIMS,
    ENVELOPES,
    OBJECTS,
    RESOLUTIONS,
    TARGETS,
    TargetRow,
    decode_blob,
    decode_claims,
    decode_envelope,
    decode_object,
    decode_resolutions,
    decode_target,
)
from kiln.store.cache.segment import write_segments
from kiln.store.cache.upstream import LIFETIME, Identity, Update, Upstream, all_rows, lied, merged_rows
from kiln.store.digest import BlobDigest, DrvDigest, ObjectId, ResolvedDigest
from kiln.store.errors import StoreError
from kiln.store.failpoint import failpoint
from kiln.store.provenance import dsse

GRACE = 24 * 3600
"""Seconds that readers and uploaders have to finish."""
MAX_LISTED = 5_000_000
"""Files below one folder of a cache; a place that lists more is no cache, or lies."""
_ROUNDS = 4
_FRAMES_AT_ONCE = 64


class Uncollectable(CacheError):
    """A cache of which not every file, or not every head, can be seen."""

    code = "K0676"


class Retention(NamedTuple):
    """Which targets stay: younger than `older_than` seconds, the last `keep_last` of each name, these objects.

    Without any of the three all stay.
    """

    older_than: int | None = None
    keep_last: int | None = None
    targets: frozenset[ObjectId] | None = None

    @property
    def keeps_all(self) -> bool:
        return self == Retention()


@dataclass(slots=True)
class Retained:
    """Targets (object, label) that stay and that go; rows of the tables before and after."""

    kept: list[tuple[ObjectId, str]] = field(default_factory=list)
    dropped: list[tuple[ObjectId, str]] = field(default_factory=list)
    rows_before: int = 0
    rows_after: int = 0


@dataclass(slots=True)
class Swept:
    """What collection removed, or would; sizes in bytes. `young` is what only the grace period keeps."""

    removed: list[Entry] = field(default_factory=list)
    young: int = 0
    alive: int = 0
    alive_size: int = 0
    heads: int = 0

    @property
    def freed(self) -> int:
        return sum(entry.size for entry in self.removed)


def retain(
    upstream: Upstream, identity: Identity, retention: Retention, *, dry_run: bool = False, lifetime: int = LIFETIME
) -> Retained:
    """Apply retention to the uploader's own head. Raises CacheError, StoreError."""
    for _ in range(_ROUNDS):
        try:
            return _retain(upstream, identity, retention, dry_run, lifetime)
        except Conflict as conflict:  # somebody pushed by this key: that may count on what was to go
            last = conflict
            upstream.look_again(identity)
    raise last


def _retain(upstream: Upstream, identity: Identity, retention: Retention, dry_run: bool, lifetime: int) -> Retained:
    own = upstream.own
    if own is None or retention.keeps_all:
        return Retained()
    now = int(time.time())
    rows = merged_rows(upstream.backend, own.segments)
    targets = {ObjectId(name[1:]): decode_target(value) for name, value in rows.items() if name[:1] == TARGETS}
    kept = keepers(targets, retention, now)
    done = Retained(rows_before=len(rows))
    for object_id, row in sorted(targets.items(), key=lambda item: (item[1].label, item[1].pushed)):
        (done.kept if object_id in kept else done.dropped).append((object_id, row.label))
    if not done.dropped:
        done.rows_after = len(rows)
        return done
    left = _rows_of(rows, {item: targets[item] for item in kept}, upstream.backend)
    done.rows_after = len(left)
    if not dry_run:
        segments = write_segments(left)
        upstream.backend.put_many((segment.path, segment.data) for segment in segments)
        added = tuple(map(SegmentEntry.of, segments))
        replaced = tuple(item for item in own.segments if item not in added)
        failpoint("retain:segment")
        upstream.commit(identity, Update(added, replaced, whole=own.segments), now, lifetime)
    return done


def keepers(targets: Mapping[ObjectId, TargetRow], retention: Retention, now: int) -> set[ObjectId]:
    """The targets that stay."""
    kept: set[ObjectId] = set()
    if retention.older_than is not None:
        kept |= {item for item, row in targets.items() if row.pushed >= (now - retention.older_than) * 1000}
    if retention.targets is not None:
        kept |= targets.keys() & retention.targets
    if retention.keep_last is not None:
        by_label: dict[str, list[ObjectId]] = {}
        for item in sorted(targets, key=lambda item: (targets[item].pushed, item), reverse=True):
            by_label.setdefault(targets[item].label, []).append(item)
        kept |= {item for items in by_label.values() for item in items[: retention.keep_last]}
    return kept


def _rows_of(
    rows: Mapping[bytes, bytes], targets: Mapping[ObjectId, TargetRow], backend: Backend
) -> dict[bytes, bytes]:
    """The rows that these targets need."""
    objects = {OBJECTS + item for row in targets.values() for item in row.closure}
    envelopes = {ENVELOPES + item for row in targets.values() for item in row.evidence}
    claims, resolved = _claims_of(rows, objects, envelopes)
    resolutions = {
        name: value
        for name, value in rows.items()
        if name[:1] == RESOLUTIONS
        and any(item.resolved in resolved for item in decode_resolutions(DrvDigest(name[1:]), value).resolutions)
    }
    for name, value in resolutions.items():
        envelopes |= {ENVELOPES + item for item in decode_resolutions(DrvDigest(name[1:]), value).standings}
    left = {name: rows[name] for name in (objects | envelopes) & rows.keys()} | claims | resolutions
    left |= {TARGETS + item: rows[TARGETS + item] for item in targets}
    blobs = {
        BLOBS + digest
        for _, record in _blobs_of(backend, {name: left[name] for name in objects & left.keys()})
        for digest in record
    }
    return left | {name: rows[name] for name in blobs & rows.keys()}


def _claims_of(
    rows: Mapping[bytes, bytes], objects: set[bytes], envelopes: set[bytes]
) -> tuple[dict[bytes, bytes], set[ResolvedDigest]]:
    """Rows of claims about these objects, or whose evidence stays; and their derivations."""
    found: dict[bytes, bytes] = {}
    for name, value in rows.items():
        if name[:1] != CLAIMS:
            continue
        for claim, witnesses in decode_claims(ResolvedDigest(name[1:]), value):
            if OBJECTS + claim.object in objects or any(ENVELOPES + item.envelope in envelopes for item in witnesses):
                found[name] = value
    return found, {ResolvedDigest(name[1:]) for name in found}


def sweep(backend: Backend, *, grace: int = GRACE, dry_run: bool = False) -> Swept:
    """Remove the files that no head names. Raises Uncollectable, CacheError."""
    for _ in range(_ROUNDS):
        heads = read_heads(backend)
        now = time.time()
        alive = _alive(backend, heads.values(), now - grace)
        swept = _judged(backend, alive, now - grace)
        swept.heads = len(heads)
        if dry_run:
            return swept
        if read_heads(backend) != heads:
            continue
        for entry in swept.removed:
            backend.delete(entry.path, before=now - grace)  # an uploader may have found it, and made it young
        backend.tidy(grace)
        return swept
    raise Uncollectable(
        f"the cache {backend.name} is pushed to all the time",
        cache=backend.name,
        help="nothing was removed: run it again when uploads pause",
    )


def listed(backend: Backend, prefix: str) -> Iterator[Entry]:
    """The files of a cache, as long as there is an end to them. Raises Uncollectable."""
    for number, entry in enumerate(backend.listing(prefix)):
        if number >= MAX_LISTED:
            raise Uncollectable(
                f"the cache {backend.name} lists files without an end",
                cache=backend.name,
                path=prefix,
                found=f"more than {MAX_LISTED} below {prefix}",
                help="look at what lies there: a cache is one folder or bucket with nothing else in it",
            )
        yield entry


def read_heads(backend: Backend) -> dict[str, Head]:
    """Every head, whoever signed it: what one names may be wanted, whoever trusts it. Raises Uncollectable."""
    found: dict[str, Head] = {}
    for entry in listed(backend, "heads/"):
        try:
            data = backend.get(entry.path, limit=MAX_HEAD)
            found[entry.path] = decode_head(dsse.parse(data).payload)
        except StoreError as error:
            raise Uncollectable(
                f"a head of the cache {backend.name} cannot be read, so that nobody knows what it names",
                cache=backend.name,
                path=entry.path,
                found=f"{entry.path}: {error.message}",
                help="if its uploader is gone, remove the file; else have him push again",
            ) from error
    return found


def _alive(backend: Backend, heads: Iterable[Head], since: float) -> set[str]:
    """The paths of all that heads name, with what was retired after `since`."""
    entries: dict[SegmentEntry, None] = {}
    for head in heads:
        entries.update(dict.fromkeys(head.segments))
        entries.update((item.entry, None) for item in head.retired if item.since >= since)
    alive = {CARD_PATH}
    for entry in entries:
        alive.add(entry.path)
        try:
            alive.update(_named_by(backend, all_rows(backend, entry)))
        except StoreError as error:
            raise Uncollectable(
                f"a table of the cache {backend.name} cannot be read, so that nobody knows what it names",
                cache=backend.name,
                path=entry.path,
                found=f"{entry.path}: {error.message}",
                help="have its uploader push again, or remove his head if he is gone",
            ) from error
    return alive


def _named_by(backend: Backend, rows: Mapping[bytes, bytes]) -> Iterator[str]:
    """The packs and chunks that the rows of a segment, and its objects' records, name."""
    objects: dict[bytes, bytes] = {}
    for name, value in rows.items():
        match name[:1]:
            case b"O":
                objects[name] = value
                yield from _of_place(decode_object(value).record)
            case b"E":
                yield from _of_place(decode_envelope(value))
            case b"B":
                yield from _of_blob(decode_blob(value))
    for _, blobs in _blobs_of(backend, objects):
        for blob in blobs.values():
            yield from _of_blob(blob)


def _of_place(place: Place) -> Iterator[str]:
    return (piece.frame.path for piece in place)


def _of_blob(blob: BlobPlace) -> Iterator[str]:
    match blob:
        case Sliced(place):
            return _of_place(place)
        case Chunked(chunks):
            return (chunk.path for chunk in chunks)


def _blobs_of(
    backend: Backend, objects: Mapping[bytes, bytes]
) -> Iterator[tuple[ObjectId, Mapping[BlobDigest, BlobPlace]]]:
    """The blobs of the records that rows of the table O name, a few frames at a time. Raises CacheError."""
    waiting: list[tuple[ObjectId, Place]] = []
    frames: set[Frame] = set()
    for name, value in sorted(objects.items(), key=lambda item: decode_object(item[1]).record):
        place = decode_object(value).record
        waiting.append((ObjectId(name[1:]), place))
        frames.update(piece.frame for piece in place)
        if len(frames) >= _FRAMES_AT_ONCE:
            yield from _read_records(backend, waiting, frames)
            waiting, frames = [], set()
    yield from _read_records(backend, waiting, frames)


def _read_records(
    backend: Backend, waiting: Sequence[tuple[ObjectId, Place]], frames: set[Frame]
) -> Iterator[tuple[ObjectId, Mapping[BlobDigest, BlobPlace]]]:
    by_pack: dict[str, list[Frame]] = {}
    for frame in sorted(frames):
        by_pack.setdefault(frame.path, []).append(frame)
    contents: dict[Frame, bytes] = {}
    for path, group in by_pack.items():
        found = backend.ranges(path, [(frame.offset, frame.stored) for frame in group])
        try:
            contents.update((frame, open_frame(frame, data)) for frame, data in zip(group, found, strict=True))
        except StoreError as error:
            raise lied(backend, path, error) from error
    for object_id, place in waiting:
        try:
            yield object_id, decode_record(object_id, cut(place, contents)).blobs
        except StoreError as error:
            raise lied(backend, place[0].frame.path, error) from error


def _judged(backend: Backend, alive: set[str], before: float) -> Swept:
    swept = Swept()
    for prefix in ("c/", "p/", "x/"):
        for entry in listed(backend, prefix):
            if entry.path in alive:
                swept.alive += 1
                swept.alive_size += entry.size
            elif entry.mtime is None or entry.mtime >= before:
                swept.young += 1
            else:
                swept.removed.append(entry)
    return swept

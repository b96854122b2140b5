"""Reading one cache: its heads, its index, and where things lie. No byte of a record is believed here.

    card, heads ──signature, name, version, expiry──► segments ──footers──► rows by key ──► claims, places …

Everything is asked in bulk: one question costs two answers of the cache at most, however many keys it has, and rows
that came with a frame are kept. Whoever asks a table again and again (a graph is walked, say) is given the whole
table after the third time, as long as it is small, so that depth costs no round trips.

Heads are read of the keys that the policy would believe in this cache, and of no others: whose word does not count
may not say what the cache holds. A head that is older than one that was seen before, or has expired, is refused,
and named. What a segment says is verified by whoever takes it: signatures, then digests.

One that is down is found out once: what it raises then is raised again, without another attempt.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from kiln.store.cache.backend import Backend, Request
from kiln.store.cache.believed import Believed
from kiln.store.cache.card import CARD_PATH, MAX_CARD, Card, decode_card
from kiln.store.cache.errors import CacheDenied, CacheDown, CacheError, CacheLied, Missing
from kiln.store.cache.head import MAX_HEAD, Head, SegmentEntry, head_path, open_head
from kiln.store.cache.hints import objects_in, resolved_in
from kiln.store.cache.objectrecord import MAX_RECORD, MAX_SLICED, ObjectRecord, decode_record
from kiln.store.cache.pack import Frame, Place, cut, open_frame, place_size
from kiln.store.cache.rows import (
    CLAIMS,
    ENVELOPES,
    OBJECTS,
    RESOLUTIONS,
    TARGETS,
    ClaimRow,
    ObjectRow,
    TargetRow,
    decode_claims,
    decode_envelope,
    decode_object,
    decode_resolutions,
    decode_target,
)
from kiln.store.cache.segment import open_rows
from kiln.store.cache.tables import Table, both, lacking, open_table, opening
from kiln.store.digest import Digest, DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest, blob_digest
from kiln.store.errors import Damaged, StoreError
from kiln.store.provenance.dsse import MAX_ENVELOPE
from kiln.store.provenance.keys import PublicKey
from kiln.store.records import Resolution

_WHOLE_SEGMENT = 256 << 10
_WHOLE_INDEX = 4 << 20
"""A segment of at most so many bytes is asked for whole, and so are all of them if they have no more together: parts
cost a round trip each."""
_WHOLE_TABLE = 16 << 20
_ROUNDS = 3
_KEPT_ROWS = 96 << 20
"""Unpacked bytes of rows that are kept."""
_KEPT_RECORDS = 48 << 20
_KEPT_FRAMES = 16 << 20
_KEPT_DECODED = 4 << 20
"""Bytes of records that are kept, and how many of them as they were decoded, which takes several times as much."""
D = TypeVar("D", bound=Digest)
V = TypeVar("V")
K = TypeVar("K")


class CacheReader:
    """One cache. Its methods may be called from any thread; each raises CacheDown, CacheDenied, CacheLied."""

    def __init__(
        self,
        backend: Backend,
        believed: Believed,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.backend = backend
        self._believed = believed
        self._warn = warn
        self._guard = threading.RLock()
        self._tables: list[Table] | None = None  # guarded by _guard, as what it holds
        self._rounds: dict[bytes, int] = {}
        self._kept = 0
        self._records: dict[ObjectId, bytes | ObjectRecord] = {}
        self._record_bytes = 0
        self._frames: dict[Frame, bytes] = {}
        self._frame_bytes = 0
        self._down: CacheError | None = None
        self._told: set[str] = set()

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def url(self) -> str:
        return self.backend.url

    # What the index says.

    def resolutions(self, drvs: Iterable[DrvDigest]) -> dict[DrvDigest, list[Resolution]]:
        """Every resolution of these derivations that trusted uploaders list. No signature has been checked."""
        found = self._decoded(RESOLUTIONS, drvs, lambda drv, data: decode_resolutions(drv, data).resolutions)
        return {drv: list(dict.fromkeys(item for row in rows for item in row)) for drv, rows in found.items()}

    def standings(self, drvs: Iterable[DrvDigest]) -> dict[DrvDigest, list[EnvelopeDigest]]:
        """The envelopes that bind commits to these derivations."""
        found = self._decoded(RESOLUTIONS, drvs, lambda drv, data: decode_resolutions(drv, data).standings)
        return {drv: list(dict.fromkeys(item for row in rows for item in row)) for drv, rows in found.items()}

    def claims(self, resolved: Iterable[ResolvedDigest]) -> dict[ResolvedDigest, list[ClaimRow]]:
        """Every claim about these derivations, with the witnesses under it. No signature has been checked."""
        found = self._decoded(CLAIMS, resolved, decode_claims)
        return {item: [row for value in rows for row in value] for item, rows in found.items()}

    def objects(self, ids: Iterable[ObjectId]) -> dict[ObjectId, ObjectRow]:
        """The objects of these that the cache says it has."""
        return {item: rows[0] for item, rows in self._decoded(OBJECTS, ids, _plain(decode_object)).items()}

    def prefetch(self, drvs: Iterable[DrvDigest]) -> None:
        """Have at hand what will be asked of these derivations: resolutions, claims, where their results lie.

        Records are looked into for where to look on, and for nothing else.
        """
        rows = self._rows(RESOLUTIONS, {RESOLUTIONS + drv for drv in drvs})
        resolved = {item for values in rows.values() for value in values for item in resolved_in(value)}
        claims = self._rows(CLAIMS, {CLAIMS + item for item in resolved})
        made = {item for values in claims.values() for value in values for item in objects_in(value)}
        self._rows(OBJECTS, {OBJECTS + item for item in made})

    def targets(self, ids: Iterable[ObjectId]) -> dict[ObjectId, TargetRow]:
        """Those of these objects that were pushed for their own sake: the row names the whole closure."""
        return {item: rows[0] for item, rows in self._decoded(TARGETS, ids, _plain(decode_target)).items()}

    def records(self, rows: Mapping[ObjectId, ObjectRow]) -> dict[ObjectId, ObjectRecord]:
        """The object records at these places, each proven to be about its object; bad ones are left out."""
        found: dict[ObjectId, ObjectRecord] = {}
        with self._guard:
            kept = {item: self._records[item] for item in rows if item in self._records}
        raw = [(item, data) for item, data in kept.items() if isinstance(data, bytes)]
        found.update((item, record) for item, record in kept.items() if isinstance(record, ObjectRecord))
        places = {item: row.record for item, row in rows.items() if item not in kept}
        fetched = self.read(places, limit=MAX_RECORD, keep=True)
        for item, data in itertools.chain(raw, fetched):
            try:
                found[item] = decode_record(item, data)
            except StoreError as error:
                self.tell_wrong(error, f"the record of {item.short} is not one ({error.message}); passed over")
                continue
            self._keep_record(item, data, found[item])
        return found

    def _keep_record(self, item: ObjectId, data: bytes, record: ObjectRecord) -> None:
        """Records are wanted twice: for what an object refers to, and for where its bytes lie."""
        with self._guard:
            if item not in self._records and self._record_bytes + len(data) <= _KEPT_RECORDS:
                self._records[item] = record if self._record_bytes <= _KEPT_DECODED else data
                self._record_bytes += len(data)

    def envelopes(self, digests: Iterable[EnvelopeDigest]) -> dict[EnvelopeDigest, bytes]:
        """Those of these envelopes that the cache has, each with its digest's bytes. No signature is checked."""
        places = self._decoded(ENVELOPES, digests, _plain(decode_envelope))
        found: dict[EnvelopeDigest, bytes] = {}
        for digest, data in self.read({digest: rows[0] for digest, rows in places.items()}, limit=MAX_ENVELOPE):
            if bytes(blob_digest(data)) == digest:
                found[digest] = data
            else:
                self.tell(f"[{CacheLied.code}] {self.name}: the envelope {digest.short} is another; passed over")
        return found

    def read(
        self, places: Mapping[K, Place], *, limit: int = MAX_SLICED, keep: bool = False
    ) -> Iterator[tuple[K, bytes]]:
        """What lies at these places, as its frames come; what can't be had, or is longer than `limit`, is left out.

        With `keep`, frames stay at hand: records of a graph that is walked level by level lie side by side.
        """
        large = {name for name, place in places.items() if place_size(place) > limit}
        if large:
            self.tell(f"{self.name}: what a row names is longer than {limit} bytes; passed over")
            places = {name: place for name, place in places.items() if name not in large}
        waiting: dict[Frame, list[K]] = {}
        lacking: dict[K, int] = {}
        for name, place in places.items():
            frames = {piece.frame for piece in place}
            lacking[name] = len(frames)
            for frame in frames:
                waiting.setdefault(frame, []).append(name)
        kept: dict[Frame, bytes] = {}
        users = {frame: len(names) for frame, names in waiting.items()}
        for frame, content in self._opened(sorted(waiting), keep):
            kept[frame] = content
            for name in waiting[frame]:
                lacking[name] -= 1
                if not lacking[name]:
                    yield name, cut(places[name], kept)
                    for used in {piece.frame for piece in places[name]}:
                        users[used] -= 1
                        if not users[used]:
                            kept.pop(used, None)

    def _opened(self, frames: Iterable[Frame], keep: bool) -> Iterator[tuple[Frame, bytes]]:
        """The contents of frames, those at hand first; what is missing or wrong is left out."""
        wanted: dict[Request, Frame] = {}
        with self._guard:
            at_hand = {frame: self._frames[frame] for frame in frames if frame in self._frames}
        yield from at_hand.items()
        for frame in frames:
            if frame not in at_hand:
                wanted[Request(frame.path, frame.offset, frame.stored)] = frame
        for request, data in self.fetch(wanted):
            frame = wanted[request]
            try:
                content = open_frame(frame, data)
            except StoreError as error:
                self.tell_wrong(error, f"{error.message} ({frame.path}); passed over")
                continue
            if keep:
                self._keep_frame(frame, content)
            yield frame, content

    def _keep_frame(self, frame: Frame, content: bytes) -> None:
        with self._guard:
            if self._frame_bytes > _KEPT_FRAMES:
                self._frames.clear()
                self._frame_bytes = 0
            self._frames[frame] = content
            self._frame_bytes += len(content)

    def fetch(self, requests: Iterable[Request]) -> Iterator[tuple[Request, bytes]]:
        """Many pieces of files, as they come; what is missing or wrong is left out, with a warning once."""
        self._check_up()
        asked = list(requests)
        for request, answer in self.backend.get_many(asked) if asked else ():
            if isinstance(answer, CacheError):
                self._failed(answer)
            else:
                yield request, answer

    # Heads and segments.

    def open(self) -> None:
        """Read the heads and the footers of their segments, once."""
        with self._guard:
            self._check_up()
            if self._tables is None:
                try:
                    self._tables = self._open_segments(self._heads())
                except CacheError as error:
                    self._down = error
                    raise

    def _heads(self) -> list[Head]:
        """The card, and the heads of all who count; those of keys that the card brings, in a second question."""
        keys = self._speakers()
        answers = self._ask_heads(keys, [Request(CARD_PATH, None, MAX_CARD)])
        card = self._card(answers[CARD_PATH])
        self._believed.check_card(self.name, self.url, card)
        for refused in self._believed.learn(card):
            self.tell(f"[{refused.code}] {self.name}: {refused.message}; it is passed over")
        now = self._speakers()
        answers.update(self._ask_heads([key for key in now if key not in keys], []))
        heads = [self._head(answers[head_path(key.keyid)], key, card.name) for key in now]
        found = [head for head in heads if head is not None]
        for text in self._believed.unheard(self.name, card, now, none_left=not found):
            self.tell(text)
        return found

    def _ask_heads(self, keys: Iterable[PublicKey], more: list[Request]) -> dict[str, bytes | CacheError]:
        requests = [*more, *(Request(head_path(key.keyid), None, MAX_HEAD) for key in keys)]
        return {request.path: answer for request, answer in self.backend.get_many(requests)} if requests else {}

    def _card(self, answer: bytes | CacheError) -> Card:
        match answer:
            case Missing():
                raise CacheLied(
                    f"{self.name} is no cache: it has no {CARD_PATH}",
                    cache=self.name,
                    path=CARD_PATH,
                    found=self.url,
                    help="kiln cache push makes one; kiln cache list shows the addresses you use",
                )
            case CacheError():
                raise answer
        try:
            return decode_card(answer)
        except StoreError as error:
            what = f"{self.name}: its card can't be read: {error.message}"
            raise CacheLied(what, cache=self.name, path=CARD_PATH, found=error.found) from error

    def _speakers(self) -> list[PublicKey]:
        """The keys whose heads are read: those whose word would count in this cache."""
        trusted = self._believed.policy.by_id.values()
        return [item.key for item in trusted if item.caches is None or self.name in item.caches]

    def _head(self, answer: bytes | CacheError, key: PublicKey, name: str) -> Head | None:
        """A head that counts; what is wrong with it is said, and it is passed over."""
        try:
            match answer:
                case Missing():
                    self._believed.memory.check_missing(self.name, self.url, key)
                    return None
                case CacheError():
                    raise answer
            head = open_head(answer, key, name)
            self._believed.check(self.name, self.url, key, head, answer)
            return head
        except (CacheDown, CacheDenied):
            raise
        except CacheError as error:
            self.tell(f"[{error.code}] {error.message}; nothing that it names is used")
        except StoreError as error:
            self.tell_wrong(error, f"the head of {key.short} is refused: {error.message}")
        return None

    def _open_segments(self, heads: Iterable[Head]) -> list[Table]:
        entries = list(dict.fromkeys(entry for head in heads for entry in head.segments))
        limit = _WHOLE_INDEX if sum(entry.size for entry in entries) <= _WHOLE_INDEX else _WHOLE_SEGMENT
        requests = {opening(entry, limit): entry for entry in entries}
        tables: dict[SegmentEntry, Table] = {}
        for request, answer in self.backend.get_many(requests):
            entry = requests[request]
            if isinstance(answer, CacheDown | CacheDenied):
                raise answer
            try:
                if isinstance(answer, CacheError):
                    raise answer
                tables[entry] = open_table(entry, answer, whole=request.offset is None)
            except StoreError as error:
                self.tell_wrong(error, f"a part of its index can't be used: {error.message} ({entry.path})")
        return [tables[entry] for entry in entries if entry in tables]

    # Rows.

    def _decoded(self, table: bytes, digests: Iterable[D], decode: Callable[[D, bytes], V]) -> dict[D, list[V]]:
        wanted = {table + digest: digest for digest in digests}
        found: dict[D, list[V]] = {}
        for key, values in self._rows(table, wanted).items():
            for value in values:
                try:
                    found.setdefault(wanted[key], []).append(decode(wanted[key], value))
                except Damaged as error:
                    self.tell_wrong(error, f"a row of its index is refused: {error.message}")
        return {item: rows for item, rows in found.items() if rows}

    def _rows(self, table: bytes, keys: Iterable[bytes]) -> dict[bytes, list[bytes]]:
        """For each key that is there its rows, those of newer segments first."""
        wanted = set(keys)
        if not wanted:
            return {}
        with self._guard:
            self.open()
            assert self._tables is not None
            self._load(table, wanted)
            found: dict[bytes, list[bytes]] = {}
            for part in self._tables:
                for frame in part.footer.frames_of(wanted):
                    rows = part.frames.get(frame.offset, {})
                    for key in both(wanted, rows):
                        found.setdefault(key, []).append(rows[key])
            return found

    def _load(self, table: bytes, keys: set[bytes]) -> None:
        """Fetch the frames that these keys stand in; the whole table, if it is asked for again and again."""
        assert self._tables is not None
        if self._kept > _KEPT_ROWS:
            for part in self._tables:
                part.frames.clear()
            self._kept = 0
        missing = [(part, frame) for part in self._tables for frame in lacking(part, part.footer.frames_of(keys))]
        if not missing:
            return
        self._rounds[table] = self._rounds.get(table, 0) + 1
        if self._rounds[table] >= _ROUNDS:
            whole = [
                (part, frame) for part in self._tables for frame in lacking(part, part.footer.frames_of_table(table))
            ]
            if sum(frame.stored for _, frame in whole) <= _WHOLE_TABLE:
                missing = whole
        requests = {Request(part.entry.path, frame.offset, frame.stored): (part, frame) for part, frame in missing}
        for request, data in self.fetch(requests):
            part, frame = requests[request]
            try:
                part.frames[frame.offset] = open_rows(frame, data)
                self._kept += frame.size
            except StoreError as error:
                self.tell_wrong(error, f"a part of its index can't be used: {error.message} ({part.entry.path})")

    # Failures.

    def _check_up(self) -> None:
        if self._down is not None:
            raise self._down

    def _failed(self, error: CacheError) -> None:
        if isinstance(error, CacheDown | CacheDenied):
            self._down = error
            raise error
        self.tell(f"[{error.code}] {error.message}; passed over")

    def tell_failure(self, error: CacheError) -> None:
        """Warn that the cache is given up, once, whoever finds out first."""
        found = f": {error.found}" if error.found else ""
        self.tell(f"[{error.code}] {error.message}{found}; going on without {self.name}")

    def tell_wrong(self, error: StoreError, what: str) -> None:
        """Warn of it with the error's code."""
        self.tell(f"[{error.code}] {self.name}: {what}")

    def tell(self, text: str) -> None:
        """Warn of something that is wrong with the cache, once."""
        if text not in self._told:
            self._told.add(text)
            self._warn(text)


def _plain(decode: Callable[[bytes], V]) -> Callable[[Digest, bytes], V]:
    return lambda _, data: decode(data)

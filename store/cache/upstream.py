"""A cache as an uploader sees it: who he is there, what is there already, and how it becomes visible that more is.

What another uploader's head says is looked at only where his key counts here, and for one thing alone: bytes that
are there need not be sent again. Their rows are then copied into this uploader's own segment, so that his head
stands by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from kiln.store.cache.backend import Backend, Request
from kiln.store.cache.card import (
    CARD_PATH,
    MAX_CARD,
    Card,
    Uploader,
    decode_card,
    encode_card,
    make_card,
    sign_uploader,
)
from kiln.store.cache.errors import CacheError, CacheLied, Conflict, Missing
from kiln.store.cache.framing import SegmentDigest
from kiln.store.cache.head import MAX_HEAD, Head, SegmentEntry, head_path, open_head, sign_head
from kiln.store.cache.segment import (
    SegmentFrame,
    SegmentIndex,
    decode_index,
    open_rows,
    read_segment,
)
from kiln.store.digest import blob_digest
from kiln.store.errors import StoreError
from kiln.store.provenance.keys import PublicKey, SecretKey

LIFETIME = 90 * 24 * 3600
"""Seconds for which a head is good: whoever pushes more seldom is taken for frozen."""
TRIES = 8
_KEPT = 32 << 20
"""Bytes of rows that are kept for later questions."""
_Frames: TypeAlias = "dict[tuple[SegmentDigest, int], dict[bytes, bytes]]"


class Identity(NamedTuple):
    """Who pushes: the key that signs the head, what the card calls him, what his keys say of themselves."""

    signer: SecretKey
    name: str
    successions: tuple[bytes, ...] = ()


class Upstream:
    """One cache, one uploader. `own` is the uploader's head as it was when this was opened or last committed."""

    def __init__(self, backend: Backend, card: Card, own: Head | None, others: Sequence[Head]) -> None:
        self.backend = backend
        self.card = card
        self.own = own
        self._others = others
        self._anew = False
        self._indexes: dict[SegmentEntry, SegmentIndex] = {}
        self._kept: _Frames = {}
        self._kept_size = 0
        self._disregarded: set[SegmentEntry] = set()
        self.relied: set[SegmentEntry] = set()
        """Segments of the own head with rows that were counted on."""

    @classmethod
    def open(cls, backend: Backend, identity: Identity, trusted: Collection[str], *, name: str, now: int) -> Upstream:
        """Look at a cache; one that isn't there yet is called `name`. Nothing is written.

        `trusted` are the ids of keys whose heads count for what need not be sent. Raises CacheError, StoreError.
        """
        card = read_card(backend) or Card(name)
        key = identity.signer.public_key
        others = [
            head
            for uploader in card.uploaders
            if uploader.key.keyid in trusted and uploader.key.keyid != key.keyid
            if (head := _passable(backend, uploader.key, card.name, now)) is not None
        ]
        return cls(backend, card, read_head(backend, key, card.name), others)

    def introduce(self, identity: Identity, now: int) -> bool:
        """Have the card name the uploader; whether it was written. Raises CacheError."""
        key = identity.signer.public_key
        for _ in range(TRIES):
            said = self.card.uploader(key.keyid)
            known = said is not None and said.name == identity.name and said.cache == self.card.name
            new = set(identity.successions) - self.card.envelopes
            if known and not new:
                return False
            if not known:
                new.add(sign_uploader(Uploader(self.card.name, key, identity.name, now), identity.signer))
            before = read_card(self.backend)
            base = self.card if before is None else before
            card = make_card(base.name, base.envelopes | new)
            try:
                self.backend.put(CARD_PATH, encode_card(card), replace=True)
            except Conflict:
                continue
            self.card = read_card(self.backend) or card
            if new <= self.card.envelopes:
                return True
        raise _crowded(self.backend, CARD_PATH)

    def begin_anew(self) -> None:
        """Take nothing for there: what is committed next takes the place of all that the own head names."""
        self._anew = True

    def disregard(self, entries: Iterable[SegmentEntry]) -> None:
        """Count on nothing that these segments of the own head say: what they name may be lost."""
        self._disregarded.update(entries)

    def look_again(self, identity: Identity) -> None:
        """Read the own head anew, which has changed. Raises CacheError."""
        self.own = read_head(self.backend, identity.signer.public_key, self.card.name)
        self.relied.clear()

    def known(self, keys: Iterable[bytes], *, own: bool = False) -> dict[bytes, bytes]:
        """Those rows that are there: of the own head, else of others (with `own`, of the own alone).

        Costs at most two round trips, whatever the number of segments: footers, then frames; none for what an
        earlier question brought. Raises CacheError.
        """
        wanted = set() if self._anew else set(keys)
        segments = () if self.own is None else self.own.segments
        mine = [entry for entry in segments if entry not in self._disregarded]
        if own or not self._others:
            return self._found(mine, wanted)
        try:
            return self._found([*mine, *(entry for head in self._others for entry in head.segments)], wanted)
        except (CacheLied, Missing):
            whole = [head for head in self._others if self._is_whole(head, wanted)]
            if len(whole) == len(self._others):
                raise
            self._others = whole
            return self.known(wanted)

    def _is_whole(self, head: Head, keys: set[bytes]) -> bool:
        """Whether another uploader's tables can be read; if not, that is his readers' concern."""
        try:
            self._found(head.segments, keys)
        except (CacheLied, Missing):
            return False
        return True

    def _found(self, entries: Sequence[SegmentEntry], keys: set[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        left = set(keys)
        mine = set() if self.own is None else set(self.own.segments)
        frames = self._frames_of(entries, left) if left else {}
        for entry in entries:
            for frame in self._indexes[entry].frames_of(left) if left else ():
                rows = frames[entry.digest, frame.offset]
                there = left & rows.keys()
                found.update((name, rows[name]) for name in there)
                if there and entry in mine:
                    self.relied.add(entry)
            left -= found.keys()
        return found

    def _frames_of(self, entries: Sequence[SegmentEntry], keys: set[bytes]) -> _Frames:
        """The rows of the frames in which the keys would stand."""
        missing = [entry for entry in dict.fromkeys(entries) if entry not in self._indexes]
        self._indexes.update(read_indexes(self.backend, missing))
        wanted = {
            (entry.digest, frame.offset): (entry, frame)
            for entry in entries
            for frame in self._indexes[entry].frames_of(keys)
        }
        frames: _Frames = {place: self._kept[place] for place in wanted if place in self._kept}
        asked = [wanted[place] for place in wanted if place not in frames]
        for (entry, frame), rows in read_frames(self.backend, asked):
            frames[entry.digest, frame.offset] = rows
            if self._kept_size > _KEPT:
                self._kept, self._kept_size = {}, 0
            self._kept[entry.digest, frame.offset] = rows
            self._kept_size += frame.size
        return frames

    def commit(self, identity: Identity, update: Update, now: int, lifetime: int = LIFETIME) -> Head:
        """Write a head that says what `update` makes of the one that is there. Raises Conflict, CacheError.

        The head is read again afterwards: where another process of the same uploader wrote at the same moment, what
        is missing is added to his.
        """
        key = identity.signer.public_key
        for attempt in range(TRIES):
            now_there = read_head(self.backend, key, self.card.name)
            if self._anew and now_there is not None:
                replaced = tuple(item for item in now_there.segments if item not in update.added)
                update = update._replace(replaced=replaced)
            head = update.apply(now_there, self.card.name, now, lifetime)
            try:
                self.backend.put(head_path(key.keyid), sign_head(head, identity.signer), replace=True)
            except Conflict:
                _pause(attempt)
                continue
            seen = read_head(self.backend, key, self.card.name)
            if seen is not None and update.is_in(seen):
                self.own, self._anew = seen, False
                return seen
            _pause(attempt)
        raise _crowded(self.backend, head_path(key.keyid))


class Update(NamedTuple):
    """What is to change in a head: segments more, and those that they stand for from now on.

    `relied` are segments whose rows `added` counts on. `whole` are all that there were when it was decided what goes:
    a head that has others by now is a conflict, since they may count on what goes.
    """

    added: tuple[SegmentEntry, ...] = ()
    replaced: tuple[SegmentEntry, ...] = ()
    relied: tuple[SegmentEntry, ...] = ()
    whole: tuple[SegmentEntry, ...] | None = None

    def apply(self, head: Head | None, cache: str, now: int, lifetime: int) -> Head:
        """The next version of a head. Raises Conflict when what is to be replaced is not in force any more."""
        from kiln.store.cache.head import MAX_RETIRED, MAX_SEGMENTS, RETIRED_FOR, Retired

        segments = () if head is None else head.segments
        there = set(segments)
        if not {*self.replaced, *self.relied} <= there or (self.whole is not None and there != set(self.whole)):
            raise Conflict(
                "another process of this uploader changed the same tables meanwhile",
                help="nothing is lost: try again",
            )
        newer = segments.index(self.replaced[0]) if self.replaced else 0
        before, behind = (
            [item for item in part if item not in self.replaced and item not in self.added]
            for part in (segments[:newer], segments[newer:])
        )
        kept = [*before, *self.added, *behind]
        if len(kept) > MAX_SEGMENTS:
            raise StoreError(
                "a head with too many segments", expected=f"at most {MAX_SEGMENTS}", found=str(len(kept))
            )
        retired = () if head is None else head.retired
        gone = tuple(Retired(item, now) for item in self.replaced)
        recent = (item for item in retired if item.since >= now - RETIRED_FOR)
        again = tuple(item for item in (*gone, *recent) if item.entry not in kept)
        version = 1 if head is None else head.version + 1
        return Head(cache, version, now, now + lifetime, tuple(kept), again[:MAX_RETIRED])

    def is_in(self, head: Head) -> bool:
        return set(self.added) <= set(head.segments)


def read_card(backend: Backend) -> Card | None:
    """The card, or None where there is no cache yet. Raises CacheError."""
    try:
        data = backend.get(CARD_PATH, limit=MAX_CARD)
    except Missing:
        return None
    try:
        return decode_card(data)
    except StoreError as error:
        raise lied(backend, CARD_PATH, error) from error


def read_head(backend: Backend, key: PublicKey, cache: str) -> Head | None:
    """An uploader's head, or None where there is none. Raises CacheError."""
    path = head_path(key.keyid)
    try:
        data = backend.get(path, limit=MAX_HEAD)
    except Missing:
        return None
    try:
        return open_head(data, key, cache)
    except StoreError as error:
        raise lied(backend, path, error) from error


def _passable(backend: Backend, key: PublicKey, cache: str, now: int) -> Head | None:
    """Another uploader's head, where it is one that counts; what is wrong with it is its readers' concern."""
    try:
        head = read_head(backend, key, cache)
    except (CacheLied, Missing):
        return None
    return head if head is not None and head.expires > now else None


def read_indexes(backend: Backend, entries: Sequence[SegmentEntry]) -> Iterator[tuple[SegmentEntry, SegmentIndex]]:
    """Segments' footers, as their heads vouch for them, all at once. Raises CacheError."""
    asked = {Request(entry.path, entry.footer_offset, entry.footer_size): entry for entry in entries}
    for request, answer in backend.get_many(list(asked)) if asked else ():
        entry = asked[request]
        if isinstance(answer, CacheError):
            raise answer
        try:
            if blob_digest(answer) != entry.footer_digest:
                raise CacheLied("a segment's footer is not what the head says", cache=backend.name, path=entry.path)
            yield entry, decode_index(answer)
        except StoreError as error:
            raise lied(backend, entry.path, error) from error


def read_frames(
    backend: Backend, wanted: Sequence[tuple[SegmentEntry, SegmentFrame]]
) -> Iterator[tuple[tuple[SegmentEntry, SegmentFrame], dict[bytes, bytes]]]:
    """Frames of segments with their rows, all at once, in any order. Raises CacheError."""
    asked = {Request(entry.path, frame.offset, frame.stored): (entry, frame) for entry, frame in wanted}
    for request, answer in backend.get_many(list(asked)) if asked else ():
        entry, frame = asked[request]
        if isinstance(answer, CacheError):
            raise answer
        try:
            yield (entry, frame), open_rows(frame, answer)
        except StoreError as error:
            raise lied(backend, entry.path, error) from error


def all_rows(backend: Backend, entry: SegmentEntry) -> dict[bytes, bytes]:
    """Every row of a segment. Raises CacheError."""
    data = backend.get(entry.path, limit=entry.size)
    try:
        return read_segment(entry.digest, data)[1]
    except StoreError as error:
        raise lied(backend, entry.path, error) from error


def merged_rows(backend: Backend, entries: Sequence[SegmentEntry]) -> dict[bytes, bytes]:
    """All rows of these segments, the newest first, as one table. Raises CacheError."""
    from kiln.store.cache.rows import merge_values

    rows: dict[bytes, bytes] = {}
    for entry in entries:
        for name, value in all_rows(backend, entry).items():
            newer = rows.get(name)
            rows[name] = value if newer is None else merge_values(name[:1], newer, value, name[1:])
    return rows


def merge_into(rows: dict[bytes, bytes], older: Mapping[bytes, bytes]) -> None:
    """Add rows that say more than those that are there; drop those that say nothing new. `rows` is changed."""
    from kiln.store.cache.rows import merge_values

    for name, value in older.items():
        if name in rows:
            both = merge_values(name[:1], rows[name], value, name[1:])
            if both == value:
                del rows[name]
            else:
                rows[name] = both


def lied(backend: Backend, path: str, error: StoreError) -> CacheError:
    """A cache's error for content that is not what it must be."""
    if isinstance(error, CacheError):
        return error
    return CacheLied(
        f"the cache {backend.name} has a damaged file: {error.message}",
        cache=backend.name,
        path=path,
        found=f"{path}: {error.found}" if error.found else path,
        expected=error.expected,
    )


def _crowded(backend: Backend, path: str) -> Conflict:
    return Conflict(
        f"another upload to {backend.name} with the same key went on at the same time",
        cache=backend.name,
        path=path,
        help="nothing is lost: push once more",
    )


def _pause(attempt: int) -> None:
    """Let the other one finish; longer each time, never in step with him."""
    import random
    import time

    time.sleep(random.uniform(0.2, 1.0) * min(0.05 * 2**attempt, 2.0))

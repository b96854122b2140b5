"""What the rows of a cache's index say. A key is the table's letter and 32 bytes; a value is canonical msgpack.

    R  derivation           [[resolution's record …], [digest of an envelope …]]
    C  resolved derivation  [[claim, [witness' record …]] …]
    O  object's id          [size, place of its record, [resolved derivation …]]
    E  envelope's digest    place of the envelope
    B  blob's digest        [0, place]  or  [1, chunks]
    T  object's id          [pushed, label, [object's id …], [envelope's digest …]]

R: every resolution by whom it may be, and the statements that bind commits to the derivation. C: every claim about
what the derivation makes, with the signatures under it. O: how many bytes the object's files have, where its record
lies, and which derivations it is known to come from. B is for uploaders, who need not send what is there; readers
find blobs through records. T: a **target**, that is, an object that was pushed for its own sake: when (milliseconds
since 1970), what it is called (`project/app.kiln#default`), all that it refers to directly or not, and the envelopes
of everything that went into building it; a reader has all of a deep closure from this one row, and retention decides
target by target. All lists are sorted, each element once; the lists of ids and digests in T are one string, 32
bytes each; a place is a list of slices (see `pack`), chunks one string (see `chunking`).

Of two rows with one key, from two segments, `merge_values` makes one: R and C together, the newer one of the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from kiln.store.cache.chunking import decode_chunks, encode_chunks
from kiln.store.cache.framing import pack_fields, unpack_fields, whole
from kiln.store.cache.objectrecord import BlobPlace, Chunked, Sliced, check_sliced
from kiln.store.cache.pack import Place, place_fields, read_place
from kiln.store.digest import Digest, DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.errors import Damaged, StoreError
from kiln.store.records import (
    Claim,
    Resolution,
    Witness,
    decode_claim,
    decode_resolution,
    decode_witness,
)

MAX_VALUE = 8 << 20
MAX_LABEL = 200
_MAX_SIZE = 1 << 62
_MAX_TIME = 1 << 53
RESOLUTIONS, CLAIMS, OBJECTS, ENVELOPES, BLOBS, TARGETS = b"R", b"C", b"O", b"E", b"B", b"T"
TABLES = (BLOBS, CLAIMS, ENVELOPES, OBJECTS, RESOLUTIONS, TARGETS)
D = TypeVar("D", bound=Digest)


class ResolutionRow(NamedTuple):
    """Nothing here has been verified; `standings` are envelopes' digests."""

    resolutions: tuple[Resolution, ...]
    standings: tuple[EnvelopeDigest, ...]


class ClaimRow(NamedTuple):
    """A claim, and what stands under it; no signature has been verified."""

    claim: Claim
    witnesses: tuple[Witness, ...]


class ObjectRow(NamedTuple):
    """`size`: bytes of the object's files. `record`: where its object record lies."""

    size: int
    record: Place
    resolved: tuple[ResolvedDigest, ...]


class TargetRow(NamedTuple):
    """`pushed`: milliseconds since 1970. `closure` has the target's own id too."""

    pushed: int
    label: str
    closure: tuple[ObjectId, ...]
    evidence: tuple[EnvelopeDigest, ...]


def key(table: bytes, digest: Digest) -> bytes:
    return table + digest


def encode_resolutions(row: ResolutionRow) -> bytes:
    records = sorted({item.encode() for item in row.resolutions})
    return pack_fields([records, sorted(set(row.standings))])


def decode_resolutions(drv: DrvDigest, data: bytes) -> ResolutionRow:
    """Raises Damaged, also for a resolution of another derivation."""
    match _fields(data, "a row of resolutions"):
        case [list(records), list(standings)]:
            _sorted(records, "resolutions")
            found = tuple(decode_resolution(_raw(item)) for item in records)
            if any(item.drv != drv for item in found):
                raise Damaged("a resolution under another derivation", expected=str(drv))
            return ResolutionRow(found, _digests(EnvelopeDigest, standings))
    raise Damaged("not a row of resolutions")


def encode_claims(rows: Iterable[ClaimRow]) -> bytes:
    merged: dict[bytes, set[bytes]] = {}
    for claim, witnesses in rows:
        merged.setdefault(claim.encode(), set()).update(item.encode() for item in witnesses)
    return pack_fields([[claim, sorted(merged[claim])] for claim in sorted(merged)])


def decode_claims(resolved: ResolvedDigest, data: bytes) -> tuple[ClaimRow, ...]:
    """Raises Damaged, also for a claim about another derivation or a witness of another claim."""
    rows: list[ClaimRow] = []
    fields = _fields(data, "a row of claims")
    _sorted([item[:1] if isinstance(item, list) else None for item in fields], "claims")
    for item in fields:
        match item:
            case [bytes(raw), list(witnesses)]:
                claim = decode_claim(raw)
                _sorted(witnesses, "witnesses")
                found = tuple(decode_witness(_raw(one)) for one in witnesses)
                if claim.resolved != resolved or any(one.claim != claim.digest for one in found):
                    raise Damaged("a claim or witness that belongs elsewhere", expected=str(resolved))
                rows.append(ClaimRow(claim, found))
            case _:
                raise Damaged("not a row of claims")
    return tuple(rows)


def encode_object(row: ObjectRow) -> bytes:
    return pack_fields([row.size, place_fields(row.record), sorted(set(row.resolved))])


def decode_object(data: bytes) -> ObjectRow:
    """Raises Damaged."""
    match _fields(data, "an object's row"):
        case [size, list(place), list(resolved)]:
            return ObjectRow(whole(size, "a size", _MAX_SIZE), read_place(place), _digests(ResolvedDigest, resolved))
    raise Damaged("not an object's row")


def encode_envelope(place: Place) -> bytes:
    return pack_fields(place_fields(place))


def decode_envelope(data: bytes) -> Place:
    """Where an envelope lies. Raises Damaged."""
    return read_place(_fields(data, "an envelope's row"))


def encode_blob(blob: BlobPlace) -> bytes:
    match blob:
        case Sliced(place):
            return pack_fields([0, place_fields(place)])
        case Chunked(chunks):
            return pack_fields([1, encode_chunks(chunks)])


def decode_blob(data: bytes) -> BlobPlace:
    """Raises Damaged."""
    match _fields(data, "a blob's row"):
        case [0, list(place)]:
            return check_sliced(Sliced(read_place(place)))
        case [1, bytes(chunks)]:
            return Chunked(decode_chunks(chunks))
    raise Damaged("not a blob's row")


def encode_target(row: TargetRow) -> bytes:
    closure, evidence = b"".join(sorted(set(row.closure))), b"".join(sorted(set(row.evidence)))
    return pack_fields([row.pushed, row.label, closure, evidence])


def decode_target(data: bytes) -> TargetRow:
    """Raises Damaged."""
    match _fields(data, "a target's row"):
        case [pushed, str(label), bytes(closure), bytes(evidence)] if len(label) <= MAX_LABEL:
            made = whole(pushed, "a time", _MAX_TIME)
            return TargetRow(made, label, _split(ObjectId, closure), _split(EnvelopeDigest, evidence))
    raise Damaged("not a target's row")


def merge_values(table: bytes, newer: bytes, older: bytes, digest: bytes) -> bytes:
    """The row for a key that two segments have. Raises Damaged."""
    if newer == older:
        return newer
    if table == CLAIMS:
        resolved = ResolvedDigest(digest)
        return encode_claims([*decode_claims(resolved, newer), *decode_claims(resolved, older)])
    if table == RESOLUTIONS:
        one, two = (decode_resolutions(DrvDigest(digest), data) for data in (newer, older))
        return encode_resolutions(
            ResolutionRow((*one.resolutions, *two.resolutions), (*one.standings, *two.standings))
        )
    if table == OBJECTS:
        new, old = decode_object(newer), decode_object(older)
        return encode_object(new._replace(resolved=(*new.resolved, *old.resolved)))
    return newer


def _fields(data: bytes, what: str) -> list[Any]:
    return unpack_fields(data, what, MAX_VALUE)


def _raw(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise Damaged("a row with something else where bytes should stand", found=repr(value)[:80])
    return value


def _sorted(items: Sequence[Any], what: str) -> None:
    try:
        ordered = all(left < right for left, right in itertools.pairwise(items))
    except TypeError:
        ordered = False
    if not ordered:
        raise Damaged(f"the {what} of a row are not in order")


def _digests(kind: type[D], items: list[Any]) -> tuple[D, ...]:
    _sorted(items, "digests")
    try:
        return tuple(kind(_raw(item)) for item in items)
    except StoreError as error:
        raise Damaged("a digest in a row that is none", found=error.found) from error


def _split(kind: type[D], data: bytes) -> tuple[D, ...]:
    if len(data) % 32:
        raise Damaged("a list of digests that ends in the middle of one")
    return _digests(kind, [data[at : at + 32] for at in range(0, len(data), 32)])

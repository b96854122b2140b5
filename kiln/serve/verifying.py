"""Whether an upload is what it says: every signature by a key that this server trusts, every byte by its digest.

A segment brings rows; of each it is verified

    R  resolutions    every signature
    C  claims         every witness' signature
    O  objects        the record proves its id; each blob has its digest; where the object mentions itself, its hash
                      makes the file that its manifest names; what it refers to is in the cache, or comes with it
    E  envelopes      the digest, and that a trusted key signed it
    B  blobs          the digest
    T  targets        that the cache has, or gets, the whole closure and the evidence

What is verified here is not believed by any reader: he verifies it again. It keeps a cache clean, and a builder's
mistake from being everybody's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from blake3 import blake3

from kiln.serve.refusal import Refused
from kiln.serve.shelf import Shelf
from kiln.store.cache.objectrecord import MAX_RECORD, BlobPlace, ObjectRecord, decode_record
from kiln.store.cache.rows import (
    BLOBS,
    CLAIMS,
    ENVELOPES,
    OBJECTS,
    RESOLUTIONS,
    TARGETS,
    decode_blob,
    decode_claims,
    decode_envelope,
    decode_object,
    decode_resolutions,
    decode_target,
    key,
)
from kiln.store.digest import BlobDigest, DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.errors import Damaged, StoreError
from kiln.store.manifest import ZEROS, FileNode, LinkNode, SelfPlace, entries_of
from kiln.store.provenance import dsse
from kiln.store.provenance.trust import Policy, barred_error
from kiln.store.records import Verifier, verify_resolution, verify_witness


class Verification:
    """Verifies the rows of the segments of one upload. `known` answers which keys the cache's own segments have."""

    def __init__(self, shelf: Shelf, policy: Policy) -> None:
        self._shelf = shelf
        self._policy = policy
        self._objects: set[ObjectId] = set()
        self._needed: set[bytes] = set()
        self._blobs: set[tuple[BlobDigest, BlobPlace]] = set()

    def check(self, rows: Mapping[bytes, bytes]) -> dict[str, int]:
        """Verify rows; how many of each kind. Raises Refused, Damaged, BadSignature, Untrusted."""
        counts = {"objects": 0, "claims": 0, "envelopes": 0}
        for name, value in rows.items():
            self._shelf.pause()
            table, digest = name[:1], name[1:]
            if table == OBJECTS:
                self._object(ObjectId(digest), value)
                counts["objects"] += 1
            elif table == CLAIMS:
                self._claims(ResolvedDigest(digest), value)
                counts["claims"] += 1
            elif table == RESOLUTIONS:
                self._resolutions(DrvDigest(digest), value)
            elif table == ENVELOPES:
                self._envelope(EnvelopeDigest(digest), value)
                counts["envelopes"] += 1
            elif table == BLOBS:
                self._blob(BlobDigest(digest), decode_blob(value))
            elif table == TARGETS:
                self._target(value)
        self._needed -= rows.keys()
        return counts

    @property
    def needed(self) -> Collection[bytes]:
        """Rows that what was verified refers to, and that did not come with it."""
        return self._needed

    def _object(self, object_id: ObjectId, value: bytes) -> None:
        record = decode_record(object_id, self._shelf.joined(decode_object(value).record, MAX_RECORD))
        info = record.meta.info
        self._needed.update(key(OBJECTS, reference) for reference in info.references if reference != object_id)
        for digest, blob in record.blobs.items():
            self._blob(digest, blob)
        self._self_references(record)

    def _blob(self, digest: BlobDigest, place: BlobPlace) -> None:
        if (digest, place) not in self._blobs:
            if _hash(self._shelf.blob(place)) != digest:
                raise Damaged("a blob is not what its digest says", found=str(digest))
            self._blobs.add((digest, place))

    def _self_references(self, record: ObjectRecord) -> None:
        if not record.meta.places:
            return
        own = record.meta.info.path.hash.encode()
        actual = dict(entries_of(record.meta.manifest))
        for place in record.meta.places:
            match place.modulo, actual.get(place.path):
                case FileNode() as modulo, FileNode() as node:
                    pieces = self._shelf.blob(record.blobs[modulo.digest])
                    good = _hash(patched(pieces, place.offsets, own)) == node.digest
                case LinkNode(zeroed), LinkNode(target):
                    good = b"".join(patched(iter([zeroed]), place.offsets, own)) == target
                case _:
                    good = False
            if not good:
                raise _wrong_place(place)

    def _claims(self, resolved: ResolvedDigest, value: bytes) -> None:
        for claim, witnesses in decode_claims(resolved, value):
            for witness in witnesses:
                verify_witness(claim, witness, self._key(witness.keyid))

    def _resolutions(self, drv: DrvDigest, value: bytes) -> None:
        row = decode_resolutions(drv, value)
        for resolution in row.resolutions:
            verify_resolution(resolution, self._key(resolution.keyid))
        self._needed.update(key(ENVELOPES, digest) for digest in row.standings)

    def _envelope(self, digest: EnvelopeDigest, value: bytes) -> None:
        data = self._shelf.joined(decode_envelope(value), dsse.MAX_ENVELOPE)
        if _hash(iter([data])) != digest:
            raise Damaged("an envelope is not what its digest says", found=str(digest))
        envelope = dsse.parse(data)
        dsse.verify(envelope, {keyid: item.key for keyid, item in self._policy.by_id.items()})

    def _target(self, value: bytes) -> None:
        row = decode_target(value)
        self._needed.update(key(OBJECTS, item) for item in row.closure)
        self._needed.update(key(ENVELOPES, item) for item in row.evidence)

    def _key(self, keyid: str) -> Verifier:
        found = self._policy.by_id.get(keyid)
        if found is not None:
            return found
        barred = self._policy.barred.get(keyid)
        if barred is not None:
            raise barred_error(barred, "the upload is ")
        raise Refused("signature", f"signed by a key that this server does not trust: {keyid}", status=422)


def patched(pieces: Iterable[bytes], offsets: Iterable[int], own: bytes) -> Iterator[bytes]:
    """The pieces with `own` where zeros stand at these (sorted) offsets; a place that is no zeros stays as it is."""
    waiting = list(offsets)[::-1]
    held, start = bytearray(), 0
    for piece in pieces:
        held += piece
        while waiting and waiting[-1] + len(ZEROS) <= start + len(held):
            at = waiting.pop() - start
            if held[at : at + len(ZEROS)] == ZEROS:
                held[at : at + len(ZEROS)] = own
        done = len(held) if not waiting else max(0, min(len(held), waiting[-1] - start))
        yield bytes(held[:done])
        del held[:done]
        start += done
    yield bytes(held)


def as_refusal(error: StoreError, path: str = "") -> Refused:
    """An upload's mistake, as the uploader is told it."""
    found = f": {error.found}" if error.found else ""
    return Refused(error.code, f"{error}{found}", status=422, path=path)


def _hash(pieces: Iterable[bytes]) -> bytes:
    hasher = blake3()
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest()


def _wrong_place(place: SelfPlace) -> Damaged:
    return Damaged("an object's mentions of itself are not where its id says", found=repr(place.path[:80]))

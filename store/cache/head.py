"""Heads: what one uploader says a cache holds. The commit point: what no head names is not in the cache.

`heads/<key id>.json` is a DSSE envelope (see `store/provenance/dsse.py`) of payload type
`application/vnd.kiln.cache-head+json`, signed by that very key. Its payload is canonical JSON:

    {"cache":"team","expires":"2027-02-19T08:30:00Z","made":"2026-11-21T08:30:00Z",
     "retired":[{"digest":…,"footer":…,"rows":…,"since":"2026-11-21T08:30:00Z","size":…}],
     "schema":"kiln.cache-head/1",
     "segments":[{"digest":"<64 hex>","footer":{"digest":"<64 hex>","size":311},"rows":41,"size":9123}],
     "version":7}

`cache` is the name on the cache's card, so that no head of another cache can stand here. `version` grows by one
with each that is written: who has seen 7 takes no 6 (a rollback), and nobody takes one after `expires` (a freeze).
`segments` are the tables in force, the newest first: the row of an earlier one wins. A segment is named by its
digest, with the length and the BLAKE3 of its footer (see `segment`), so that its rows are vouched for by this
signature though nobody reads the whole file. `retired` are those that were in force until `since`: a reader in the
middle may need what only they name, so collection treats them as in force until a grace period is over. After three
days they are left out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kiln.store.cache.framing import SegmentDigest
from kiln.store.cache.segment import MAX_FOOTER, MAX_SEGMENT, TAIL, Segment, decode_index, segment_path
from kiln.store.digest import BlobDigest, Digest, blob_digest
from kiln.store.errors import BadEnvelope, StoreError
from kiln.store.provenance import dsse
from kiln.store.provenance.fields import Fields, format_time
from kiln.store.provenance.keys import KeyId, PublicKey, Signer
from kiln.store.provenance.plainjson import MAX_INT, Json, canonical, read_json

PAYLOAD_TYPE = "application/vnd.kiln.cache-head+json"
SCHEMA = "kiln.cache-head/1"
MAX_HEAD = 1 << 20
MAX_SEGMENTS = 64
MAX_RETIRED = 512
RETIRED_FOR = 3 * 24 * 3600
"""Seconds for which a head goes on naming what was in force: the longest grace period."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class SegmentEntry(NamedTuple):
    """A segment as a head names it; sizes in bytes."""

    digest: SegmentDigest
    size: int
    footer_size: int
    footer_digest: BlobDigest
    rows: int

    @property
    def path(self) -> str:
        return segment_path(self.digest)

    @property
    def footer_offset(self) -> int:
        return self.size - TAIL - self.footer_size

    @classmethod
    def of(cls, segment: Segment) -> SegmentEntry:
        footer = segment.footer
        rows = decode_index(footer).rows
        return cls(segment.digest, len(segment.data), len(footer), blob_digest(footer), rows)


class Retired(NamedTuple):
    """A segment that was in force until `since` (seconds since 1970)."""

    entry: SegmentEntry
    since: int


class Head(NamedTuple):
    """`made` and `expires` are seconds since 1970; `segments` the newest first."""

    cache: str
    version: int
    made: int
    expires: int
    segments: tuple[SegmentEntry, ...]
    retired: tuple[Retired, ...] = ()


def head_path(keyid: KeyId) -> str:
    return f"heads/{keyid}.json"


def check_cache_name(name: str) -> str:
    """The name itself, if a cache can have it. Raises BadEnvelope."""
    if not _NAME.fullmatch(name):
        raise BadEnvelope(
            "not a name for a cache", expected="letters, digits and . _ -, at most 64", found=repr(name[:80])
        )
    return name


def sign_head(head: Head, signer: Signer) -> bytes:
    """The head's file."""
    return dsse.emit(dsse.sign(encode_head(head), PAYLOAD_TYPE, signer))


def open_head(data: bytes, key: PublicKey, cache: str) -> Head:
    """The head of this cache by this key. Whether it is too old the caller judges.

    Raises BadEnvelope, BadSignature, Untrusted (another key signed it).
    """
    if len(data) > MAX_HEAD:
        raise BadEnvelope("a cache's head is too large", expected=f"at most {MAX_HEAD} bytes", found=str(len(data)))
    envelope = dsse.parse(data)
    if dsse.emit(envelope) != data:
        raise BadEnvelope("a cache's head that is not in canonical form")
    verified = dsse.verify(envelope, {key.keyid: key})
    if verified.payload_type != PAYLOAD_TYPE:
        raise BadEnvelope("not a cache's head", expected=PAYLOAD_TYPE, found=repr(verified.payload_type[:80]))
    head = decode_head(verified.payload)
    if head.cache != cache:
        raise BadEnvelope("a head of another cache", expected=cache, found=head.cache)
    return head


def encode_head(head: Head) -> bytes:
    return canonical(
        {
            "schema": SCHEMA,
            "cache": head.cache,
            "version": head.version,
            "made": format_time(head.made),
            "expires": format_time(head.expires),
            "segments": [_entry_json(entry) for entry in head.segments],
            "retired": [{**_entry_json(item.entry), "since": format_time(item.since)} for item in head.retired],
        }
    )


def _entry_json(entry: SegmentEntry) -> dict[str, object]:
    footer = {"size": entry.footer_size, "digest": entry.footer_digest.hex()}
    return {"digest": entry.digest.hex(), "size": entry.size, "footer": footer, "rows": entry.rows}


def decode_head(payload: bytes) -> Head:
    """Read a payload, whose signature the caller has checked. Raises BadEnvelope."""
    fields = Fields(read_json(payload, "a cache's head", MAX_HEAD), "head")
    if fields.text("schema") != SCHEMA:
        raise BadEnvelope("a cache's head of another version", expected=SCHEMA)
    head = Head(
        check_cache_name(fields.text("cache")),
        fields.count("version"),
        fields.time("made"),
        fields.time("expires"),
        fields.items("segments", _read_entry, limit=MAX_SEGMENTS),
        fields.items("retired", _read_retired, limit=MAX_RETIRED),
    )
    fields.done()
    if encode_head(head) != payload:
        raise BadEnvelope("a cache's head that is not in canonical form")
    return head


def _read_entry(value: Json, where: str) -> SegmentEntry:
    fields = Fields(value, where)
    entry = _entry(fields)
    fields.done()
    return entry


def _read_retired(value: Json, where: str) -> Retired:
    fields = Fields(value, where)
    item = Retired(_entry(fields), fields.time("since"))
    fields.done()
    return item


def _entry(fields: Fields) -> SegmentEntry:
    footer = fields.inner("footer")
    entry = SegmentEntry(
        SegmentDigest(_hex(fields, "digest")),
        _bounded(fields, "size", MAX_SEGMENT),
        _bounded(footer, "size", MAX_FOOTER),
        BlobDigest(_hex(footer, "digest")),
        _bounded(fields, "rows", MAX_INT),
    )
    footer.done()
    if entry.footer_offset < 1:
        fields.refuse("a footer that fits into its segment", entry.footer_size, "footer")
    return entry


def _hex(fields: Fields, name: str) -> Digest:
    text = fields.text(name)
    try:
        found = Digest.parse(text)
    except StoreError:
        fields.refuse("64 hexadecimal digits", text, name)
    if found.hex() != text:
        fields.refuse("64 hexadecimal digits", text, name)
    return found


def _bounded(fields: Fields, name: str, limit: int) -> int:
    value = fields.count(name)
    if value > limit:
        fields.refuse(f"at most {limit}", value, name)
    return value

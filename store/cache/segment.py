"""Segments: a cache's index, in immutable sorted tables named by the BLAKE3 of their bytes: `x/<xx>/<64 hex>`.

    frame … frame  footer  <length of the footer, 4 bytes, big-endian>  "kilnsegm"

A row is a key of 33 bytes (see `rows`) and a value. Rows are sorted by key, each key once. A **frame** is the
msgpack array [key, value, key, value, …] of neighbouring rows, at most 64 KiB unless a single row is longer, stored
raw or as one zstd frame (see `framing`). The footer is msgpack, in the order of the file:

    [1, last key, [[first key, stored, size, rows, BLAKE3 of what is stored] …]]

So one key costs one range of the file, and ten thousand a few. A segment with one row, `E` of some digest, whose
value is three bytes:

    92 c4 21 45 <32 bytes> c4 03 <3 bytes>
    93 01 c4 21 45 <32 bytes> 91 95 c4 21 45 <32 bytes> 29 29 01 c4 20 <32 bytes>   00 00 00 6f  "kilnsegm"

A head names the footer's length and BLAKE3, so that a reader asks for the footer alone; the footer vouches for the
frames, and the head's signature for all of it: a row is never taken from, or missed in, a segment that was changed.

    index = decode_index(entry.digest, footer)
    for frame in index.frames_of(keys):           ranges (frame.offset, frame.stored)
        rows.update(open_rows(frame, data))

`lookup` does that given something that reads ranges.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kiln.store.cache.framing import (
    RAW,
    ZSTD,
    SegmentDigest,
    StoredDigest,
    compress,
    decompress,
    pack_fields,
    unpack_fields,
    whole,
)
from kiln.store.cache.rows import MAX_VALUE, TABLES
from kiln.store.digest import blob_digest
from kiln.store.errors import Damaged

MAGIC = b"kilnsegm"
TAIL = 4 + len(MAGIC)
KEY_BYTES = 33
TARGET = 64 * 1024
MAX_FRAME = MAX_VALUE + TARGET
MAX_FOOTER = 16 << 20
MAX_SEGMENT = 1 << 32
FULL = 24 << 20
"""Bytes of rows in a segment: what is larger becomes several."""
_MAX_ROWS = 1 << 20
ReadRanges = Callable[[Sequence[tuple[int, int]]], Sequence[bytes]]
"""Reads (offset, length) of one segment's file, in the order given."""


class SegmentFrame(NamedTuple):
    """Neighbouring rows: `stored` bytes at `offset`, whose BLAKE3 is `digest`, which unpack to `size`."""

    first: bytes
    offset: int
    stored: int
    size: int
    rows: int
    digest: StoredDigest


class SegmentIndex(NamedTuple):
    """A segment's footer. Make one with `decode_index`."""

    last: bytes
    frames: tuple[SegmentFrame, ...]

    def frames_of(self, keys: Iterable[bytes]) -> list[SegmentFrame]:
        """The frames in which these keys would stand, in order, each once."""
        firsts = [frame.first for frame in self.frames]
        wanted = {bisect.bisect_right(firsts, key) - 1 for key in keys if key <= self.last}
        return [self.frames[at] for at in sorted(wanted) if at >= 0]

    def frames_of_table(self, table: bytes) -> list[SegmentFrame]:
        """The frames that may hold rows of a table."""
        firsts = [frame.first for frame in self.frames]
        begin = max(0, bisect.bisect_left(firsts, table) - 1)
        return [frame for frame in self.frames[begin:] if frame.first[:1] <= table]

    @property
    def rows(self) -> int:
        return sum(frame.rows for frame in self.frames)


class Segment(NamedTuple):
    """A finished segment. `footer` are the bytes that a head's digest is of."""

    digest: SegmentDigest
    data: bytes
    footer: bytes

    @property
    def path(self) -> str:
        return segment_path(self.digest)


def segment_path(digest: SegmentDigest) -> str:
    text = digest.hex()
    return f"x/{text[:2]}/{text}"


def write_segments(rows: Mapping[bytes, bytes], limit: int | None = None) -> list[Segment]:
    """The segments of these rows: one, unless that would be larger than `limit` (by default `FULL`)."""
    parts: list[dict[bytes, bytes]] = []
    size = 0
    for name in sorted(rows):
        size += KEY_BYTES + len(rows[name])
        if not parts or size > (FULL if limit is None else limit):
            parts.append({})
            size = KEY_BYTES + len(rows[name])
        parts[-1][name] = rows[name]
    return list(map(write_segment, parts))


def write_segment(rows: Mapping[bytes, bytes]) -> Segment:
    """The segment of these rows; at least one."""
    frames: list[SegmentFrame] = []
    body: list[bytes] = []
    offset = 0
    ordered = sorted(rows)
    for group in _groups(ordered, rows):
        content = pack_fields([part for name in group for part in (name, rows[name])])
        stored = bytes(compress(content)[1])
        digest = StoredDigest(blob_digest(stored))
        frames.append(SegmentFrame(group[0], offset, len(stored), len(content), len(group), digest))
        body.append(stored)
        offset += len(stored)
    footer = _encode_footer(ordered[-1], frames)
    data = b"".join([*body, footer, len(footer).to_bytes(4, "big"), MAGIC])
    return Segment(SegmentDigest(blob_digest(data)), data, footer)


def _groups(ordered: Sequence[bytes], rows: Mapping[bytes, bytes]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    for name in ordered:
        length = len(rows[name]) + KEY_BYTES + 8
        if group and size + length > TARGET:
            yield group
            group, size = [], 0
        group.append(name)
        size += length
    yield group


def _encode_footer(last: bytes, frames: Iterable[SegmentFrame]) -> bytes:
    named = [[frame.first, frame.stored, frame.size, frame.rows, frame.digest] for frame in frames]
    return pack_fields([1, last, named])


def footer_length(tail: bytes) -> int:
    """The length of the footer, from the last `TAIL` bytes of a segment. Raises Damaged."""
    if len(tail) != TAIL or tail[4:] != MAGIC:
        raise Damaged("not the end of a segment", found=tail[:TAIL].hex())
    return whole(int.from_bytes(tail[:4], "big"), "a segment's footer", MAX_FOOTER, 1)


def decode_index(footer: bytes) -> SegmentIndex:
    """Read a footer (without length and magic). Raises Damaged."""
    match unpack_fields(footer, "a segment's footer", MAX_FOOTER):
        case [1, bytes(last), list(named)] if named and len(last) == KEY_BYTES:
            frames = tuple(_frames(named))
            firsts = [frame.first for frame in frames]
            if any(left >= right for left, right in itertools.pairwise(firsts)) or last < firsts[-1]:
                raise Damaged("the frames of a segment are not in order")
            return SegmentIndex(last, frames)
    raise Damaged("not a segment's footer of version 1")


def _frames(named: list[Any]) -> Iterator[SegmentFrame]:
    offset = 0
    for item in named:
        match item:
            case [bytes(first), stored, size, count, bytes(digest)] if len(first) == KEY_BYTES and len(digest) == 32:
                length = whole(size, "a frame's size", MAX_FRAME, 1)
                inside = whole(stored, "a frame's stored size", length, 1)
                rows = whole(count, "the rows of a frame", _MAX_ROWS, 1)
                yield SegmentFrame(first, offset, inside, length, rows, StoredDigest(digest))
                offset += inside
            case _:
                raise Damaged("not a frame of a segment", found=repr(item)[:80])


def open_rows(frame: SegmentFrame, data: bytes) -> dict[bytes, bytes]:
    """The rows of a frame, checked before they are unpacked. Raises Damaged."""
    if len(data) != frame.stored or bytes(blob_digest(data)) != frame.digest:
        raise Damaged("a frame of a segment is not what it should be", found=f"at {frame.offset}")
    content = decompress(data, frame.size, RAW if frame.stored == frame.size else ZSTD)
    flat = unpack_fields(content, "a frame of a segment", MAX_FRAME)
    names, values = flat[::2], flat[1::2]
    if not all(type(item) is bytes for item in flat) or len(names) != frame.rows or len(values) != frame.rows:
        raise Damaged("a frame of a segment with other rows than its footer says")
    if names[0] != frame.first or any(left >= right for left, right in itertools.pairwise(names)):
        raise Damaged("the rows of a segment are not in order")
    if any(len(name) != KEY_BYTES or name[:1] not in TABLES for name in names):
        raise Damaged("a row of a table that this version does not know")
    return dict(zip(names, values, strict=True))


def lookup(index: SegmentIndex, keys: Iterable[bytes], read: ReadRanges) -> dict[bytes, bytes]:
    """The values of those of the keys that a segment has. Raises Damaged, and what `read` raises."""
    wanted = set(keys)
    frames = index.frames_of(wanted)
    if not frames:
        return {}
    found: dict[bytes, bytes] = {}
    for frame, data in zip(frames, read([(frame.offset, frame.stored) for frame in frames]), strict=True):
        rows = open_rows(frame, data)
        found.update((name, rows[name]) for name in wanted & rows.keys())
    return found


def read_segment(
    digest: SegmentDigest, data: bytes, *, limit: int | None = None
) -> tuple[SegmentIndex, dict[bytes, bytes]]:
    """A whole segment: its index and all its rows, which unpack to at most `limit` bytes.

    Raises Damaged unless it is what its name says.
    """
    if bytes(blob_digest(data)) != digest:
        raise Damaged("a segment is not what its name says", found=segment_path(digest))
    length = footer_length(data[-TAIL:])
    index = decode_index(data[max(0, len(data) - TAIL - length) : len(data) - TAIL])
    end = index.frames[-1].offset + index.frames[-1].stored
    if end + length + TAIL != len(data):
        raise Damaged("a segment with bytes that its footer doesn't name", found=segment_path(digest))
    if limit is not None and sum(frame.size for frame in index.frames) > limit:
        raise Damaged("a segment with more rows than are taken", expected=f"at most {limit} bytes")
    rows: dict[bytes, bytes] = {}
    last = b""
    for frame in index.frames:
        found = open_rows(frame, data[frame.offset : frame.offset + frame.stored])
        if frame.first <= last:
            raise Damaged("the frames of a segment overlap", found=segment_path(digest))
        last = next(reversed(found))
        rows.update(found)
    if last != index.last:
        raise Damaged("a segment that ends with another row than its footer says", found=segment_path(digest))
    return index, rows


__all__ = [
    "KEY_BYTES",
    "MAX_FOOTER",
    "MAX_SEGMENT",
    "TAIL",
    "ReadRanges",
    "Segment",
    "SegmentFrame",
    "SegmentIndex",
    "decode_index",
    "footer_length",
    "lookup",
    "open_rows",
    "read_segment",
    "segment_path",
    "write_segment",
]

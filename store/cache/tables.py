"""The tables of a cache that are in force, as a reader keeps them: indexes of segments, frames that have come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kiln.store.cache.backend import Request
from kiln.store.cache.head import SegmentEntry
from kiln.store.cache.segment import SegmentFrame, SegmentIndex, decode_index, read_segment
from kiln.store.digest import blob_digest
from kiln.store.errors import Damaged


class Table(NamedTuple):
    """A segment that is in force: its index, and the frames of it that have come."""

    entry: SegmentEntry
    footer: SegmentIndex
    frames: dict[int, dict[bytes, bytes]]
    """The rows of a frame by its offset."""


def opening(entry: SegmentEntry, limit: int) -> Request:
    if entry.size <= limit:
        return Request(entry.path, None, entry.size)
    return Request(entry.path, entry.footer_offset, entry.footer_size)


def open_table(entry: SegmentEntry, data: bytes, *, whole: bool) -> Table:
    """Raises Damaged."""
    if whole:
        index, rows = read_segment(entry.digest, data)
        part = Table(entry, index, {})
        names = iter(rows.items())
        for frame in index.frames:
            part.frames[frame.offset] = dict(next(names) for _ in range(frame.rows))
        return part
    if blob_digest(data) != entry.footer_digest:
        raise Damaged("the end of a segment is not what its head names")
    return Table(entry, decode_index(data), {})


def lacking(part: Table, frames: Iterable[SegmentFrame]) -> list[SegmentFrame]:
    return [frame for frame in frames if frame.offset not in part.frames]


def both(wanted: set[bytes], rows: Mapping[bytes, bytes]) -> list[bytes]:
    if len(wanted) < len(rows):
        return [key for key in wanted if key in rows]
    return [key for key in rows if key in wanted]

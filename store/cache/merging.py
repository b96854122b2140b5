"""One segment of several: what keeps a cache's index small in number, however often it is pushed to."""

from __future__ import annotations

import time

from kiln.store.cache.errors import Conflict
from kiln.store.cache.head import SegmentEntry
from kiln.store.cache.segment import FULL, write_segments
from kiln.store.cache.upstream import LIFETIME, Identity, Update, Upstream, merged_rows

MANY_SEGMENTS = 8


def merge_segments(upstream: Upstream, identity: Identity, lifetime: int = LIFETIME) -> bool:
    """Where a head names many small segments, make one of the newest; whether it was done. Raises CacheError.

    They are taken as long as the next is not larger than all of them together, so that a row is written anew about
    as often as the logarithm of how much there is. Those that are almost full stay as they are.
    """
    own = upstream.own
    small = [entry for entry in own.segments if entry.size < FULL // 2] if own is not None else []
    if len(small) <= MANY_SEGMENTS:
        return False
    taken: list[SegmentEntry] = []
    for entry in small:
        if len(taken) >= 2 and entry.size > sum(item.size for item in taken):
            break
        taken.append(entry)
    segments = write_segments(merged_rows(upstream.backend, taken))
    upstream.backend.put_many((segment.path, segment.data) for segment in segments)
    update = Update(tuple(map(SegmentEntry.of, segments)), tuple(taken))
    try:
        upstream.commit(identity, update, int(time.time()), lifetime)
    except Conflict:
        return False  # another process of this uploader merged: nothing is lost
    return True

"""How caches were met, remembered from command to command in the disposable environment, which may be lost.

    health      BLAKE3 of a cache's address → [seconds until an answer begins, until when it is not asked]

The second is in seconds since 1970, 0 where the cache answered. Only what cost patience is remembered as a failure: a
connection that is refused costs nothing, and the cache is asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgpack

from kiln.store.digest import blob_digest
from kiln.store.disposable import HEALTH, Memo

REST = 60.0
"""Seconds for which a cache that cost patience is not asked."""


class Met(NamedTuple):
    """How a cache was met: seconds until an answer begins, None before the first; until when it rests."""

    latency: float | None = None
    rests_until: float = 0.0

    def rests(self, now: float) -> float:
        """Seconds for which it is not asked; a time far ahead is another clock's, and counts as none."""
        left = self.rests_until - now
        return left if 0 < left <= REST else 0.0


def remembered(memo: Memo, urls: Iterable[str]) -> dict[str, Met]:
    """What is remembered of caches at these addresses."""
    keys = {_key(url): url for url in urls}
    found = memo.get_many(HEALTH, keys)
    return {url: met for key, url in keys.items() if (met := _decoded(found[key])) is not None}


def remember(memo: Memo, met: Mapping[str, Met]) -> None:
    """Never raises: it may be forgotten."""
    if met:
        memo.put_many(HEALTH, {_key(url): msgpack.packb(list(item)) for url, item in met.items()})


def _key(url: str) -> bytes:
    return bytes(blob_digest(url.encode()))


def _decoded(data: bytes | None) -> Met | None:
    try:
        match msgpack.unpackb(data) if data else None:
            case [(float() | None) as latency, float(rests)]:
                return Met(latency, rests)
    except (ValueError, TypeError):
        pass
    return None

"""When an object was last wanted: rows of the disposable environment, for `gc --older-than`.

    used    id → seconds since 1970 in 8 bytes, big-endian

Written when a process that pinned objects closes its store, and at most once a day for an object, so that a
command with nothing to do writes nothing. An object without a row was last wanted when it was registered.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from kiln.store.disposable import USED, Memo

DAY = 86_400


def note_use(memo: Memo, ids: Iterable[bytes]) -> None:
    """Remember that these objects are wanted now."""
    now = int(time.time())
    known = memo.get_many(USED, ids)
    stale = {item: now.to_bytes(8, "big") for item, at in known.items() if abs(now - seconds_of(at)) > DAY}
    if stale:
        memo.put_many(USED, stale)


def seconds_of(value: bytes | None) -> int:
    """A row's time; 0 where there is none."""
    return int.from_bytes(value, "big") if value is not None and len(value) == 8 else 0

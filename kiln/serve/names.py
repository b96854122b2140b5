"""Which names a cache folder serves, and takes: those of the cache's layout, and no other."""

from __future__ import annotations

import re
from typing import Final

CARD: Final = "kiln-cache.json"
_IMMUTABLE = re.compile(r"[pcx]/([0-9a-f]{2})/\1[0-9a-f]{62}")
_HEAD = re.compile(r"heads/[0-9a-f]{64}\.json")
_SESSION = re.compile(r"[0-9a-f]{32}")


def is_immutable(path: str) -> bool:
    """Whether the name is that of a pack, a chunk or a segment, which follows from its bytes."""
    return _IMMUTABLE.fullmatch(path) is not None


def is_head(path: str) -> bool:
    return _HEAD.fullmatch(path) is not None


def is_served(path: str) -> bool:
    """Whether a reader may ask for it. There is no listing, and nothing else of the folder is shown."""
    return path == CARD or is_head(path) or is_immutable(path)


def is_session(name: str) -> bool:
    return _SESSION.fullmatch(name) is not None

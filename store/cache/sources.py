"""The bytes of objects' files as they travel: where each blob lies here, read with zeros where it mentions itself."""

from __future__ import annotations

import os
from typing import NamedTuple, TypeAlias

from kiln.store.digest import BlobDigest
from kiln.store.errors import Damaged
from kiln.store.ingest import show_path
from kiln.store.manifest import HASH_BYTES, ZEROS, FileNode, entries_of
from kiln.store.meta import ObjectMeta

OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK

File: TypeAlias = "tuple[str, bytes]"
"""A file of a cache: its path and its bytes."""


class Source(NamedTuple):
    """Where a blob's bytes lie here: a file, and the places in it that are zero when it travels."""

    path: bytes
    size: int
    zeroed: tuple[int, ...]


def sources_of(meta: ObjectMeta, physical: str) -> dict[BlobDigest, Source]:
    """The blobs of an object as they travel, and where to read each; without the empty one."""
    own = {place.path: place for place in meta.places}
    found: dict[BlobDigest, Source] = {}
    top = os.fsencode(physical)
    for path, node in entries_of(meta.manifest):
        place = own.get(path)
        travels = node if place is None else place.modulo
        if isinstance(travels, FileNode) and travels.size:
            where = top + b"/" + path if path else top
            offsets = () if place is None else place.offsets
            found.setdefault(travels.digest, Source(where, travels.size, offsets))
    return found


def fill_from(fd: int, into: memoryview, offset: int, source: Source) -> None:
    """Read a piece of a file, with zeros where they belong."""
    done = 0
    while done < len(into):
        got = os.preadv(fd, [into[done:]], offset + done)
        if not got:
            raise damaged(source)
        done += got
    for place in source.zeroed:
        begin, end = max(place - offset, 0), min(place + HASH_BYTES - offset, len(into))
        if begin < end:
            into[begin:end] = ZEROS[: end - begin]


def damaged(source: Source) -> Damaged:
    return Damaged(
        "an object to be pushed is damaged: a file is not what it was when it was registered",
        found=show_path(source.path),
        help="kiln store repair",
    )

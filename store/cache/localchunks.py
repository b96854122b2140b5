"""Where this machine has chunks already: remembered, in the disposable environment, when a blob is put together.

    chunks      chunk's BLAKE3 → [blob's BLAKE3, executable, offset, size]

A blob is looked for in the pool, where every big file of the store has a name by its digest. What is remembered is
a hint and no more: whoever copies a chunk verifies what came of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgpack

from kiln.store.cache.chunking import Chunk, Chunks
from kiln.store.disposable import CHUNKS, Memo
from kiln.store.layout import Layout
from kiln.store.manifest import FileNode
from kiln.store.pool import Pool


class LocalPlace(NamedTuple):
    """A file on this machine, and the offset in it where a chunk should lie."""

    path: str
    offset: int


def local_chunks(layout: Layout, memo: Memo, chunks: Iterable[Chunk]) -> dict[Chunk, LocalPlace]:
    """Those of the chunks that a file of the pool should hold."""
    wanted = {bytes(chunk.digest): chunk for chunk in chunks}
    pool = Pool(layout)
    there: dict[str, bool] = {}
    found: dict[Chunk, LocalPlace] = {}
    for key, row in memo.get_many(CHUNKS, wanted).items():
        place = _place(pool, row, wanted[key].size) if row is not None else None
        if place is None:
            continue
        if place.path not in there:
            there[place.path] = os.path.isfile(place.path)
        if there[place.path]:
            found[wanted[key]] = place
    return found


def remember_chunks(memo: Memo, blobs: Mapping[FileNode, Chunks]) -> None:
    """Note where the chunks of blobs lie that the store has. Never raises: it may be forgotten."""
    rows: dict[bytes, bytes] = {}
    for node, chunks in blobs.items():
        offset = 0
        for chunk in chunks:
            rows[bytes(chunk.digest)] = msgpack.packb([bytes(node.digest), node.executable, offset, chunk.size])
            offset += chunk.size
    if rows:
        memo.put_many(CHUNKS, rows)


def _place(pool: Pool, row: bytes, size: int) -> LocalPlace | None:
    try:
        digest, executable, offset, length = msgpack.unpackb(row)
        node = FileNode(0, digest, executable)
        return LocalPlace(pool.entry(node), offset) if length == size else None
    except (ValueError, TypeError, AttributeError):
        return None

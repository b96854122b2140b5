"""Hashes inside compressed files, where they are neither found by a scan nor rewritten.

A gzip file or zip archive (a `.jar` is one) is known by its first bytes, decompressed up to a limit, and scanned.
What is found is a warning: a build path in there points nowhere once the output has its own, and an object of
the closure that is only mentioned in there is no reference. Data that does not decompress is nobody's path.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, NamedTuple

from kiln.store.paths import StorePath
from kiln.store.scan import Scanner

GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
LIMIT = 128 << 20
"""Bytes of decompressed data that are looked at in one output."""
_PIECE = 1 << 16


class HiddenMention(NamedTuple):
    """A compressed file with the hash of a path inside. `path` is relative to the output's top."""

    path: bytes
    mentioned: StorePath


class Suspects:
    """Notes which files of a walk are compressed, on their way to the scanner."""

    def __init__(self, feed: Callable[[bytes, int, bytes], None]) -> None:
        self._feed = feed
        self.paths: list[bytes] = []

    def feed(self, path: bytes, offset: int, data: bytes) -> None:
        if offset == 0 and data.startswith((GZIP, ZIP)):
            self.paths.append(path)
        self._feed(path, offset, data)


def hidden_mentions(
    paths: Iterable[bytes], open_file: Callable[[bytes], int], targets: Iterable[StorePath]
) -> list[HiddenMention]:
    """Which of these files have which of these paths' hashes inside, each pair once. Raises OSError."""
    by_hash = {target.hash.encode(): target for target in targets}
    left = LIMIT
    found: dict[HiddenMention, None] = {}
    for path in paths:
        scanner = Scanner(target.hash for target in by_hash.values())
        with os.fdopen(open_file(path), "rb") as file:
            for member, offset, data in _pieces(file):
                left -= len(data)
                scanner.feed(member, offset, data)
                if left <= 0:
                    break
        found.update((HiddenMention(path, by_hash[hit.target]), None) for hit in scanner.hits)
        if left <= 0:
            break
    return list(found)


def _pieces(stream: BinaryIO) -> Iterator[tuple[bytes, int, bytes]]:
    """(name of the member, offset, data) of what a compressed file holds, as far as it decompresses."""
    import zipfile
    import zlib

    magic = stream.read(2)
    stream.seek(0)
    try:
        if magic == GZIP:
            yield from _gzip(stream.read)
            return
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                with archive.open(member) as content:
                    offset = 0
                    while data := content.read(_PIECE):
                        yield str(member.header_offset).encode(), offset, data
                        offset += len(data)
    except (zlib.error, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError):
        return


def _gzip(read: Callable[[int], bytes]) -> Iterator[tuple[bytes, int, bytes]]:
    """Every member of a gzip file, one after the other, in pieces of bounded size."""
    import zlib

    offset = 0
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    waiting = b""
    while waiting := waiting or read(_PIECE):
        data = stream.decompress(waiting, _PIECE)
        waiting = stream.unconsumed_tail or stream.unused_data
        if data:
            yield b"", offset, data
            offset += len(data)
        if stream.eof:
            stream = zlib.decompressobj(zlib.MAX_WBITS | 16)

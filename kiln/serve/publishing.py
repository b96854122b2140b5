"""Making verified files the cache's: packs, chunks and segments first, synced; then the card and the heads.

A file of that name that is there already stays, if it is what its name says; one that is not (a disk's fault, or a
hand's) is replaced. What is written in another's place is drafted in quarantine, so that whoever looks at the cache's
own folders never finds half a file.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple

from kiln.serve.names import CARD
from kiln.serve.quarantine import DRAFTS, FOLDER, Upload
from kiln.store.cache.chunking import check_chunk
from kiln.store.cache.framing import ChunkDigest, PackDigest, SegmentDigest
from kiln.store.cache.pack import check_pack
from kiln.store.cache.segment import FULL, read_segment
from kiln.store.digest import Digest
from kiln.store.errors import StoreError

MAX_ROWS = 4 * FULL
"""The most bytes of rows in a segment that is uploaded: an uploader makes several before."""


class Publication(NamedTuple):
    """`files` that never change, by their names, each with where it lies; the bytes of those that are `replaced`."""

    files: Mapping[str, str]
    replaced: Mapping[str, bytes]


def check_file(path: str, data: bytes) -> None:
    """Check a pack, a chunk or a segment by its name. Raises Damaged."""
    digest = Digest.parse(path[-64:])
    match path[0]:
        case "p":
            check_pack(PackDigest(digest), data)
        case "c":
            check_chunk(ChunkDigest(digest), data)
        case _:
            read_segment(SegmentDigest(digest), data, limit=MAX_ROWS)


def publish(cache: str, wanted: Publication) -> None:
    """Bring them into the cache's folder. Must be called with the cache's lock. Raises OSError."""
    folders = {os.path.dirname(path) for path in sorted(wanted.files) if _move(cache, path, wanted.files[path])}
    for folder in sorted(folders):
        _sync(os.path.join(cache, folder))
    for path in sorted(wanted.replaced, key=lambda name: name != CARD):
        _replace(cache, path, wanted.replaced[path])


def keep(upload: Upload, paths: Iterable[str]) -> None:
    """Let files that are what their names say wait for the head that names them. Raises OSError."""
    for path in paths:
        target = os.path.join(upload.kept, path)
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):
            os.replace(os.path.join(upload.files, path), target)


@contextmanager
def locked(cache: str) -> Iterator[None]:
    """One upload becomes the cache's at a time."""
    with open(os.path.join(cache, FOLDER, "lock"), "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _move(cache: str, path: str, source: str) -> bool:
    """Whether it is new."""
    target = os.path.join(cache, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(source, "rb") as file:
        os.fsync(file.fileno())
    os.chmod(source, 0o444)
    os.utime(source)  # collection takes what nobody names and is old: this one's head comes in a moment
    try:
        os.link(source, target)
    except FileExistsError:
        if _is_good(path, target):
            os.utime(target)  # it is built upon: a collector leaves it for a grace period
            os.unlink(source)
            return False
        os.replace(source, target)
        return True
    os.unlink(source)
    return True


def _is_good(path: str, place: str) -> bool:
    try:
        with open(place, "rb") as file:
            check_file(path, file.read())
    except (OSError, StoreError):
        return False
    return True


def _replace(cache: str, path: str, data: bytes) -> None:
    target = os.path.join(cache, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.makedirs(os.path.join(cache, DRAFTS), mode=0o700, exist_ok=True)
    draft = os.path.join(cache, DRAFTS, f"{os.path.basename(path)}.{os.urandom(8).hex()}")
    with open(draft, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), 0o644)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, target)
    _sync(os.path.dirname(target))


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

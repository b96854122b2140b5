"""Object records: all that is needed to have an object from a cache, in one piece of a pack.

    [1, meta, [frame …], [[blob's digest, how, where] …]]

`meta` is the object's small file as `store/meta.py` encodes it, which proves itself: id, name, references, root,
manifest, self-references. A `frame` is [pack, offset, stored, size, BLAKE3 of what is stored] (see `pack`); each
stands once, sorted. The blobs are those of the manifest **modulo self-references**, sorted by digest, each once,
without the empty one; each says where its bytes lie:

    [digest, 0, [number of the frame, start, length, …]]     slices of the frames above, one after the other
    [digest, 1, <36 bytes for each chunk>]                   chunks (see `chunking`)

A file that mentions its own object travels with 32 zero bytes in each of those places, so that it is the same in
every version of the object; meta names the places, and who receives it writes the object's hash there.

The record is a hint about places and proof of the rest: its meta has the id that was asked for, and each blob its
digest, or it is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from kiln.store.cache.chunking import Chunks, chunks_size, decode_chunks, encode_chunks
from kiln.store.cache.framing import pack_fields, unpack_fields, whole
from kiln.store.cache.pack import Frame, Place, make_slice, place_size, read_frame
from kiln.store.digest import BlobDigest, ObjectId, blob_digest
from kiln.store.errors import Damaged, StoreError
from kiln.store.manifest import FileNode, Manifest, entries_of, replaced
from kiln.store.meta import ObjectMeta, decode_meta, encode_meta

MAX_RECORD = 128 << 20
MAX_SLICED = 16 << 20
"""The largest blob that lies in packs: whoever reads it holds the whole of it."""
EMPTY = blob_digest(b"")


class Sliced(NamedTuple):
    """A blob in packs."""

    place: Place

    @property
    def size(self) -> int:
        return place_size(self.place)


class Chunked(NamedTuple):
    """A blob in chunks."""

    chunks: Chunks

    @property
    def size(self) -> int:
        return chunks_size(self.chunks)


BlobPlace: TypeAlias = Sliced | Chunked


class ObjectRecord(NamedTuple):
    """An object's meta, and where each of its blobs lies (modulo self-references, without the empty one)."""

    meta: ObjectMeta
    blobs: Mapping[BlobDigest, BlobPlace]


def travelling(meta: ObjectMeta) -> Manifest:
    """The manifest of what travels: self-references zeroed."""
    return replaced(meta.manifest, {place.path: place.modulo for place in meta.places})


def blobs_of(meta: ObjectMeta) -> dict[BlobDigest, int]:
    """The blobs that a record of this object must place, and their sizes."""
    files = (node for _, node in entries_of(travelling(meta)) if isinstance(node, FileNode))
    return {node.digest: node.size for node in files if node.size}


def encode_record(record: ObjectRecord) -> bytes:
    frames = _frames(record.blobs.values())
    number = {frame: at for at, frame in enumerate(frames)}
    blobs = [_blob_fields(digest, record.blobs[digest], number) for digest in sorted(record.blobs)]
    return pack_fields([1, encode_meta(record.meta), [list(frame) for frame in frames], blobs])


def decode_record(object_id: ObjectId, data: bytes) -> ObjectRecord:
    """The record of this very object: canonical, its meta proven, every blob placed whole. Raises Damaged."""
    match unpack_fields(data, "an object record", MAX_RECORD):
        case [1, bytes(raw_meta), list(frames), list(blobs)]:
            meta = decode_meta(raw_meta)
            if meta.info.id != object_id:
                raise Damaged("a record of another object", expected=str(object_id), found=str(meta.info.id))
            read = [read_frame(fields) for fields in frames]
            placed = list(_read_blobs(blobs, read))
            _check_order([digest for digest, _ in placed])
            record = ObjectRecord(meta, dict(placed))
            if read != _frames(record.blobs.values()):
                raise Damaged("an object record with a frame out of order, or of no use")
            _check_whole(record)
            return record
    raise Damaged("not an object record of version 1")


def _frames(places: Iterable[BlobPlace]) -> list[Frame]:
    return sorted({piece.frame for blob in places if isinstance(blob, Sliced) for piece in blob.place})


def _blob_fields(digest: BlobDigest, blob: BlobPlace, number: Mapping[Frame, int]) -> list[object]:
    match blob:
        case Sliced(place):
            flat = ((number[piece.frame], piece.start, piece.length) for piece in place)
            return [digest, 0, list(itertools.chain.from_iterable(flat))]
        case Chunked(chunks):
            return [digest, 1, encode_chunks(chunks)]


def _read_blobs(rows: list[Any], frames: list[Frame]) -> Iterator[tuple[BlobDigest, BlobPlace]]:
    for row in rows:
        match row:
            case [bytes(digest), 0, list(flat)] if flat and len(flat) % 3 == 0:
                yield _digest(digest), check_sliced(Sliced(tuple(_slices(flat, frames))))
            case [bytes(digest), 1, bytes(chunks)]:
                yield _digest(digest), Chunked(decode_chunks(chunks))
            case _:
                raise Damaged("not a blob of an object record", found=repr(row)[:80])


def check_sliced(blob: Sliced) -> Sliced:
    """The blob itself, if it is one that may lie in packs. Raises Damaged."""
    if blob.size > MAX_SLICED:
        raise Damaged("a large blob that is not in chunks", expected=f"at most {MAX_SLICED}", found=str(blob.size))
    return blob


def _slices(flat: list[Any], frames: list[Frame]) -> Iterator[Any]:
    for at in range(0, len(flat), 3):
        frame = frames[whole(flat[at], "the number of a frame", len(frames) - 1)]
        yield make_slice(frame, flat[at + 1], flat[at + 2])


def _digest(raw: bytes) -> BlobDigest:
    try:
        return BlobDigest(raw)
    except StoreError as error:
        raise Damaged("a blob's digest that is none", found=error.found) from error


def _check_order(digests: list[BlobDigest]) -> None:
    if any(left >= right for left, right in itertools.pairwise(digests)):
        raise Damaged("the blobs of an object record are not in order")


def _check_whole(record: ObjectRecord) -> None:
    wanted = blobs_of(record.meta)
    if wanted != {digest: blob.size for digest, blob in record.blobs.items()}:
        raise Damaged("an object record whose blobs are not those of its manifest")

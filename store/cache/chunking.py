"""Chunks: blobs of more than 1 MiB, cut where their content says, so that a change moves what is near it alone.

FastCDC (Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach", 2016), of 256 KiB to 4 MiB,
1 MiB on average; where a blob is cut is the uploader's matter, and no reader cuts again. A chunk is a file of its
own, named by the BLAKE3 of its content:

    c/<xx>/<64 hex>         the content as it is; or one zstd frame, which is then shorter than the content

A reader knows the content's size: a file of that length is the content, a shorter one is unpacked to at most that,
a longer one is refused; what comes out must have the name's digest. `b3sum` of a raw chunk prints its name.

A blob is a list of chunks, one after the other; in records they are one string of bytes, 36 for each chunk:

    <content's BLAKE3, 32 bytes> <content's size, 4 bytes, big-endian>
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from blake3 import blake3

from kiln.store.cache.framing import RAW, ZSTD, ChunkDigest, compress, decompress, decompress_up_to
from kiln.store.errors import Damaged

SMALLEST, USUAL, LARGEST = 256 << 10, 1 << 20, 4 << 20
CHUNKED_FROM = 1 << 20
"""Blobs of more bytes than this are chunked; others lie in packs."""
_ROW = struct.Struct(">32sI")


class Chunk(NamedTuple):
    """A chunk: its content's digest and size."""

    digest: ChunkDigest
    size: int

    @property
    def path(self) -> str:
        return chunk_path(self.digest)


Chunks: TypeAlias = "tuple[Chunk, ...]"


def chunk_path(digest: ChunkDigest) -> str:
    text = digest.hex()
    return f"c/{text[:2]}/{text}"


def cut_lengths(data: memoryview | bytes) -> Iterator[int]:
    """The lengths of the chunks of `data`, in order."""
    from pyfastcdc import FastCDC

    cutter = FastCDC(avg_size=USUAL, min_size=SMALLEST, max_size=LARGEST)
    return (chunk.length for chunk in cutter.cut_buf(data))


def chunk_digest(data: bytes | memoryview) -> ChunkDigest:
    return ChunkDigest(blake3(data).digest())


def encode_chunk(data: bytes | memoryview) -> bytes:
    """The file of a chunk."""
    _, stored = compress(data)
    return bytes(stored)


def open_chunk(chunk: Chunk, data: bytes) -> bytes:
    """A chunk's content from its file. Raises Damaged."""
    if len(data) > chunk.size:
        raise Damaged("a chunk's file is longer than the chunk", found=chunk.path)
    content = decompress(data, chunk.size, RAW if len(data) == chunk.size else ZSTD)
    if chunk_digest(content) != chunk.digest:
        raise Damaged("a chunk is not what its name says", found=chunk.path)
    return content


def check_chunk(digest: ChunkDigest, data: bytes) -> int:
    """The size of the content of a chunk's file, where nothing else says it. Raises Damaged."""
    if len(data) <= LARGEST and chunk_digest(data) == digest:
        return len(data)
    content = decompress_up_to(data, LARGEST)
    if chunk_digest(content) != digest or len(content) <= len(data):
        raise Damaged("a chunk is not what its name says", found=chunk_path(digest))
    return len(content)


def encode_chunks(chunks: Iterable[Chunk]) -> bytes:
    return b"".join(_ROW.pack(digest, size) for digest, size in chunks)


def decode_chunks(data: bytes) -> Chunks:
    """The list of a blob's chunks. Raises Damaged."""
    if not data or len(data) % _ROW.size:
        raise Damaged("not a list of chunks", found=f"{len(data)} bytes")
    chunks = tuple(Chunk(ChunkDigest(digest), size) for digest, size in _ROW.iter_unpack(data))
    if not all(0 < chunk.size <= LARGEST for chunk in chunks):
        raise Damaged("a chunk of a size that none has", expected=f"1 to {LARGEST} bytes")
    return chunks


def chunks_size(chunks: Iterable[Chunk]) -> int:
    return sum(chunk.size for chunk in chunks)

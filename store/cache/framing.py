"""Bytes that travel: compressed where that helps, bounded before they are unpacked, in one spelling.

A piece of bytes is stored as it is (`RAW`) or as one zstd frame (`ZSTD`, RFC 8878) that is shorter than it, so
that `stored < size` holds for the second and `stored == size` for the first. A reader knows both lengths, and the
BLAKE3 of what is stored, before it asks for a byte, and never unpacks more than it was told.

What is structured is msgpack in canonical form: integers and lengths in their shortest form, bytes as `bin`, text
as `str`; bytes that do not encode back to themselves are refused.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import msgpack

from kiln.store.digest import Digest
from kiln.store.errors import Damaged

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

RAW, ZSTD = 0, 1
LEVEL = 3
_SAMPLE = 32 * 1024
_SAMPLES = 4
_GAIN = 0.97
"""What compression leaves at most, or it is not worth the reader's time."""


class PackDigest(Digest):
    """Plain BLAKE3 of a pack's file."""

    __slots__ = ()


class SegmentDigest(Digest):
    """Plain BLAKE3 of a segment's file."""

    __slots__ = ()


class ChunkDigest(Digest):
    """Plain BLAKE3 of a chunk before it is compressed."""

    __slots__ = ()


class StoredDigest(Digest):
    """Plain BLAKE3 of a piece as it is stored."""

    __slots__ = ()


def compress(data: bytes | memoryview, level: int = LEVEL) -> tuple[int, bytes | memoryview]:
    """(encoding, what to store). Of something long, samples decide first whether all of it is tried."""
    if len(data) < 64 or not _promising(data, level):
        return RAW, data
    packed = zstd.compress(data, level=level)
    return (ZSTD, packed) if len(packed) <= _GAIN * len(data) else (RAW, data)


def decompress(data: bytes | memoryview, size: int, encoding: int) -> bytes:
    """The `size` bytes that are stored as `data`; never unpacks more. Raises Damaged."""
    if encoding == RAW:
        if len(data) != size:
            raise Damaged("a piece of another length than it should have", expected=str(size), found=str(len(data)))
        return bytes(data)
    unpacked = decompress_up_to(data, size)
    if len(unpacked) != size:
        raise Damaged("a piece of another length than it should have", expected=str(size), found=str(len(unpacked)))
    return unpacked


def decompress_up_to(data: bytes | memoryview, limit: int) -> bytes:
    """What one zstd frame unpacks to, at most `limit` bytes. Raises Damaged."""
    decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
    try:
        unpacked = decoder.decompress(data, max_length=limit + 1)
    except zstd.ZstdError as error:
        raise Damaged("a piece that does not decompress", found=str(error)) from error
    if len(unpacked) > limit or not decoder.eof or decoder.unused_data:
        raise Damaged("a piece that unpacks to more than it may", expected=f"at most {limit} bytes")
    return unpacked


_WINDOW_LOG = 23
"""8 MiB: what a frame of ours needs at most. A larger window is only asked for by who wants to use up memory."""


def _promising(data: bytes | memoryview, level: int) -> bool:
    if len(data) <= 2 * _SAMPLES * _SAMPLE:
        return True
    step = (len(data) - _SAMPLE) // (_SAMPLES - 1)
    sample = b"".join(data[at * step : at * step + _SAMPLE] for at in range(_SAMPLES))
    return len(zstd.compress(sample, level=min(level, 1))) <= _GAIN * len(sample)


def pack_fields(fields: Sequence[object]) -> bytes:
    """An array in canonical form."""
    packed: bytes = msgpack.packb(fields)
    return packed


def unpack_fields(data: bytes, what: str, limit: int) -> list[Any]:
    """An array that is in canonical form and at most `limit` bytes long. Raises Damaged."""
    if len(data) > limit:
        raise Damaged(f"{what} is too large", expected=f"at most {limit} bytes", found=f"{len(data)} bytes")
    try:
        fields = cast(object, msgpack.unpackb(data, use_list=True, raw=False, strict_map_key=True))
        same = isinstance(fields, list) and msgpack.packb(fields) == data
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Damaged(f"{what} does not parse", found=str(error)[:120]) from error
    except msgpack.exceptions.UnpackException as error:
        raise Damaged(f"{what} does not parse", found=str(error)[:120]) from error
    if not same:
        raise Damaged(f"{what} is not in canonical form")
    return cast("list[Any]", fields)


def whole(value: object, what: str, limit: int, least: int = 0) -> int:
    """A number from `least` to `limit`. Raises Damaged."""
    if type(value) is not int or not least <= value <= limit:
        raise Damaged(f"{what} is out of bounds", expected=f"{least} to {limit}", found=repr(value)[:40])
    return value

"""Bytes read forward, through a decompressor where there is one, under a budget.

A compressed stream may have several members one after another (gzip, xz, zstd and bzip2 all allow it). After
the last one only zero bytes may follow; anything else is refused, and so is an end before a member's own
end. Each format's checksum is verified by reading to that end.

The budget is part of `unpack` version 1, not a setting: whether an archive unpacks must not depend on the
machine. It allows 16 GiB, 2^20 entries, and beyond 64 MiB at most 1,000 bytes for each byte of the archive
(source code compresses to a tenth; gzip can reach 1,032, which only a bomb does).
"""

from __future__ import annotations

import bz2
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from kiln.interpreter.fetch.errors import DamagedArchive, TooLarge, UnpackError

MAX_BYTES = 16 << 30
MAX_ENTRIES = 1 << 20
FREE_BYTES = 64 << 20
MAX_RATIO = 1000
CHUNK = 1 << 18
_XZ_MEMORY = 512 << 20
_ZSTD_WINDOW_LOG = 27


class Budget:
    """What one archive may still unpack to. `archive_size` in bytes."""

    def __init__(self, archive_size: int) -> None:
        self._most = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * archive_size))
        self._read = 0
        self._written = 0
        self.entries = 0

    @property
    def written(self) -> int:
        return self._written

    def decompressed(self, count: int) -> None:
        """Count bytes that came out of a decompressor. Raises TooLarge."""
        self._read += count
        if self._read > self._most:
            raise self._too_large()

    def write(self, count: int) -> None:
        """Count bytes that go to disk, copies for hard links among them. Raises TooLarge."""
        self._written += count
        if self._written > self._most:
            raise self._too_large()

    def entry(self) -> None:
        """Count an entry. Raises TooLarge."""
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            raise TooLarge("an archive with too many entries", expected=f"at most {MAX_ENTRIES}")

    def _too_large(self) -> TooLarge:
        return TooLarge(
            "an archive that unpacks to too much",
            expected=f"at most {self._most} bytes from one of this size",
            found="more",
            help="do not use this archive: only a decompression bomb is like this",
        )


class Stream:
    """Bytes in order. A subclass gives the next piece; an empty one is the end."""

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0

    def _more(self) -> bytes:
        raise NotImplementedError

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, or all there are, left in place."""
        while len(self._buffer) - self._at < count:
            piece = self._more()
            if not piece:
                break
            self._buffer = self._buffer[self._at :] + piece
            self._at = 0
        return self._buffer[self._at : self._at + count]

    def read(self, count: int) -> bytes:
        """The next `count` bytes, or all there are."""
        found = self.peek(count)
        self._at += len(found)
        return found

    def some(self, most: int) -> bytes:
        """At least one and at most `most` bytes, without waiting for more; empty at the end."""
        return self.read(min(most, max(1, len(self._buffer) - self._at)))

    def exactly(self, count: int, what: str) -> bytes:
        """The next `count` bytes. Raises DamagedArchive when there are fewer."""
        found = self.read(count)
        if len(found) < count:
            raise truncated(what)
        return found

    def chunks(self, count: int, what: str) -> Iterator[bytes]:
        """The next `count` bytes in pieces. Raises DamagedArchive when there are fewer."""
        while count:
            piece = self.some(min(count, CHUNK))
            if not piece:
                raise truncated(what)
            count -= len(piece)
            yield piece

    def skip(self, count: int, what: str) -> None:
        for _ in self.chunks(count, what):
            pass

    def only_zeros_left(self) -> bool:
        """Read to the end; whether every byte was zero."""
        zeros = True
        while piece := self.some(CHUNK):
            zeros = zeros and piece.count(0) == len(piece)
        return zeros


class FileStream(Stream):
    """An open file, from where it stands, for `count` bytes or to its end."""

    def __init__(self, fd: int, count: int | None = None) -> None:
        super().__init__()
        self._fd = fd
        self._left = count

    def _more(self) -> bytes:
        most = CHUNK if self._left is None else min(CHUNK, self._left)
        piece = os.read(self._fd, most)
        if self._left is not None:
            self._left -= len(piece)
        return piece


class SliceStream(Stream):
    """The next `count` bytes of another stream."""

    def __init__(self, inner: Stream, count: int) -> None:
        super().__init__()
        self._inner = inner
        self.left = count

    def _more(self) -> bytes:
        piece = self._inner.some(min(CHUNK, self.left)) if self.left else b""
        if self.left and not piece:
            raise truncated("the archive")
        self.left -= len(piece)
        return piece

    def skip_rest(self) -> None:
        """Read to the end of the slice. Raises DamagedArchive when the inner stream ends before."""
        while self.some(CHUNK):
            pass


class Decompressor(Protocol):
    """What lzma, bz2 and zstd have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class ZlibDecompressor:
    """zlib's decompressor with the interface of the others."""

    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._inner.eof

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max(max_length, 0))


class MemberStream(Stream):
    """Decompressed bytes of one member or several."""

    def __init__(
        self, inner: Stream, fresh: Callable[[], Decompressor], budget: Budget, *, magic: bytes | None
    ) -> None:
        """`magic` begins a further member; without it there is one, and nothing may follow."""
        super().__init__()
        self._inner = inner
        self._fresh = fresh
        self._budget = budget
        self._magic = magic
        self._member: Decompressor | None = fresh()

    def _more(self) -> bytes:
        while self._member is not None:
            piece = self._step(self._member)
            if piece:
                self._budget.decompressed(len(piece))
                return piece
        return b""

    def _step(self, member: Decompressor) -> bytes:
        if member.eof:
            self._next_member(member.unused_data)
            return b""
        data = self._inner.some(CHUNK) if member.needs_input else b""
        if member.needs_input and not data:
            raise truncated("the compressed stream")
        try:
            return member.decompress(data, CHUNK)
        except DECOMPRESSION_ERRORS as error:
            raise DamagedArchive("a compressed stream is damaged", found=str(error)) from None

    def _next_member(self, unused: bytes) -> None:
        rest = _Joined(unused, self._inner)
        self._inner, self._member = rest, None
        if self._magic is not None and rest.peek(len(self._magic)) == self._magic:
            self._member = self._fresh()
        elif not rest.only_zeros_left():
            raise DamagedArchive(
                "bytes after the end of a compressed stream", expected="nothing, or zeros", found="other bytes"
            )


class _Joined(Stream):
    """Bytes in hand, then a stream."""

    def __init__(self, first: bytes, rest: Stream) -> None:
        super().__init__()
        self._buffer = first
        self._rest = rest

    def _more(self) -> bytes:
        return self._rest.some(CHUNK)


_GZIP, _XZ, _BZIP2, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd"


def decompressed(stream: Stream, budget: Budget) -> tuple[str, Stream]:
    """The stream's contents and the name of its compression (empty: none), told by its first bytes."""
    head = stream.peek(6)
    if head.startswith(_GZIP):
        return "gz", MemberStream(stream, lambda: ZlibDecompressor(31), budget, magic=_GZIP)
    if head.startswith(_XZ):
        return "xz", MemberStream(stream, _xz, budget, magic=_XZ)
    if head.startswith(_BZIP2):
        return "bz2", MemberStream(stream, bz2.BZ2Decompressor, budget, magic=_BZIP2)
    if head.startswith(_ZSTD):
        return "zst", MemberStream(stream, zstd_decompressor, budget, magic=_ZSTD)
    return "", stream


def zstd_decompressor() -> Decompressor:
    """A decompressor for one frame, with a window of at most 128 MiB."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    made: Decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})
    return made


def truncated(what: str) -> UnpackError:
    return DamagedArchive(f"{what} is cut off", help="fetch it again, and compare its digest with its author's")


def _xz() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


def _zstd_error() -> type[Exception]:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdError


DECOMPRESSION_ERRORS: tuple[type[Exception], ...] = (
    zlib.error,
    lzma.LZMAError,
    OSError,
    ValueError,
    EOFError,
    MemoryError,
    _zstd_error(),
)

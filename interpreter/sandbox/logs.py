"""Build logs: a file that is written as the build runs and can be read at any time, whole or cut off.

A log is a sequence of zstd frames (RFC 8878), each holding one piece of the builder's output, as it came; `zstd -dc`
prints them all. Before each stands a skippable frame (RFC 8878, section 3.1.2), which zstd ignores, with when the
piece came and how long it is. Numbers are little-endian:

    header   5B 2A 4D 18 | 0D 00 00 00 | "K" "kiln-log" u32 = 1, the version            first
    begin    5B 2A 4D 18 | 09 00 00 00 | "T" u64 milliseconds since 1970                second
    piece    5B 2A 4D 18 | 0D 00 00 00 | "P" u32 milliseconds since then | u32 bytes | u32 bytes compressed
             a zstd frame
    end      5B 2A 4D 18 | 01 00 00 00 | "E"                                            last

A log without its end is one whose writer was killed, or still writes: as long as it does, it holds an exclusive
lock on the file (flock(2)). A piece that isn't whole is not there yet.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Self

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MAGIC = 0x184D2A5B
_FRAME = struct.Struct("<II")
_HEADER = b"Kkiln-log\x01\x00\x00\x00"
_BEGIN = struct.Struct("<cQ")
_PIECE = struct.Struct("<cIII")
_END = b"E"
_LONGEST = 1 << 20
"""Bytes of the longest piece, compressed or not."""

FLUSH_BYTES = 1 << 16
FLUSH_SECONDS = 0.25


class NotALog(Exception):
    """A file that doesn't begin as a log does, or a piece that is damaged."""


class Piece(NamedTuple):
    """What came at one moment; `at` in milliseconds since the log began."""

    at: int
    data: bytes


class LogWriter:
    """Writes a log, in place of one that is there.

    `write` is meant to be `run_sandbox`'s `log`: an empty piece says that output pauses.
    """

    def __init__(self, path: str) -> None:
        # A new file: whoever reads the old one goes on reading the old one.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._began = time.monotonic()
        self._buffer = bytearray()
        self._since = 0.0
        begin = _BEGIN.pack(b"T", time.time_ns() // 1_000_000)
        self._append(_frame(_HEADER) + _frame(begin))

    def write(self, data: bytes) -> None:
        """Take a piece of output; it is in the file after at most a quarter of a second, or the next pause."""
        now = time.monotonic()
        if not self._buffer:
            self._since = now
        self._buffer += data
        if not data or len(self._buffer) >= FLUSH_BYTES or now - self._since >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Bring what was taken into the file."""
        at = min(int((self._since - self._began) * 1000), 0xFFFFFFFF)
        whole = bytes(self._buffer)
        self._buffer.clear()
        for start in range(0, len(whole), FLUSH_BYTES):
            part = whole[start : start + FLUSH_BYTES]
            packed = zstd.compress(part, level=1)
            self._append(_frame(_PIECE.pack(b"P", at, len(part), len(packed))) + packed)

    def close(self) -> None:
        """Write the end; after that the log is known to be whole."""
        self.flush()
        self._append(_frame(_END))
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]


class LogReader:
    """Reads a log, also one that is still written: each call of `pieces` goes on where the last one ended."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = 0
        self.began = 0
        """Milliseconds since 1970 when the log began; 0 until its beginning has been read."""
        self.ended = False
        """Whether the end has been read."""

    def pieces(self) -> Iterator[Piece]:
        """The pieces that are there and whole. Raises NotALog."""
        while not self.ended:
            payload = self._payload()
            if payload is None:
                return
            step = _FRAME.size + len(payload)
            kind = payload[:1]
            if self._offset == 0 and payload != _HEADER:
                raise NotALog("not a build log")
            if kind == b"T" and len(payload) == _BEGIN.size:
                self.began = _BEGIN.unpack(payload)[1]
            elif kind == b"E":
                self.ended = True
            elif kind == b"P" and len(payload) == _PIECE.size:
                _, at, length, packed = _PIECE.unpack(payload)
                data = self._data(self._offset + step, length, packed)
                if data is None:
                    return
                step += packed
                yield Piece(at, data)
            elif kind != b"K":
                raise NotALog(f"an unknown entry at byte {self._offset}")
            self._offset += step

    def is_written(self) -> bool:
        """Whether a writer has the file open. Asked before `pieces`, so that what it wrote last is read, too."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _payload(self) -> bytes | None:
        """The next skippable frame's content, or None if it isn't whole."""
        head = os.pread(self._file, _FRAME.size, self._offset)
        if len(head) < _FRAME.size:
            return None
        magic, length = _FRAME.unpack(head)
        if magic != _MAGIC or length > len(_HEADER):
            raise NotALog(f"no log entry at byte {self._offset}")
        payload = os.pread(self._file, length, self._offset + _FRAME.size)
        return payload if len(payload) == length else None

    def _data(self, offset: int, length: int, packed: int) -> bytes | None:
        """A piece's bytes, or None if they aren't all there."""
        if length > _LONGEST or packed > _LONGEST:
            raise NotALog(f"a piece of {length} bytes at byte {offset}")
        raw = os.pread(self._file, packed, offset)
        if len(raw) < packed:
            return None
        try:
            data = zstd.ZstdDecompressor().decompress(raw, max_length=length + 1)
        except zstd.ZstdError as error:
            raise NotALog(f"a damaged piece at byte {offset}: {error}") from error
        if len(data) != length:
            raise NotALog(f"a piece of {len(data)} bytes that should have {length}, at byte {offset}")
        return data


def read_log(path: str) -> bytes:
    """All output that a log holds, or as much as is whole. Raises NotALog."""
    with LogReader(path) as reader:
        return b"".join(piece.data for piece in reader.pieces())


def _frame(payload: bytes) -> bytes:
    return _FRAME.pack(_MAGIC, len(payload)) + payload

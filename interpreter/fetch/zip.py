"""zip archives (PKWARE's APPNOTE 6.3.10), read by their central directory.

    local header, data …   central directory: one record an entry   end record (Zip64 before it)

The central directory decides; what a local header says must agree with it, since programs differ in which
of the two they believe. The end record is the last thing in the file, the directory lies straight before it,
and no two entries share bytes, as those of a zip bomb do. Every CRC is checked.

Names are UTF-8, or bytes of code page 437 where they are not valid UTF-8 and not marked as such; a backslash
is refused. Modes come from archives made on Unix; elsewhere nothing is executable. Methods: stored, deflate,
bzip2 and Zstandard.
"""

from __future__ import annotations

import bz2
import os
import re
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from kiln.interpreter.fetch.entries import Directory, Entry, File, Symlink, parse_path, shown
from kiln.interpreter.fetch.errors import DamagedArchive, Escapes, TooLarge, Unsupported
from kiln.interpreter.fetch.streams import (
    MAX_ENTRIES,
    Budget,
    Decompressor,
    FileStream,
    MemberStream,
    Stream,
    ZlibDecompressor,
    zstd_decompressor,
)

MAGICS = (b"PK\3\4", b"PK\5\6")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_UNIX = 3
_ENCRYPTED, _UTF8 = 1, 1 << 11
_LARGEST_DIRECTORY = 256 << 20
_LONGEST_TARGET = 4096


class _Record(NamedTuple):
    """An entry of the central directory. `offset` is of its local header."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    mode: int
    offset: int


class _End(NamedTuple):
    entries: int
    size: int
    offset: int


def read_zip(fd: int, budget: Budget) -> Iterator[Entry]:
    """The entries in the order of their data. Raises DamagedArchive, Escapes, Unsupported, TooLarge."""
    total = os.fstat(fd).st_size
    end, end_at = _find_end(fd, total)
    if end.offset + end.size != end_at:
        raise DamagedArchive("a zip archive whose directory does not lie before its end")
    records = sorted(_directory(fd, end), key=lambda record: record.offset)
    ends = [*(record.offset for record in records[1:]), end.offset]
    for record, following in zip(records, ends, strict=False):
        begin = _data_begin(fd, record)
        if begin + record.packed > following:
            raise DamagedArchive("a zip archive with entries that share bytes", found=shown(record.name))
        yield _entry(fd, record, begin, budget)


def _entry(fd: int, record: _Record, begin: int, budget: Budget) -> Entry:
    name = _utf8(record)
    if b"\\" in name:
        raise Escapes("an entry with a backslash in its name", found=shown(name))
    path = parse_path(name)
    kind = stat.S_IFMT(record.mode)
    if name.endswith(b"/") or kind == stat.S_IFDIR:
        if record.size:
            raise DamagedArchive("a zip archive has a directory with data", found=shown(name))
        return Directory(path)
    chunks = _contents(fd, record, begin, budget)
    if kind == stat.S_IFLNK:
        if record.size > _LONGEST_TARGET:
            raise Escapes("a symlink with a target that no path can be", found=shown(name))
        return Symlink(path, b"".join(chunks))
    if kind not in (0, stat.S_IFREG):
        raise Escapes("an archive holds a device, socket or fifo", found=shown(name))
    return File(path, bool(record.mode & 0o111), record.size, chunks)


def _contents(fd: int, record: _Record, begin: int, budget: Budget) -> Iterator[bytes]:
    os.lseek(fd, begin, os.SEEK_SET)
    stream: Stream = FileStream(fd, record.packed)
    if record.method == 0:
        if record.packed != record.size:
            raise DamagedArchive("a stored zip entry with two sizes", found=shown(record.name))
    else:
        stream = MemberStream(stream, _decompressor(record), budget, magic=None)
    crc = 0
    for piece in stream.chunks(record.size, f"the zip entry {shown(record.name)}"):
        crc = zlib.crc32(piece, crc)
        yield piece
    if stream.some(1):
        raise DamagedArchive("a zip entry that is longer than it says", found=shown(record.name))
    if crc != record.crc:
        raise DamagedArchive("a zip entry does not fit its CRC", found=shown(record.name))


def _decompressor(record: _Record) -> Callable[[], Decompressor]:
    match record.method:
        case 8:
            return lambda: ZlibDecompressor(-15)
        case 12:
            return bz2.BZ2Decompressor
        case 20 | 93:
            return zstd_decompressor
        case method:
            raise Unsupported(
                f"a zip entry packed by method {method}",
                expected="stored, deflate, bzip2 or Zstandard",
                found=shown(record.name),
            )


def _find_end(fd: int, total: int) -> tuple[_End, int]:
    """What the end record says, Zip64's in its place, and where the first of the two lies."""
    tail_at = max(0, total - _END.size - _FULL16)
    tail = _at(fd, tail_at, total - tail_at)
    at = _end_record_at(tail)
    _, disk, first_disk, here, count, size, offset, _ = _END.unpack_from(tail, at)
    if disk or first_disk or here != count:
        raise Unsupported("a zip archive of several volumes")
    end, end_at = _End(count, size, offset), tail_at + at
    if count == _FULL16 or _FULL32 in (size, offset):
        return _find_end64(fd, end_at)
    return _bounded(end), end_at


def _end_record_at(tail: bytes) -> int:
    """Where the end record lies: its comment ends where the file ends, which is true of one place only."""
    places = [found.start() for found in re.finditer(b"PK\5\6", tail)]
    fitting = [
        at
        for at in places
        if len(tail) - at >= _END.size and at + _END.size + _END.unpack_from(tail, at)[7] == len(tail)
    ]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise DamagedArchive("a zip archive with two ends")
    if places:
        raise DamagedArchive("a zip archive is cut off, or has bytes after its end")
    raise DamagedArchive("a zip archive is cut off: it has no end record")


def _find_end64(fd: int, end_at: int) -> tuple[_End, int]:
    mark, _, at, disks = _unpack(_LOCATOR, _at(fd, end_at - _LOCATOR.size, _LOCATOR.size))
    if mark != b"PK\6\7" or disks > 1:
        raise DamagedArchive("a zip archive without the Zip64 record it needs")
    mark, length, _, _, disk, _, here, count, size, offset = _unpack(_END64, _at(fd, at, _END64.size))
    if mark != b"PK\6\6" or disk or here != count or at + 12 + length + _LOCATOR.size != end_at:
        raise DamagedArchive("a zip archive with a Zip64 record that contradicts it")
    return _bounded(_End(count, size, offset)), at


def _bounded(end: _End) -> _End:
    if end.entries > MAX_ENTRIES or end.size > _LARGEST_DIRECTORY:
        raise TooLarge("an archive with too many entries", expected=f"at most {MAX_ENTRIES}")
    return end


def _directory(fd: int, end: _End) -> Iterator[_Record]:
    data = _at(fd, end.offset, end.size)
    at = 0
    for _ in range(end.entries):
        fields = _unpack(_CENTRAL, data[at : at + _CENTRAL.size])
        if fields[0] != b"PK\1\2":
            raise DamagedArchive("a zip directory that does not parse")
        lengths = fields[10], fields[11], fields[12]
        yield _record(fields, data[at + _CENTRAL.size : at + _CENTRAL.size + sum(lengths)], lengths)
        at += _CENTRAL.size + sum(lengths)
    if at != len(data):
        raise DamagedArchive("a zip directory with another number of entries than its end record says")


def _record(fields: tuple[Any, ...], tail: bytes, lengths: tuple[int, int, int]) -> _Record:
    _, made_by, _, flags, method, _, _, crc, packed, size, *_, external, offset = fields
    if len(tail) != sum(lengths):
        raise DamagedArchive("a zip directory is cut off")
    name, extra = tail[: lengths[0]], tail[lengths[0] : lengths[0] + lengths[1]]
    if flags & _ENCRYPTED:
        raise Unsupported("a zip archive with encrypted entries", found=shown(name))
    size, packed, offset = _zip64(extra, (size, packed, offset))
    mode = external >> 16 if made_by >> 8 == _UNIX else 0
    return _Record(name, flags, method, crc, packed, size, mode, offset)


def _zip64(extra: bytes, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """The values that do not fit 32 bits, in their fixed order, from extra field 1."""
    if _FULL32 not in values:
        return values
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra[at + 4 : at + 4 + length].ljust(length)))
            found = tuple(next(wide, _FULL32) if value == _FULL32 else value for value in values)
            return found[0], found[1], found[2]
        at += 4 + length
    return values


def _data_begin(fd: int, record: _Record) -> int:
    """Where an entry's data begin, behind its local header, which must carry the same name and method."""
    fields = _unpack(_LOCAL, _at(fd, record.offset, _LOCAL.size))
    name_length, extra_length = fields[9], fields[10]
    begin = record.offset + _LOCAL.size
    name = _at(fd, begin, name_length)
    if fields[0] != b"PK\3\4" or name != record.name or fields[3] != record.method:
        raise DamagedArchive(
            "a zip entry whose two headers disagree", found=f"{shown(name)} and {shown(record.name)}"
        )
    return int(begin + name_length + extra_length)


def _utf8(record: _Record) -> bytes:
    try:
        record.name.decode("utf-8")
    except UnicodeDecodeError:
        if record.flags & _UTF8:
            raise DamagedArchive("a zip name that is not the UTF-8 it says", found=shown(record.name)) from None
        return record.name.decode("cp437").encode()
    return record.name


def _unpack(form: struct.Struct, data: bytes) -> tuple[Any, ...]:
    if len(data) != form.size:
        raise DamagedArchive("a zip archive is cut off")
    return form.unpack(data)


def _at(fd: int, offset: int, count: int) -> bytes:
    """Bytes at a place in the file. Raises DamagedArchive when they are not all there."""
    parts = []
    while count and 0 <= offset < 1 << 62 and (piece := os.pread(fd, count, offset)):
        parts.append(piece)
        offset, count = offset + len(piece), count - len(piece)
    if count:
        raise DamagedArchive("a zip archive is cut off, or points outside itself")
    return b"".join(parts)

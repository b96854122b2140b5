"""tar, read forward: V7, ustar, GNU and pax (POSIX.1-2017, `pax`; GNU tar manual, "Basic Tar Format").

A header is 512 bytes:

    name 100 | mode 8 | uid 8 | gid 8 | size 12 | mtime 12 | checksum 8 | type 1 | link name 100 |
    magic 6 `ustar\\0` | version 2 | user 32 | group 32 | major 8 | minor 8 | prefix 155 | 12

Numbers are octal, or base 256 where the first bit is set (GNU). Types `x` and `g` are pax records, `L` and
`K` GNU's long names, all for the entry that follows. The data come in blocks of 512 bytes. A block of zeros
ends the archive; from there on only zeros may follow, and without it the archive was cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kiln.interpreter.fetch.entries import (
    Directory,
    Entry,
    File,
    HardLink,
    Symlink,
    parse_path,
    shown,
)
from kiln.interpreter.fetch.errors import DamagedArchive, Escapes, Unsupported
from kiln.interpreter.fetch.streams import Stream

BLOCK = 512
_ZEROS = bytes(BLOCK)
_LONGEST_EXTRA = 1 << 20
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ")
_REFUSED = {
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a fifo",
}
_UNSUPPORTED = {
    b"S": "a sparse file",
    b"M": "a file that continues from another volume",
    b"D": "an incremental backup",
}


class _Header(NamedTuple):
    name: bytes
    mode: int
    size: int
    type: bytes
    link: bytes


class _Extra(NamedTuple):
    """What pax records or GNU's long names say of the next entry."""

    path: bytes | None = None
    link: bytes | None = None
    size: int | None = None

    def under(self, nearer: _Extra) -> _Extra:
        """This, with all that `nearer` says in place of it."""
        return _Extra(
            self.path if nearer.path is None else nearer.path,
            self.link if nearer.link is None else nearer.link,
            self.size if nearer.size is None else nearer.size,
        )


def looks_like_tar(block: bytes) -> bool:
    """Whether a first block is a tar's: a header with its checksum, or the end of an empty one."""
    return len(block) == BLOCK and (block == _ZEROS or _checksum_fits(block))


def read_tar(stream: Stream) -> Iterator[Entry]:
    """The entries in order. Raises DamagedArchive, Escapes, Unsupported."""
    everywhere, once = _Extra(), _Extra()
    while True:
        block = stream.exactly(BLOCK, "the tar archive")
        if block == _ZEROS:
            break
        header = _header(block)
        if header.type in (b"x", b"g", b"L", b"K"):
            extra = _read_extra(stream, header)
            if header.type == b"g":
                everywhere = everywhere.under(extra)
            else:
                once = once.under(extra)
            continue
        entry = _entry(stream, header, everywhere.under(once))
        once = _Extra()
        if entry is not None:
            yield entry
    if not stream.only_zeros_left():
        raise DamagedArchive("bytes after the end of a tar archive", expected="zeros", found="other bytes")


def _entry(stream: Stream, header: _Header, extra: _Extra) -> Entry | None:
    name = header.name if extra.path is None else extra.path
    link = header.link if extra.link is None else extra.link
    size = header.size if extra.size is None else extra.size
    match header.type:
        case b"0" | b"\0" | b"7" if not (header.type == b"\0" and name.endswith(b"/")):
            return File(parse_path(name), bool(header.mode & 0o111), size, _data(stream, size, name))
        case b"5" | b"\0":
            return Directory(parse_path(name))
        case b"1":
            return HardLink(parse_path(name), parse_path(link))
        case b"2":
            return Symlink(parse_path(name), link)
        case b"V":
            stream.skip(_padded(size), "the tar archive")
            return None
        case kind if kind in _REFUSED:
            raise Escapes(f"an archive holds {_REFUSED[kind]}", found=shown(name))
        case kind:
            what = _UNSUPPORTED.get(kind, f"an entry of type {shown(kind)}")
            raise Unsupported(f"a tar archive holds {what}", found=shown(name))


def _data(stream: Stream, size: int, name: bytes) -> Iterator[bytes]:
    yield from stream.chunks(size, f"the tar archive, in {shown(name)},")
    stream.skip(_padded(size) - size, "the tar archive")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _header(block: bytes) -> _Header:
    if not _checksum_fits(block):
        raise DamagedArchive("a tar header does not fit its checksum", found=shown(_text(block[:100])))
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = _text(block[345:500]) + b"/" + name
    return _Header(
        name=name,
        mode=_number(block[100:108]),
        size=_number(block[124:136]),
        type=block[156:157],
        link=_text(block[157:257]),
    )


def _checksum_fits(block: bytes) -> bool:
    """The sum of the header's bytes with spaces in its own field; old tars summed signed characters."""
    try:
        wanted = _number(block[148:156])
    except DamagedArchive:
        return False
    rest = block[:148] + b" " * 8 + block[156:]
    unsigned = sum(rest)
    return wanted == unsigned or wanted == unsigned - 256 * sum(byte > 127 for byte in rest)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0") or b"0"
    try:
        if digits.strip(b"01234567"):
            raise ValueError
        return int(digits, 8)
    except ValueError:
        raise DamagedArchive("a number in a tar header is not one", found=shown(field)) from None


def _read_extra(stream: Stream, header: _Header) -> _Extra:
    if header.size > _LONGEST_EXTRA:
        raise DamagedArchive("a tar archive has a name or a record of over 1 MiB")
    data = stream.exactly(_padded(header.size), "the tar archive")[: header.size]
    match header.type:
        case b"L":
            return _Extra(path=_text(data))
        case b"K":
            return _Extra(link=_text(data))
        case _:
            return _pax(data)


def _pax(data: bytes) -> _Extra:
    """Records `LENGTH KEYWORD=VALUE\\n`, the length in decimal and of the whole record."""
    records: dict[bytes, bytes] = {}
    while data:
        found = _RECORD.match(data)
        length = int(found[1]) if found else 0
        record, data = data[:length], data[length:]
        key, equals, value = record[found.end() if found else 0 :].partition(b"=")
        if found is None or len(record) != length or not equals or not value.endswith(b"\n"):
            raise DamagedArchive("a pax record that does not parse", found=shown(record[:80]))
        if key.startswith(b"GNU.sparse."):
            raise Unsupported("a tar archive holds a sparse file")
        records[key] = value[:-1]
    size = records.get(b"size")
    if size is not None and not size.isdigit():
        raise DamagedArchive("a pax size that is no number", found=shown(size[:80]))
    return _Extra(records.get(b"path"), records.get(b"linkpath"), None if size is None else int(size[:20]))

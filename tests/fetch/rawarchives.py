"""Archives built byte by byte, so that a test can say what no writing library would."""

from __future__ import annotations

import struct
import zlib

END = bytes(1024)


def tar_header(
    name: bytes,
    kind: bytes = b"0",
    *,
    size: int = 0,
    link: bytes = b"",
    mode: int = 0o644,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    size_field: bytes | None = None,
) -> bytes:
    fields = (
        name.ljust(100, b"\0")
        + b"%07o\0" % mode
        + b"0000000\0" * 2
        + (size_field or b"%011o\0" % size)
        + b"00000000000\0"
        + b" " * 8
        + kind
        + link.ljust(100, b"\0")
        + magic
        + bytes(80)
        + prefix.ljust(155, b"\0")
    ).ljust(512, b"\0")
    assert len(fields) == 512
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def tar_member(name: bytes, data: bytes = b"", kind: bytes = b"0", **more: object) -> bytes:
    return tar_header(name, kind, size=len(data), **more) + padded(data)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(kind: bytes = b"x", **records: bytes) -> bytes:
    body = b"".join(pax_record(key.encode(), value) for key, value in records.items())
    return tar_member(b"PaxHeaders/x", body, kind)


def pax_record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def tar(*parts: bytes) -> bytes:
    return b"".join(parts) + END


def ar_member(name: bytes, data: bytes) -> bytes:
    head = name.ljust(16) + b"0".ljust(12) + b"0".ljust(6) * 2 + b"100644".ljust(8)
    return head + str(len(data)).encode().ljust(10) + b"`\n" + data + b"\n" * (len(data) % 2)


def ar(*members: bytes) -> bytes:
    return b"!<arch>\n" + b"".join(members)


def deb(data: bytes, name: bytes = b"data.tar") -> bytes:
    return ar(ar_member(b"debian-binary", b"2.0\n"), ar_member(b"control.tar", END), ar_member(name, data))


class ZipEntry:
    """One entry, whose every field a test may falsify."""

    def __init__(
        self,
        name: bytes,
        data: bytes = b"",
        *,
        mode: int = 0o100644,
        method: int = 0,
        flags: int = 0,
        crc: int | None = None,
        size: int | None = None,
        local_name: bytes | None = None,
        packed: bytes | None = None,
        made_by: int = 3 << 8,
        extra: bytes = b"",
    ) -> None:
        self.name, self.mode, self.method, self.flags, self.made_by = name, mode, method, flags, made_by
        self.crc = zlib.crc32(data) if crc is None else crc
        self.size = len(data) if size is None else size
        self.local_name = name if local_name is None else local_name
        self.packed = data if packed is None else packed
        self.extra = extra
        self.offset: int | None = None

    def local(self) -> bytes:
        head = (b"PK\3\4", 20, self.flags, self.method, 0, 0, self.crc, len(self.packed), self.size)
        return struct.pack("<4s5H3L2H", *head, len(self.local_name), 0) + self.local_name + self.packed

    def central(self, offset: int) -> bytes:
        head = (b"PK\1\2", self.made_by | 20, 20, self.flags, self.method, 0, 0)
        sizes = (self.crc, len(self.packed), self.size, len(self.name), len(self.extra), 0, 0, 0)
        where = self.offset if self.offset is not None else offset
        packed = struct.pack("<4s6H3L5H2L", *head, *sizes, self.mode << 16, where)
        return packed + self.name + self.extra


def zipped(*entries: ZipEntry, comment: bytes = b"", tail: bytes = b"", count: int | None = None) -> bytes:
    body, directory = b"", b""
    for entry in entries:
        directory += entry.central(len(body))
        body += entry.local()
    number = len(entries) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, number, number, len(directory), len(body), len(comment))
    return body + directory + end + comment + tail

"""ar archives, and Debian packages, which are one (deb(5)).

    `!<arch>\\n`, then for each member 60 bytes, its data, and one byte more where their number is odd:
    name 16 | time 12 | uid 6 | gid 6 | mode 8 (octal) | size 10 (decimal) | "`\\n"

A name ends in `/` (GNU), stands in the member `//` at the offset behind a `/`, or precedes the data (`#1/` and
its length, BSD). A Debian package has `debian-binary` (`2.…`) first, and its files in `data.tar.*`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kiln.interpreter.fetch.entries import Entry, File, parse_path, shown
from kiln.interpreter.fetch.errors import DamagedArchive, Unsupported
from kiln.interpreter.fetch.streams import Budget, SliceStream, Stream, decompressed
from kiln.interpreter.fetch.tar import BLOCK, looks_like_tar, read_tar

MAGIC = b"!<arch>\n"
_LONGEST_TABLE = 1 << 20


class Member(NamedTuple):
    """`data` must be read to its end before the next member is asked for."""

    name: bytes
    mode: int
    size: int
    data: SliceStream


def read_ar(stream: Stream, budget: Budget) -> Iterator[Entry]:
    """The entries of a Debian package's tree, or the members of any other ar archive."""
    stream.exactly(len(MAGIC), "the ar archive")
    members = _members(stream)
    first = next(members, None)
    if first is None:
        return
    if first.name == b"debian-binary":
        yield from _debian(first, members, budget)
        return
    yield _file(first)
    for member in members:
        yield _file(member)


def _debian(first: Member, members: Iterator[Member], budget: Budget) -> Iterator[Entry]:
    version = first.data.read(16)
    if not version.startswith(b"2."):
        raise Unsupported("a Debian package of another format", expected="2.0", found=shown(version))
    found = False
    for member in members:
        if not member.name.startswith(b"data.tar"):
            continue
        if found:
            raise DamagedArchive("a Debian package with its files twice")
        found = True
        _, inner = decompressed(member.data, budget)
        if not looks_like_tar(inner.peek(BLOCK)):
            raise Unsupported("a Debian package with files packed in another way", found=shown(member.name))
        yield from read_tar(inner)
    if not found:
        raise DamagedArchive("a Debian package without data.tar")


def _file(member: Member) -> File:
    chunks = member.data.chunks(member.size, "the ar archive")
    return File(parse_path(member.name), bool(member.mode & 0o111), member.size, chunks)


def _members(stream: Stream) -> Iterator[Member]:
    """Every member but the symbol tables and the table of long names."""
    table = b""
    while header := stream.read(60):
        if len(header) < 60 or header[58:] != b"`\n":
            raise DamagedArchive("an ar header that does not parse", found=shown(header[:16]))
        size = _decimal(header[48:58])
        data = SliceStream(stream, size)
        name = header[:16].rstrip(b" ")
        if name == b"//":
            if size > _LONGEST_TABLE:
                raise DamagedArchive("an ar archive with a table of names of over 1 MiB")
            table = data.exactly(size, "the ar archive")
        elif name not in (b"/", b"/SYM64/", b"__.SYMDEF", b"__.SYMDEF SORTED"):
            name, size = _member_name(name, data, size, table)
            yield Member(name, _octal(header[40:48]), size, data)
        data.skip_rest()
        if _decimal(header[48:58]) % 2:
            stream.read(1)


def _member_name(name: bytes, data: SliceStream, size: int, table: bytes) -> tuple[bytes, int]:
    if name.startswith(b"#1/"):
        length = _decimal(name[3:])
        if length > min(size, 4096):
            raise DamagedArchive("an ar member with a name longer than itself")
        return data.exactly(length, "the ar archive").rstrip(b"\0"), size - length
    if name[:1] == b"/" and name[1:].isdigit():
        at = int(name[1:])
        end = table.find(b"/\n", at)
        if at >= len(table) or end < 0:
            raise DamagedArchive("an ar member with a name that is not in its table", found=shown(name))
        return table[at:end], size
    return name.removesuffix(b"/"), size


def _decimal(field: bytes) -> int:
    text = field.strip(b" ")
    if not text.isdigit():
        raise DamagedArchive("a number in an ar header is not one", found=shown(field))
    return int(text)


def _octal(field: bytes) -> int:
    text = field.strip(b" ")
    return int(text, 8) if text and not text.strip(b"01234567") else 0o644

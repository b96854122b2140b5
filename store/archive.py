"""The canonical archive of a tree: what GNU tar writes, byte for byte, with

    tar --create --format=pax --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1 --mode=a=rX
        --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime
        --hard-dereference --blocking-factor=20 --directory=TREE .

Members are `./`, then the entries of each directory in the bytewise order of their names, each directory
followed at once by what is in it. A header is ustar's (POSIX.1-2017, pax, "ustar Interchange Format"). A name that
is longer than 100 bytes or not ASCII, a link target that is longer than 100 bytes, and a size of 8 GiB or more
stand in an extended header before it. The end is two blocks of zeros, and zeros up to a multiple of 10,240 bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from kiln.store.disk import disk_errors, open_directory
from kiln.store.errors import Refused
from kiln.store.ingest import CHUNK, open_regular, show_path
from kiln.store.tree import Event, Step, walk

BLOCK = 512
RECORD = 20 * BLOCK
_NAME_BYTES = 100
_LARGEST = 8**11
_MTIME = 1

Write = Callable[[bytes], object]


class _Member(NamedTuple):
    name: bytes
    typeflag: bytes
    mode: int
    size: int = 0
    target: bytes = b""


def canonical_tar(path: str, write: Write) -> int:
    """Write the archive of the directory at `path` piece by piece; how many bytes it has.

    Raises Refused where `path` is no directory, StoreError when it cannot be read. Modes and times on disk do
    not matter: what anybody may execute is archived as 0555, everything else as 0444.
    """
    total = 0
    for piece in tar_pieces(path):
        write(piece)
        total += len(piece)
    return total


def tar_pieces(path: str) -> Iterator[bytes]:
    """The archive in pieces of at most 1 MiB."""
    total = 0
    with disk_errors("archiving"):
        parent_fd = open_directory(os.path.dirname(os.path.abspath(path)))
        try:
            for event in walk(parent_fd, os.fsencode(os.path.basename(os.path.abspath(path)))):
                for piece in _member_pieces(event):
                    total += len(piece)
                    yield piece
        finally:
            os.close(parent_fd)
    total += 2 * BLOCK
    yield bytes(2 * BLOCK + -total % RECORD)


def _member_pieces(event: Event) -> Iterator[bytes]:
    if not event.path and event.step not in (Step.ENTER, Step.LEAVE):
        raise Refused("only a directory has an archive", found=show_path(event.name))
    match event.step:
        case Step.ENTER:
            name = b"./" + event.path + b"/" if event.path else b"./"
            yield _headers(_Member(name, b"5", 0o555))
        case Step.LINK:
            target = os.readlink(event.name, dir_fd=event.fd)
            yield _headers(_Member(b"./" + event.path, b"2", 0o555, target=target))
        case Step.FILE:
            yield from _file_pieces(event)
        case Step.OTHER:
            raise Refused("an archive cannot hold a device, socket or fifo", found=show_path(event.path))
        case Step.LEAVE:
            return


def _file_pieces(event: Event) -> Iterator[bytes]:
    fd, facts = open_regular(event)
    try:
        mode = 0o555 if facts.st_mode & 0o111 else 0o444
        yield _headers(_Member(b"./" + event.path, b"0", mode, facts.st_size))
        left = facts.st_size
        while left and (data := os.read(fd, min(CHUNK, left))):
            left -= len(data)
            yield data
        if left or os.read(fd, 1):
            raise Refused("a file changed while it was being archived", found=show_path(event.path))
        yield bytes(-facts.st_size % BLOCK)
    finally:
        os.close(fd)


def _headers(member: _Member) -> bytes:
    """The member's header, with the extended header that it needs before it."""
    records = b"".join(_extended_records(member))
    if not records:
        return _header(member)
    padded = records + bytes(-len(records) % BLOCK)
    outer = _Member(_extended_name(member.name), b"x", 0o644, len(records))
    return _header(outer) + padded + _header(member)


def _extended_records(member: _Member) -> Iterator[bytes]:
    """In the order in which GNU tar writes them."""
    if len(member.target) > _NAME_BYTES:
        yield _record(b"linkpath", member.target)
    if len(member.name) > _NAME_BYTES or not member.name.isascii():
        yield _record(b"path", member.name)
    if member.size >= _LARGEST:
        yield _record(b"size", b"%d" % member.size)


def _record(key: bytes, value: bytes) -> bytes:
    """`length key=value\\n`, where the length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def _extended_name(name: bytes) -> bytes:
    """`%d/PaxHeaders/%f`."""
    folder, _, last = name.rstrip(b"/").rpartition(b"/")
    return (folder or b".") + b"/PaxHeaders/" + last


def _header(member: _Member) -> bytes:
    size = member.size if member.size < _LARGEST else 0
    fields = b"".join(
        (
            member.name[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0"),
            b"%07o\0" % member.mode,
            b"%07o\0" % 0,
            b"%07o\0" % 0,
            b"%011o\0" % size,
            b"%011o\0" % _MTIME,
            b" " * 8,
            member.typeflag,
            member.target[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0"),
            b"ustar\x0000",
            bytes(64),
            # GNU tar leaves the device numbers of an extended header empty.
            bytes(16) if member.typeflag == b"x" else b"0000000\x000000000\0",
        )
    ).ljust(BLOCK, b"\0")
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]

"""Packs: many small things in one immutable file, named by the BLAKE3 of its bytes: `p/<xx>/<64 hex>`.

    frame … frame  footer  <length of the footer, 4 bytes, big-endian>  "kilnpack"

A **frame** is up to 512 KiB of content, stored raw or as one zstd frame (see `framing`); the footer is msgpack:

    [1, [[stored, size, kind, BLAKE3 of what is stored] …]]

in the order of the file, where `stored` and `size` are the lengths in the pack and when unpacked (equal: raw), and
kind is 0 object records, 1 text, 2 other files, 3 envelopes. What is alike lies together and compresses together.
A pack is closed at 8 MiB, and is never longer than 16 MiB. One with the single file `hi\\n`, raw:

    68 69 0a  92 01 91 94 03 03 01 c4 20 <32 bytes>  00 00 00 29  6b 69 6c 6e 70 61 63 6b

A **slice** says where content lies: a piece of a frame. Who refers to one writes down all that is needed to ask for
the frame and to check it, so that a reader never needs a footer:

    [pack, offset, stored, size, BLAKE3 of what is stored, start, length]

A **place** is the slices that make up something one after the other: one of them, where it fits into a frame. The
reader asks for `stored` bytes at `offset`, checks their BLAKE3, unpacks at most `size`, and cuts. Content is
verified again by its own digest: a place is a hint that nobody need vouch for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from kiln.store.cache.framing import (
    RAW,
    ZSTD,
    PackDigest,
    StoredDigest,
    compress,
    decompress,
    pack_fields,
    unpack_fields,
    whole,
)
from kiln.store.digest import blob_digest
from kiln.store.errors import Damaged, StoreError

MAX_FRAME = 512 * 1024
MAX_PACK = 16 << 20
TARGET = 8 << 20
MAX_FOOTER = 2 << 20
MAX_SLICES = 4096
MAGIC = b"kilnpack"
TAIL = 4 + len(MAGIC)

RECORDS, TEXT, OTHER, ENVELOPES = range(4)
"""Kinds, in the order in which they are packed."""


class Frame(NamedTuple):
    """A frame in a pack: `stored` bytes at `offset` whose BLAKE3 is `digest`, which unpack to `size`."""

    pack: PackDigest
    offset: int
    stored: int
    size: int
    digest: StoredDigest

    @property
    def path(self) -> str:
        return pack_path(self.pack)

    @property
    def encoding(self) -> int:
        return RAW if self.stored == self.size else ZSTD


class Slice(NamedTuple):
    """`length` bytes from `start` of what a frame unpacks to."""

    frame: Frame
    start: int
    length: int


Place: TypeAlias = "tuple[Slice, ...]"


class FooterRow(NamedTuple):
    """A frame as its pack's footer names it."""

    offset: int
    stored: int
    size: int
    kind: int
    digest: StoredDigest


class Pack(NamedTuple):
    """A finished pack, and where each piece went, in the order of `PackWriter.add`."""

    digest: PackDigest
    data: bytes
    places: tuple[Place, ...]

    @property
    def path(self) -> str:
        return pack_path(self.digest)


def pack_path(digest: PackDigest) -> str:
    return f"p/{digest.hex()[:2]}/{digest.hex()}"


def place_size(place: Place) -> int:
    return sum(piece.length for piece in place)


def open_frame(frame: Frame, data: bytes) -> bytes:
    """What a frame unpacks to, checked before it is unpacked. Raises Damaged."""
    if len(data) != frame.stored or bytes(blob_digest(data)) != frame.digest:
        raise Damaged("a frame of a pack is not what it should be", found=f"{frame.path} at {frame.offset}")
    return decompress(data, frame.size, frame.encoding)


def cut(place: Place, unpacked: dict[Frame, bytes]) -> bytes:
    """The content at a place, given its frames' contents."""
    return b"".join(unpacked[piece.frame][piece.start : piece.start + piece.length] for piece in place)


def place_fields(place: Place) -> list[list[object]]:
    """A place as it is encoded."""
    return [[*piece.frame, piece.start, piece.length] for piece in place]


def read_place(fields: object) -> Place:
    """A place from its fields. Raises Damaged."""
    if not isinstance(fields, list) or not 1 <= len(fields) <= MAX_SLICES:
        raise Damaged("not a place in a pack", found=repr(fields)[:80])
    return tuple(map(_read_slice, fields))


def _read_slice(fields: Any) -> Slice:
    match fields:
        case [pack, offset, stored, size, digest, start, length]:
            frame = read_frame([pack, offset, stored, size, digest])
            return make_slice(frame, start, length)
    raise Damaged("not a slice of a pack", found=repr(fields)[:80])


def make_slice(frame: Frame, start: object, length: object) -> Slice:
    """A piece of a frame that lies inside it. Raises Damaged."""
    begin = whole(start, "where a slice begins", frame.size)
    return Slice(frame, begin, whole(length, "a slice's length", frame.size - begin, 1))


def read_frame(fields: Any) -> Frame:
    """A frame from its fields. Raises Damaged."""
    match fields:
        case [bytes(pack), offset, stored, size, bytes(digest)]:
            try:
                names = PackDigest(pack), StoredDigest(digest)
            except StoreError as error:
                raise Damaged("a frame's digest that is none", found=error.found) from error
            length = whole(size, "a frame's size", MAX_FRAME, 1)
            inside = whole(stored, "a frame's stored size", length, 1)
            at = whole(offset, "a frame's offset", MAX_PACK - inside)
            return Frame(names[0], at, inside, length, names[1])
    raise Damaged("not a frame of a pack", found=repr(fields)[:80])


class PackWriter:
    """Fills one pack. Pieces of one kind should come together; a frame holds one kind."""

    def __init__(self) -> None:
        self._body: list[bytes | memoryview] = []
        self._rows: list[FooterRow] = []
        self._open: list[bytes] = []
        self._open_size = 0
        self._kind = RECORDS
        self._pieces: list[list[tuple[int, int, int]]] = []  # of each piece: (number of the frame, start, length)
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be added."""
        return self._size + self._open_size >= TARGET

    @property
    def is_empty(self) -> bool:
        return not self._pieces

    def room_for(self, length: int) -> bool:
        """Whether so much more fits without the pack growing beyond its limit."""
        return self._size + self._open_size + length + (64 << 10) <= MAX_PACK - MAX_FRAME

    def add(self, kind: int, data: bytes) -> int:
        """Add a piece of at least one byte; its number in `Pack.places`. Check `room_for` first."""
        assert data, "nothing needs no place"
        if kind != self._kind or (self._open_size and self._open_size + len(data) > MAX_FRAME):
            self._close_frame()
            self._kind = kind
        slices = []
        view = memoryview(data)
        while view:
            part = view[: MAX_FRAME - self._open_size]
            slices.append((len(self._rows), self._open_size, len(part)))
            self._open.append(bytes(part))
            self._open_size += len(part)
            view = view[len(part) :]
            if self._open_size == MAX_FRAME:
                self._close_frame()
        self._pieces.append(slices)
        return len(self._pieces) - 1

    def _close_frame(self) -> None:
        if not self._open:
            return
        content = b"".join(self._open)
        _, stored = compress(content)
        digest = StoredDigest(blob_digest(bytes(stored)))
        self._rows.append(FooterRow(self._size, len(stored), len(content), self._kind, digest))
        self._body.append(stored)
        self._size += len(stored)
        self._open, self._open_size = [], 0

    def finish(self) -> Pack:
        """The pack with all that was added."""
        self._close_frame()
        data = b"".join([*self._body, *encode_footer(self._rows)])
        digest = PackDigest(blob_digest(data))
        frames = [Frame(digest, row.offset, row.stored, row.size, row.digest) for row in self._rows]
        places = [tuple(Slice(frames[at], start, length) for at, start, length in piece) for piece in self._pieces]
        return Pack(digest, data, tuple(places))


def encode_footer(rows: Sequence[FooterRow]) -> tuple[bytes, bytes, bytes]:
    footer = pack_fields([1, [[row.stored, row.size, row.kind, row.digest] for row in rows]])
    return footer, len(footer).to_bytes(4, "big"), MAGIC


def footer_length(tail: bytes) -> int:
    """The length of the footer, from the last `TAIL` bytes of a pack. Raises Damaged."""
    if len(tail) != TAIL or tail[4:] != MAGIC:
        raise Damaged("not the end of a pack", found=tail[:TAIL].hex())
    return whole(int.from_bytes(tail[:4], "big"), "a pack's footer", MAX_FOOTER, 1)


def decode_footer(data: bytes) -> tuple[FooterRow, ...]:
    """The rows of a footer (without length and magic). Raises Damaged."""
    match unpack_fields(data, "a pack's footer", MAX_FOOTER):
        case [1, list(rows)] if rows:
            return tuple(_footer_rows(rows))
    raise Damaged("not a pack's footer of version 1")


def _footer_rows(rows: Iterable[Any]) -> Iterator[FooterRow]:
    offset = 0
    for row in rows:
        match row:
            case [stored, size, kind, bytes(digest)] if len(digest) == 32:
                length = whole(size, "a frame's size", MAX_FRAME, 1)
                inside = whole(stored, "a frame's stored size", length, 1)
                yield FooterRow(offset, inside, length, whole(kind, "a kind", ENVELOPES), StoredDigest(digest))
                offset += inside
            case _:
                raise Damaged("not a row of a pack's footer", found=repr(row)[:80])


def check_pack(digest: PackDigest, data: bytes) -> tuple[FooterRow, ...]:
    """The rows of a whole pack whose every byte is accounted for and whose every frame unpacks. Raises Damaged."""
    if len(data) > MAX_PACK or bytes(blob_digest(data)) != digest:
        raise Damaged("a pack is not what its name says", found=pack_path(digest))
    length = footer_length(data[-TAIL:])
    rows = decode_footer(data[max(0, len(data) - TAIL - length) : len(data) - TAIL])
    if rows[-1].offset + rows[-1].stored + length + TAIL != len(data):
        raise Damaged("a pack with bytes that its footer doesn't name", found=pack_path(digest))
    for row in rows:
        open_frame(Frame(digest, *row[:3], row.digest), data[row.offset : row.offset + row.stored])
    return rows

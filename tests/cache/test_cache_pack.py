"""Packs, chunks and frames: what is written is read again, and nothing else is."""

from __future__ import annotations

import os

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiln.store.cache import framing, pack
from kiln.store.cache.backend import open_backend
from kiln.store.cache.believed import Believed
from kiln.store.cache.chunking import (
    LARGEST,
    Chunk,
    check_chunk,
    chunk_digest,
    cut_lengths,
    decode_chunks,
    encode_chunk,
    encode_chunks,
    open_chunk,
)
from kiln.store.cache.framing import PackDigest, StoredDigest
from kiln.store.cache.objectrecord import MAX_RECORD, MAX_SLICED, Sliced
from kiln.store.cache.reader import CacheReader
from kiln.store.cache.rows import decode_blob, encode_blob
from kiln.store.digest import blob_digest
from kiln.store.errors import Damaged
from kiln.store.provenance.trust import Policy
from tests.cache.cache_samples import random_file


def filled(pieces: list[bytes], kinds: list[int] | None = None) -> pack.Pack:
    writer = pack.PackWriter()
    for at, data in enumerate(pieces):
        writer.add(kinds[at] if kinds else pack.TEXT, data)
    return writer.finish()


def contents(found: pack.Pack) -> list[bytes]:
    out = []
    for place in found.places:
        frames = {piece.frame for piece in place}
        unpacked = {f: pack.open_frame(f, found.data[f.offset : f.offset + f.stored]) for f in frames}
        out.append(pack.cut(place, unpacked))
    return out


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=1, max_size=200)), min_size=1, max_size=30))
def test_what_goes_into_a_pack_comes_out(pieces):
    kinds, data = [kind for kind, _ in pieces], [item for _, item in pieces]
    found = filled(data, kinds)
    assert contents(found) == data
    rows = pack.check_pack(found.digest, found.data)
    assert sum(row.size for row in rows) == sum(map(len, data))
    assert found.path == f"p/{found.digest.hex()[:2]}/{blob_digest(found.data).hex()}"


def test_a_piece_larger_than_a_frame_lies_in_several():
    data = [b"a" * 10, random_file(pack.MAX_FRAME + 5), b"z" * (2 * pack.MAX_FRAME)]
    found = filled(data)
    assert contents(found) == data
    assert [len(place) for place in found.places] == [1, 2, 2]
    assert all(piece.frame.size <= pack.MAX_FRAME for place in found.places for piece in place)


def test_what_compresses_is_stored_compressed_and_what_does_not_raw():
    found = filled([b"x" * 1000, random_file(pack.MAX_FRAME)], [pack.TEXT, pack.OTHER])
    text, noise = (place[0].frame for place in found.places)
    assert text.encoding == framing.ZSTD and text.stored < text.size
    assert noise.encoding == framing.RAW and noise.stored == noise.size
    assert random_file(pack.MAX_FRAME) in found.data


@given(st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=8))
def test_places_are_encoded_in_one_way(pieces):
    for place in filled(pieces).places:
        fields = msgpack.unpackb(msgpack.packb(pack.place_fields(place)))
        assert pack.read_place(fields) == place


def test_every_flipped_byte_of_a_pack_is_noticed():
    found = filled([b"hello\n", b"x" * 300, os.urandom(40)], [0, 1, 2])
    for at in range(len(found.data)):
        wrong = bytearray(found.data)
        wrong[at] ^= 1
        with pytest.raises(Damaged):
            pack.check_pack(found.digest, bytes(wrong))
        with pytest.raises(Damaged):  # named by its own bytes, what is inside contradicts itself or is another pack
            other = PackDigest(blob_digest(bytes(wrong)))
            if pack.check_pack(other, bytes(wrong)) != pack.check_pack(found.digest, found.data):
                raise Damaged("other rows")


@pytest.mark.parametrize("cut_at", [0, 1, 11, 12, 40, -1])
def test_a_truncated_pack_is_refused(cut_at):
    found = filled([b"hello\n" * 100])
    data = found.data[:cut_at]
    with pytest.raises(Damaged):
        pack.check_pack(PackDigest(blob_digest(data)), data)


def test_a_pack_with_bytes_that_no_frame_holds_is_refused():
    found = filled([b"hello\n"])
    data = b"!" + found.data
    with pytest.raises(Damaged, match="doesn't name"):
        pack.check_pack(PackDigest(blob_digest(data)), data)


FRAME = [b"p" * 32, 0, 10, 100, b"d" * 32]


@pytest.mark.parametrize(
    "change",
    [
        {0: b"short"},
        {0: "text"},
        {1: -1},
        {1: pack.MAX_PACK},
        {1: True},
        {2: 0},
        {2: 101},
        {3: 0},
        {3: pack.MAX_FRAME + 1},
        {3: 1 << 70},
        {4: b""},
        {4: None},
    ],
)
def test_a_frame_out_of_bounds_is_refused(change):
    fields = [change.get(at, value) for at, value in enumerate(FRAME)]
    with pytest.raises(Damaged):
        pack.read_frame(fields)


@pytest.mark.parametrize("start, length", [(0, 0), (0, 101), (100, 1), (-1, 5), (50, 51), (None, 1), (0, 2.0)])
def test_a_slice_outside_its_frame_is_refused(start, length):
    with pytest.raises(Damaged):
        pack.read_place([[*FRAME, start, length]])


@pytest.mark.parametrize("fields", [None, [], [[]], [FRAME], "x", [[*FRAME, 0, 1]] * (pack.MAX_SLICES + 1)])
def test_what_is_no_place_is_refused(fields):
    with pytest.raises(Damaged):
        pack.read_place(fields)


# Frames and bombs.


def test_a_bomb_unpacks_no_further_than_it_may():
    bomb = framing.zstd.compress(bytes(1 << 30), level=1)
    assert len(bomb) < 1 << 17
    with pytest.raises(Damaged):
        framing.decompress(bomb, 1000, framing.ZSTD)
    frame = pack.Frame(PackDigest(b"p" * 32), 0, len(bomb), pack.MAX_FRAME, StoredDigest(blob_digest(bomb)))
    with pytest.raises(Damaged):
        pack.open_frame(frame, bomb)


def test_a_place_that_names_one_frame_over_and_over_is_not_joined():
    """A reader looks at how long a thing is before it asks for it: a row of some kilobytes can name gigabytes."""
    found = filled([bytes(pack.MAX_FRAME)])
    backend = open_backend("memory://bombs")
    backend.put(found.path, found.data)
    told: list[str] = []
    reader = CacheReader(backend, Believed(Policy.of()), told.append)
    [place] = found.places
    assert dict(reader.read({"long": place * 33, "good": place * 32})) == {"good": bytes(MAX_SLICED)}
    assert ["longer than" in text for text in told] == [True]
    assert not dict(reader.read({"long": place * 4096}, limit=MAX_RECORD))
    assert decode_blob(encode_blob(Sliced(place * 32))).size == MAX_SLICED
    with pytest.raises(Damaged, match="not in chunks"):
        decode_blob(encode_blob(Sliced(place * 33)))


def test_a_window_larger_than_any_of_ours_is_refused():
    option = framing.zstd.CompressionParameter.window_log
    greedy = framing.zstd.compress(os.urandom(1 << 25), options={option: 25})
    with pytest.raises(Damaged):
        framing.decompress_up_to(greedy, 1 << 26)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda packed: packed[:-1],
        lambda packed: packed + b"\0",
        lambda packed: packed + packed,
        lambda packed: b"",
        lambda packed: b"not zstd at all",
    ],
)
def test_a_frame_that_does_not_end_where_it_should_is_refused(wrong):
    packed = framing.zstd.compress(b"content " * 20)
    with pytest.raises(Damaged):
        framing.decompress(wrong(packed), 160, framing.ZSTD)
    assert framing.decompress(packed, 160, framing.ZSTD) == b"content " * 20


def test_a_frame_is_checked_before_it_is_unpacked():
    bomb = framing.zstd.compress(bytes(100))
    frame = pack.Frame(PackDigest(b"p" * 32), 0, len(bomb), 100, StoredDigest(b"d" * 32))
    with pytest.raises(Damaged, match="not what it should be"):
        pack.open_frame(frame, bomb)


@given(st.binary(max_size=60))
def test_noise_is_no_array(data):
    try:
        fields = framing.unpack_fields(data, "noise", 50)
    except Damaged:
        return
    assert framing.pack_fields(fields) == data and len(data) <= 50


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("dc000101"),  # an array of one, its length in two bytes
        bytes.fromhex("91cd0001"),  # 1 in two bytes
        bytes.fromhex("91d90161"),  # a text of one, its length in a byte
        bytes.fromhex("dd7fffffff"),  # an array of two milliards
        b"\x91" * 5000 + b"\x01",  # deep
        b"\x81\x01\x02",  # a map
        b"\x92\x01",
        b"\x91\x01\x01",
        b"\xc1",
        b"",
    ],
)
def test_another_spelling_is_refused(data):
    with pytest.raises(Damaged):
        framing.unpack_fields(data, "it", 1 << 20)


# Chunks.


def chunks_of(data: bytes) -> list[bytes]:
    at, found = 0, []
    for length in cut_lengths(data):
        found.append(data[at : at + length])
        at += length
    return found


def test_a_change_moves_the_chunks_near_it_alone():
    data = bytearray(random_file(12 << 20))
    before = chunks_of(bytes(data))
    data[5 << 20] ^= 1
    data[5 << 20 : 5 << 20] = b"inserted"
    after = chunks_of(bytes(data))
    assert b"".join(after) == bytes(data)
    assert len(set(after) - set(before)) <= 2
    assert all(len(chunk) <= LARGEST for chunk in after)


@settings(max_examples=25)
@given(st.binary(min_size=1, max_size=500), st.booleans())
def test_a_chunk_is_read_from_its_file(data, repeated):
    content = data * 40 if repeated else data
    chunk = Chunk(chunk_digest(content), len(content))
    file = encode_chunk(content)
    assert open_chunk(chunk, file) == content
    assert check_chunk(chunk.digest, file) == len(content)
    assert (len(file) == len(content)) == (file == content)


def test_a_chunk_of_other_bytes_is_refused():
    content = b"abc" * 1000
    chunk = Chunk(chunk_digest(content), len(content))
    bomb = framing.zstd.compress(bytes(1 << 26))
    for wrong in (b"abd" * 1000, content + b"x", encode_chunk(content)[:-1], encode_chunk(b"abd" * 1000), bomb, b""):
        with pytest.raises(Damaged):
            open_chunk(chunk, wrong)
        with pytest.raises(Damaged):
            check_chunk(chunk.digest, wrong)


def test_a_chunk_compressed_to_more_than_itself_has_no_second_form():
    content = os.urandom(100)
    packed = framing.zstd.compress(content)
    assert len(packed) > len(content)
    with pytest.raises(Damaged):
        check_chunk(chunk_digest(content), packed)


def test_lists_of_chunks():
    chunks = tuple(Chunk(chunk_digest(bytes([n])), n + 1) for n in range(5))
    assert decode_chunks(encode_chunks(chunks)) == chunks
    row = encode_chunks(chunks[:1])
    for wrong in (b"", row[:-1], row + b"\0", row[:32] + bytes(4), row[:32] + (LARGEST + 1).to_bytes(4, "big")):
        with pytest.raises(Damaged):
            decode_chunks(wrong)

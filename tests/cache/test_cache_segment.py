"""Segments and their rows: sorted tables that are read by ranges, and refused where a byte is not as it should be."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiln.store.cache import rows, segment
from kiln.store.cache.chunking import Chunk, chunk_digest
from kiln.store.cache.framing import PackDigest, SegmentDigest, StoredDigest, pack_fields
from kiln.store.cache.objectrecord import Chunked, Sliced
from kiln.store.cache.pack import Frame, Slice
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest, RootDigest, blob_digest
from kiln.store.errors import Damaged
from kiln.store.paths import OutputName
from kiln.store.records import Pin, make_claim, sign_resolution, sign_witness
from tests.cache.cache_samples import ME, OTHER, digest

KEYS = st.builds(lambda table, raw: table + raw, st.sampled_from(rows.TABLES), st.binary(min_size=32, max_size=32))
TABLE = st.dictionaries(KEYS, st.binary(max_size=300), min_size=1, max_size=60)


def name(number: int, table: bytes = rows.OBJECTS) -> bytes:
    return table + digest(f"row {number}")


def read_from(data: bytes, asked: list[tuple[int, int]] | None = None):
    def read(spans):
        if asked is not None:
            asked.extend(spans)
        return [data[offset : offset + length] for offset, length in spans]

    return read


@settings(max_examples=50)
@given(TABLE, st.lists(KEYS, max_size=10))
def test_what_is_written_is_found_and_nothing_else(table, others):
    made = segment.write_segment(table)
    index = segment.decode_index(made.footer)
    assert segment.lookup(index, [*table, *others], read_from(made.data)) == table
    assert segment.lookup(index, others, read_from(made.data)) == {k: table[k] for k in others if k in table}
    assert segment.read_segment(made.digest, made.data) == (index, table)
    assert segment.write_segment(dict(reversed(table.items()))) == made


def test_one_key_of_many_costs_one_frame():
    table = {name(n): os.urandom(100) for n in range(5000)}
    made = segment.write_segment(table)
    index = segment.decode_index(made.footer)
    asked: list[tuple[int, int]] = []
    assert segment.lookup(index, [name(7)], read_from(made.data, asked)) == {name(7): table[name(7)]}
    assert len(asked) == 1 and asked[0][1] <= 70_000 < len(made.data)
    assert index.rows == 5000


def test_frames_of_a_table():
    table = {name(n, letter): bytes(900) for letter in (b"B", b"O", b"R") for n in range(200)}
    made = segment.write_segment(table)
    index = segment.decode_index(made.footer)
    found: dict[bytes, bytes] = {}
    for frame in index.frames_of_table(b"O"):
        found.update(segment.open_rows(frame, made.data[frame.offset : frame.offset + frame.stored]))
    assert {k for k in found if k[:1] == b"O"} == {k for k in table if k[:1] == b"O"}
    assert len(index.frames_of_table(b"O")) < len(index.frames)


def test_a_row_longer_than_a_frame_has_one_of_its_own():
    table = {name(1): b"a", name(2): os.urandom(300_000), name(3): b"c"}
    made = segment.write_segment(table)
    index = segment.decode_index(made.footer)
    assert len(index.frames) in (2, 3)
    assert segment.lookup(index, table, read_from(made.data)) == table


def test_every_flipped_byte_of_a_segment_is_noticed():
    table = {name(n): b"value %d" % n for n in range(3)}
    made = segment.write_segment(table)
    for at in range(len(made.data)):
        wrong = bytearray(made.data)
        wrong[at] ^= 1
        with pytest.raises(Damaged):
            segment.read_segment(made.digest, bytes(wrong))
        try:  # as if it were named by these bytes: refused, or something else
            found = segment.read_segment(SegmentDigest(blob_digest(bytes(wrong))), bytes(wrong))
        except Damaged:
            continue
        assert found[1] != table or found[0] != segment.decode_index(made.footer)


def test_frames_are_checked_by_their_footer():
    made = segment.write_segment({name(n): b"value" for n in range(3)})
    index = segment.decode_index(made.footer)
    with pytest.raises(Damaged, match="not what it should be"):
        segment.lookup(index, [name(1)], lambda spans: [bytes(length) for _, length in spans])


def frame_of(flat: list[object], **change: object) -> tuple[segment.SegmentFrame, bytes]:
    data = pack_fields(flat)
    frame = segment.SegmentFrame(
        flat[0] if flat and isinstance(flat[0], bytes) else b"",
        0,
        len(data),
        len(data),
        len(flat) // 2,
        StoredDigest(blob_digest(data)),
    )
    return frame._replace(**change), data  # type: ignore[arg-type]


SORTED = sorted(name(n) for n in range(3))


@pytest.mark.parametrize(
    "flat",
    [
        [SORTED[1], b"1", SORTED[0], b"2"],
        [SORTED[0], b"1", SORTED[0], b"2"],
        [SORTED[0], b"1", SORTED[1]],
        [SORTED[0], 1],
        [SORTED[0], "text"],
        [SORTED[0][:-1], b"short"],
        [b"Q" + SORTED[0][1:], b"a table of another version"],
    ],
)
def test_rows_that_are_not_in_order_are_refused(flat):
    with pytest.raises(Damaged):
        segment.open_rows(*frame_of(flat))


def test_a_frame_with_other_rows_than_named_is_refused():
    flat = [SORTED[0], b"1", SORTED[1], b"2"]
    assert segment.open_rows(*frame_of(flat)) == {SORTED[0]: b"1", SORTED[1]: b"2"}
    for change in ({"rows": 1}, {"rows": 3}, {"first": SORTED[1]}):
        with pytest.raises(Damaged):
            segment.open_rows(*frame_of(flat, **change))


ROW = [SORTED[0], 10, 20, 1, b"d" * 32]


@pytest.mark.parametrize(
    "fields",
    [
        [2, SORTED[2], [ROW]],
        [1, SORTED[2], []],
        [1, b"short", [ROW]],
        [1, SORTED[2], [ROW, ROW]],
        [1, SORTED[0], [[SORTED[1], *ROW[1:]]]],
        [1, SORTED[2], [[SORTED[0], 0, 20, 1, b"d" * 32]]],
        [1, SORTED[2], [[SORTED[0], 21, 20, 1, b"d" * 32]]],
        [1, SORTED[2], [[SORTED[0], 10, 1 << 40, 1, b"d" * 32]]],
        [1, SORTED[2], [[SORTED[0], 10, 20, 0, b"d" * 32]]],
        [1, SORTED[2], [[SORTED[0], 10, 20, True, b"d" * 32]]],
        [1, SORTED[2], [[SORTED[0], 10, 20, 1, b"d"]]],
        [1, SORTED[2], [ROW], "more"],
    ],
)
def test_a_footer_that_is_not_one_is_refused(fields):
    with pytest.raises(Damaged):
        segment.decode_index(pack_fields(fields))


@pytest.mark.parametrize("tail", [b"", bytes(12), b"\xff\xff\xff\xffkilnsegm", bytes(4) + b"kilnpack", b"kilnsegm"])
def test_what_is_no_tail_is_refused(tail):
    with pytest.raises(Damaged):
        segment.footer_length(tail)


# Rows.

DRV, RESOLVED, OBJECT = DrvDigest(digest("drv")), ResolvedDigest(digest("resolved")), ObjectId(digest("object"))
ENVELOPE = EnvelopeDigest(digest("envelope"))
FRAME = Frame(PackDigest(b"p" * 32), 5, 10, 100, StoredDigest(b"d" * 32))
PLACE = (Slice(FRAME, 3, 7), Slice(FRAME, 0, 1))


def claim(of: ResolvedDigest = RESOLVED, obj: ObjectId = OBJECT):
    return make_claim(of, OutputName("out"), obj, RootDigest(digest("root")), 5, [])


def witness(under, key=ME):
    return sign_witness(key, under, ENVELOPE, started=1, finished=2)


def resolution(key=ME, of: DrvDigest = DRV, made: int = 1):
    return sign_resolution(key, of, RESOLVED, [Pin(DRV, OutputName("out"), OBJECT, "name")], made=made)


def test_rows_of_every_table_are_read_as_they_were_written():
    said = rows.ResolutionRow((resolution(), resolution(OTHER)), (ENVELOPE,))
    read = rows.decode_resolutions(DRV, rows.encode_resolutions(said))
    assert set(read.resolutions) == set(said.resolutions) and read.standings == said.standings
    claims = [rows.ClaimRow(claim(), (witness(claim()), witness(claim(), OTHER)))]
    [found] = rows.decode_claims(RESOLVED, rows.encode_claims(claims))
    assert found.claim == claims[0].claim and set(found.witnesses) == set(claims[0].witnesses)
    row = rows.ObjectRow(77, PLACE, (RESOLVED,))
    assert rows.decode_object(rows.encode_object(row)) == row
    assert rows.decode_envelope(rows.encode_envelope(PLACE)) == PLACE
    for blob in (Sliced(PLACE), Chunked((Chunk(chunk_digest(b"c"), 1),))):
        assert rows.decode_blob(rows.encode_blob(blob)) == blob
    target = rows.TargetRow(5, "hello.kiln#default", tuple(sorted([OBJECT, ObjectId(digest("b"))])), (ENVELOPE,))
    assert rows.decode_target(rows.encode_target(target)) == target


def test_a_record_under_another_key_is_refused():
    row = rows.encode_resolutions(rows.ResolutionRow((resolution(),), ()))
    with pytest.raises(Damaged, match="another derivation"):
        rows.decode_resolutions(DrvDigest(digest("other")), row)
    said = rows.encode_claims([rows.ClaimRow(claim(), (witness(claim()),))])
    with pytest.raises(Damaged, match="belongs elsewhere"):
        rows.decode_claims(ResolvedDigest(digest("other")), said)
    other = claim(obj=ObjectId(digest("other")))
    mixed = pack_fields([[claim().encode(), [witness(other).encode()]]])
    with pytest.raises(Damaged, match="belongs elsewhere"):
        rows.decode_claims(RESOLVED, mixed)


one, two = sorted([resolution().encode(), resolution(OTHER).encode()])


@pytest.mark.parametrize(
    "decode, fields",
    [
        (lambda data: rows.decode_resolutions(DRV, data), [[two, one], []]),
        (lambda data: rows.decode_resolutions(DRV, data), [[one, one], []]),
        (lambda data: rows.decode_resolutions(DRV, data), [[one], [b"short"]]),
        (lambda data: rows.decode_resolutions(DRV, data), [[1], []]),
        (lambda data: rows.decode_resolutions(DRV, data), [[one]]),
        (lambda data: rows.decode_claims(RESOLVED, data), [[claim().encode(), []], [claim().encode(), []]]),
        (lambda data: rows.decode_claims(RESOLVED, data), [5]),
        (lambda data: rows.decode_claims(RESOLVED, data), [[claim().encode()]]),
        (rows.decode_object, [-1, [[*FRAME, 0, 1]], []]),
        (rows.decode_object, [1, [], []]),
        (rows.decode_object, [1, [[*FRAME, 0, 1]], [b"b" * 32, b"a" * 32]]),
        (rows.decode_envelope, []),
        (rows.decode_envelope, [[*FRAME, 0, 101]]),
        (rows.decode_blob, [0, []]),
        (rows.decode_blob, [1, b""]),
        (rows.decode_blob, [2, b""]),
        (rows.decode_target, [1, "x", b"a" * 33, b""]),
        (rows.decode_target, [1, "x", b"b" * 32 + b"a" * 32, b""]),
        (rows.decode_target, [1, "x" * 201, b"", b""]),
        (rows.decode_target, [-1, "x", b"", b""]),
    ],
)
def test_rows_in_another_form_are_refused(decode, fields):
    with pytest.raises(Damaged):
        decode(pack_fields(fields))


def test_two_rows_of_one_key_become_one():
    ours = rows.encode_claims([rows.ClaimRow(claim(), (witness(claim()),))])
    theirs = rows.encode_claims([rows.ClaimRow(claim(), (witness(claim(), OTHER),))])
    [both] = rows.decode_claims(RESOLVED, rows.merge_values(rows.CLAIMS, ours, theirs, RESOLVED))
    assert {item.keyid for item in both.witnesses} == {ME.keyid, OTHER.keyid}
    old = rows.encode_resolutions(rows.ResolutionRow((resolution(),), (ENVELOPE,)))
    new = rows.encode_resolutions(rows.ResolutionRow((resolution(OTHER),), ()))
    merged = rows.decode_resolutions(DRV, rows.merge_values(rows.RESOLUTIONS, new, old, DRV))
    assert len(merged.resolutions) == 2 and merged.standings == (ENVELOPE,)
    assert rows.merge_values(rows.ENVELOPES, b"new", b"old", ENVELOPE) == b"new"
    first = rows.encode_object(rows.ObjectRow(1, PLACE, (RESOLVED,)))
    second = rows.encode_object(rows.ObjectRow(1, PLACE[:1], ()))
    assert rows.decode_object(rows.merge_values(rows.OBJECTS, second, first, OBJECT)) == rows.ObjectRow(
        1, PLACE[:1], (RESOLVED,)
    )


def test_many_rows_become_several_segments():
    table = {name(n): os.urandom(1000) for n in range(100)}
    found: dict[bytes, bytes] = {}
    parts = segment.write_segments(table, 10_000)
    assert 10 <= len(parts) <= 12
    for part in parts:
        found.update(segment.read_segment(part.digest, part.data)[1])
    assert found == table
    assert segment.write_segments(table) == [segment.write_segment(table)]
    assert segment.write_segments({}) == []

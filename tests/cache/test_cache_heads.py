"""Heads and cards: signed, in one spelling, of one cache; object records that prove themselves."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiln.store.cache import card, head, segment
from kiln.store.cache.chunking import Chunk, chunk_digest
from kiln.store.cache.framing import PackDigest, StoredDigest, pack_fields, unpack_fields
from kiln.store.cache.objectrecord import Chunked, ObjectRecord, Sliced, blobs_of, decode_record, encode_record
from kiln.store.cache.pack import Frame, Slice
from kiln.store.cache.upstream import Update
from kiln.store.digest import ObjectId
from kiln.store.errors import BadEnvelope, BadSignature, Damaged, StoreError, Untrusted
from kiln.store.provenance import dsse
from kiln.store.provenance.plainjson import canonical
from kiln.store.provenance.succession import sign_revocation, sign_rotation
from tests.cache.cache_samples import ME, NOW, OTHER, digest, self_mentioning
from tests.store.store_samples import Link, Script, add

WHEN = "2026-11-21T08:30:00Z"


def entry(text: str) -> head.SegmentEntry:
    return head.SegmentEntry.of(segment.write_segment({b"O" + digest(text): b"value"}))


def a_head(**change: object) -> head.Head:
    made = head.Head("team", 7, NOW, NOW + 1000, (entry("a"), entry("b")), (head.Retired(entry("c"), NOW - 5),))
    return made._replace(**change)  # type: ignore[arg-type]


def test_a_head_is_read_as_it_was_signed():
    data = head.sign_head(a_head(), ME)
    assert head.open_head(data, ME.public_key, "team") == a_head()
    assert head.head_path(ME.public_key.keyid) == f"heads/{ME.public_key.keyid}.json"


def test_a_head_of_another_cache_or_key_is_refused():
    data = head.sign_head(a_head(), ME)
    with pytest.raises(BadEnvelope, match="another cache"):
        head.open_head(data, ME.public_key, "theirs")
    with pytest.raises(Untrusted):
        head.open_head(data, OTHER.public_key, "team")
    payload = head.encode_head(a_head())
    with pytest.raises(BadEnvelope, match="not a cache's head"):
        head.open_head(dsse.emit(dsse.sign(payload, "application/vnd.in-toto+json", ME)), ME.public_key, "team")
    forged = dsse.parse(data)._replace if hasattr(dsse.Envelope, "_replace") else None
    assert forged is None
    other = dsse.parse(head.sign_head(a_head(version=8), ME))
    mixed = dsse.Envelope(payload, head.PAYLOAD_TYPE, other.signatures)
    with pytest.raises(BadSignature):
        head.open_head(dsse.emit(mixed), ME.public_key, "team")


def test_every_flipped_byte_of_a_head_is_noticed():
    data = head.sign_head(a_head(), ME)
    for at in range(len(data)):
        wrong = bytearray(data)
        wrong[at] ^= 1
        try:
            found = head.open_head(bytes(wrong), ME.public_key, "team")
        except StoreError:
            continue
        assert found == a_head()  # base64 or white space in another spelling of the same


@pytest.mark.parametrize(
    "path, value",
    [
        (["schema"], "kiln.cache-head/2"),
        (["version"], -1),
        (["version"], True),
        (["made"], "2026-11-21"),
        (["cache"], "../up"),
        (["cache"], "x" * 65),
        (["segments", 0, "digest"], "00"),
        (["segments", 0, "digest"], "blake3:" + "0" * 64),
        (["segments", 0, "size"], 1 << 40),
        (["segments", 0, "footer", "size"], 10_000),
        (["segments", 0, "footer"], None),
        (["retired", 0, "since"], 5),
        (["more"], 1),
    ],
)
def test_a_head_in_another_form_is_refused(path, value):
    form = json.loads(head.encode_head(a_head()))
    place = form
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(BadEnvelope):
        head.decode_head(canonical(form))
    assert head.decode_head(canonical(json.loads(head.encode_head(a_head())))) == a_head()


def test_a_head_with_white_space_is_refused():
    with pytest.raises(BadEnvelope, match="canonical"):
        head.decode_head(json.dumps(json.loads(head.encode_head(a_head()))).encode())


def test_a_head_beyond_its_limits_is_refused():
    with pytest.raises(BadEnvelope):
        head.decode_head(head.encode_head(a_head(segments=(entry("a"),) * (head.MAX_SEGMENTS + 1))))
    with pytest.raises(BadEnvelope, match="too large"):
        head.open_head(b" " * (head.MAX_HEAD + 1), ME.public_key, "team")


def test_an_update_keeps_the_order_of_segments():
    a, b, c, merged, new = (entry(text) for text in ("a", "b", "c", "merged", "new"))
    first = Update((a,)).apply(None, "team", NOW, 10)
    assert (first.version, first.segments, first.expires) == (1, (a,), NOW + 10)
    grown = Update((new,)).apply(a_head(segments=(a, b, c), retired=()), "team", NOW, 10)
    assert grown.segments == (new, a, b, c) and grown.version == 8
    smaller = Update((merged,), (a, b)).apply(grown, "team", NOW, 10)
    assert smaller.segments == (new, merged, c)
    assert smaller.retired == (head.Retired(a, NOW), head.Retired(b, NOW))
    with pytest.raises(StoreError, match="changed the same tables"):
        Update((merged,), (a, b)).apply(smaller, "team", NOW, 10)
    later = Update((a,)).apply(smaller, "team", NOW + head.RETIRED_FOR + 1, 10)
    assert later.segments == (a, new, merged, c) and later.retired == ()


# Cards.


def uploader(key=ME, name: str = "ci", cache: str = "team") -> bytes:
    return card.sign_uploader(card.Uploader(cache, key.public_key, name, NOW), key)


def test_a_card_is_read_as_it_was_written():
    items = {uploader(), uploader(OTHER, "lab"), sign_rotation(ME, OTHER, WHEN), sign_revocation(ME, WHEN, "lost")}
    made = card.make_card("team", frozenset(items))
    found = card.decode_card(card.encode_card(made))
    assert found == made
    assert {item.name for item in found.uploaders} == {"ci", "lab"}
    assert found.rotations[0].new == OTHER.public_key and found.revocations[0].reason == "lost"
    mine = found.uploader(ME.keyid)
    assert mine is not None and mine.name == "ci"


def test_an_entry_that_its_key_did_not_sign_is_refused():
    fields = dsse.parse(uploader())
    stolen = dsse.emit(dsse.sign(fields.payload, card.UPLOADER_TYPE, OTHER))
    with pytest.raises(Untrusted):
        card.make_card("team", frozenset([stolen]))
    half = dsse.parse(sign_rotation(ME, OTHER, WHEN))
    with pytest.raises(StoreError):
        card.make_card(
            "team", frozenset([dsse.emit(dsse.Envelope(half.payload, half.payload_type, half.signatures[:1]))])
        )


@pytest.mark.parametrize(
    "change",
    [
        lambda form: form | {"schema": "kiln.cache/2"},
        lambda form: form | {"name": "a/b"},
        lambda form: form | {"uploaders": []} | {"rotations": form["uploaders"]},
        lambda form: form | {"uploaders": form["uploaders"] * 2},
        lambda form: form | {"uploaders": [5]},
        lambda form: form | {"other": 1},
        lambda form: {key: value for key, value in form.items() if key != "revocations"},
    ],
)
def test_a_card_in_another_form_is_refused(change):
    form = json.loads(card.encode_card(card.make_card("team", frozenset([uploader()]))))
    with pytest.raises(StoreError):
        card.decode_card(canonical(change(form)) + b"\n")


def test_a_card_with_white_space_is_refused():
    data = card.encode_card(card.make_card("team", frozenset([uploader()])))
    assert card.decode_card(data).name == "team"
    with pytest.raises(BadEnvelope, match="canonical"):
        card.decode_card(b" " + data)


# Object records.


def record_of(meta) -> ObjectRecord:
    """A record whose blobs lie somewhere."""
    pack = PackDigest(digest("pack"))
    blobs = {}
    for number, (name, size) in enumerate(sorted(blobs_of(meta).items())):
        frame = Frame(pack, number * 100, min(size, 100), min(size, 512 * 1024), StoredDigest(digest(f"{number}")))
        blobs[name] = (
            Sliced((Slice(frame, 0, size),)) if size <= 512 * 1024 else Chunked((Chunk(chunk_digest(b"x"), size),))
        )
    return ObjectRecord(meta, blobs)


def test_a_record_is_read_as_it_was_written(store, place):
    info = add(
        store, place, "thing", {"a": b"1" * 10, "b": Script(b"22"), "c": Link("a"), "d": {"e": b"1" * 10, "z": b""}}
    )
    record = record_of(store.meta(info.id))
    assert len(record.blobs) == 2
    data = encode_record(record)
    assert decode_record(info.id, data) == record
    with pytest.raises(Damaged, match="another object"):
        decode_record(ObjectId(digest("other")), data)


def test_self_references_travel_as_zeros(store):
    one, two = self_mentioning(store, "tool", b"1", 4096), self_mentioning(store, "tool", b"2", 4096)
    first, second = blobs_of(store.meta(one.id)), blobs_of(store.meta(two.id))
    assert len(first.keys() & second.keys()) == 2 and len(first.keys() | second.keys()) == 4
    assert decode_record(one.id, encode_record(record_of(store.meta(one.id)))).meta.places


def test_a_record_that_does_not_place_every_blob_is_refused(store, place):
    info = add(store, place, "thing", {"a": b"1" * 10, "b": b"2" * 20})
    whole = record_of(store.meta(info.id))
    for name in whole.blobs:
        missing = {key: value for key, value in whole.blobs.items() if key != name}
        with pytest.raises(Damaged, match="not those of its manifest"):
            decode_record(info.id, encode_record(whole._replace(blobs=missing)))
        longer = {**whole.blobs, name: Chunked((Chunk(chunk_digest(b"x"), 21),))}
        with pytest.raises(Damaged, match="not those of its manifest"):
            decode_record(info.id, encode_record(whole._replace(blobs=longer)))


@pytest.mark.parametrize(
    "change",
    [
        lambda f: [2, *f[1:]],
        lambda f: [f[0], b"meta", *f[2:]],
        lambda f: [f[0], f[1], f[2] * 2, f[3]],
        lambda f: [f[0], f[1], [*f[2], [b"p" * 32, 0, 1, 1, b"d" * 32]], f[3]],
        lambda f: [f[0], f[1], f[2], f[3][::-1]],
        lambda f: [f[0], f[1], f[2], f[3] + f[3][-1:]],
        lambda f: [f[0], f[1], f[2], [[f[3][0][0], 0, [0, 0]], *f[3][1:]]],
        lambda f: [f[0], f[1], f[2], [[f[3][0][0], 0, [9, 0, 10]], *f[3][1:]]],
        lambda f: [f[0], f[1], f[2], [[f[3][0][0], 2, b""], *f[3][1:]]],
        lambda f: [f[0], f[1], f[2], [[b"short", *f[3][0][1:]], *f[3][1:]]],
    ],
)
def test_a_record_in_another_form_is_refused(store, place, change):
    info = add(store, place, "thing", {"a": b"1" * 10, "b": b"2" * 20})
    data = encode_record(record_of(store.meta(info.id)))
    with pytest.raises(Damaged):
        decode_record(info.id, pack_fields(change(unpack_fields(data, "it", 1 << 20))))


@settings(max_examples=60)
@given(st.binary(max_size=80))
def test_noise_is_neither_head_nor_card_nor_record(data):
    for read in (
        lambda: head.open_head(data, ME.public_key, "team"),
        lambda: card.decode_card(data),
        lambda: decode_record(ObjectId(digest("o")), data),
    ):
        with pytest.raises(StoreError):
            read()

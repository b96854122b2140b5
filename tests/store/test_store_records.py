"""Claims, witnesses, resolutions and envelopes: their bytes, their signatures, and their keeping."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_samples import Key, add, built, claim_of, drv, resolution_of, resolved, witness_of

from kiln.store.digest import BlobDigest, EnvelopeDigest, ObjectId, RootDigest, blob_digest
from kiln.store.errors import BadSignature, Damaged, NotInStore, Untrusted
from kiln.store.paths import OutputName
from kiln.store.records import (
    Claim,
    Pin,
    decode_claim,
    decode_resolution,
    decode_witness,
    make_claim,
    sign_resolution,
    verify_resolution,
    verify_witness,
)
from kiln.store.store import Store

digests = st.binary(min_size=32, max_size=32)
outputs = st.from_regex(r"\A[a-z][a-z0-9_]{0,31}\Z").map(OutputName.parse)
claims = st.builds(
    make_claim,
    st.just(resolved("x")),
    outputs,
    digests.map(ObjectId),
    digests.map(RootDigest),
    st.integers(0, 2**60),
    st.lists(digests.map(ObjectId), max_size=5),
)
ALICE, BOB = Key(1), Key(2)


@given(claims)
def test_claims_survive_encoding(claim: Claim) -> None:
    assert decode_claim(claim.encode()) == claim
    assert decode_witness(witness_of(claim, ALICE).encode()) == witness_of(claim, ALICE)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(claims, st.data())
def test_any_changed_byte_is_noticed(claim: Claim, data: st.DataObject) -> None:
    record = bytearray(witness_of(claim, ALICE).encode())
    at = data.draw(st.integers(0, len(record) - 1))
    record[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((Damaged, BadSignature)):
        verify_witness(claim, decode_witness(bytes(record)), ALICE)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_politely(data: bytes) -> None:
    for decode in (decode_claim, decode_witness, decode_resolution):
        with pytest.raises(Damaged):
            decode(data)


def test_a_claim_has_these_bytes() -> None:
    """The format that the module's docstring shows, so that it cannot change unnoticed."""
    claim = make_claim(
        resolved("x"), OutputName("out"), ObjectId(b"o" * 32), RootDigest(b"r" * 32), 300, [ObjectId(b"b" * 32)]
    )
    wanted = b"\x97\x01\xc4\x20" + resolved("x") + b"\xa3out\xc4\x20" + b"o" * 32 + b"\xc4\x20" + b"r" * 32
    assert claim.encode() == wanted + b"\xcd\x01\x2c\x91\xc4\x20" + b"b" * 32
    assert witness_of(claim, ALICE).body()[:4] == b"\x99\x01\xc4\x20"


def test_references_are_in_order_in_canonical_claims() -> None:
    claim = make_claim(
        resolved("x"),
        OutputName("out"),
        ObjectId(b"o" * 32),
        RootDigest(b"r" * 32),
        1,
        [ObjectId(b"b" * 32), ObjectId(b"a" * 32), ObjectId(b"b" * 32)],
    )
    assert claim.references == (ObjectId(b"a" * 32), ObjectId(b"b" * 32))
    with pytest.raises(Damaged, match="canonical"):
        decode_claim(claim._replace(references=claim.references[::-1]).encode())


def test_signatures(store: Store, place: str) -> None:
    info = add(store, place, "thing", b"x")
    claim, other = claim_of(info, "one"), claim_of(info, "two")
    witness = witness_of(claim, ALICE)
    verify_witness(claim, witness, ALICE)
    with pytest.raises(Untrusted):
        verify_witness(claim, witness, BOB)
    with pytest.raises(BadSignature, match="another claim"):
        verify_witness(other, witness, ALICE)
    with pytest.raises(BadSignature, match="does not verify"):
        verify_witness(other, witness._replace(claim=other.digest), ALICE)
    with pytest.raises(BadSignature, match="does not verify"):
        verify_witness(claim, witness._replace(degraded=()), ALICE)
    resolution = resolution_of("one", info, ALICE)
    verify_resolution(resolution, ALICE)
    with pytest.raises(BadSignature, match="does not verify"):
        verify_resolution(resolution._replace(pins=()), ALICE)
    with pytest.raises(BadSignature, match="does not verify"):
        verify_witness(claim, witness._replace(signature=resolution.signature), ALICE)


def test_all_candidates_are_kept(store: Store, place: str) -> None:
    one, two = add(store, place, "thing", b"1"), add(store, place, "thing", b"2")
    claims = [claim_of(one, "r"), claim_of(two, "r"), claim_of(one, "r", "dev")]
    witnesses = [(claims[0], ALICE), (claims[0], BOB), (claims[1], BOB), (claims[2], ALICE)]
    store.put_witnesses([(claim, witness_of(claim, key)) for claim, key in witnesses[:1]])
    store.put_witnesses([(claim, witness_of(claim, key)) for claim, key in witnesses[1:]], origin="substituted")
    found = store.claims_for(resolved("r"))
    assert {(item.claim, item.witness.keyid, item.origin) for item in found} == {
        (claims[0], ALICE.keyid, "built"),
        (claims[0], BOB.keyid, "substituted"),
        (claims[1], BOB.keyid, "substituted"),
        (claims[2], ALICE.keyid, "substituted"),
    }
    assert {item.claim for item in store.producers(one.id)} == {claims[0], claims[2]}
    assert store.claims_for(resolved("other")) == []
    assert store.claims_for_many([resolved("r"), resolved("other")]) == {resolved("r"): found}


def test_what_was_built_here_stays_so(store: Store, place: str) -> None:
    claim = claim_of(add(store, place, "thing", b"1"), "r")
    witness = witness_of(claim, ALICE)
    for origin, expected in (("substituted", "substituted"), ("built", "built"), ("substituted", "built")):
        store.put_witness(claim, witness, origin=origin)  # type: ignore[arg-type]
        assert [item.origin for item in store.claims_for(resolved("r"))] == [expected]


def test_resolutions_in_bulk(store: Store, place: str) -> None:
    info = add(store, place, "thing", b"1")
    wanted = [resolution_of(f"d{number}", info, ALICE) for number in range(50)]
    store.put_resolutions(wanted)
    store.put_resolution(resolution_of("d7", info, BOB))
    store.put_resolution(resolution_of("d7", info, ALICE, made=99))
    found = store.resolutions_for([drv(f"d{number}") for number in range(60)])
    assert set(found) == {drv(f"d{number}") for number in range(50)}
    assert found[drv("d3")] == [wanted[3]]
    assert {item.keyid for item in found[drv("d7")]} == {ALICE.keyid, BOB.keyid}
    assert len(found[drv("d7")]) == 2, "saying the same again, later, adds nothing"


def test_pins_are_in_order() -> None:
    pins = [
        Pin(drv(name), OutputName(output), ObjectId(b"o" * 32), "n") for name in "ba" for output in ("out", "dev")
    ]
    resolution = sign_resolution(ALICE, drv("x"), resolved("x"), pins, made=1)
    assert list(resolution.pins) == sorted(pins)
    assert decode_resolution(resolution.encode()) == resolution


def test_envelopes_are_files_for_ever(store: Store) -> None:
    digest = store.put_envelope(b'{"payload": ""}')
    assert store.put_envelope(b'{"payload": ""}') == digest == EnvelopeDigest(blob_digest(b'{"payload": ""}'))
    assert store.envelope(digest) == b'{"payload": ""}'
    path = f"{store.root}/envelopes/{digest.hex()}.json"
    os.chmod(path, 0o644)
    with open(path, "ab") as file:
        file.write(b" ")
    with pytest.raises(Damaged):
        store.envelope(digest)
    with pytest.raises(NotInStore):
        store.envelope(EnvelopeDigest(blob_digest(b"none")))


def test_a_build_is_one_transaction(store: Store) -> None:
    staged = store.stage_outputs([built(store, "p", "out", {"f": b"1"})], [])
    info = staged.infos[OutputName("out")]
    claim = claim_of(info, "p")
    store.commit(
        staged,
        witnesses=[(claim, witness_of(claim, ALICE, b"{1}"))],
        resolutions=[resolution_of("p", info, ALICE)],
        envelopes=[b"{1}"],
    )
    assert store.envelope(EnvelopeDigest(blob_digest(b"{1}"))) == b"{1}"
    assert [item.claim for item in store.claims_for(resolved("p"))] == [claim]
    assert store.check(contents=True) == []


def test_a_missing_envelope_is_a_problem(store: Store, place: str) -> None:
    claim = claim_of(add(store, place, "thing", b"1"), "r")
    store.put_witness(claim, witness_of(claim, ALICE, b"{lost}"))
    assert [problem.what for problem in store.check()] == ["the envelope of a witness made here is missing"]


def test_sha256_is_remembered(store: Store, place: str) -> None:
    blob = BlobDigest(blob_digest(b"x"))
    assert store.sha256_of(blob) is None
    store.remember_sha256(blob, b"s" * 32)
    assert store.sha256_of(blob) == b"s" * 32


def test_a_damaged_memo_is_made_anew(place: str) -> None:
    blob = BlobDigest(blob_digest(b"x"))
    with Store.open(f"{place}/store") as store:
        store.remember_sha256(blob, b"s" * 32)
    with open(f"{place}/store/index/disposable/data.mdb", "r+b") as file:
        file.write(os.urandom(16384))
    with Store.open(f"{place}/store") as store:
        assert store.sha256_of(blob) is None
        store.remember_sha256(blob, b"t" * 32)
        assert store.sha256_of(blob) == b"t" * 32

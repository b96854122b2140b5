"""DSSE: the same envelopes as securesystemslib, both ways, and a reader that refuses what is doubtful."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st
from provenance_samples import BUILDER, OWN, STRANGER, build_facts
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.signer import CryptoSigner, SSlibKey

from kiln.store.errors import BadEnvelope, BadSignature, StoreError, Untrusted
from kiln.store.provenance import dsse
from kiln.store.provenance.keys import PublicKey, SecretKey
from kiln.store.provenance.slsa import build_statement
from kiln.store.provenance.statement import sign_statement
from kiln.store.provenance.verify import verify_envelope

TYPE = "application/vnd.in-toto+json"
KEYS = {BUILDER.keyid: BUILDER.public_key}
SIGNED = dsse.emit(dsse.sign(b"hello world", "http://example.com/HelloWorld", BUILDER))


def their_key(key: PublicKey) -> SSlibKey:
    return SSlibKey(key.keyid, "ed25519", "ed25519", {"public": key.raw.hex()})


def test_the_encoding_is_that_of_the_protocols_own_example() -> None:
    made = dsse.pae("http://example.com/HelloWorld", b"hello world")
    assert made == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_are_in_bytes() -> None:
    assert dsse.pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


@given(st.binary(max_size=300), st.text(min_size=1, max_size=40))
def test_securesystemslib_verifies_ours(payload: bytes, kind: str) -> None:
    made = dsse.emit(dsse.sign(payload, kind, BUILDER))
    theirs = TheirEnvelope.from_dict(json.loads(made))
    assert theirs.payload == payload
    assert list(theirs.verify([their_key(BUILDER.public_key)], 1)) == [BUILDER.keyid]


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300), st.booleans())
def test_ours_verifies_securesystemslibs(seed: bytes, payload: bytes, indented: bool) -> None:
    theirs = TheirEnvelope(payload, TYPE, {})
    theirs.sign(CryptoSigner(ed25519.Ed25519PrivateKey.from_private_bytes(seed)))
    data = json.dumps(theirs.to_dict(), indent=2 if indented else None).encode()
    key = SecretKey.of(seed).public_key
    verified = dsse.verify(dsse.parse(data), {key.keyid: key})
    assert verified == (payload, TYPE, (key.keyid,))


def test_securesystemslib_verifies_a_builds_envelope_and_reads_the_same_statement() -> None:
    data = sign_statement(build_statement(build_facts()), BUILDER)
    theirs = TheirEnvelope.from_dict(json.loads(data))
    theirs.verify([their_key(BUILDER.public_key)], 1)
    assert json.loads(theirs.payload) == build_statement(build_facts())


def test_what_is_written_is_stable() -> None:
    parsed = dsse.parse(SIGNED)
    assert dsse.emit(parsed) == SIGNED
    assert SIGNED.startswith(
        b'{"payload":"aGVsbG8gd29ybGQ=","payloadType":"http://example.com/HelloWorld","signatures":[{'
    )
    assert SIGNED.endswith(b'"}]}\n') and SIGNED.count(b"\n") == 1


def test_base64url_is_read_too() -> None:
    envelope = dsse.sign(b"\xfb\xff\xfe" * 9, TYPE, BUILDER)
    data = dsse.emit(envelope).replace(b"+", b"-").replace(b"/", b"_").replace(b"application_", b"application/")
    changed = json.loads(data)
    changed["payloadType"] = TYPE
    assert b"_" in data
    assert dsse.verify(dsse.parse(json.dumps(changed).encode()), KEYS).payload == b"\xfb\xff\xfe" * 9


def variant(**changes: Any) -> bytes:
    form = json.loads(SIGNED)
    form.update(changes)
    return json.dumps({key: value for key, value in form.items() if value is not ...}).encode()


SIGNATURE = json.loads(SIGNED)["signatures"][0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b"\xef\xbb\xbf" + SIGNED,
        SIGNED[:-2],
        SIGNED + b"{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"payload":"",' + SIGNED[1:],
        SIGNED.replace(b'"keyid"', b'"sig":"","keyid"'),
        SIGNED.replace(b'"keyid"', b'"x":NaN,"keyid"'),
        variant(payload=...),
        variant(payloadType=...),
        variant(signatures=...),
        variant(payload=1),
        variant(payloadType=None),
        variant(signatures={}),
        variant(signatures=[]),
        variant(signatures=[SIGNATURE] * 17),
        variant(signatures=["x"]),
        variant(signatures=[{"keyid": "x"}]),
        variant(signatures=[{**SIGNATURE, "keyid": 1}]),
        variant(payload="aGVsbG8gd29ybGQ"),
        variant(payload="aGVsbG8gd29ybGR="),
        variant(payload="aGVs bG8gd29ybGQ="),
        variant(payload="aGVsbG8gd29ybGQ=\n"),
        variant(payload="é"),
        variant(payload="-_+/"),
        variant(payloadType="\ud800"),
        b" " * (dsse.MAX_ENVELOPE + 1),
    ],
)
def test_a_malformed_envelope_is_refused(data: bytes) -> None:
    with pytest.raises(BadEnvelope) as caught:
        dsse.parse(data)
    assert caught.value.code == "K0603"


def test_unknown_fields_are_passed_over() -> None:
    data = variant(signatures=[{**SIGNATURE, "cert": "…", "weight": 1.5}], extra={"x": []})
    assert dsse.verify(dsse.parse(data), KEYS).payload == b"hello world"


def test_a_signature_without_key_id_is_tried_with_every_key() -> None:
    data = variant(signatures=[{"sig": SIGNATURE["sig"]}])
    assert dsse.verify(dsse.parse(data), KEYS).keyids == (BUILDER.keyid,)
    with pytest.raises(Untrusted):
        dsse.verify(dsse.parse(data), {STRANGER.keyid: STRANGER.public_key})


def test_a_stranger_is_named_beside_those_who_are_trusted() -> None:
    with pytest.raises(Untrusted) as caught:
        verify_envelope(sign_statement(build_statement(build_facts()), STRANGER), OWN)
    assert caught.value.code == "K0602"
    assert caught.value.found == STRANGER.public_key.short
    assert caught.value.expected == f'{BUILDER.public_key.short} "this builder"'


def test_a_stranger_beside_a_trusted_key_is_passed_over() -> None:
    ours = dsse.sign(b"x", TYPE, BUILDER)
    theirs = dsse.sign(b"x", TYPE, STRANGER)
    both = dsse.Envelope(b"x", TYPE, theirs.signatures + ours.signatures)
    assert dsse.verify(both, KEYS).keyids == (BUILDER.keyid,)


def test_a_bad_signature_of_a_trusted_key_is_not_outvoted() -> None:
    both = {**KEYS, STRANGER.keyid: STRANGER.public_key}
    ours, theirs = dsse.sign(b"x", TYPE, BUILDER), dsse.sign(b"y", TYPE, STRANGER)
    with pytest.raises(BadSignature) as caught:
        dsse.verify(dsse.Envelope(b"x", TYPE, ours.signatures + theirs.signatures), both)
    assert caught.value.code == "K0601"


def test_a_payload_under_another_type_is_refused() -> None:
    signed = dsse.parse(SIGNED)
    with pytest.raises(BadSignature):
        dsse.verify(dsse.Envelope(signed.payload, TYPE, signed.signatures), KEYS)


def test_a_hostile_key_id_is_escaped_in_the_message() -> None:
    data = variant(signatures=[{**SIGNATURE, "keyid": "\x1b[31m" + "k" * 500}])
    with pytest.raises(Untrusted) as caught:
        dsse.verify(dsse.parse(data), KEYS)
    assert "\x1b" not in str(caught.value.found) and len(str(caught.value.found)) < 100


STATEMENT = sign_statement(build_statement(build_facts()), BUILDER)


@given(st.integers(0, len(STATEMENT) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(place: int, change: int) -> None:
    changed = bytearray(STATEMENT)
    changed[place] ^= change
    with pytest.raises(StoreError):
        verify_envelope(bytes(changed), OWN)


@given(st.integers(0, len(STATEMENT) - 1), st.integers(0, 40), st.binary(max_size=8))
def test_any_cut_or_insertion_is_refused(place: int, cut: int, put: bytes) -> None:
    changed = STATEMENT[:place] + put + STATEMENT[place + cut :]
    if changed != STATEMENT:
        with pytest.raises(StoreError):
            verify_envelope(changed, OWN)


@given(st.binary(max_size=400))
def test_any_bytes_end_in_an_error_of_the_store(data: bytes) -> None:
    with pytest.raises(StoreError):
        verify_envelope(data, OWN)


def test_another_spelling_is_taken_only_when_asked_for() -> None:
    spelt = json.dumps(json.loads(STATEMENT), indent=1).encode()
    with pytest.raises(BadEnvelope, match="canonical"):
        verify_envelope(spelt, OWN)
    assert verify_envelope(spelt, OWN, strict=False).said == verify_envelope(STATEMENT, OWN).said

"""DSSE v1 envelopes: a payload, its type, and signatures over both.

What is signed is the pre-authentication encoding, in which no payload can be taken for another (DSSE protocol,
"Signature Definition"); lengths are decimal, in bytes:

    "DSSEv1" SP len(type) SP type SP len(payload) SP payload

An envelope of Kiln's is one line of canonical JSON and a newline, so that such files one after another are
JSON lines:

    {"payload":"eyJfdHlwZSI6…","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"74c1…4916","sig":"T0pS…Dw=="}]}

The reader takes any JSON spelling, base64 in either alphabet (padded, not mixed, one spelling for one value),
and ignores fields that it does not know, as the protocol asks. It refuses a key given twice and what is too
large. The payload is returned to a caller only by `verify`.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kiln.store.errors import BadEnvelope, BadSignature, Untrusted
from kiln.store.provenance.errors import BadKey
from kiln.store.provenance.keys import KeyId, Signer, Verifier
from kiln.store.provenance.plainjson import Json, canonical, read_json

MAX_ENVELOPE = 16 * 1024 * 1024
"""Bytes. A statement about ten thousand files is about 5 MB."""
MAX_SIGNATURES = 16


class EnvelopeSignature(NamedTuple):
    """As it stands in an envelope: the key id is a hint that nobody has vouched for."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed envelope, not yet verified."""

    payload: bytes
    payload_type: str
    signatures: tuple[EnvelopeSignature, ...]


class Verified(NamedTuple):
    """What the accepted keys have signed; `keyids` holds each key once, in the order of the signatures."""

    payload: bytes
    payload_type: str
    keyids: tuple[str, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, payload_type: str, signer: Signer) -> Envelope:
    """An envelope with one signature."""
    made = signer.sign(pae(payload_type, payload))
    return Envelope(payload, payload_type, (EnvelopeSignature(made.keyid, made.sig),))


def emit(envelope: Envelope) -> bytes:
    """The envelope's file: canonical JSON and a newline."""
    signatures = [{"keyid": keyid, "sig": _base64(sig)} for keyid, sig in envelope.signatures]
    form = {
        "payload": _base64(envelope.payload),
        "payloadType": envelope.payload_type,
        "signatures": signatures,
    }
    return canonical(form) + b"\n"


def parse(data: bytes) -> Envelope:
    """Read an envelope in any JSON spelling. Raises BadEnvelope."""
    match read_json(data, "the envelope", MAX_ENVELOPE, floats=True):
        case {"payload": str(payload), "payloadType": str(kind), "signatures": list(signatures)}:
            return Envelope(_debase64(payload, "payload"), kind, _signatures(signatures))
    raise BadEnvelope(
        "not a DSSE envelope", expected="an object with payload, payloadType and signatures", found="another form"
    )


def verify(envelope: Envelope, verifiers: Mapping[str, Verifier]) -> Verified:
    """The payload, once a key of `verifiers` (by key id) has signed it.

    A signature without key id is tried with every key; one by a key that is not there is passed over; one that
    names a key that is there must be good, even beside another good one.

    Raises Untrusted if no signature is by one of the keys, BadSignature if one of them does not verify.
    """
    message = pae(envelope.payload_type, envelope.payload)
    accepted: dict[str, None] = {}
    for keyid, sig in envelope.signatures:
        if not keyid:
            good = (key for key, verifier in verifiers.items() if verifier.verify(message, sig))
            accepted.update(dict.fromkeys(good))
        elif keyid in verifiers:
            if not verifiers[keyid].verify(message, sig):
                raise BadSignature(
                    "a signature does not belong to what it stands on",
                    expected=f"a signature by key {keyid} over these bytes",
                    found="a signature over other bytes, or a forged one",
                    help="get the envelope again from where it was made; do not use what it speaks of",
                )
            accepted[keyid] = None
    if not accepted:
        raise Untrusted(
            "no signature is by a key that is trusted here",
            expected=_listed(list(map(str, verifiers.values()))),
            found=_listed([_shown(keyid) for keyid, _ in envelope.signatures]),
            help="kiln trust list   shows whose word counts here",
        )
    return Verified(envelope.payload, envelope.payload_type, tuple(accepted))


def _signatures(items: list[Json]) -> tuple[EnvelopeSignature, ...]:
    if not 1 <= len(items) <= MAX_SIGNATURES:
        raise BadEnvelope(
            "an envelope must be signed", expected=f"1 to {MAX_SIGNATURES} signatures", found=str(len(items))
        )
    return tuple(_signature(item) for item in items)


def _signature(item: Json) -> EnvelopeSignature:
    if isinstance(item, dict):
        keyid, sig = item.get("keyid") or "", item.get("sig")
        if isinstance(keyid, str) and isinstance(sig, str):
            return EnvelopeSignature(keyid, _debase64(sig, "signature"))
    raise BadEnvelope("not a signature of an envelope", expected="an object with sig and keyid, both text")


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _debase64(text: str, what: str) -> bytes:
    url_safe = "-" in text or "_" in text
    standard = text.replace("-", "+").replace("_", "/") if url_safe else text
    mixed = url_safe and ("+" in text or "/" in text)
    try:
        data = binascii.a2b_base64(standard, strict_mode=True)
    except (binascii.Error, ValueError):
        mixed, data = True, b""
    if mixed or _base64(data) != standard:
        raise BadEnvelope(f"the {what} is not base64", expected="base64 or base64url with its padding")
    return data


def _shown(keyid: str) -> str:
    try:
        return KeyId.parse(keyid).short
    except BadKey:
        return repr(keyid[:64]) if keyid else "a key without id"


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return ", ".join(keys[:4]) + more if keys else "no key"

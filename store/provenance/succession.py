"""Rotation and revocation: what the holder of a key says about the key itself.

Both are DSSE envelopes around canonical JSON, one line each, so that anybody can carry them: a cache's card, a mail.
A **rotation** says which key takes another's place; it is signed by both, the old one's word and the new one's proof
that it is held. Its payload, of type `application/vnd.kiln.rotation+json`:

    {"made":"2026-11-21T08:30:00Z","new":"ed25519:PUAXw-hD…","old":"ed25519:11qYAYKx…","schema":"kiln.rotation/1"}

A **revocation** says that a key's word counts no longer, and is signed by that key: whoever has it may say so, a
thief too. Its payload, of type `application/vnd.kiln.revocation+json`:

    {"key":"ed25519:11qYAYKx…","made":"2027-03-01T12:00:00Z","reason":"a stolen disk","schema":"kiln.revocation/1"}

What follows from them, for a machine that trusts the old key:

- The first rotation that it sees, while the old key's word still counts, makes the new key trusted in the same way:
  the same name, caches, operator and expiry. Another successor of the same key is refused, then and later.
- The old key goes on counting until it expires or is revoked. Old and new are one operator: together they count once.
- A revocation holds from when it is seen. A successor that was accepted before stays; a later one is refused.
- A key that the user himself has revoked (`revoked=` in its line) takes its successors with it.

What was seen is remembered (`store/cache/seen.py`), so that a cache cannot take it back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from kiln.store.errors import BadEnvelope, BadSignature
from kiln.store.provenance import dsse
from kiln.store.provenance.errors import BadKey, BadSuccession
from kiln.store.provenance.keys import PublicKey, Signer
from kiln.store.provenance.plainjson import Json, canonical, read_json
from kiln.store.provenance.trust import Policy, TrustedKey

ROTATION_TYPE = "application/vnd.kiln.rotation+json"
REVOCATION_TYPE = "application/vnd.kiln.revocation+json"
MAX_BYTES = 8 * 1024
MAX_REASON = 200

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class Rotation(NamedTuple):
    """`new` takes the place of `old`. `made` is RFC 3339 in UTC, whole seconds."""

    old: PublicKey
    new: PublicKey
    made: str


class Revocation(NamedTuple):
    """The key's word counts no longer."""

    key: PublicKey
    made: str
    reason: str = ""


Succession: TypeAlias = Rotation | Revocation


def sign_rotation(old: Signer, new: Signer, made: str) -> bytes:
    """A rotation's envelope, signed by both keys."""
    keys = {"old": str(old.public_key), "new": str(new.public_key)}
    payload = canonical({"schema": "kiln.rotation/1", **keys, "made": made})
    first, second = dsse.sign(payload, ROTATION_TYPE, old), dsse.sign(payload, ROTATION_TYPE, new)
    return dsse.emit(dsse.Envelope(payload, ROTATION_TYPE, first.signatures + second.signatures))


def sign_revocation(key: Signer, made: str, reason: str = "") -> bytes:
    """A revocation's envelope, signed by the key that it revokes."""
    form: Json = {"schema": "kiln.revocation/1", "key": str(key.public_key), "made": made, "reason": reason}
    return dsse.emit(dsse.sign(canonical(form), REVOCATION_TYPE, key))


def read_succession(data: bytes) -> Succession:
    """A rotation or a revocation whose signatures are good. Raises BadSuccession."""
    if len(data) > MAX_BYTES:
        raise BadSuccession("neither a rotation nor a revocation", expected=f"at most {MAX_BYTES} bytes")
    try:
        envelope = dsse.parse(data)
        match envelope.payload_type:
            case "application/vnd.kiln.rotation+json":
                return _read_rotation(envelope)
            case "application/vnd.kiln.revocation+json":
                return _read_revocation(envelope)
    except (BadEnvelope, BadSignature, BadKey) as error:
        raise BadSuccession(error.message, expected=error.expected, found=error.found) from None
    raise BadSuccession("neither a rotation nor a revocation", found=repr(envelope.payload_type[:80]))


def succeed(policy: Policy, rotations: Iterable[Rotation], revocations: Iterable[Revocation]) -> Policy:
    """The policy with what its keys said of themselves; rotations in the order in which they were accepted."""
    by_id, barred = dict(policy.by_id), dict(policy.barred)
    for rotation in rotations:
        heir = _heir(by_id.get(rotation.old.keyid), rotation)
        if heir is not None and heir.keyid not in barred:
            by_id.setdefault(heir.keyid, heir)
    for revocation in revocations:
        found = by_id.pop(revocation.key.keyid, None)
        if found is not None:
            barred[found.keyid] = replace(found, revoked=revocation.made[:10])
    return replace(policy, by_id=by_id, barred=barred, own=policy.own - barred.keys())


def check_rotation(policy: Policy, accepted: Iterable[Rotation], rotation: Rotation) -> bool:
    """Whether a rotation that was not seen before is to be accepted; False where it concerns nobody here.

    Raises BadSuccession where the old key has another successor, or its word counts no longer.
    """
    if rotation.old.keyid in policy.barred:
        raise BadSuccession(
            "a rotation signed by a key whose word counts no longer",
            found=str(policy.barred[rotation.old.keyid]),
            help="ask the key's holder; if the new key is theirs: kiln trust add NAME KEY",
        )
    for other in accepted:
        if other.old == rotation.old and other.new != rotation.new:
            raise BadSuccession(
                "two rotations name different successors of one key",
                expected=f"{other.new.short}, accepted {other.made[:10]}",
                found=rotation.new.short,
                help="the old key may be stolen: ask its holder which of them is theirs",
            )
    return rotation.old.keyid in policy.by_id and rotation.new.keyid not in policy.by_id


def _heir(old: TrustedKey | None, rotation: Rotation) -> TrustedKey | None:
    if old is None:
        return None
    return replace(
        old,
        key=rotation.new,
        operator=old.run_by,
        added=rotation.made[:10],
        succeeds=str(rotation.old.keyid),
    )


def _read_rotation(envelope: dsse.Envelope) -> Rotation:
    match read_json(envelope.payload, "the rotation", MAX_BYTES):
        case {"schema": "kiln.rotation/1", "old": str(old), "new": str(new), "made": str(made), **rest} if not rest:
            found = Rotation(PublicKey.parse(old), PublicKey.parse(new), _time(made))
        case _:
            raise BadSuccession("not a rotation", expected="schema kiln.rotation/1, old, new, made")
    if found.old == found.new:
        raise BadSuccession("a rotation of a key to itself", found=found.old.short)
    _need(envelope, found.old, found.new)
    return found


def _read_revocation(envelope: dsse.Envelope) -> Revocation:
    match read_json(envelope.payload, "the revocation", MAX_BYTES):
        case {
            "schema": "kiln.revocation/1",
            "key": str(key),
            "made": str(made),
            "reason": str(reason),
            **rest,
        } if not rest and len(reason) <= MAX_REASON:
            found = Revocation(PublicKey.parse(key), _time(made), reason)
        case _:
            raise BadSuccession("not a revocation", expected="schema kiln.revocation/1, key, made, reason")
    _need(envelope, found.key)
    return found


def _need(envelope: dsse.Envelope, *keys: PublicKey) -> None:
    """Every one of the keys has signed it."""
    verified = dsse.verify(envelope, {key.keyid: key for key in keys})
    for key in keys:
        if key.keyid not in verified.keyids:
            raise BadSuccession("a rotation or a revocation that lacks a signature", expected=f"one by {key.short}")


def _time(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise BadSuccession("not a time", expected="2026-11-21T08:30:00Z", found=repr(text[:40]))
    return text

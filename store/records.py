"""Claims, witnesses and resolutions: what is said about builds, and who says it.

All are msgpack arrays in canonical form: integers and lengths in their shortest form, digests as `bin` of 32
bytes, names as `str`. Bytes that do not encode back to themselves are refused.

A **claim** says what a build makes. It names nobody, so that two builders' claims can be equal byte for byte:

    [1, resolved derivation, output, object's id, root digest, size in bytes, [reference's id …]]

Its digest is BLAKE3 in the domain `claim`. A **witness** is one builder's signature under a claim, with what
that builder did:

    body   = [1, claim's digest, key id, envelope's digest, sandbox fingerprint, [degraded …],
              started, finished, [[resource, amount] …]]
    record = [1, body, signature]

The key id is 64 hexadecimal digits as securesystemslib computes it; the fingerprint any bytes up to 64, empty
where nothing ran in a sandbox; times are milliseconds since 1970; what was degraded is sorted, as are the
resources (`cpu` and `wall` in milliseconds, `memory` in bytes, …). What Ed25519 signs is the domain's context
string, a zero byte, and the body:

    "kiln-build 2026 witness v1" 00 99 01 c4 20 <32 bytes> d9 40 "fe3c…" c4 20 <32 bytes> c4 00 90 cf … 90

A **resolution** says which resolved derivation stands for an unresolved one, given these objects for its inputs:

    body   = [1, derivation, resolved derivation, [[input derivation, output, object's id, store name] …],
              key id, made]
    record = [1, body, signature]

with the pins sorted by derivation and output, and signed likewise in the domain `resolution`.

Nothing here reads or writes a file, and verification needs nothing but a `Verifier`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, TypeVar, cast

import msgpack

from kiln.store.digest import (
    Digest,
    Domain,
    DrvDigest,
    EnvelopeDigest,
    ObjectId,
    ResolvedDigest,
    RootDigest,
    digest_of,
)
from kiln.store.errors import BadSignature, Damaged, StoreError, Untrusted
from kiln.store.paths import OutputName, StorePath, check_name

_KEYID = re.compile(r"[0-9a-f]{64}")
_SIGNATURE_BYTES = 64
T = TypeVar("T")


class ClaimDigest(Digest):
    """Names a claim."""

    __slots__ = ()


class WitnessDigest(Digest):
    """Names a witness' record, signature and all."""

    __slots__ = ()


class ResolutionDigest(Digest):
    """Names a resolution's record, signature and all."""

    __slots__ = ()


class HasKeyId(Protocol):
    @property
    def keyid(self) -> str: ...


class HasSignature(Protocol):
    @property
    def sig(self) -> bytes: ...


class Signer(Protocol):
    """What signs: `provenance.keys` has one."""

    @property
    def public_key(self) -> HasKeyId: ...

    def sign(self, data: bytes) -> HasSignature: ...


class Verifier(Protocol):
    """What checks: a trusted public key."""

    @property
    def keyid(self) -> str: ...

    def verify(self, data: bytes, signature: bytes) -> bool: ...


class Claim(NamedTuple):
    """What an output of a resolved derivation is. `references` are sorted, each once; `size` is in bytes."""

    resolved: ResolvedDigest
    output: OutputName
    object: ObjectId
    root: RootDigest
    size: int
    references: tuple[ObjectId, ...]

    def encode(self) -> bytes:
        packed: bytes = msgpack.packb(
            [1, self.resolved, str(self.output), self.object, self.root, self.size, list(self.references)]
        )
        return packed

    @property
    def digest(self) -> ClaimDigest:
        return ClaimDigest(digest_of(Domain.CLAIM, self.encode()))


class Witness(NamedTuple):
    """One builder's word for a claim. `started` and `finished` are milliseconds since 1970."""

    claim: ClaimDigest
    keyid: str
    envelope: EnvelopeDigest
    sandbox: bytes
    degraded: tuple[str, ...]
    started: int
    finished: int
    resources: tuple[tuple[str, int], ...]
    signature: bytes = b""

    def body(self) -> bytes:
        packed: bytes = msgpack.packb(
            [
                1,
                self.claim,
                self.keyid,
                self.envelope,
                self.sandbox,
                list(self.degraded),
                self.started,
                self.finished,
                [list(item) for item in self.resources],
            ]
        )
        return packed

    def encode(self) -> bytes:
        return _record(self.body(), self.signature)

    @property
    def digest(self) -> WitnessDigest:
        return WitnessDigest(digest_of(Domain.WITNESS, self.encode()))


class Pin(NamedTuple):
    """The object, and the name its path carries, that stands for an output of an input derivation."""

    drv: DrvDigest
    output: OutputName
    object: ObjectId
    name: str

    @property
    def path(self) -> StorePath:
        return StorePath.of(self.object, self.name)


class Resolution(NamedTuple):
    """Which resolved derivation stands for `drv` with these pins (sorted). `made`: milliseconds since 1970."""

    drv: DrvDigest
    resolved: ResolvedDigest
    pins: tuple[Pin, ...]
    keyid: str
    made: int
    signature: bytes = b""

    def body(self) -> bytes:
        pins = [[pin.drv, str(pin.output), pin.object, pin.name] for pin in self.pins]
        packed: bytes = msgpack.packb([1, self.drv, self.resolved, pins, self.keyid, self.made])
        return packed

    def encode(self) -> bytes:
        return _record(self.body(), self.signature)

    @property
    def digest(self) -> ResolutionDigest:
        return ResolutionDigest(digest_of(Domain.RESOLUTION, self.encode()))


def make_claim(
    resolved: ResolvedDigest,
    output: OutputName,
    object_id: ObjectId,
    root: RootDigest,
    size: int,
    references: Iterable[ObjectId],
) -> Claim:
    """A claim in canonical form."""
    return Claim(resolved, output, object_id, root, size, tuple(sorted(set(references))))


def sign_witness(
    signer: Signer,
    claim: Claim,
    envelope: EnvelopeDigest,
    *,
    sandbox: bytes = b"",
    degraded: Iterable[str] = (),
    started: int,
    finished: int,
    resources: Iterable[tuple[str, int]] = (),
) -> Witness:
    """A builder's word for a claim, signed."""
    unsigned = Witness(
        claim=claim.digest,
        keyid=signer.public_key.keyid,
        envelope=envelope,
        sandbox=sandbox,
        degraded=tuple(sorted(set(degraded))),
        started=started,
        finished=finished,
        resources=tuple(sorted(resources)),
    )
    data = _to_sign(Domain.WITNESS, unsigned.body())
    return unsigned._replace(signature=signer.sign(data).sig)


def sign_resolution(
    signer: Signer, drv: DrvDigest, resolved: ResolvedDigest, pins: Iterable[Pin], *, made: int
) -> Resolution:
    """A resolution, its pins in order, signed."""
    unsigned = Resolution(drv, resolved, tuple(sorted(set(pins))), signer.public_key.keyid, made)
    data = _to_sign(Domain.RESOLUTION, unsigned.body())
    return unsigned._replace(signature=signer.sign(data).sig)


def verify_witness(claim: Claim, witness: Witness, verifier: Verifier) -> None:
    """Raise BadSignature unless the witness stands under this very claim and `verifier`'s key signed it."""
    if witness.claim != claim.digest:
        raise BadSignature("a witness of another claim", expected=claim.digest.short, found=witness.claim.short)
    _verify("witness", Domain.WITNESS, witness.keyid, witness.body(), witness.signature, verifier)


def verify_resolution(resolution: Resolution, verifier: Verifier) -> None:
    """Raise BadSignature unless `verifier`'s key signed the resolution."""
    body = resolution.body()
    _verify("resolution", Domain.RESOLUTION, resolution.keyid, body, resolution.signature, verifier)


def decode_claim(data: bytes) -> Claim:
    """Read canonical bytes, and nothing else. Raises Damaged."""
    match _unpack(data, "claim"):
        case [1, bytes(resolved), str(output), bytes(object_id), bytes(root), int(size), list(references)]:
            claim = _built(
                "claim",
                lambda: Claim(
                    ResolvedDigest(resolved),
                    OutputName.parse(output),
                    ObjectId(object_id),
                    RootDigest(root),
                    size,
                    tuple(map(ObjectId, references)),
                ),
            )
        case _:
            raise Damaged("not a claim")
    _check_canonical("claim", claim.encode(), data, size >= 0 and _is_sorted(claim.references))
    return claim


def decode_witness(data: bytes) -> Witness:
    """Read canonical bytes, and nothing else; the signature is not checked. Raises Damaged."""
    body, signature = _open_record(data, "witness")
    match _unpack(body, "witness"):
        case [
            1,
            bytes(claim),
            str(keyid),
            bytes(envelope),
            bytes(sandbox),
            list(degraded),
            int(started),
            int(finished),
            list(resources),
        ] if _KEYID.fullmatch(keyid) and len(sandbox) <= 64:
            witness = _built(
                "witness",
                lambda: Witness(
                    ClaimDigest(claim),
                    keyid,
                    EnvelopeDigest(envelope),
                    sandbox,
                    tuple(map(_text, degraded)),
                    started,
                    finished,
                    tuple((_text(name), _number(amount)) for name, amount in resources),
                    signature,
                ),
            )
        case _:
            raise Damaged("not a witness")
    ordered = _is_sorted(witness.degraded) and _is_sorted(witness.resources)
    _check_canonical("witness", witness.encode(), data, ordered)
    return witness


def decode_resolution(data: bytes) -> Resolution:
    """Read canonical bytes, and nothing else; the signature is not checked. Raises Damaged."""
    body, signature = _open_record(data, "resolution")
    match _unpack(body, "resolution"):
        case [1, bytes(drv), bytes(resolved), list(pins), str(keyid), int(made)] if _KEYID.fullmatch(keyid):
            resolution = _built(
                "resolution",
                lambda: Resolution(
                    DrvDigest(drv),
                    ResolvedDigest(resolved),
                    tuple(
                        Pin(DrvDigest(d), OutputName.parse(o), ObjectId(i), check_name(_text(n)))
                        for d, o, i, n in pins
                    ),
                    keyid,
                    made,
                    signature,
                ),
            )
        case _:
            raise Damaged("not a resolution")
    _check_canonical("resolution", resolution.encode(), data, _is_sorted(resolution.pins))
    return resolution


def _record(body: bytes, signature: bytes) -> bytes:
    packed: bytes = msgpack.packb([1, body, signature])
    return packed


def _open_record(data: bytes, what: str) -> tuple[bytes, bytes]:
    match _unpack(data, what):
        case [1, bytes(body), bytes(signature)] if len(signature) == _SIGNATURE_BYTES:
            return body, signature
        case _:
            raise Damaged(f"not a {what}")


def _to_sign(domain: Domain, body: bytes) -> bytes:
    return domain.value.encode("ascii") + b"\0" + body


def _verify(what: str, domain: Domain, keyid: str, body: bytes, signature: bytes, verifier: Verifier) -> None:
    if keyid != verifier.keyid:
        raise Untrusted(f"a {what} signed by another key", expected=verifier.keyid, found=keyid)
    if not verifier.verify(_to_sign(domain, body), signature):
        raise BadSignature(f"the signature of a {what} does not verify", expected=f"a signature by {keyid}")


def _unpack(data: bytes, what: str) -> object:
    try:
        return cast(object, msgpack.unpackb(data, use_list=True, raw=False))
    except Exception as error:
        raise Damaged(f"not a {what}", found=str(error)) from error


def _built(what: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except (StoreError, TypeError, ValueError) as error:
        raise Damaged(f"a {what} with a field that does not parse", found=str(error)) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Damaged("a record with something else where a text should stand", found=repr(value)[:80])
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Damaged("a record with something else where a number should stand", found=repr(value)[:80])
    return value


def _is_sorted(items: tuple[object, ...]) -> bool:
    return all(left < right for left, right in itertools.pairwise(items))  # type: ignore[operator]


def _check_canonical(what: str, again: bytes, data: bytes, ordered: bool) -> None:
    if again != data or not ordered:
        raise Damaged(f"a {what} that is not in canonical form")

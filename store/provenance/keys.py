"""Ed25519 keys (RFC 8032): their texts, their ids, signing and verifying.

A public key in text is `ed25519:` and its 32 bytes in base64url without padding (43 characters):

    ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo

Its **key id** is 64 hexadecimal digits, as securesystemslib computes them: SHA-256 of the canonical JSON
`{"keytype":"ed25519","keyval":{"public":"<64 hex digits>"},"scheme":"ed25519"}`. For people it is shortened to
`ed25519:74c181c7…4916`; nothing is ever looked up by the short form.

For other tools it is a SubjectPublicKeyInfo (RFC 8410, section 4), whose DER is twelve fixed bytes and the key:

    -----BEGIN PUBLIC KEY-----
    MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
    -----END PUBLIC KEY-----

PyNaCl is imported when something is first signed or verified: a run that does neither does not pay for it.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, Self

from kiln.store.provenance.errors import BadKey

KEY_BYTES = 32
SIGNATURE_BYTES = 64

_PREFIX = "ed25519:"
_DER_PREFIX = bytes.fromhex("302a300506032b6570032100")
"""SEQUENCE { SEQUENCE { OBJECT IDENTIFIER 1.3.101.112 }, BIT STRING of 33 bytes, none unused }."""

_KEYID = re.compile(r"[0-9a-f]{64}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{43}")
_PEM = re.compile(
    r"\s*-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]{1,200}?)\s*-----END PUBLIC KEY-----\s*", re.ASCII
)


class KeyId(str):
    """64 lower-case hexadecimal digits that name a public key."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        if not _KEYID.fullmatch(text):
            raise BadKey("not a key id", expected="64 hexadecimal digits", found=repr(text[:80]))
        return cls(text)

    @property
    def short(self) -> str:
        """For people only."""
        return f"{_PREFIX}{self[:8]}…{self[-4:]}"


class Signature(NamedTuple):
    """A raw signature of 64 bytes, and the id of the key that made it."""

    keyid: KeyId
    sig: bytes


class Signer(Protocol):
    """Whoever can sign: a key in a file, or later an agent or a token."""

    @property
    def public_key(self) -> PublicKey: ...

    def sign(self, data: bytes) -> Signature: ...


class Verifier(Protocol):
    """Whoever can tell a good signature from a bad one."""

    @property
    def keyid(self) -> KeyId: ...

    def verify(self, data: bytes, signature: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key, and a `Verifier`. Make one with `of`, `parse` or `from_pem`."""

    raw: bytes
    keyid: KeyId

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """From 32 bytes. Raises BadKey."""
        if len(raw) != KEY_BYTES:
            raise BadKey("not an Ed25519 public key", expected="32 bytes", found=f"{len(raw)} bytes")
        form = f'{{"keytype":"ed25519","keyval":{{"public":"{raw.hex()}"}},"scheme":"ed25519"}}'
        return cls(bytes(raw), KeyId(hashlib.sha256(form.encode("ascii")).hexdigest()))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `ed25519:<43 characters>`. Raises BadKey."""
        if not text.startswith(_PREFIX):
            raise BadKey(
                "not a public key that Kiln can use",
                expected="ed25519: and 43 characters of base64url",
                found=repr(text[:80]),
            )
        return cls.of(from_base64url(text.removeprefix(_PREFIX)))

    @classmethod
    def from_pem(cls, text: str) -> Self:
        """Read a SubjectPublicKeyInfo in PEM that holds an Ed25519 key. Raises BadKey."""
        found = _PEM.fullmatch(text)
        try:
            der = binascii.a2b_base64("".join(found[1].split()), strict_mode=True) if found else b""
        except binascii.Error:
            der = b""
        key = cls.of(der[len(_DER_PREFIX) :]) if len(der) == len(_DER_PREFIX) + KEY_BYTES else None
        if key is None or key.der != der or key.pem.split() != text.split():
            raise BadKey(
                "not an Ed25519 public key in PEM",
                expected="-----BEGIN PUBLIC KEY----- and 60 characters of base64",
                found=repr(text.strip()[:80]),
            )
        return key

    @property
    def der(self) -> bytes:
        """SubjectPublicKeyInfo, 44 bytes."""
        return _DER_PREFIX + self.raw

    @property
    def pem(self) -> str:
        """SubjectPublicKeyInfo in PEM, ending in a newline."""
        body = binascii.b2a_base64(self.der).decode("ascii")
        return f"-----BEGIN PUBLIC KEY-----\n{body}-----END PUBLIC KEY-----\n"

    @property
    def short(self) -> str:
        """For people only: the shortened key id."""
        return self.keyid.short

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) over `data` was made with this key.

        libsodium refuses an S that is not below the group's order, and keys and points of small order.
        """
        if len(signature) != SIGNATURE_BYTES:
            return False
        from nacl import bindings, exceptions

        try:
            bindings.crypto_sign_open(signature + data, self.raw)
        except exceptions.BadSignatureError:
            return False
        return True

    def __str__(self) -> str:
        return _PREFIX + to_base64url(self.raw)


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A `Signer` that holds its key in memory. Make one with `of`."""

    public_key: PublicKey
    expanded: bytes = field(repr=False)
    """libsodium's form: the seed and the public key, 64 bytes."""

    @classmethod
    def of(cls, seed: bytes) -> Self:
        """From the 32 bytes of RFC 8032's private key. Raises BadKey."""
        if len(seed) != KEY_BYTES:
            raise BadKey("not an Ed25519 secret key", expected="32 bytes", found=f"{len(seed)} bytes")
        from nacl import bindings

        public, expanded = bindings.crypto_sign_seed_keypair(seed)
        return cls(PublicKey.of(public), expanded)

    @property
    def keyid(self) -> KeyId:
        return self.public_key.keyid

    def sign(self, data: bytes) -> Signature:
        """An Ed25519 signature over `data`.

        One key signs DSSE envelopes and the store's records; their bytes can't be mistaken for each other, as
        the first begin with `DSSEv1 ` and the second with a msgpack array.
        """
        from nacl import bindings

        return Signature(self.keyid, bindings.crypto_sign(data, self.expanded)[:SIGNATURE_BYTES])


def to_base64url(raw: bytes) -> str:
    """RFC 4648, section 5, without padding."""
    text = binascii.b2a_base64(raw, newline=False).decode("ascii")
    return text.rstrip("=").replace("+", "-").replace("/", "_")


def from_base64url(text: str) -> bytes:
    """The 32 bytes of 43 characters, which must be their only spelling. Raises BadKey, without the text."""
    raw = b""
    if _BASE64URL.fullmatch(text):
        raw = binascii.a2b_base64(text.replace("-", "+").replace("_", "/") + "=")
    if to_base64url(raw) != text or not raw:
        raise BadKey("not 32 bytes in base64url", expected="43 characters of A-Z a-z 0-9 - _")
    return raw

"""Digests: 32 bytes of BLAKE3, each kind in a domain of its own.

The bytes of a file are hashed with plain BLAKE3, so that `b3sum` prints the same; every structure is hashed
in BLAKE3's derive-key mode with a context that names it, so that no digest of one kind can stand for another
(BLAKE3 specification, section 2.3). In text a digest is `blake3:` and 64 hexadecimal digits.
"""

from __future__ import annotations

import enum
import re
from typing import Self

from blake3 import blake3

from kiln.store.errors import BadName

_HEX = re.compile(r"[0-9a-f]{64}")


class Domain(enum.Enum):
    """What a structure's digest is a digest of; the value is BLAKE3's context string."""

    DIRECTORY = "kiln-build 2026 directory manifest v1"
    OBJECT = "kiln-build 2026 object id v1"
    DERIVATION = "kiln-build 2026 derivation v1"
    RESOLVED = "kiln-build 2026 resolved derivation v1"
    FIXED = "kiln-build 2026 fixed content v1"
    SCRATCH = "kiln-build 2026 scratch path v1"
    CLAIM = "kiln-build 2026 claim v1"
    WITNESS = "kiln-build 2026 witness v1"
    RESOLUTION = "kiln-build 2026 resolution v1"
    SOURCES = "kiln-build 2026 build file sources v1"


class Digest(bytes):
    """32 bytes. Ordered bytewise; printed as `blake3:<hex>`."""

    __slots__ = ()

    def __new__(cls, raw: bytes) -> Self:
        if len(raw) != 32:
            raise BadName("a digest has 32 bytes", expected="32 bytes", found=f"{len(raw)} bytes")
        return bytes.__new__(cls, raw)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `blake3:<64 hex digits>` or the digits alone. Raises BadName."""
        digits = text.removeprefix("blake3:")
        if not _HEX.fullmatch(digits):
            raise BadName("not a BLAKE3 digest", expected="blake3: and 64 hexadecimal digits", found=text[:80])
        return cls(bytes.fromhex(digits))

    def __str__(self) -> str:
        return f"blake3:{self.hex()}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()[:12]}…)"

    @property
    def short(self) -> str:
        """The first twelve hexadecimal digits, for people."""
        return self.hex()[:12]


class BlobDigest(Digest):
    """Plain BLAKE3 of a file's bytes."""

    __slots__ = ()


class ObjectId(Digest):
    """An object's identity: its content modulo self-references, its name and its references."""

    __slots__ = ()


class RootDigest(Digest):
    """The Merkle root of an object's bytes as they lie on disk."""

    __slots__ = ()


class DrvDigest(Digest):
    """A derivation whose inputs may be outputs of other derivations."""

    __slots__ = ()


class ResolvedDigest(Digest):
    """A derivation whose inputs are objects."""

    __slots__ = ()


class EnvelopeDigest(Digest):
    """Plain BLAKE3 of a DSSE envelope's file."""

    __slots__ = ()


def digest_of(domain: Domain, data: bytes) -> bytes:
    """The 32 bytes of `data` hashed in `domain`; wrap it in the class that says what it is."""
    return blake3(data, derive_key_context=domain.value).digest()


def blob_digest(data: bytes) -> BlobDigest:
    """Plain BLAKE3 of bytes in memory."""
    return BlobDigest(blake3(data).digest())

"""What can go wrong with keys, signatures and statements; codes K0604 and up (K0601 to K0603 are the store's own)."""

from __future__ import annotations

from kiln.store.errors import BadEnvelope, BadSignature, StoreError


class BadKeyFile(StoreError):
    """A file of secret keys that is damaged, or that others could read or replace."""

    code = "K0604"


class BadKey(StoreError):
    """Text that is not a public key or a key id."""

    code = "K0605"


class BadTrustFile(StoreError):
    """A file of trusted keys that does not parse, or that others could write."""

    code = "K0606"


class WrongType(BadEnvelope):
    """Verified bytes of a payload, statement, predicate or build type that is not the one asked for."""

    code = "K0607"


class UntrustedBuilder(BadSignature):
    """A trusted key that speaks for a builder it is not trusted for."""

    code = "K0608"


class SubjectMismatch(StoreError):
    """An output whose digests are not those that the statement names."""

    code = "K0609"


class UnknownParameter(BadEnvelope):
    """An external parameter that this version does not know, so that it cannot be judged."""

    code = "K0610"


class RecipeMismatch(StoreError):
    """Recipe bytes that are not what their digest, or the statement, says."""

    code = "K0611"


class DependencyMismatch(StoreError):
    """A dependency that is not what its own envelope, or the caller, says."""

    code = "K0612"


class BadClosure(StoreError):
    """A file of envelopes that lacks one, holds one that nothing names, or is too large."""

    code = "K0613"


class BadSuccession(BadEnvelope):
    """A rotation or a revocation that does not have its form, or lacks a signature that it must have."""

    code = "K0660"


class TooFewKeys(BadSignature):
    """Good signatures under one claim, by fewer keys or operators than the policy asks for."""

    code = "K0661"


class RevokedKey(BadSignature):
    """A key whose word counts no longer: its line says so, or it said so itself."""

    code = "K0662"


class ExpiredKey(BadSignature):
    """A key whose line says that its word counted until a day that is over."""

    code = "K0663"


class KeyOutOfPlace(BadSignature):
    """A trusted key whose word is not taken from this cache."""

    code = "K0664"

"""Secrets, subjects, signers and attestations as values: names of what is signed, and by whom.

    secret(name)                       SecretHandle    a name
    key(secret)                        KeySigner       the key that this secret holds
    subject(out)                       SubjectOf       an output, or a file or folder in one
    attest(subjects, kind, …)          AttestationOf   that `signer` says `predicate`, a `kind`, of the subjects

Nothing is signed here. Evaluation never waits for a build, so a subject is the output itself and not its digest, and
a predicate holds texts and outputs as they are. `kind` becomes the `predicateType` of an in-toto Statement, version
1, which is a TypeURI.
"""

from __future__ import annotations

import re

from kiln.interpreter.evaluate.mistakes import Failure, OutsideDomain
from kiln.interpreter.evaluate.values import OutValue, SecretHandle, Value

# A secret is a file of this name in a sandbox's /run/secrets.
_SECRET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
# RFC 3986, section 3: a scheme, and something behind it, all of it characters that a URI may have.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")


class SubjectOf:
    """What an attestation is about."""

    __slots__ = ("out",)

    def __init__(self, out: OutValue) -> None:
        self.out = out


class KeySigner:
    """Who signs: the key in a secret, known by the secret's name."""

    __slots__ = ("secret",)

    def __init__(self, secret: SecretHandle) -> None:
        self.secret = secret


class AttestationOf:
    """A statement that is not signed yet. There is one subject at least."""

    __slots__ = ("kind", "predicate", "signer", "subjects")

    def __init__(self, subjects: tuple[SubjectOf, ...], kind: str, predicate: Value, signer: KeySigner) -> None:
        self.subjects = subjects
        self.kind = kind
        self.predicate = predicate
        self.signer = signer


def secret(name: str) -> SecretHandle:
    if _SECRET_NAME.fullmatch(name) is None:
        raise Failure(
            OutsideDomain(
                "secret",
                f"was given {_short(name)}: a secret's name is 1 to 128 ASCII letters, digits, `_`, `.` and `-`, "
                "and begins with a letter or a digit",
            )
        )
    return SecretHandle(name)


def attest(subjects: tuple[SubjectOf, ...], kind: str, predicate: Value, signer: KeySigner) -> AttestationOf:
    if not subjects:
        raise Failure(OutsideDomain("attest", "was given no subject: name one output at least, `[subject(out)]`"))
    if _URI.fullmatch(kind) is None:
        raise Failure(
            OutsideDomain(
                "attest",
                f"was given the kind {_short(kind)}: it is a URI that says what the predicate means, like "
                '"https://example.org/review/v1"',
            )
        )
    return AttestationOf(subjects, kind, predicate, signer)


def with_subject(attestation: AttestationOf, subject: SubjectOf) -> AttestationOf:
    """`attestation.with_subject(subject)`"""
    subjects = (*attestation.subjects, subject)
    return AttestationOf(subjects, attestation.kind, attestation.predicate, attestation.signer)


def _short(text: str) -> str:
    shown = text if len(text) <= 60 else text[:57] + "…"
    return f"`{shown}`"

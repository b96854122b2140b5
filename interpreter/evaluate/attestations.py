"""Secrets, subjects, signers and attestations as values: names of what is signed, and by whom.

    secret(name)                       SecretHandle    a name
    key(secret)                        KeySigner       the key that this secret holds
    subject(out)                       SubjectOf       an output, or a file or folder in one
    attest(subjects, kind, …)          AttestationOf   that `signer` says `predicate`, a `kind`, of the subjects
    provenance(out)                    ProvenanceOf    what the builder said of how an output was made
    sbom(out)                          SbomOf          what an output holds and was made from
    attestation.as_file                OutValue        the signed envelope, as a file that can be built
    verify(attestation, policy, of)    OutValue        `of` itself, once the attestation of it is found good

Nothing is signed here. Evaluation never waits for a build, so a subject is the output itself and not its digest, and
a predicate holds texts and outputs as they are. What `as_file` and `verify` give belongs to a derivation with a
builtin (interpreter/attesting.py), whose arguments name outputs, the kind, and the secret by its name. `kind` becomes
the `predicateType` of an in-toto Statement, version 1, which is a TypeURI.
"""

from __future__ import annotations

import json
import re

from kiln.interpreter.derivation import Limits, OutputSpec
from kiln.interpreter.evaluate.mistakes import Failure, OutsideDomain
from kiln.interpreter.evaluate.packages import Drv, Plan, Source, call_site
from kiln.interpreter.evaluate.values import NONE, OutValue, Record, SecretHandle, Text, Value, Variant
from kiln.store.paths import OutputName

# A secret is a file of this name in a sandbox's /run/secrets.
_SECRET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
# RFC 3986, section 3: a scheme, and something behind it, all of it characters that a URI may have.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_PUBLIC_KEY = re.compile(r"ed25519:[A-Za-z0-9_-]{43}")

_OUT = OutputName("out")
_FILE = (OutputSpec(_OUT, "file"),)

PROVENANCE_KIND = "https://slsa.dev/provenance/v1"
SBOM_KIND = "https://spdx.dev/Document/v2.3"


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


class Attestation:
    """What all three have in common: a file, which is made when it is first asked for."""

    __slots__ = ("_file", "_site")

    def __init__(self) -> None:
        self._file: OutValue | None = None
        self._site = call_site()

    @property
    def as_file_(self) -> OutValue:
        """`attestation.as_file`: one JSON line, a DSSE envelope around an in-toto statement."""
        if self._file is None:
            drv = Drv(self.file_name(), self.plan)
            drv.site = self._site
            self._file = OutValue(drv, "out")
        return self._file

    def file_name(self) -> str:
        raise NotImplementedError

    def plan(self, own: Drv) -> Plan:
        """What makes the file. Raises Failure."""
        raise NotImplementedError


class AttestationOf(Attestation):
    """A statement that is not signed yet. There is one subject at least."""

    __slots__ = ("kind", "predicate", "signer", "subjects")

    def __init__(self, subjects: tuple[SubjectOf, ...], kind: str, predicate: Value, signer: KeySigner) -> None:
        super().__init__()
        self.subjects = subjects
        self.kind = kind
        self.predicate = predicate
        self.signer = signer

    def file_name(self) -> str:
        return "attestation.intoto.jsonl"

    def plan(self, own: Drv) -> Plan:
        from kiln.interpreter.evaluate.show import predicate_text

        predicate = predicate_text(self.predicate)
        first = predicate if isinstance(predicate, str) else predicate.parts[0]
        if not (isinstance(first, str) and first.startswith("{")):
            raise Failure(
                OutsideDomain("attest", "was given a predicate that is no record and no map: in-toto wants an object")
            )
        subjects = tuple([Text((subject.out,)) for subject in self.subjects])
        return _plan(own, "attest", (self.kind, self.signer.secret.name, predicate, *subjects))


class ProvenanceOf(Attestation):
    """What the builder of an output signed when it was made."""

    __slots__ = ("out",)

    def __init__(self, out: OutValue) -> None:
        super().__init__()
        self.out = out

    def file_name(self) -> str:
        return "provenance.intoto.jsonl"

    def plan(self, own: Drv) -> Plan:
        return _plan(own, "provenance", (Text((self.out,)),))


class SbomOf(Attestation):
    """What an output refers to and was made from, signed by `signer`, or by the builder where that is None."""

    __slots__ = ("out", "signer")

    def __init__(self, out: OutValue, signer: KeySigner | None) -> None:
        super().__init__()
        self.out = out
        self.signer = signer

    def file_name(self) -> str:
        return "sbom.intoto.jsonl"

    def plan(self, own: Drv) -> Plan:
        name = "" if self.signer is None else self.signer.secret.name
        return _plan(own, "sbom", (Text((self.out,)), name))


def _plan(own: Drv, builtin: str, args: tuple[str | Text, ...], outputs: tuple[OutputSpec, ...] = _FILE) -> Plan:
    return Plan(own.name, (builtin, 1), args, (), (), outputs, Limits())


# ---- the prelude's functions --------------------------------------------------------------------


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


def provenance(out: OutValue) -> ProvenanceOf:
    if out.sub:
        raise Failure(OutsideDomain("provenance", "is asked of a part of an output: name the output itself"))
    if isinstance(out.owner, Source):
        raise Failure(OutsideDomain("provenance", "is asked of a source of your own, which nothing has built"))
    return ProvenanceOf(out)


def sbom(out: OutValue, signer: Variant) -> SbomOf:
    if out.sub:
        raise Failure(OutsideDomain("sbom", "is asked of a part of an output: name the output itself"))
    return SbomOf(out, None if signer is NONE else signer._0)  # type: ignore[attr-defined]


def with_subject(attestation: Attestation, subject: SubjectOf) -> AttestationOf:
    """`attestation.with_subject(subject)`"""
    if not isinstance(attestation, AttestationOf):
        what = "provenance" if isinstance(attestation, ProvenanceOf) else "an SBOM"
        raise Failure(OutsideDomain("with_subject", f"is asked of {what}, which speaks of one output alone"))
    subjects = (*attestation.subjects, subject)
    return AttestationOf(subjects, attestation.kind, attestation.predicate, attestation.signer)


def verify(attestation: Attestation, policy: Record, of: OutValue) -> OutValue:
    keys: tuple[str, ...] = policy.keys_  # type: ignore[attr-defined]
    threshold: int = policy.threshold_  # type: ignore[attr-defined]
    bad = next((key for key in keys if _PUBLIC_KEY.fullmatch(key) is None), None)
    if bad is not None:
        problem = f"was given the key {_short(bad)}: a public key is what `kiln key show` prints, `ed25519:…`"
        raise Failure(OutsideDomain("verify", problem))
    if not 1 <= threshold <= len(set(keys)):
        given = f"{len(set(keys))} {'key' if len(set(keys)) == 1 else 'different keys'}"
        raise Failure(
            OutsideDomain("verify", f"was given {given} and a threshold of {threshold}, which can't be met")
        )
    kind = None if policy.kind_ is NONE else policy.kind_._0  # type: ignore[attr-defined]
    rules = json.dumps({"keys": sorted(set(keys)), "kind": kind, "threshold": threshold}, separators=(",", ":"))
    args = (Text((of,)), Text((attestation.as_file_,)), rules)
    return OutValue(Drv("verified", lambda own: _plan(own, "verify", args)), "out", of.sub)


def _short(text: str) -> str:
    shown = text if len(text) <= 60 else text[:57] + "…"
    return f"`{shown}`"

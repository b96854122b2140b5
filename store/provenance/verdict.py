"""Verdicts: what came of building again from a statement alone. `kiln reproduce` signs them.

    {"verdict": "MATCH" | "MISMATCH" | "UNREPLAYABLE",
     "reason": "<why it could not be replayed, or what differs>" | null,
     "envelope": "blake3:<digest of the envelope that was replayed>", "resolved": "blake3:<hex>",
     "outputs": [{"output": "out", "name": "/kiln/store/…", "expected": {digests}, "found": {digests} | null}],
     "replayer": {"id": "https://kiln.example/builders/sandboxed/v1", "version": "0.1.0",
                  "replayedOn": "2026-11-21T08:30:00Z", "enforced": {"network": true}, "degraded": []}}

The word follows from the outputs, and a reader recomputes it: MATCH if each was found with digests that agree,
MISMATCH if one was not, UNREPLAYABLE if nothing was built, and then there is a reason. The subjects are the
outputs that were expected, so that whoever holds one finds what others got from its recipe.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from kiln.store.digest import EnvelopeDigest, ResolvedDigest
from kiln.store.errors import BadEnvelope
from kiln.store.paths import OutputName
from kiln.store.provenance.errors import WrongType
from kiln.store.provenance.facts import Mode
from kiln.store.provenance.fields import Fields, format_time, read_flag, read_text
from kiln.store.provenance.plainjson import Json
from kiln.store.provenance.slsa_read import read_mode
from kiln.store.provenance.statement import Descriptor, DigestSet, Statement, make_statement, read_digests

PREDICATE_TYPE = "https://kiln.example/predicates/verdict/v1"


class Word(enum.Enum):
    MATCH = "MATCH"
    MISMATCH = "MISMATCH"
    UNREPLAYABLE = "UNREPLAYABLE"


@dataclass(frozen=True, slots=True)
class Compared:
    """One output: what the statement names, and what building it again gave (None if nothing)."""

    output: OutputName
    name: str
    expected: DigestSet
    found: DigestSet | None

    @property
    def same(self) -> bool:
        """Whether every digest that the statement names was found again."""
        return self.found is not None and self.found.covers(self.expected)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `kiln reproduce` found. `replayed_on` is in seconds since 1970."""

    envelope: EnvelopeDigest
    resolved: ResolvedDigest
    outputs: tuple[Compared, ...]
    mode: Mode
    version: str
    replayed_on: int
    reason: str | None = None
    enforced: Mapping[str, bool] = field(default_factory=dict)
    degraded: tuple[str, ...] = ()

    @property
    def word(self) -> Word:
        """UNREPLAYABLE if nothing was found, else MATCH or MISMATCH."""
        if all(item.found is None for item in self.outputs):
            return Word.UNREPLAYABLE
        return Word.MATCH if all(item.same for item in self.outputs) else Word.MISMATCH


def verdict_statement(verdict: Verdict) -> dict[str, Json]:
    """The statement, ready to be signed. Raises BadEnvelope where UNREPLAYABLE has no reason."""
    _check(verdict)
    predicate: dict[str, Json] = {
        "verdict": verdict.word.value,
        "reason": verdict.reason,
        "envelope": str(verdict.envelope),
        "resolved": str(verdict.resolved),
        "outputs": [_compared(item) for item in verdict.outputs],
        "replayer": {
            "id": verdict.mode.builder_id,
            "version": verdict.version,
            "replayedOn": format_time(verdict.replayed_on),
            "enforced": dict(verdict.enforced),
            "degraded": list(verdict.degraded),
        },
    }
    subjects = [Descriptor(name=item.name, digest=item.expected) for item in verdict.outputs]
    return make_statement(subjects, PREDICATE_TYPE, predicate)


def read_verdict(statement: Statement) -> Verdict:
    """The verdict of a verified statement. Raises WrongType, BadEnvelope."""
    if statement.predicate_type != PREDICATE_TYPE:
        raise WrongType("not a verdict", expected=PREDICATE_TYPE, found=statement.predicate_type[:200])
    fields = Fields(statement.predicate, "predicate")
    replayer = fields.inner("replayer")
    word = fields.text("verdict")
    verdict = Verdict(
        envelope=fields.parsed("envelope", EnvelopeDigest.parse),
        resolved=fields.parsed("resolved", ResolvedDigest.parse),
        outputs=fields.items("outputs", _read_compared),
        mode=read_mode(replayer.text("id")),
        version=replayer.text("version"),
        replayed_on=replayer.time("replayedOn"),
        reason=fields.optional("reason", lambda: fields.text("reason")),
        enforced=replayer.mapping("enforced", read_flag),
        degraded=replayer.items("degraded", read_text, limit=64),
    )
    replayer.done()
    fields.done()
    _check(verdict)
    if word != verdict.word.value:
        raise BadEnvelope("the verdict is not what its outputs say", expected=verdict.word.value, found=word[:40])
    if [(item.name, item.expected) for item in verdict.outputs] != [
        (subject.name, subject.digest) for subject in statement.subjects
    ]:
        raise BadEnvelope("a verdict's subjects are not the outputs that it compared")
    return verdict


def _check(verdict: Verdict) -> None:
    if not verdict.outputs:
        raise BadEnvelope("a verdict compares nothing", expected="one output or more")
    if verdict.word is Word.UNREPLAYABLE and not verdict.reason:
        raise BadEnvelope("a verdict UNREPLAYABLE must say why", expected="a reason", found="none")


def _compared(item: Compared) -> Json:
    return {
        "output": str(item.output),
        "name": item.name,
        "expected": dict(item.expected.values),
        "found": None if item.found is None else dict(item.found.values),
    }


def _read_compared(value: Json, where: str) -> Compared:
    fields = Fields(value, where)
    item = Compared(
        output=fields.parsed("output", OutputName.parse),
        name=fields.text("name"),
        expected=read_digests(fields.take("expected"), f"{where}.expected"),
        found=fields.optional("found", lambda: read_digests(fields.take("found"), f"{where}.found")),
    )
    fields.done()
    return item

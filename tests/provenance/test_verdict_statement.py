"""Verdicts: the word follows from what was compared."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from provenance_samples import BUILDER, BUILT, OWN, build_facts, digest32

from kiln.store.digest import EnvelopeDigest
from kiln.store.errors import BadEnvelope, StoreError
from kiln.store.provenance.facts import Mode
from kiln.store.provenance.statement import DigestSet, sign_statement
from kiln.store.provenance.verdict import Compared, Verdict, Word, verdict_statement
from kiln.store.provenance.verify import verify_envelope


def compared(*, found: DigestSet | str | None = "same") -> tuple[Compared, ...]:
    doc, out = build_facts().outputs
    got = out.digests if found == "same" else found
    assert not isinstance(got, str)
    return (
        Compared(doc.name, str(doc.path), doc.digests, doc.digests),
        Compared(out.name, str(out.path), out.digests, got),
    )


def verdict(outputs: tuple[Compared, ...], reason: str | None = None) -> Verdict:
    return Verdict(
        envelope=EnvelopeDigest(digest32("replayed")),
        resolved=build_facts().recipe.digest,
        outputs=outputs,
        mode=Mode.SANDBOXED,
        version="0.1.0",
        replayed_on=BUILT,
        reason=reason,
        enforced={"network_namespace": True},
    )


def changed(**digests: str) -> DigestSet:
    return DigestSet({**build_facts().outputs[1].digests.values, **digests})


NOTHING = tuple(replace(item, found=None) for item in compared())


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (verdict(compared()), Word.MATCH),
        (verdict(compared(found=changed(sha256="0" * 64)), "1 of 2 outputs differs"), Word.MISMATCH),
        (verdict(compared(found=changed(kilnRoot="0" * 64))), Word.MISMATCH),
        (verdict(compared(found=None)), Word.MISMATCH),
        (verdict(compared(found=DigestSet({"sha256": "0" * 64}))), Word.MISMATCH),
        (verdict(NOTHING, "this kernel has no user namespaces"), Word.UNREPLAYABLE),
    ],
)
def test_a_verdict_comes_back_with_its_word(said: Verdict, word: Word) -> None:
    verified = verify_envelope(sign_statement(verdict_statement(said), BUILDER), OWN)
    assert verified.said == said and said.word is word
    assert verified.links == (said.envelope,)
    predicate: Any = verified.statement.predicate
    assert predicate["verdict"] == word.value


def test_every_digest_that_was_named_must_be_found_again() -> None:
    partly = DigestSet({"sha256": build_facts().outputs[1].digests.values["sha256"]})
    assert verdict(compared(found=partly)).word is Word.MISMATCH


@pytest.mark.parametrize("said", [verdict(NOTHING), verdict(NOTHING, ""), verdict(())])
def test_a_verdict_that_says_nothing_is_not_made(said: Verdict) -> None:
    with pytest.raises(BadEnvelope):
        verdict_statement(said)


Change = Callable[[Any], None]
ROWS: list[tuple[str, Change]] = [
    ("a MATCH that is none", lambda s: s["predicate"]["outputs"][0]["found"].update(sha256="0" * 64)),
    ("a MISMATCH that is none", lambda s: s["predicate"].update(verdict="MISMATCH")),
    ("another word", lambda s: s["predicate"].update(verdict="PROBABLY")),
    ("an output that is no subject", lambda s: s["subject"].pop()),
    ("a subject with other digests", lambda s: s["subject"][0]["digest"].update(sha256="0" * 64)),
    ("no outputs", lambda s: s["predicate"].update(outputs=[])),
    ("an unknown field", lambda s: s["predicate"].update(x=1)),
    ("an unknown field of an output", lambda s: s["predicate"]["outputs"][0].update(x=1)),
    ("no word on what was found", lambda s: s["predicate"]["outputs"][0].pop("found")),
    ("an unknown replayer field", lambda s: s["predicate"]["replayer"].update(x=1)),
]


@pytest.mark.parametrize("change", [row[1] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_wrong_verdict_is_refused(change: Change) -> None:
    statement: Any = copy.deepcopy(verdict_statement(verdict(compared())))
    change(statement)
    with pytest.raises(StoreError) as caught:
        verify_envelope(sign_statement(statement, BUILDER), OWN)
    assert caught.value.code == "K0603", caught.value.message

"""From what was made to what can be shown: facts, a signed statement, claims and witnesses.

SHA-256 is computed here and nowhere else: the store works by BLAKE3 alone, and a statement has to be checkable
with `sha256sum`. A tree's digests are those of its canonical archive.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from blake3 import blake3

from kiln.interpreter.derivation import Derivation, Fixed, Limits, fixed_resolved, resolved_digest
from kiln.interpreter.recipe import recipe_of
from kiln.interpreter.workshop import Workshop
from kiln.store.digest import BlobDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.info import ObjectInfo
from kiln.store.paths import OutputName
from kiln.store.provenance.facts import (
    BuildFacts,
    Dependency,
    FetchFacts,
    FileFact,
    LogFact,
    Mode,
    Output,
    Provenance,
    Run,
    Usage,
    file_name,
)
from kiln.store.provenance.slsa import build_statement
from kiln.store.provenance.statement import Content, envelope_digest, sign_statement
from kiln.store.records import Claim, Witness, make_claim, sign_witness

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Course:
    """How something was made. Times are seconds since the epoch; `enforced` is what was really in force."""

    mode: Mode
    started: float
    finished: float
    enforced: Mapping[str, bool]
    degraded: tuple[str, ...] = ()
    usage: Usage | None = None
    log: LogFact | None = None
    sources: tuple[str, ...] = ()
    location: str = ""
    """For a fetch: what was declared, and the address that the bytes came from."""


@dataclass(frozen=True, slots=True)
class Attested:
    """What was made, where it lies until it is committed, and what is to be registered with it."""

    envelope: EnvelopeDigest
    data: bytes
    witnesses: tuple[tuple[Claim, Witness], ...]


def attest(
    workshop: Workshop,
    made: Derivation | Fixed,
    outputs: Mapping[OutputName, ObjectInfo],
    course: Course,
    limits: Limits,
    evidence: Mapping[ObjectId, EnvelopeDigest],
    places: Mapping[OutputName, str] | None = None,
) -> Attested:
    """Sign what was done: the envelope, and a witness for each output's claim. Writes nothing.

    `evidence` maps an input object to the envelope about it; a source of the user's own has none. `places` says
    where outputs lie that are not committed yet.
    """
    facts = _facts(workshop, made, outputs, places or {}, course, limits, evidence)
    data = sign_statement(build_statement(facts), workshop.signer)
    envelope = envelope_digest(data)
    resolved = digest_of_made(made)
    witnesses = []
    for name, info in outputs.items():
        claim = make_claim(resolved, name, info.id, info.root, info.size, info.references)
        witness = sign_witness(
            workshop.signer,
            claim,
            envelope,
            degraded=course.degraded,
            started=int(course.started * 1000),
            finished=int(course.finished * 1000),
            resources=_resources(course.usage),
        )
        witnesses.append((claim, witness))
    return Attested(envelope, data, tuple(witnesses))


def digest_of_made(made: Derivation | Fixed) -> ResolvedDigest:
    """The digest under which claims about it are made."""
    return fixed_resolved(made) if isinstance(made, Fixed) else resolved_digest(made)


def content_of(workshop: Workshop, info: ObjectInfo, place: str | None = None) -> Content:
    """SHA-256 and BLAKE3 of a file's bytes, or of a tree's canonical archive; remembered by what it is."""
    found = workshop.contents.get(info.id)
    if found is None:
        sha256, plain = workshop.store.tree_sha256(info, place)
        found = workshop.contents[info.id] = Content(sha256, BlobDigest(plain))
    return found


def content_at(path: str) -> Content:
    """The same for one file on disk."""
    sha256, plain = hashlib.sha256(), blake3()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            plain.update(chunk)
    return Content(sha256.digest(), BlobDigest(plain.digest()))


def output_fact(workshop: Workshop, name: OutputName, info: ObjectInfo, place: str | None = None) -> Output:
    """What a statement says of one output, with the programs under its `bin`."""
    physical = place or workshop.store.physical(info.path)
    return Output(
        name=name,
        path=info.path,
        kind="file" if info.kind == "file" else "tree",
        object_id=info.id,
        root=info.root,
        content=content_of(workshop, info, place),
        size=info.size,
        files=_programs(physical) if info.kind == "tree" else (),
    )


def _programs(path: str) -> tuple[FileFact, ...]:
    """Regular files right under `bin`, in the order of their names; links are not followed."""
    folder = os.path.join(os.fsencode(path), b"bin")
    if os.path.islink(folder) or not os.path.isdir(folder):
        return ()
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    return tuple(
        FileFact("bin/" + file_name(name), content_at(os.fsdecode(os.path.join(folder, name)))) for name in names
    )


def _facts(
    workshop: Workshop,
    made: Derivation | Fixed,
    outputs: Mapping[OutputName, ObjectInfo],
    places: Mapping[OutputName, str],
    course: Course,
    limits: Limits,
    evidence: Mapping[ObjectId, EnvelopeDigest],
) -> Provenance:
    said = tuple(output_fact(workshop, name, outputs[name], places.get(name)) for name in sorted(outputs))
    run = Run(
        mode=course.mode,
        version=workshop.version,
        invocation_id=str(uuid.uuid4()),
        started=int(course.started),
        finished=int(course.finished),
        enforced=course.enforced,
        degraded=course.degraded,
        log=course.log,
        usage=course.usage,
    )
    if isinstance(made, Fixed):
        return FetchFacts(recipe_of(made), said[0], course.sources, course.location, run)
    return BuildFacts(
        recipe=recipe_of(made),
        outputs=said,
        dependencies=tuple(_dependency(workshop, item.id, evidence) for item in made.inputs),  # type: ignore[union-attr]
        run=run,
        epoch=made.sandbox.epoch,
        profile=made.sandbox.profile,
        limits=limits.amounts(),
    )


def _dependency(workshop: Workshop, object_id: ObjectId, evidence: Mapping[ObjectId, EnvelopeDigest]) -> Dependency:
    info = workshop.store.info(object_id)
    assert info is not None, object_id
    envelope = evidence.get(object_id)
    content = content_of(workshop, info) if envelope is not None else None
    return Dependency(info.path, info.id, info.root, content, envelope)


def _resources(usage: Usage | None) -> tuple[tuple[str, int], ...]:
    if usage is None:
        return ()
    return (("cpu", usage.cpu_us // 1000), ("memory", usage.max_rss), ("wall", usage.wall_us // 1000))

"""Building again from envelopes alone, and comparing what comes out.

    closure ──verify──► statements, inputs first ──make each in a fresh store──► compare every output

No build file is read and nothing is evaluated: a statement holds the resolved derivation's canonical bytes, a
fetch's holds what the file must be and where it was declared to come from. Files are looked for by digest in the
user's other stores first, which need no trust, as what they give is hashed before it is admitted. A source of the
user's own has no envelope: it is taken from those stores, or the replay is refused before anything is built. A file
that its maker signed (attesting.py) is taken from there too: a signature is checked, never made again.

The first statement, in the order of the build, whose inputs are equal and whose output is not, is the one that is
not reproducible; what is above it can't be told.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kiln.interpreter.derivation import (
    AMOUNTS,
    MOST_PROCESSES,
    STANDARD,
    SYSTEM,
    USUAL_LIMITS,
    Builtin,
    Derivation,
    Fixed,
    Limits,
    SourceObject,
)
from kiln.interpreter.errors import NotReplayable
from kiln.interpreter.events import Planned, StepFailed, StepFinished, StepInterrupted, StepStarted
from kiln.interpreter.evidence import output_fact
from kiln.interpreter.making import Making, make
from kiln.interpreter.realise import kill_builds, recipe_kind
from kiln.interpreter.recipe import decode_recipe, read_recipe
from kiln.interpreter.schedule import Demand, Scheduler
from kiln.interpreter.workshop import Workshop
from kiln.store.digest import DrvDigest, EnvelopeDigest
from kiln.store.paths import OutputName
from kiln.store.provenance.closure import Closure
from kiln.store.provenance.facts import BuildFacts, FetchFacts, Mode, Output, Provenance
from kiln.store.provenance.statement import DigestSet, sign_statement
from kiln.store.provenance.verdict import Compared, Verdict, verdict_statement
from kiln.store.provenance.verify import Expected, check_build
from kiln.store.store import Store

_FETCHES = 8


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of one statement. `found` lacks an output that was not made."""

    facts: Provenance
    name: str
    found: Mapping[OutputName, DigestSet]

    @property
    def differing(self) -> list[Output]:
        return [item for item in self.facts.outputs if not _same(item, self.found.get(item.name))]


@dataclass(frozen=True, slots=True)
class Reproduction:
    """The verdict on the target, its signed statement, and the first replay that differs, if one does."""

    verdict: Verdict
    envelope: bytes
    differs: Replayed | None
    failure: Exception | None
    """What kept the replay from its end, where nothing differed: a build that failed, a file not to be had."""


@dataclass(frozen=True, slots=True)
class _Step:
    digest: EnvelopeDigest
    facts: Provenance
    recipe: Derivation | Fixed

    @property
    def key(self) -> DrvDigest:
        """What events call it."""
        return DrvDigest(self.facts.recipe.digest)


class _Differs(Exception):
    """A replay whose result is another one: nothing above it can be made."""

    def __init__(self, replayed: Replayed) -> None:
        super().__init__(f"{replayed.name} differs")
        self.replayed = replayed


def reproduce(workshop: Workshop, closure: Closure, others: Sequence[Store]) -> Reproduction:
    """Make everything again in the workshop's store, which has to be a fresh one; `others` may lend inputs.

    Raises NotReplayable, and what making raises.
    """
    steps = _steps(closure)
    if _is_signed(steps[closure.target].recipe):
        raise NotReplayable(
            f"{steps[closure.target].recipe.name} is a signed file, which nobody else can make again",
            expected="something that was built, fetched or unpacked",
            help="check its signature: verify(attestation, policy, of = output)",
        )
    _lend_sources(workshop, steps, others)
    runner = _Runner(workshop, steps, others)
    failure = runner.run()
    if failure is not None and not isinstance(failure, _Differs | OSError) and not hasattr(failure, "code"):
        raise failure  # a bug, and no verdict
    differs = failure.replayed if isinstance(failure, _Differs) else None
    found = runner.replayed.get(closure.target)
    verdict = _verdict(workshop, steps[closure.target], found, _reason(failure))
    signed = sign_statement(verdict_statement(verdict), workshop.signer)
    return Reproduction(verdict, signed, differs, None if differs is not None else failure)


def _steps(closure: Closure) -> dict[EnvelopeDigest, _Step]:
    """Every statement with its recipe, inputs first; each is checked against its own recipe's bytes."""
    steps: dict[EnvelopeDigest, _Step] = {}
    for verified in closure.bottom_up():
        if not isinstance(verified.said, BuildFacts | FetchFacts):
            raise NotReplayable("an envelope that is not about a build or a fetch", found=str(verified.digest))
        check_build(verified, Expected(decode=decode_recipe))
        facts = verified.said
        if facts.run.mode is Mode.RELAXED:
            raise NotReplayable("a build that was not hermetic can't be replayed", found=str(verified.digest))
        step = _Step(verified.digest, facts, read_recipe(facts.recipe.form, facts.recipe.encoded))
        _check_replayable(step)
        steps[verified.digest] = step
    return steps


def _check_replayable(step: _Step) -> None:
    """Whether this machine and this version can do what was done. Raises NotReplayable, before anything is built."""
    match step.recipe:
        case Derivation(system=system, sandbox=sandbox, secrets=secrets) if (
            system != SYSTEM or sandbox != STANDARD or secrets
        ):
            raise NotReplayable(
                f"{step.recipe.name} was built in surroundings that this version can't make again",
                expected=f"{SYSTEM}, sandbox {STANDARD.epoch} {STANDARD.profile}, no secrets",
                found=f"{system}, sandbox {sandbox.epoch} {sandbox.profile}, {len(secrets)} secrets",
            )
        case _:
            return


def _is_signed(recipe: Derivation | Fixed) -> bool:
    """Whether it makes a file with a signature of the one who made it (attesting.py)."""
    match recipe:
        case Derivation(builder=Builtin(name="attest" | "provenance" | "sbom")):
            return True
        case _:
            return False


def _lend_sources(workshop: Workshop, steps: Mapping[EnvelopeDigest, _Step], others: Sequence[Store]) -> None:
    """Inputs that no statement is named for are copied from another store, hashed on the way."""
    for step in steps.values():
        if isinstance(step.recipe, Fixed):
            continue
        made = {item.object_id for item in step.facts.dependencies if item.envelope is not None}
        for item in step.recipe.inputs:
            assert isinstance(item, SourceObject)
            if item.id not in made and not _lend(workshop.store, item, others):
                raise NotReplayable(
                    f"{step.recipe.name} was built from a source that is not to be had here",
                    expected=f"{item.path}, object {item.id}",
                    help="run this where the source was added, or name such a store with --from",
                )


def _lend(store: Store, item: SourceObject, others: Sequence[Store]) -> bool:
    if store.info(item.id) is not None:
        return True
    for other in others:
        info = other.info(item.id)
        if info is not None and not info.references:
            copied = store.add_object(other.physical(info.path), item.name, move=False)
            if copied.id == item.id:
                return True
    return False


class _Runner:
    """Replays statements on the scheduler's threads; `replayed` is guarded by `_lock`."""

    def __init__(self, workshop: Workshop, steps: Mapping[EnvelopeDigest, _Step], others: Sequence[Store]) -> None:
        self.replayed: dict[EnvelopeDigest, Replayed] = {}
        self._workshop = workshop
        self._steps = steps
        self._others = others
        self._lock = threading.Lock()

    def run(self) -> Exception | None:
        """Replay everything, as far as results are equal. What stopped it, in the order of the build, or None."""
        needs = {digest: self._below(step) for digest, step in self._steps.items()}
        self._workshop.emit(Planned(len(self._steps), 0))
        outcome = Scheduler(
            tuple(self._steps),
            needs,
            self._one,
            lambda digest: Demand("fetch" if isinstance(self._steps[digest].recipe, Fixed) else "build"),
            {"fetch": _FETCHES, "build": self._workshop.jobs},
            interrupt=self._interrupt,
        ).run()
        return next(iter(outcome.failed.values()), None)

    def _interrupt(self) -> None:
        self._workshop.interrupted.set()
        kill_builds()

    def _below(self, step: _Step) -> list[EnvelopeDigest]:
        return [item.envelope for item in step.facts.dependencies if item.envelope is not None]

    def _one(self, digest: EnvelopeDigest) -> None:
        step = self._steps[digest]
        kind = recipe_kind(step.recipe)
        began, name = time.time(), step.recipe.name
        self._workshop.emit(StepStarted(step.key, name, kind, began))
        try:
            replayed = self._replay(step)
        except Exception as error:
            if self._workshop.interrupted.is_set():
                self._workshop.emit(StepInterrupted(step.key, name, kind, time.time() - began))
                raise
            code = str(getattr(error, "code", "K9999"))
            self._workshop.emit(StepFailed(step.key, name, kind, code, str(error), time.time() - began))
            raise
        with self._lock:
            self.replayed[digest] = replayed
        if replayed.differing:
            seconds = time.time() - began
            self._workshop.emit(StepFailed(step.key, name, kind, "K0651", "the result differs", seconds))
            raise _Differs(replayed)
        paths = tuple(str(item.path) for item in step.facts.outputs)
        self._workshop.emit(StepFinished(step.key, name, kind, "equal", time.time() - began, paths))

    def _replay(self, step: _Step) -> Replayed:
        if _is_signed(step.recipe):
            return self._taken(step)
        evidence = {item.object_id: item.envelope for item in step.facts.dependencies if item.envelope is not None}
        sources: tuple[str, ...] = ()
        copies: tuple[str, ...] = ()
        if isinstance(step.facts, FetchFacts):
            sources, copies = step.facts.sources, self._copies(step.facts)
        limits = _limits(step.facts)
        made = make(self._workshop, Making(step.key, step.recipe, sources, limits, evidence=evidence, copies=copies))
        found = {
            name: output_fact(self._workshop, name, realised.info).digests for name, realised in made.outputs.items()
        }
        return Replayed(step.facts, step.recipe.name, found)

    def _taken(self, step: _Step) -> Replayed:
        """A signed file as it is, by its digest, from another store: nobody else can sign it again."""
        found: dict[OutputName, DigestSet] = {}
        for item in step.facts.outputs:
            other = next((store for store in self._others if store.info(item.object_id) is not None), None)
            if other is None:
                raise NotReplayable(
                    f"{step.recipe.name} is a signed file that is not to be had here",
                    expected=f"{item.path}, object {item.object_id}",
                    help="run this where it was signed, or name such a store with --from",
                )
            info = self._workshop.store.borrow(self._workshop.store.open_readonly(other.root), item.object_id)
            found[item.name] = output_fact(self._workshop, item.name, info).digests
        return Replayed(step.facts, step.recipe.name, found)

    def _copies(self, facts: FetchFacts) -> tuple[str, ...]:
        """Where other stores hold the file: asked first, since a digest needs no trust."""
        places = [other.physical(facts.output.path) for other in self._others]
        return tuple(f"file://{_quoted(place)}" for place in places if os.path.isfile(place))


def _limits(facts: Provenance) -> Limits:
    """What the build had, where its statement says so: what took long takes long again."""
    said = facts.limits if isinstance(facts, BuildFacts) else {}
    usual = {name: getattr(USUAL_LIMITS, name) for name in AMOUNTS}
    found = (max(1, said[name]) if name in said else value for name, value in usual.items())
    wall, silence, log, memory, processes, disk = found
    return Limits(wall, silence, log, memory, min(processes, MOST_PROCESSES), disk)


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(os.path.abspath(path))


def _same(expected: Output, found: DigestSet | None) -> bool:
    return found is not None and expected.digests.difference(found) is None


def _reason(failure: Exception | None) -> str | None:
    match failure:
        case None:
            return None
        case _Differs(replayed=replayed):
            return f"{replayed.name}: {', '.join(str(item.name) for item in replayed.differing)} differs"
        case _:
            return f"{type(failure).__name__}: {failure}"[:500]


def _verdict(workshop: Workshop, target: _Step, found: Replayed | None, reason: str | None) -> Verdict:
    compared = tuple(
        Compared(item.name, str(item.path), item.digests, found.found.get(item.name) if found is not None else None)
        for item in target.facts.outputs
    )
    return Verdict(
        envelope=target.digest,
        resolved=target.facts.recipe.digest,
        outputs=compared,
        reason=reason,
        mode=target.facts.run.mode,
        version=workshop.version,
        replayed_on=int(time.time()),
    )

"""Making one thing whose inputs are objects: fetched, made by a builtin, or built in the sandbox.

Whoever makes something holds the lock of its resolved digest, and looks again, once he has it, whether another
process has made it meanwhile. What comes out is registered with its evidence before the lock is let go.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiln.interpreter.derivation import (
    USUAL_LIMITS,
    Builtin,
    Credential,
    Derivation,
    DrvOutput,
    Fixed,
    Limits,
    SourceObject,
)
from kiln.interpreter.errors import RealiseError
from kiln.interpreter.evidence import Attested, Course, attest, digest_of_made
from kiln.interpreter.ledger import Realised, scope_of, sign_pins
from kiln.interpreter.workshop import Workshop
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.info import ObjectInfo
from kiln.store.paths import OutputName
from kiln.store.provenance.facts import Mode

if TYPE_CHECKING:
    from kiln.store.rewrite import StagedOutputs

OUT = OutputName("out")


@dataclass(frozen=True, slots=True)
class Making:
    """One thing to be made. `key` names it in events; `evidence` maps inputs to the envelopes about them."""

    key: DrvDigest
    recipe: Derivation | Fixed
    sources: tuple[str, ...] = ()
    limits: Limits = USUAL_LIMITS
    place: str | None = None
    evidence: Mapping[ObjectId, EnvelopeDigest] = field(default_factory=dict)
    pins: Mapping[DrvOutput, SourceObject] | None = None
    """For a derivation of a graph, the objects that stand for its inputs: recorded as its resolution."""
    credentials: tuple[tuple[str, Credential], ...] = ()
    """For a fetch, what is shown to which source."""
    copies: tuple[str, ...] = ()
    """For a fetch, where a copy may lie on this machine: tried before the sources, and no part of what they are."""


@dataclass(frozen=True, slots=True)
class Made:
    """`fresh` is false where it was there already."""

    outputs: Mapping[OutputName, Realised]
    fresh: bool


def make(workshop: Workshop, making: Making, *, again: bool = False) -> Made:
    """Make it, unless the store holds it; with `again`, make it whatever the store holds.

    Raises RealiseError, StoreError, FetchError, SandboxError.
    """
    resolved = digest_of_made(making.recipe)
    wanted = _wanted(making.recipe)
    scopes = frozenset({scope_of(making.recipe)})
    found = {} if again else workshop.ledger.realised(resolved, scopes)
    if wanted <= found.keys():
        return Made(found, fresh=False)
    with _only_builder(workshop, making.key, resolved):
        found = {} if again else workshop.ledger.realised(resolved, scopes)
        if wanted <= found.keys():
            return Made(found, fresh=False)
        match making.recipe:
            case Fixed():
                return _fetch(workshop, making, making.recipe)
            case Derivation(builder=Builtin()):
                return _builtin(workshop, making, making.recipe)
            case Derivation():
                return _build(workshop, making, making.recipe)


@contextmanager
def _only_builder(workshop: Workshop, key: DrvDigest, resolved: ResolvedDigest) -> Iterator[None]:
    """Hold the lock of what is to be made. Who waits for another builder says so, and can be interrupted.

    Raises StoreLocked where that builder is stopped, RealiseError where everything is to end.
    """

    def tell(holder: int | None) -> None:
        from kiln.interpreter.events import StepWaits
        from kiln.store.locks import command_of

        workshop.emit(StepWaits(key, holder, "" if holder is None else command_of(holder)))

    lock = workshop.store.lock_build(
        resolved, stopped=workshop.patience, on_wait=tell, cancelled=workshop.interrupted.is_set
    )
    with lock as held:
        if not held:
            raise RealiseError("interrupted while another process made the same")
        yield


def _wanted(recipe: Derivation | Fixed) -> set[OutputName]:
    return {OUT} if isinstance(recipe, Fixed) else {spec.name for spec in recipe.outputs}


def _build(workshop: Workshop, making: Making, drv: Derivation) -> Made:
    from kiln.interpreter.sandboxed import built

    with built(workshop, making, drv) as (staged, course):
        places = {name: item.physical for name, item in staged.staged}
        signed = attest(workshop, drv, staged.infos, course, making.limits, making.evidence, places)
        return _register(workshop, making, staged.infos, signed, staged)


def _fetch(workshop: Workshop, making: Making, fixed: Fixed) -> Made:
    from kiln.interpreter.events import StepProgress, Warned
    from kiln.interpreter.fetch.errors import FetchError
    from kiln.interpreter.fetch.fetch import fetch_fixed

    started = time.time()
    folder = workshop.store.new_temp("fetch")
    try:
        fetched = fetch_fixed(
            fixed,
            (*making.copies, *making.sources),
            os.path.join(folder, "file"),
            workshop.fetch_config(),
            lambda progress: workshop.emit(StepProgress(making.key, progress.done, progress.total)),
            headers={source: _header(workshop, item, fixed.name) for source, item in making.credentials},
        )
    except FetchError as error:
        if making.place is not None:
            error.notes = (f"pinned at {making.place}", *error.notes)
        raise
    for warning in fetched.warnings:
        workshop.emit(Warned(warning))
    os.chmod(fetched.path, 0o555 if fixed.executable else 0o444)
    info = workshop.store.add_object(fetched.path, fixed.name, move=True)
    course = Course(
        mode=Mode.FETCH,
        started=started,
        finished=time.time(),
        enforced={"digest": True},
        sources=making.sources,
        location=fetched.source_used,
    )
    return _register(workshop, making, {OUT: info}, attest(workshop, fixed, {OUT: info}, course, making.limits, {}))


def _header(workshop: Workshop, credential: Credential, user: str) -> tuple[str, str]:
    from kiln.interpreter.secrets import header_of

    return header_of(credential, workshop.secret(credential.secret, user))


def _builtin(workshop: Workshop, making: Making, drv: Derivation) -> Made:
    from kiln.interpreter.builtin import run_builtin

    started = time.time()
    info = run_builtin(workshop, drv)
    course = Course(mode=Mode.BUILTIN, started=started, finished=time.time(), enforced={"inputs": True})
    signed = attest(workshop, drv, {OUT: info}, course, making.limits, making.evidence)
    return _register(workshop, making, {OUT: info}, signed)


def _register(
    workshop: Workshop,
    making: Making,
    outputs: Mapping[OutputName, ObjectInfo],
    signed: Attested,
    staged: StagedOutputs | None = None,
) -> Made:
    """Objects, claims, witnesses, envelope and resolution in one transaction."""
    resolutions = []
    if making.pins is not None:
        resolutions.append(sign_pins(workshop.signer, making.key, digest_of_made(making.recipe), making.pins))
    workshop.store.commit(staged, witnesses=signed.witnesses, resolutions=resolutions, envelopes=(signed.data,))
    return Made({name: Realised(info, signed.envelope) for name, info in outputs.items()}, fresh=True)

"""What caches say of derivations, judged: of all that is offered, what the policy admits and the graph bears out.

    resolutions ──drv, pins give the same resolved derivation? admitted?──► resolved derivations
    claims      ──admitted?──► what each output is; those of one build together

A resolution is recomputed from the plan's own derivation before its signature counts: one that is valid for another
derivation is refused, and named. Nothing is fetched here but rows of indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from kiln.interpreter.derivation import (
    BuildStep,
    DrvOutput,
    FetchStep,
    Graph,
    SourceObject,
    Step,
    resolve,
    resolved_digest,
)
from kiln.interpreter.ledger import scope_of
from kiln.store.cache.several import Caches, Claims
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.paths import OutputName, check_name
from kiln.store.provenance.admission import Admission, Offer, Refusal, admits, admits_resolution
from kiln.store.provenance.trust import Scope
from kiln.store.records import Claim, Resolution, Witness


class Resolved(NamedTuple):
    """A way in which a derivation comes down to a resolved one; `resolutions` are those that were enough."""

    resolved: ResolvedDigest
    pins: Mapping[DrvOutput, SourceObject]
    resolutions: tuple[Offer[Resolution], ...]


class Realisation(NamedTuple):
    """A claim that the policy admits, with the witnesses that were enough."""

    claim: Claim
    name: str
    witnesses: tuple[Offer[Witness], ...]
    word: str
    """On whose word, for people."""

    @property
    def made(self) -> SourceObject:
        return SourceObject(self.claim.object, self.name)


class Admitted(NamedTuple):
    """A claim, and the witnesses under it that were enough."""

    claim: Claim
    witnesses: tuple[Offer[Witness], ...]


class Judge:
    """Judges for one command. `warn` is told what was refused, each reason once."""

    def __init__(self, caches: Caches, graph: Graph, warn: Callable[[str], None]) -> None:
        self._caches = caches
        self._graph = graph
        self._warn = warn
        self._told: set[str] = set()

    def ways(self, drvs: Iterable[DrvDigest]) -> dict[DrvDigest, list[Resolved]]:
        """For each derivation what it comes down to, by resolutions that hold."""
        wanted = list(drvs)
        found: dict[DrvDigest, list[Resolved]] = {}
        asked = [drv for drv in wanted if isinstance(self._graph[drv], BuildStep)]
        offered = self._caches.resolutions(
            asked, lambda some: all(self._holds(drv, some.get(drv, ())) for drv in asked)
        )
        for drv in wanted:
            step = self._graph[drv]
            if isinstance(step, FetchStep):
                found[drv] = [Resolved(ResolvedDigest(drv), {}, ())]
            else:
                ways = [self._way(step, group) for group in _grouped(offered.get(drv, ()))]
                found[drv] = [way for way in ways if way is not None]
        return found

    def _holds(self, drv: DrvDigest, offers: Collection[Offer[Resolution]]) -> bool:
        """Whether some resolution is admitted already; nothing is said of those that are not."""
        step, policy = self._graph[drv], self._caches.believed.policy
        assert isinstance(step, BuildStep)
        for group in _grouped(offers):
            pins = _pins_of(group[0].record)
            if not _fit(step, pins) or resolved_digest(resolve(step.derivation, pins)) != group[0].record.resolved:
                continue
            if isinstance(admits_resolution(policy, group), Admission):
                return True
        return False

    def _are_whole(self, wanted: Mapping[ResolvedDigest, Step], claims: Claims) -> bool:
        """Whether every output of every one of these has a claim that is admitted already."""
        policy = self._caches.believed.policy
        for resolved, step in wanted.items():
            admitted = {
                claim.output
                for claim, offers in claims.get(resolved, {}).items()
                if isinstance(admits(policy, claim, offers, scope=_scope(step)), Admission)
            }
            if not _outputs_of(step) <= admitted:
                return False
        return True

    def _way(self, step: BuildStep, offers: Sequence[Offer[Resolution]]) -> Resolved | None:
        said = offers[0].record
        pins = _pins_of(said)
        if not _fit(step, pins) or resolved_digest(resolve(step.derivation, pins)) != said.resolved:
            self._refuse(
                f"{_places(offers)} a resolution of {step.derivation.name} that is another derivation's "
                f"(K0677); it is not taken",
            )
            return None
        match admits_resolution(self._caches.believed.policy, offers):
            case Admission(offers=enough):
                return Resolved(said.resolved, pins, enough)
            case Refusal() as refusal:
                self._refused(refusal, offers)
                return None

    def builds(
        self, wanted: Mapping[ResolvedDigest, Step]
    ) -> dict[ResolvedDigest, list[dict[OutputName, Realisation]]]:
        """For each resolved derivation what its builds made, as far as the policy admits it; the fullest first.

        Outputs of two builds are never put together: one may refer to the other as its own build made it.
        """
        found: dict[ResolvedDigest, list[dict[OutputName, Realisation]]] = {}
        for resolved, claims in self._caches.claims(wanted, lambda some: self._are_whole(wanted, some)).items():
            step = wanted[resolved]
            builds: dict[EnvelopeDigest, dict[OutputName, Realisation]] = {}
            for claim, offers in claims.items():
                admitted = self._realisation(step, claim, offers)
                if admitted is not None:
                    for offer in offers:
                        builds.setdefault(offer.record.envelope, {}).setdefault(claim.output, admitted)
            if builds:
                ordered = sorted(builds.values(), key=len, reverse=True)
                found[resolved] = [item for at, item in enumerate(ordered) if item not in ordered[:at]]
        return found

    def admitted(self, resolved: Iterable[ResolvedDigest]) -> dict[ObjectId, list[Admitted]]:
        """What caches claim of these derivations, as far as the policy admits it, by the object that was made.

        Which derivations these are is a hint of the caches, and what kind of step they are is not known: a key counts
        that is trusted for any. Of what is not admitted nothing is said: it comes along with something that is.
        """
        found: dict[ObjectId, list[Admitted]] = {}
        wanted = set(resolved)
        for claims in self._caches.claims(wanted, lambda some: wanted <= some.keys()).values():
            for claim, offers in claims.items():
                verdict = admits(self._caches.believed.policy, claim, offers)
                if isinstance(verdict, Admission):
                    found.setdefault(claim.object, []).append(Admitted(claim, verdict.offers))
        return found

    def _realisation(self, step: Step, claim: Claim, offers: Sequence[Offer[Witness]]) -> Realisation | None:
        name = _name_of(step, claim.output)
        if name is None:
            return None
        match admits(self._caches.believed.policy, claim, offers, scope=_scope(step)):
            case Admission() as admission:
                return Realisation(claim, name, admission.offers, admission.word)
            case Refusal() as refusal:
                self._refused(refusal, offers)
                return None

    def _refused(self, refusal: Refusal, offers: Sequence[Offer[Resolution]] | Sequence[Offer[Witness]]) -> None:
        """What is not admitted is said once for each rule, caches and keys: there may be thousands of it."""
        caches = sorted({offer.cache for offer in offers if offer.cache is not None})
        key = f"{refusal.rule.name} {caches} {sorted({offer.record.keyid for offer in offers})}"
        if caches and key not in self._told:
            self._told.add(key)
            error = refusal.error()
            self._warn(f"[{error.code}] {error.message}: {error.found}; it is not taken from {', '.join(caches)}")

    def _refuse(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._warn(text)


def objects_of(builds: Iterable[Mapping[OutputName, Realisation]]) -> set[ObjectId]:
    return {item.claim.object for build in builds for item in build.values()}


def _grouped(offers: Collection[Offer[Resolution]]) -> list[list[Offer[Resolution]]]:
    """Those that say the same together, in the order in which they are offered."""
    groups: dict[tuple[object, ...], list[Offer[Resolution]]] = {}
    for offer in offers:
        groups.setdefault((offer.record.resolved, offer.record.pins), []).append(offer)
    return list(groups.values())


def _pins_of(said: Resolution) -> dict[DrvOutput, SourceObject]:
    return {DrvOutput(pin.drv, pin.output): SourceObject(pin.object, pin.name) for pin in said.pins}


def _fit(step: BuildStep, pins: Mapping[DrvOutput, SourceObject]) -> bool:
    """Whether these are objects for the step's inputs, each and no other."""
    return pins.keys() == {item for item in step.derivation.inputs if isinstance(item, DrvOutput)}


def _outputs_of(step: Step) -> set[OutputName]:
    return {OutputName("out")} if isinstance(step, FetchStep) else {spec.name for spec in step.derivation.outputs}


def _places(offers: Sequence[Offer[Resolution]]) -> str:
    names = list(dict.fromkeys(offer.cache for offer in offers if offer.cache is not None))
    return f"the cache {', '.join(names)} offers" if names else "there is"


def _name_of(step: Step, output: OutputName) -> str | None:
    """The name that an output's object has to have; None where the derivation has no such output."""
    if isinstance(step, FetchStep):
        return check_name(step.fixed.name) if output == "out" else None
    if all(spec.name != output for spec in step.derivation.outputs):
        return None
    return step.derivation.output_name(output)


def _scope(step: Step) -> Scope:
    return Scope(scope_of(step.fixed if isinstance(step, FetchStep) else step.derivation))

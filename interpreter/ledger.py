"""What the store's records say of derivations: how each was resolved, what came of it, on whose evidence.

The store holds digests and knows no derivation; the planner asks for derivations and knows no store. Records of
one's own store were verified when they were admitted, and are not verified again each time they are read. But what
came from elsewhere is used only while the policy still admits it, as it is today: keys are revoked, expire, are
trusted no longer or for less. The policy is asked for when there is such a record, and not before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from kiln.interpreter.derivation import (
    Builtin,
    Derivation,
    DrvOutput,
    Fixed,
    SourceObject,
    resolve,
    resolved_digest,
)
from kiln.interpreter.plan import Known
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.info import ObjectInfo
from kiln.store.paths import OutputName
from kiln.store.records import Claim, Pin, Resolution, Signer, sign_resolution
from kiln.store.store import Store
from kiln.store.tables import Witnessed

if TYPE_CHECKING:
    from kiln.store.provenance.trust import Policy

# Scopes by their names: who takes nothing from others loads nothing of trust.
BUILDS = frozenset({"sandboxed", "builtin"})
"""What a step may be that was resolved. A fetch is not: its one digest serves for both."""
FETCHES = frozenset({"fetch"})
ANY_STEP = BUILDS | FETCHES
RESOLUTIONS = frozenset({"resolve"})


class Realised(NamedTuple):
    """An output that the store holds, and the envelope about it."""

    info: ObjectInfo
    envelope: EnvelopeDigest


class Ledger:
    """A view of one store. Implements `plan.Knowledge`."""

    def __init__(self, store: Store, policy: Callable[[], Policy]) -> None:
        self._store = store
        self._policy = policy

    @property
    def store(self) -> Store:
        return self._store

    def known(self, drvs: Collection[DrvDigest]) -> Mapping[DrvDigest, Sequence[Known]]:
        """What is answered is pinned: no collector takes it before the command ends."""
        resolutions = self._store.resolutions_for(drvs)
        tried = {drv: _said(resolutions.get(drv, ())) or {(ResolvedDigest(drv), ()): []} for drv in drvs}
        scopes = {
            resolved: FETCHES if resolved == ResolvedDigest(drv) else BUILDS
            for drv, found in tried.items()
            for resolved, _ in found
        }
        rows = self._store.claims_for_many(scopes)
        made = self._made(self._counting(rows, scopes))
        ways: dict[DrvDigest, list[Known]] = {}
        for drv, found in tried.items():
            known = [
                _known(pins, one)
                for (resolved, pins), signers in found.items()
                if resolved in made and self._holds(signers, rows[resolved])
                for one in made[resolved]
            ]
            if known:
                ways[drv] = known
        return ways

    def present(self, item: SourceObject) -> bool:
        return bool(self._store.pin([item.id]))

    def is_contested(self) -> bool:
        """Whether claims give more than one object for some output, so that two of them could meet."""
        return bool(self._store.contests())

    def realised(self, resolved: ResolvedDigest, scopes: frozenset[str] = ANY_STEP) -> dict[OutputName, Realised]:
        """The outputs of a resolved derivation that are there, and are pinned: those of one build, of several.

        `scopes` are what a key must be trusted for, to speak of it: one of them, if more is not known.
        """
        rows = self._store.claims_for_many([resolved])
        made = self._made(self._counting(rows, {resolved: scopes}))
        return next(iter(made.get(resolved, ())), {})

    def _made(
        self, claims: Mapping[ResolvedDigest, Sequence[Witnessed]]
    ) -> dict[ResolvedDigest, list[dict[OutputName, Realised]]]:
        """For each, what each of its builds made, the one of which most is there first.

        Outputs of two builds are never put together: one may refer to the other as its own build made it.
        """
        infos = self._store.pin({item.claim.object for found in claims.values() for item in found})
        realised: dict[ResolvedDigest, list[dict[OutputName, Realised]]] = {}
        for resolved, found in claims.items():
            builds: dict[EnvelopeDigest, dict[OutputName, Realised]] = {}
            for claim, witness, *_ in found:
                if claim.object in infos:
                    made = Realised(infos[claim.object], witness.envelope)
                    builds.setdefault(witness.envelope, {}).setdefault(claim.output, made)
            if builds:
                realised[resolved] = sorted(builds.values(), key=len, reverse=True)
        return realised

    def _counting(
        self, found: Mapping[ResolvedDigest, list[Witnessed]], scopes: Mapping[ResolvedDigest, frozenset[str]]
    ) -> dict[ResolvedDigest, list[Witnessed]]:
        """Those of the rows that still count: what was built here, and what the policy admits today."""
        return {
            resolved: rows if _all_built(rows) else _admitted(self._policy(), rows, scopes[resolved])
            for resolved, rows in found.items()
        }

    def _holds(self, signers: Collection[str], rows: Iterable[Witnessed]) -> bool:
        """Whether a resolution still counts; one that leads to what was built here decides nothing."""
        return not signers or _all_built(rows) or _enough(self._policy(), signers, RESOLUTIONS)

    def evidence(self, item: DrvOutput, made: ObjectId) -> EnvelopeDigest | None:
        """The envelope about an object as an output of a derivation: of several, one that counts today."""
        resolutions = self._store.resolutions_for([item.drv]).get(item.drv, ())
        tried = [ResolvedDigest(item.drv), *(resolution.resolved for resolution in resolutions)]
        rows = self._store.claims_for_many(tried)
        counting = self._counting(rows, dict.fromkeys(tried, ANY_STEP))
        for found in (counting, rows):
            for claim, witness, *_ in (row for resolved in tried for row in found.get(resolved, ())):
                if claim.object == made and claim.output == item.output:
                    return witness.envelope
        return None

    def producer(self, made: ObjectId) -> EnvelopeDigest | None:
        """The envelope about whatever made an object; None for a source."""
        found = self._store.producers(made)
        return found[0].witness.envelope if found else None

    def would_resolve(self, drv: Derivation) -> ResolvedDigest | None:
        """What a derivation comes down to with what its inputs came to here; None where one has not been made."""
        pins: dict[DrvOutput, SourceObject] = {}
        for item in drv.inputs:
            if isinstance(item, DrvOutput):
                ways = [way for way in self.known([item.drv]).get(item.drv, ()) if item.output in way.outputs]
                if not ways:
                    return None
                pins[item] = ways[0].outputs[item.output]
        return resolved_digest(resolve(drv, pins))

    def resolved_of(self, drv: DrvDigest) -> ResolvedDigest | None:
        """The resolved derivation that stands for this one here: of several, one whose outputs are here."""
        found = [item.resolved for item in self._store.resolutions_for([drv]).get(drv, ())]
        present = [resolved for resolved in (*found, ResolvedDigest(drv)) if self.realised(resolved)]
        return present[0] if present else (found[0] if found else None)


def scope_of(recipe: Derivation | Fixed) -> str:
    """What a key must be trusted for, to speak of such a step: the name of a scope."""
    if isinstance(recipe, Fixed):
        return "fetch"
    return "builtin" if isinstance(recipe.builder, Builtin) else "sandboxed"


def _enough(policy: Policy, keyids: Iterable[str], scopes: frozenset[str]) -> bool:
    from kiln.store.provenance.admission import still_counts
    from kiln.store.provenance.trust import Scope

    return still_counts(policy, keyids, frozenset(map(Scope, scopes)))


def _vouches(policy: Policy, keyid: str, scopes: frozenset[str]) -> bool:
    from kiln.store.provenance.admission import vouches
    from kiln.store.provenance.trust import Scope

    return vouches(policy, keyid, frozenset(map(Scope, scopes)))


def sign_pins(
    signer: Signer, drv: DrvDigest, resolved: ResolvedDigest, pins: Mapping[DrvOutput, SourceObject]
) -> Resolution:
    """That `drv` came down to `resolved` with these inputs, signed."""
    rows = [Pin(item.drv, item.output, made.id, made.name) for item, made in pins.items()]
    return sign_resolution(signer, drv, resolved, rows, made=time.time_ns() // 1_000_000)


def _said(found: Iterable[Resolution]) -> dict[tuple[ResolvedDigest, tuple[Pin, ...]], list[str]]:
    """What resolutions say, each with the ids of the keys that say it."""
    said: dict[tuple[ResolvedDigest, tuple[Pin, ...]], list[str]] = {}
    for item in found:
        said.setdefault((item.resolved, item.pins), []).append(item.keyid)
    return said


def _all_built(rows: Iterable[Witnessed]) -> bool:
    return all(row.origin == "built" for row in rows)


def _admitted(policy: Policy, rows: Iterable[Witnessed], scopes: frozenset[str]) -> list[Witnessed]:
    """What was built here, and the witnesses that count of each claim that has enough of them."""
    signers: dict[Claim, list[str]] = {}
    for row in rows:
        signers.setdefault(row.claim, []).append(row.witness.keyid)
    good = {claim for claim, keyids in signers.items() if _enough(policy, keyids, scopes)}
    return [
        row
        for row in rows
        if row.origin == "built" or (row.claim in good and _vouches(policy, row.witness.keyid, scopes))
    ]


def _known(pins: Iterable[Pin], outputs: Mapping[OutputName, Realised]) -> Known:
    return Known(
        {DrvOutput(pin.drv, pin.output): SourceObject(pin.object, pin.name) for pin in pins},
        {output: SourceObject(made.info.id, made.info.name) for output, made in outputs.items()},
    )

"""What the store's records say of derivations: how each was resolved, what came of it, on whose evidence.

The store holds digests and knows no derivation; the planner asks for derivations and knows no store. Records of
one's own store were verified when they were admitted, and are not verified again each time they are read.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from kiln.interpreter.derivation import Derivation, DrvOutput, SourceObject, resolve, resolved_digest
from kiln.interpreter.plan import Known
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.info import ObjectInfo
from kiln.store.paths import OutputName
from kiln.store.records import Pin, Resolution, Signer, sign_resolution
from kiln.store.store import Store


class Realised(NamedTuple):
    """An output that the store holds, and the envelope about it."""

    info: ObjectInfo
    envelope: EnvelopeDigest


class Ledger:
    """A view of one store. Implements `plan.Knowledge`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def store(self) -> Store:
        return self._store

    def known(self, drvs: Collection[DrvDigest]) -> Mapping[DrvDigest, Sequence[Known]]:
        """What is answered is pinned: no collector takes it before the command ends."""
        resolutions = self._store.resolutions_for(drvs)
        tried: dict[DrvDigest, list[tuple[ResolvedDigest, tuple[Pin, ...]]]] = {
            drv: [(item.resolved, item.pins) for item in resolutions.get(drv, ())] or [(ResolvedDigest(drv), ())]
            for drv in drvs
        }
        made = self._realised({resolved for found in tried.values() for resolved, _ in found})
        ways: dict[DrvDigest, list[Known]] = {}
        for drv, found in tried.items():
            known = [_known(pins, one) for resolved, pins in found for one in made.get(resolved, ())]
            if known:
                ways[drv] = known
        return ways

    def present(self, item: SourceObject) -> bool:
        return bool(self._store.pin([item.id]))

    def is_contested(self) -> bool:
        """Whether claims give more than one object for some output, so that two of them could meet."""
        return bool(self._store.contests())

    def realised(self, resolved: ResolvedDigest) -> dict[OutputName, Realised]:
        """The outputs of a resolved derivation that are there, and are pinned: those of one build, of several."""
        return next(iter(self._realised([resolved]).get(resolved, ())), {})

    def _realised(self, wanted: Iterable[ResolvedDigest]) -> dict[ResolvedDigest, list[dict[OutputName, Realised]]]:
        """For each, what each of its builds made, the one of which most is there first.

        Outputs of two builds are never put together: one may refer to the other as its own build made it.
        """
        claims = self._store.claims_for_many(wanted)
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

    def evidence(self, item: DrvOutput, made: ObjectId) -> EnvelopeDigest | None:
        """The envelope about an object as an output of a derivation."""
        resolutions = self._store.resolutions_for([item.drv]).get(item.drv, ())
        for resolved in [ResolvedDigest(item.drv), *(resolution.resolved for resolution in resolutions)]:
            for claim, witness, *_ in self._store.claims_for(resolved):
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


def sign_pins(
    signer: Signer, drv: DrvDigest, resolved: ResolvedDigest, pins: Mapping[DrvOutput, SourceObject]
) -> Resolution:
    """That `drv` came down to `resolved` with these inputs, signed."""
    rows = [Pin(item.drv, item.output, made.id, made.name) for item, made in pins.items()]
    return sign_resolution(signer, drv, resolved, rows, made=time.time_ns() // 1_000_000)


def _known(pins: Iterable[Pin], outputs: Mapping[OutputName, Realised]) -> Known:
    return Known(
        {DrvOutput(pin.drv, pin.output): SourceObject(pin.object, pin.name) for pin in pins},
        {output: SourceObject(made.info.id, made.info.name) for output, made in outputs.items()},
    )

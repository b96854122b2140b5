"""Two results of one output must not meet below what a plan takes.

A plan pins one object for each (derivation, output), one level deep; what was taken is not looked into. Where claims
give several objects for one output, two taken targets can each hold another of them. So, only where there are such
outputs, the closures of what is taken are walked in the plan's order: the first object that is met is kept, and the
others are **avoided** by the next plan: nothing is taken whose closure holds one.

    contests    from the store's table, and where caches offer something, from what their rows and claims say of it
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from kiln.interpreter.derivation import SourceObject
from kiln.interpreter.ledger import Ledger
from kiln.interpreter.plan import Known, Plan
from kiln.store.digest import DrvDigest, ObjectId, ResolvedDigest
from kiln.store.paths import OutputName
from kiln.store.store import Store

if TYPE_CHECKING:
    from kiln.interpreter.substitute import Substituter


class Avoiding:
    """A ledger without what holds an avoided object. Implements `plan.Knowledge`."""

    def __init__(self, ledger: Ledger, store: Store, avoided: Collection[ObjectId]) -> None:
        self._ledger = ledger
        self._store = store
        self._avoided = set(avoided)

    def known(self, drvs: Collection[DrvDigest]) -> Mapping[DrvDigest, Sequence[Known]]:
        found: dict[DrvDigest, list[Known]] = {}
        for drv, ways in self._ledger.known(drvs).items():
            left = [way._replace(outputs=self._without(way.outputs)) for way in ways]
            left = [way for way in left if way.outputs]
            if left:
                found[drv] = left
        return found

    def present(self, item: SourceObject) -> bool:
        return self._ledger.present(item) and not self._holds(item.id)

    def _without(self, outputs: Mapping[OutputName, SourceObject]) -> dict[OutputName, SourceObject]:
        return {output: item for output, item in outputs.items() if not self._holds(item.id)}

    def _holds(self, top: ObjectId) -> bool:
        return any(info.id in self._avoided for info in self._store.closure([top]))


def losers(store: Store, plan: Plan, caches: Substituter | None) -> set[ObjectId]:
    """Objects that the next plan has to avoid, because another result of the same output is taken before them."""
    tops = [item.id for item in (*plan.held.values(), *plan.offered.values())]
    return _losers(store, tops, caches if plan.offered else None)


def losers_below(store: Store, tops: Iterable[ObjectId]) -> set[ObjectId]:
    """The same for objects that are all here."""
    return _losers(store, list(tops), None)


def _losers(store: Store, tops: Sequence[ObjectId], caches: Substituter | None) -> set[ObjectId]:
    contests = store.contests()
    if caches is not None:
        contests += _offered_contests(store, tops, caches)
    if not contests:
        return set()
    contested: dict[ObjectId, list[int]] = {}
    for number, items in enumerate(contests):
        for item in items:
            contested.setdefault(item, []).append(number)
    kept: dict[int, ObjectId] = {}
    lost: set[ObjectId] = set()
    for top in tops:
        for item in _closure(store, top, caches):
            for number in contested.get(item, ()):
                if kept.setdefault(number, item) != item:
                    lost.add(item)
    return lost


def _closure(store: Store, top: ObjectId, caches: Substituter | None) -> list[ObjectId]:
    if caches is None:
        return [info.id for info in store.closure([top])]
    absent, here = caches.reach.members(top)
    return [*sorted(absent), *(info.id for info in store.closure(sorted(here)))]


def _offered_contests(store: Store, tops: Sequence[ObjectId], caches: Substituter) -> list[tuple[ObjectId, ...]]:
    """Outputs for which the offered closures and the claims that are known give more than one object.

    Which derivations an object comes from is a cache's hint: it can hide a contest, and is the word of whoever is
    trusted to upload; what is claimed of a derivation is signed.
    """
    absent = {item for top in tops for item in caches.reach.members(top)[0]}
    made: dict[ResolvedDigest, set[ObjectId]] = {}
    for item, resolved in caches.caches.producers(absent).items():
        for one in resolved:
            made.setdefault(one, set()).add(item)
    for one, rows in store.claims_for_many(made).items():
        made[one].update(row.claim.object for row in rows)
    doubtful = [one for one, items in made.items() if len(items) > 1]
    results: dict[tuple[ResolvedDigest, OutputName], set[ObjectId]] = {}
    for one, claims in caches.caches.claims(doubtful).items():
        for claim in claims:
            results.setdefault((one, claim.output), set()).add(claim.object)
    return [tuple(sorted(items)) for items in results.values() if len(items) > 1]

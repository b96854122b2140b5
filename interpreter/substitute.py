"""Taking results from caches: what the planner is offered, and early cutoff while steps run.

    plan     ──known──► resolutions, claims, closures in bulk ──judged──► ways, each of which can be brought whole
    schedule ──cutoff──► claims of a resolved derivation, for all steps that ask at a time

What is offered satisfies the policy, and every member of its closure is here or in a cache. Who gave what is kept,
so that it can be recorded (`delivery`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from kiln.interpreter.derivation import DrvOutput, Graph, SourceObject, Step
from kiln.interpreter.judging import Admitted, Judge, Realisation, Resolved, objects_of
from kiln.interpreter.plan import Known, Plan
from kiln.interpreter.reach import Reach
from kiln.interpreter.together import Together
from kiln.store.cache.several import Caches
from kiln.store.digest import DrvDigest, ObjectId, ResolvedDigest
from kiln.store.paths import OutputName
from kiln.store.store import Store


class Way(NamedTuple):
    """How a derivation can be taken: what it comes down to, and its outputs that can be brought."""

    resolved: Resolved
    outputs: Mapping[OutputName, Realisation]

    @property
    def known(self) -> Known:
        return Known(self.resolved.pins, {output: item.made for output, item in self.outputs.items()})


class Substituter:
    """One command's view of its caches. Implements `plan.Offers`; any thread may call it."""

    def __init__(
        self,
        store: Store,
        open_caches: Callable[[], Caches],
        graph: Graph,
        warn: Callable[[str], None],
    ) -> None:
        self.avoided: set[ObjectId] = set()
        """Objects that no closure may hold, since another result of the same output is taken (see `contested`)."""
        self._store = store
        self._open = open_caches
        self._graph = graph
        self._warn = warn
        self._ways: dict[DrvDigest, list[Way]] = {}  # guarded by the planner, who alone asks for them
        self._brings: set[ObjectId] = set()
        self._guard = threading.Lock()
        self._steps: dict[ResolvedDigest, Step] = {}  # guarded by _guard
        self._cutoffs: Together[ResolvedDigest, list[dict[OutputName, Realisation]]] = Together(self._builds)

    @cached_property
    def caches(self) -> Caches:
        """Opened when the store lacks something, and not before."""
        return self._open()

    @cached_property
    def reach(self) -> Reach:
        return Reach(self._store, self.caches)

    @cached_property
    def _judge(self) -> Judge:
        return Judge(self.caches, self._graph, self._warn)

    def begin(self, avoided: set[ObjectId]) -> None:
        """A plan is made anew, without what holds one of these objects."""
        self.avoided = avoided
        self._brings.clear()

    # For the planner.

    def known(self, drvs: Collection[DrvDigest], below: Iterable[DrvDigest]) -> Mapping[DrvDigest, Sequence[Known]]:
        if self.caches.readers:
            more = [drv for drv in below if drv not in self._ways]
            if more:
                self.caches.prefetch(more)
            self._find(drv for drv in drvs if drv not in self._ways)
        ways = {drv: self._possible(self._ways.get(drv, ())) for drv in drvs}
        return {drv: [way.known for way in found] for drv, found in ways.items() if found}

    def _find(self, drvs: Iterable[DrvDigest]) -> None:
        resolved = self._judge.ways(drvs)
        steps = {way.resolved: self._graph[drv] for drv, ways in resolved.items() for way in ways}
        builds = self._judge.builds(steps)
        self.reach.look(objects_of(build for found in builds.values() for build in found))
        for drv, ways in resolved.items():
            self._ways[drv] = [Way(way, build) for way in ways for build in builds.get(way.resolved, ())]

    def _possible(self, ways: Iterable[Way]) -> list[Way]:
        """The ways with the outputs that can be brought now; a cache may have failed since they were found."""
        found = [Way(way.resolved, self._bringable(way.outputs)) for way in ways]
        return [way for way in found if way.outputs]

    def _bringable(self, outputs: Mapping[OutputName, Realisation]) -> dict[OutputName, Realisation]:
        can = {}
        for output, item in outputs.items():
            if self.reach.absent(item.claim.object) is not None and not self._holds_avoided(item.claim.object):
                can[output] = item
        return can

    def _holds_avoided(self, top: ObjectId) -> bool:
        if not self.avoided:
            return False
        absent, here = self.reach.members(top)
        return bool(absent & self.avoided) or any(info.id in self.avoided for info in self._store.closure(here))

    def bring(self, item: SourceObject) -> None:
        self._brings.add(item.id)
        self._brings.update(self.reach.absent(item.id) or ())

    def brings(self, item: SourceObject) -> bool:
        return item.id in self._brings

    # For what carries a plan out.

    def members(self, objects: Iterable[ObjectId]) -> dict[ObjectId, list[Admitted]]:
        """What is claimed, and admitted, of objects that come along with what was taken."""
        producers = self.caches.producers(objects)
        return self._judge.admitted({one for resolved in producers.values() for one in resolved})

    def taken(self, plan: Plan) -> dict[DrvOutput, Way]:
        """The way behind each output that the plan takes from caches."""
        found: dict[DrvOutput, Way] = {}
        for item, made in plan.offered.items():
            for way in self._ways[item.drv]:
                output = way.outputs.get(item.output)
                agrees = all(plan.pins.get(key) == pin for key, pin in way.resolved.pins.items())
                if output is not None and output.made == made and agrees:
                    found[item] = way
                    break
        return found

    def cutoff(
        self, step: Step, resolved: ResolvedDigest, wanted: Collection[OutputName]
    ) -> dict[OutputName, Realisation] | None:
        """What a step that is about to run would make, if a cache can bring all of it."""
        if not self.caches.readers:
            return None
        with self._guard:
            self._steps[resolved] = step
        for build in self._cutoffs.ask(resolved):
            can = self._bringable(build)
            if can.keys() >= set(wanted):
                return {output: can[output] for output in wanted}
        return None

    def _builds(
        self, wanted: Collection[ResolvedDigest]
    ) -> dict[ResolvedDigest, list[dict[OutputName, Realisation]]]:
        with self._guard:
            steps = {resolved: self._steps[resolved] for resolved in wanted}
        builds = self._judge.builds(steps)
        self.reach.look(objects_of(build for found in builds.values() for build in found))
        return {resolved: builds.get(resolved, []) for resolved in wanted}

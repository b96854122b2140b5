"""From a plan to objects: the one place where a target is really made.

    realise = plan, then run what is to do, then read the pins

A step that is run is first resolved: its inputs are what the plan pinned. If a result differs from what a taken
derivation was made from (a build that is not reproducible, and whose first result is gone), the taken one is
distrusted and the targets are planned again, so that a closure never mixes two results.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiln.interpreter.derivation import (
    BuildStep,
    Builtin,
    Derivation,
    DrvOutput,
    FetchStep,
    Fixed,
    Graph,
    SourceObject,
    Step,
    resolve,
)
from kiln.interpreter.errors import NotBrought, NotOffered, RealiseError, not_brought
from kiln.interpreter.events import (
    Planned,
    StepFailed,
    StepFinished,
    StepInterrupted,
    StepKind,
    StepSkipped,
    StepStarted,
    Verdict,
    Warned,
)
from kiln.interpreter.evidence import digest_of_made
from kiln.interpreter.ledger import sign_pins
from kiln.interpreter.making import Made, Making, make
from kiln.interpreter.plan import Knowledge, Plan, drv_inputs, make_plan
from kiln.interpreter.schedule import Demand, Outcome, Scheduler
from kiln.interpreter.workshop import Workshop
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId

if TYPE_CHECKING:
    from kiln.interpreter.bringing import Bringing
    from kiln.interpreter.substitute import Substituter

_FETCHES = 8
_REPLANS = 3
_RETRIES = 20
"""How often targets are planned again because a cache did not bring what it offered: each time it offers less."""


class Failed(Exception):
    """Some steps failed; `causes` in the graph's order. What did not is in the plan's pins."""

    def __init__(self, outcome: Outcome[DrvDigest], plan: Plan) -> None:
        super().__init__(f"{len(outcome.failed)} failed")
        self.causes = list(outcome.failed.values())
        self.plan = plan


@dataclass(slots=True)
class Tally:
    """What a realisation came to, by verdict."""

    verdicts: dict[Verdict, int] = field(default_factory=dict)
    replanned: int = 0

    def count(self, verdict: Verdict) -> None:
        self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1


class TwoResults(RealiseError):
    """A result that differs from what taken derivations were made from; `users` are those."""

    code = "K0456"

    def __init__(self, step: Step, users: set[DrvDigest]) -> None:
        super().__init__(
            f"{step_name(step)} came out differently each time, and what else is needed was made from another result",
            place=step.place,
            help="make the build reproducible, or run the command again: what was built is kept",
        )
        self.users = users


def realise(
    workshop: Workshop,
    graph: Graph,
    targets: Collection[DrvOutput],
    *,
    keep_going: bool = False,
    take_only: bool = False,
) -> tuple[Plan, Tally]:
    """Make the targets; their objects are in the plan's pins. Raises Failed.

    With `take_only` nothing is made: raises NotOffered where something would have to be.
    """
    tally = Tally()
    distrust: set[DrvDigest] = set()
    avoided: set[ObjectId] = set()
    caches = open_substituter(workshop, graph)
    while True:
        plan = plan_with(workshop, graph, targets, caches, distrust, avoided)
        if take_only and plan.todo:
            raise _not_offered(graph, plan, targets)
        steps = len(plan.todo) + len({item.drv for item in plan.offered})
        workshop.emit(Planned(steps, len(plan.taken) + len(plan.todo) - steps))
        bringing = _bringing(workshop, graph, plan, tally, caches)
        outcome = _run(workshop, graph, plan, tally, keep_going, bringing)
        mixed = [cause for cause in outcome.failed.values() if isinstance(cause, TwoResults)]
        lost = bringing.lost() if bringing is not None else []
        clashing = _clashing(workshop, plan, targets) if not outcome.failed and not lost else set()
        if not (mixed or lost or clashing) or tally.replanned >= (_RETRIES if lost else _REPLANS):
            break
        tally.replanned += 1
        avoided.update(clashing)
        distrust.update(*(cause.users for cause in mixed))
    for drv in [item.drv for item in targets] if clashing else ():
        outcome.failed.setdefault(drv, TwoResults(graph[drv], set()))
    for taking in lost:
        outcome.failed.setdefault(taking.drv, not_brought(taking.name, graph[taking.drv].place))
    if outcome.failed:
        for drv, blocker in outcome.skipped.items():
            workshop.emit(StepSkipped(drv, step_name(graph[drv]), step_name(graph[blocker])))
        raise Failed(outcome, plan)
    return plan, tally


def step_name(step: Step) -> str:
    """What messages call a step."""
    return step.derivation.name if isinstance(step, BuildStep) else step.fixed.name


def step_kind(step: Step) -> StepKind:
    return "fetch" if isinstance(step, FetchStep) else recipe_kind(step.derivation)


def recipe_kind(recipe: Derivation | Fixed) -> StepKind:
    """What is done to make something."""
    match recipe:
        case Fixed():
            return "fetch"
        case Derivation(builder=Builtin(name="unpack")):
            return "unpack"
        case Derivation(builder=Builtin()):
            return "write"
        case _:
            return "build"


def open_substituter(workshop: Workshop, graph: Graph) -> Substituter | None:
    """What asks the caches, if there are any; none of them is touched before the store lacks something."""
    if workshop.open_caches is None:
        return None
    from kiln.interpreter.substitute import Substituter

    return Substituter(workshop.store, workshop.open_caches, graph, lambda text: workshop.emit(Warned(text)))


def plan_with(
    workshop: Workshop,
    graph: Graph,
    targets: Collection[DrvOutput],
    caches: Substituter | None,
    distrust: Collection[DrvDigest] = (),
    avoided: set[ObjectId] | None = None,
) -> Plan:
    """A plan that mixes no two results of one output, neither in its pins nor in the closures of what it takes.

    `avoided` grows by what must not be taken for that.
    """
    avoid = set() if avoided is None else avoided
    while True:
        if caches is not None:
            caches.begin(avoid)
        knowledge: Knowledge = workshop.ledger
        if avoid:
            from kiln.interpreter.contested import Avoiding

            knowledge = Avoiding(workshop.ledger, workshop.store, avoid)
        plan = make_plan(graph, targets, knowledge, distrust, caches)
        if not plan.offered and not workshop.ledger.is_contested():
            return plan
        from kiln.interpreter.contested import losers

        more = losers(workshop.store, plan, caches) - avoid
        if not more:
            return plan
        avoid |= more


def _not_offered(graph: Graph, plan: Plan, targets: Collection[DrvOutput]) -> NotOffered:
    missing = [item.drv for item in targets if item.drv in set(plan.todo)]
    names = ", ".join(dict.fromkeys(step_name(graph[drv]) for drv in missing[:4]))
    return NotOffered(
        f"no cache offers {names}, on the word of keys that are trusted here, with all that it needs",
        place=graph[missing[0]].place,
        expected="a cache to which it was pushed, and a trusted key that vouches for it",
        help="kiln realise makes it; kiln cache status TARGET shows what each cache has",
    )


def _clashing(workshop: Workshop, plan: Plan, targets: Collection[DrvOutput]) -> set[ObjectId]:
    """What meets below the targets now that they are made, and must not: a build may have come out differently."""
    if not workshop.ledger.is_contested():
        return set()
    from kiln.interpreter.contested import losers_below

    return losers_below(workshop.store, [plan.pins[item].id for item in targets])


def _bringing(
    workshop: Workshop, graph: Graph, plan: Plan, tally: Tally, caches: Substituter | None
) -> Bringing | None:
    """The caches' part in a run; None where they have none."""
    if caches is None or not (plan.offered or (plan.todo and caches.caches.readers)):
        return None
    from kiln.interpreter.bringing import Bringing

    return Bringing(workshop, caches, graph, plan, lambda: tally.count("cached"))


def _run(
    workshop: Workshop, graph: Graph, plan: Plan, tally: Tally, keep_going: bool, bringing: Bringing | None
) -> Outcome[DrvDigest]:
    if workshop.engine == "own" and any(step_kind(graph[drv]) == "build" for drv in plan.todo):
        from kiln.interpreter.sandbox.helper import shared_launcher

        shared_launcher()  # it starts while the first steps fetch and unpack
    runner = _Runner(workshop, graph, plan, tally, bringing)
    slots = {"fetch": _FETCHES, "build": workshop.jobs}
    if bringing is not None:
        return _run_with_caches(graph, plan, runner, bringing, slots, keep_going)
    if not plan.todo:
        return Outcome()
    running = set(plan.todo)
    needs: Mapping[DrvDigest, Sequence[DrvDigest]] = {
        drv: [item.drv for item in drv_inputs(graph, drv) if item.drv in running] for drv in plan.todo
    }
    return Scheduler(
        plan.todo,
        needs,
        runner.run,
        lambda drv: demand_of(graph[drv]),
        slots,
        memory=machine_memory(),
        keep_going=keep_going,
        interrupt=runner.interrupt,
    ).run()


def _run_with_caches(
    graph: Graph, plan: Plan, runner: _Runner, bringing: Bringing, slots: Mapping[str, int], keep_going: bool
) -> Outcome[DrvDigest]:
    """The same with the caches' jobs among the steps. What comes of those jobs is no step's failure."""
    from kiln.interpreter.bringing import SLOTS, Job

    order, needs = bringing.jobs(plan.todo)

    def run(job: Job) -> None:
        if isinstance(job, DrvDigest):
            runner.run(job)
        else:
            bringing.run(job)

    found: Outcome[Job] = Scheduler(
        order,
        needs,
        run,
        lambda job: demand_of(graph[job]) if isinstance(job, DrvDigest) else bringing.demand(job),
        {**slots, **SLOTS},
        memory=machine_memory(),
        keep_going=keep_going,
        interrupt=runner.interrupt,
    ).run()
    for job, cause in found.failed.items():
        if not isinstance(job, DrvDigest):
            raise cause  # a full disk, a store that is locked
    failed = {job: cause for job, cause in found.failed.items() if isinstance(job, DrvDigest)}
    skipped = {
        job: blocker
        for job, blocker in found.skipped.items()
        if isinstance(job, DrvDigest) and isinstance(blocker, DrvDigest)
    }
    return Outcome(failed, skipped)


def demand_of(step: Step) -> Demand:
    """What a step takes of the machine while it is made."""
    if isinstance(step, FetchStep):
        return Demand("fetch")
    return Demand("build", step.limits.memory, step.limits.exclusive)


def machine_memory() -> int:
    """Bytes that builds may demand together: nine tenths of what the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10 * 9


def kill_builds() -> None:
    """End every sandbox of this process, with all that runs in it."""
    from kiln.interpreter.sandbox.helper import kill_sandboxes

    kill_sandboxes()


def _verdict(kind: StepKind, made: Made, source: str | None) -> Verdict:
    if not made.fresh:
        return "unchanged" if source is None else "cached"
    return "fetched" if kind == "fetch" else "built"


class _Runner:
    """Runs one step after another, on the scheduler's threads; the plan is guarded by `_lock`."""

    def __init__(
        self, workshop: Workshop, graph: Graph, plan: Plan, tally: Tally, bringing: Bringing | None = None
    ) -> None:
        self._workshop = workshop
        self._bringing = bringing
        self._graph = graph
        self._plan = plan
        self._tally = tally
        self._evidence: dict[ObjectId, EnvelopeDigest] = {}
        self._lock = threading.Lock()

    def interrupt(self) -> None:
        """End what runs; how its steps end is then no failure of theirs."""
        self._workshop.interrupted.set()
        if self._bringing is not None:
            self._bringing.stop()
        kill_builds()

    def run(self, drv: DrvDigest) -> None:
        step = self._graph[drv]
        name, kind, began = step_name(step), step_kind(step), time.time()
        self._workshop.emit(StepStarted(drv, name, kind, began))
        try:
            made = self._make(step)
        except Exception as error:
            if self._workshop.interrupted.is_set() or isinstance(error, NotBrought):
                self._workshop.emit(StepInterrupted(drv, name, kind, time.time() - began))
                raise
            code = str(getattr(error, "code", "K9999"))
            self._workshop.emit(StepFailed(drv, name, kind, code, str(error), time.time() - began))
            raise
        source = self._bringing.source_of(drv) if self._bringing is not None and not made.fresh else None
        verdict = _verdict(kind, made, source)
        paths = tuple(str(item.info.path) for item in made.outputs.values())
        self._workshop.emit(StepFinished(drv, name, kind, verdict, time.time() - began, paths, source or ""))
        with self._lock:
            self._tally.count(verdict)
            self._pin(step, made)

    def _make(self, step: Step) -> Made:
        if self._bringing is not None:
            self._bringing.check(step)
        if isinstance(step, FetchStep):
            making = Making(step.digest, step.fixed, step.sources, place=step.place, credentials=step.credentials)
            return make(self._workshop, making)
        return self._build(step)

    def _build(self, step: BuildStep) -> Made:
        recipe = self._resolve(step)
        pins = {item: self._plan.pins[item] for item in drv_inputs(self._graph, step.digest)}
        evidence = self._inputs_evidence(step)
        made = make(self._workshop, Making(step.digest, recipe, (), step.limits, step.place, evidence, pins))
        if not made.fresh:
            resolution = sign_pins(self._workshop.signer, step.digest, digest_of_made(recipe), pins)
            self._workshop.store.put_resolution(resolution)
        return made

    def _resolve(self, step: BuildStep) -> Derivation:
        with self._lock:
            return resolve(step.derivation, self._plan.pins)

    def _inputs_evidence(self, step: BuildStep) -> dict[ObjectId, EnvelopeDigest]:
        found: dict[ObjectId, EnvelopeDigest] = {}
        for item in drv_inputs(self._graph, step.digest):
            made = self._plan.pins[item].id
            envelope = self._evidence.get(made) or self._workshop.ledger.evidence(item, made)
            if envelope is not None:
                found[made] = envelope
        return found

    def _pin(self, step: Step, made: Made) -> None:
        """Guarded by `_lock`. Raises TwoResults."""
        for output, realised in made.outputs.items():
            item, result = DrvOutput(step.digest, output), SourceObject(realised.info.id, realised.info.name)
            if self._plan.pins.setdefault(item, result) != result:
                raise TwoResults(step, self._plan.pinned_by.get(item, set()))
            self._evidence[result.id] = realised.envelope

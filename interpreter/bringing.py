"""What caches do while a plan is carried out: the scheduler's jobs for it, beside those that make things.

    Fetch n     bytes of a batch          two at a time
    Commit n    registered                after Fetch n and Commit n - 1
    Look drv    early cutoff              when the step's inputs are known, before it is made; many at a time
    drv         made                      after Look drv, and after the batch that its inputs come with

So builds and downloads go on side by side, and a step waits for what it needs and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from kiln.interpreter.delivery import Delivery, Done, Taking
from kiln.interpreter.derivation import BuildStep, DrvOutput, FetchStep, Graph, Step
from kiln.interpreter.errors import NotBrought, not_brought
from kiln.interpreter.events import StepFinished, StepInterrupted, StepProgress, StepStarted, Warned
from kiln.interpreter.evidence import digest_of_made
from kiln.interpreter.judging import Realisation
from kiln.interpreter.ledger import scope_of
from kiln.interpreter.plan import Plan, drv_inputs
from kiln.interpreter.schedule import Demand
from kiln.interpreter.standing import resolved_recipe
from kiln.interpreter.substitute import Substituter
from kiln.interpreter.together import Together
from kiln.interpreter.workshop import Workshop
from kiln.store.digest import DrvDigest
from kiln.store.records import Resolution

SLOTS = {"take": 2, "register": 1, "look": 32}


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetching a batch."""

    batch: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Registering a batch."""

    batch: int


@dataclass(frozen=True, slots=True)
class Look:
    """Whether a cache has what a step would make."""

    drv: DrvDigest


CacheJob: TypeAlias = Fetch | Commit | Look
Job: TypeAlias = DrvDigest | CacheJob


class Bringing:
    """The caches' part in carrying out one plan. Its jobs run on the scheduler's threads."""

    def __init__(
        self,
        workshop: Workshop,
        substituter: Substituter,
        graph: Graph,
        plan: Plan,
        count: Callable[[], None],
    ) -> None:
        self._workshop = workshop
        self._substituter = substituter
        self._graph = graph
        self._plan = plan
        self._count = count
        self._stopped = threading.Event()
        self._found: dict[DrvDigest, tuple[str, ...]] = {}
        self._looked: dict[DrvDigest, Taking] = {}
        self._sources: dict[DrvDigest, tuple[str, ...]] = {}
        self._together: Together[DrvDigest, tuple[str, ...] | None] = Together(self._bring_all)
        self._delivery = self._deliver(_takings(graph, substituter, plan))

    def _deliver(self, takings: Sequence[Taking], *, quiet: bool = False) -> Delivery:
        delivery = Delivery(
            self._workshop.store,
            self._substituter.caches,
            self._substituter.reach,
            takings,
            self._substituter.members,
            started=(lambda _: None) if quiet else self._started,
            progress=self._progress,
            done=self._noted if quiet else self._finished,
        )
        delivery.prepare()
        return delivery

    # Jobs.

    def jobs(self, todo: Sequence[DrvDigest]) -> tuple[list[Job], dict[Job, list[Job]]]:
        """Every job of the run in an order in which needs come first, and what each needs."""
        order: list[Job] = []
        needs: dict[Job, list[Job]] = {}

        def add(job: Job, needed: list[Job]) -> None:
            order.append(job)
            needs[job] = needed

        for number in range(self._delivery.batches):
            add(Fetch(number), [])
            add(Commit(number), [Fetch(number), *([Commit(number - 1)] if number else [])])
        running = set(todo)
        for drv in todo:
            inputs = drv_inputs(self._graph, drv)
            below: list[Job] = [item.drv for item in inputs if item.drv in running]
            arrivals = self._arrivals(item for item in inputs if item.drv not in running)
            if isinstance(self._graph[drv], BuildStep):
                add(Look(drv), below)
                add(drv, [Look(drv), *below, *arrivals])
            else:
                add(drv, [])
        return order, needs

    def _arrivals(self, items: Iterable[DrvOutput]) -> list[Job]:
        """The job after which all of these inputs that come from caches are here."""
        found = [self._delivery.batch_of(self._plan.pins[item].id) for item in items]
        numbers = [number for number in found if number is not None]
        return [Commit(max(numbers))] if numbers else []

    def demand(self, job: CacheJob) -> Demand:
        match job:
            case Fetch():
                return Demand("take")
            case Commit():
                return Demand("register")
            case Look():
                return Demand("look")
            case _:
                assert_never(job)

    def run(self, job: CacheJob) -> None:
        """Raises what is wrong on this machine; what a cache lacks or does wrong raises nothing."""
        match job:
            case Fetch(batch=number):
                self._delivery.fetch(number)
            case Commit(batch=number):
                self._delivery.commit(number)
            case Look(drv=drv):
                self._look(drv)
            case _:
                assert_never(job)

    def stop(self) -> None:
        """End what is under way soon."""
        self._stopped.set()

    def check(self, step: Step) -> None:
        """That what a step is made from has arrived. Raises NotBrought."""
        for item in drv_inputs(self._graph, step.digest):
            made = self._plan.pins[item]
            if self._substituter.brings(made) and not self._substituter.reach.is_here(made.id):
                raise not_brought(made.name, step.place)

    def source_of(self, drv: DrvDigest) -> str | None:
        """The caches that a step's outputs were taken from by early cutoff, for people; None if they were not."""
        found = self._found.get(drv)
        return None if found is None else ", ".join(found)

    def lost(self) -> list[Taking]:
        """What the plan took and nobody could bring; it is said."""
        lost = self._delivery.lost
        for taking in lost:
            self._workshop.emit(StepInterrupted(taking.drv, taking.name, "take", 0.0))
        if lost:
            names = ", ".join(taking.name for taking in lost[:4]) + (", …" if len(lost) > 4 else "")
            self._workshop.emit(Warned(f"no cache could bring {names} whole; planning again without"))
        return lost

    # Early cutoff.

    def _look(self, drv: DrvDigest) -> None:
        step = self._graph[drv]
        assert isinstance(step, BuildStep)
        recipe = resolved_recipe(step, self._plan)
        if recipe is None:
            return
        resolved = digest_of_made(recipe)
        wanted = {spec.name for spec in step.derivation.outputs}
        if wanted <= self._workshop.ledger.realised(resolved, frozenset({scope_of(step.derivation)})).keys():
            return
        found = self._substituter.cutoff(step, resolved, wanted)
        if found is not None:
            outputs = {DrvOutput(drv, output): item for output, item in found.items()}
            self._looked[drv] = Taking(drv, step.derivation.name, outputs)
            sources = self._together.ask(drv)
            if sources is not None:
                self._found[drv] = sources

    def _bring_all(self, drvs: Collection[DrvDigest]) -> Mapping[DrvDigest, tuple[str, ...] | None]:
        """Bring what several steps found; for each from where, or None where nobody could."""
        delivery = self._deliver([self._looked.pop(drv) for drv in drvs], quiet=True)
        for number in range(delivery.batches):
            delivery.fetch(number)
            delivery.commit(number)
        return {drv: self._sources.get(drv) for drv in drvs}

    # Telling.

    def _started(self, taking: Taking) -> None:
        self._workshop.emit(StepStarted(taking.drv, taking.name, "take", time.time()))

    def _progress(self, taking: Taking, done: int, total: int) -> None:
        if self._stopped.is_set():
            raise NotBrought("interrupted")
        self._workshop.emit(StepProgress(taking.drv, done, total))

    def _finished(self, done: Done) -> None:
        taking = done.taking
        source = ", ".join(done.sources)
        self._count()
        self._workshop.emit(StepFinished(taking.drv, taking.name, "take", "cached", done.seconds, done.paths, source))

    def _noted(self, done: Done) -> None:
        self._sources[done.taking.drv] = done.sources


def _takings(graph: Graph, substituter: Substituter, plan: Plan) -> list[Taking]:
    """What the plan takes, by derivation."""
    outputs: dict[DrvDigest, dict[DrvOutput, Realisation]] = {}
    resolutions: dict[DrvDigest, dict[Resolution, None]] = {}
    for item, way in substituter.taken(plan).items():
        outputs.setdefault(item.drv, {})[item] = way.outputs[item.output]
        said = resolutions.setdefault(item.drv, {})
        said.update(dict.fromkeys(offer.record for offer in way.resolved.resolutions))
    return [Taking(drv, _name(graph[drv]), found, tuple(resolutions[drv])) for drv, found in outputs.items()]


def _name(step: Step) -> str:
    return step.fixed.name if isinstance(step, FetchStep) else step.derivation.name

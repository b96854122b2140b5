"""In what order, and how many at once: knows nothing of what the work is.

A job is ready when every job that it needs has succeeded. Of the ready jobs for which there is room, the one with
the longest chain above it goes first, so that the critical path is never kept waiting. There is room for a job when

- its class has a free slot,
- the memory that it demands and that running jobs demand is within the budget; or nothing that demands any runs,
- no job of its class runs that is exclusive, and, if it is so itself, no job of its class runs at all.

Jobs behind one for which there is no room may go before it, so that slots are not idle, but only OVERTAKING times:
then nothing of its class is started until it is. After a failure nothing new is started (or, with `keep_going`,
nothing that needs what failed); what runs is waited for.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
PATIENCE = 10.0
"""Seconds that running jobs have to end after an interrupt."""
OVERTAKING = 32
"""How often a job for which there is no room may be overtaken."""


class Demand(NamedTuple):
    """What a job takes while it runs: a slot of a class, bytes of memory, or its class for itself alone."""

    slot: str
    memory: int = 0
    exclusive: bool = False


@dataclass(slots=True)
class Outcome(Generic[K]):
    """`failed` in the order given to `schedule`; `skipped` maps a job to the failed one that blocked it."""

    failed: dict[K, Exception] = field(default_factory=dict)
    skipped: dict[K, K] = field(default_factory=dict)


def heights(order: Sequence[K], needs: Mapping[K, Sequence[K]]) -> dict[K, int]:
    """For each job, the length of the longest chain of jobs that waits for it."""
    height = dict.fromkeys(order, 0)
    for job in reversed(order):
        for needed in needs[job]:
            height[needed] = max(height[needed], height[job] + 1)
    return height


class Scheduler(Generic[K]):
    """Runs jobs on threads. One use each: make it, call `run`."""

    def __init__(
        self,
        order: Sequence[K],
        needs: Mapping[K, Sequence[K]],
        work: Callable[[K], None],
        demand: Callable[[K], Demand],
        slots: Mapping[str, int],
        *,
        memory: int | None = None,
        keep_going: bool = False,
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self._interrupt = interrupt
        self._order = list(order)
        self._work = work
        self._demand = demand
        self._keep_going = keep_going
        self._room = _Room(slots, memory)
        self._height = heights(self._order, needs)
        self._waiting = {job: len(set(needs[job])) for job in self._order}
        self._dependents: dict[K, list[K]] = {job: [] for job in self._order}
        for job in self._order:
            for needed in dict.fromkeys(needs[job]):
                self._dependents[needed].append(job)
        self._place = {job: place for place, job in enumerate(self._order)}
        self._ready: dict[str, list[tuple[int, int]]] = {name: [] for name in slots}
        self._overtaken: dict[K, int] = {}
        self._running = 0
        self._stopping = False
        self._outcome: Outcome[K] = Outcome()
        self._change = threading.Condition()

    def run(self) -> Outcome[K]:
        """Run everything.

        An interrupt starts nothing new, calls `interrupt`, which makes running jobs end soon, waits for them (at
        most PATIENCE seconds: what goes on then ends with the process) and is raised again.
        """
        with self._change:
            for job in self._order:
                if not self._waiting[job]:
                    self._push(job)
            try:
                self._dispatch()
                while self._running:
                    self._change.wait()
                    self._dispatch()
            except BaseException:
                self._stopping = True
                self._end_running()
                raise
        return self._finish()

    def _end_running(self) -> None:
        """Guarded by `_change`, which waiting lets go."""
        self._interrupt()
        deadline = time.monotonic() + PATIENCE
        while self._running and time.monotonic() < deadline:
            self._change.wait(deadline - time.monotonic())

    def _push(self, job: K) -> None:
        heapq.heappush(self._ready[self._demand(job).slot], (-self._height[job], self._place[job]))

    def _dispatch(self) -> None:
        """Start what can start; guarded by `_change`."""
        for name, heap in self._ready.items():
            waiting: list[tuple[int, int]] = []
            while heap and self._room.free[name] > 0 and not self._stopping:
                entry = heapq.heappop(heap)
                job = self._order[entry[1]]
                demand = self._demand(job)
                if self._room.has(demand):
                    self._start(job, demand, waiting)
                    continue
                waiting.append(entry)
                if self._overtaken.get(job, 0) >= OVERTAKING:
                    break
            for entry in waiting:
                heapq.heappush(heap, entry)

    def _start(self, job: K, demand: Demand, overtaken: list[tuple[int, int]]) -> None:
        for _, place in overtaken:
            behind = self._order[place]
            self._overtaken[behind] = self._overtaken.get(behind, 0) + 1
        self._room.take(demand)
        self._running += 1
        threading.Thread(target=self._one, args=(job, demand), daemon=True).start()

    def _one(self, job: K, demand: Demand) -> None:
        failure: Exception | None = None
        try:
            self._work(job)
        except Exception as error:
            failure = error
        with self._change:
            self._running -= 1
            self._room.give_back(demand)
            if failure is None:
                self._succeed(job)
            else:
                self._fail(job, failure)
            self._change.notify_all()

    def _succeed(self, job: K) -> None:
        for dependent in self._dependents[job]:
            self._waiting[dependent] -= 1
            if not self._waiting[dependent] and dependent not in self._outcome.skipped:
                self._push(dependent)

    def _fail(self, job: K, failure: Exception) -> None:
        self._outcome.failed[job] = failure
        if not self._keep_going:
            self._stopping = True
        blocked = list(self._dependents[job])
        while blocked:
            dependent = blocked.pop()
            if dependent not in self._outcome.skipped:
                self._outcome.skipped[dependent] = job
                blocked.extend(self._dependents[dependent])

    def _finish(self) -> Outcome[K]:
        failed, skipped = self._outcome.failed, self._outcome.skipped
        return Outcome(
            {job: failed[job] for job in self._order if job in failed},
            {job: skipped[job] for job in self._order if job in skipped},
        )


class _Room:
    """What running jobs leave free. Guarded by the scheduler's lock."""

    def __init__(self, slots: Mapping[str, int], memory: int | None) -> None:
        self.free = dict(slots)
        self._slots = dict(slots)
        self._budget = memory
        self._memory = 0
        self._alone: set[str] = set()

    def has(self, demand: Demand) -> bool:
        if self.free[demand.slot] <= 0 or demand.slot in self._alone:
            return False
        if demand.exclusive and self.free[demand.slot] != self._slots[demand.slot]:
            return False
        return self._budget is None or not self._memory or self._memory + demand.memory <= self._budget

    def take(self, demand: Demand) -> None:
        self.free[demand.slot] -= 1
        self._memory += demand.memory
        if demand.exclusive:
            self._alone.add(demand.slot)

    def give_back(self, demand: Demand) -> None:
        self.free[demand.slot] += 1
        self._memory -= demand.memory
        if demand.exclusive:
            self._alone.discard(demand.slot)

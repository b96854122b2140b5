"""The scheduler, with jobs that are letters."""

from __future__ import annotations

import signal
import threading

import pytest

from kiln.interpreter.schedule import OVERTAKING, Demand, Outcome, Scheduler, heights

NEEDS = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": []}
ORDER = ["a", "b", "c", "d", "e"]
GATHERING = 30.0


class Work:
    """Jobs that note their order, and fail where told to.

    No job ends before `crowd` of them have run at once (or half a minute is over): how many there were at the most
    does not depend on how fast a busy machine starts threads. A job called "alone" waits for nobody.
    """

    def __init__(self, *failing: str, crowd: int = 0) -> None:
        self.done: list[str] = []
        self.most = self._now = 0
        self._failing = failing
        self._wanted = crowd
        self._lock = threading.Lock()
        self._gathered = threading.Condition(self._lock)

    def __call__(self, job: str) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self._gathered.notify_all()
            if job != "alone":
                self._gathered.wait_for(lambda: self.most >= self._wanted, GATHERING)
        threading.Event().wait(0.01)
        with self._lock:
            self._now -= 1
            if job in self._failing:
                raise ValueError(job)
            self.done.append(job)


def run(work: Work, jobs: int = 2, *, keep_going: bool = False) -> Outcome[str]:
    return Scheduler(ORDER, NEEDS, work, lambda job: Demand("build"), {"build": jobs}, keep_going=keep_going).run()


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_inputs_come_before_what_needs_them(jobs: int) -> None:
    work = Work()
    assert run(work, jobs) == Outcome({}, {})
    assert sorted(work.done) == ORDER
    for job in ORDER:
        assert all(work.done.index(need) < work.done.index(job) for need in NEEDS[job])
    assert work.most <= jobs


def test_the_longest_chain_goes_first() -> None:
    assert heights(ORDER, NEEDS) == {"a": 2, "b": 1, "c": 1, "d": 0, "e": 0}
    work = Work()
    run(work, 1)
    assert work.done[0] == "a" and work.done[-1] in "de"


def test_after_a_failure_nothing_new_is_started() -> None:
    work = Work("a")
    outcome = run(work, 1)
    assert list(outcome.failed) == ["a"]
    assert outcome.skipped == {"b": "a", "c": "a", "d": "a"}
    assert work.done == []


def test_keep_going_runs_what_does_not_need_the_failed() -> None:
    work = Work("b")
    outcome = run(work, keep_going=True)
    assert list(outcome.failed) == ["b"]
    assert outcome.skipped == {"d": "b"}
    assert sorted(work.done) == ["a", "c", "e"]


def test_failures_are_told_in_the_order_of_the_graph() -> None:
    outcome = Scheduler(
        ["x", "y", "z"], {"x": [], "y": [], "z": []}, Work("x", "y", "z"), lambda job: Demand("build"), {"build": 3},
        keep_going=True,
    ).run()  # fmt: skip
    assert list(outcome.failed) == ["x", "y", "z"]


def test_slots_are_counted_apart() -> None:
    work = Work()
    Scheduler(
        ORDER, NEEDS, work, lambda job: Demand("fetch" if job == "e" else "build"), {"build": 1, "fetch": 1}
    ).run()
    assert sorted(work.done) == ORDER


def test_an_interrupt_ends_what_runs_and_is_raised_again() -> None:
    ended = threading.Event()
    started: list[str] = []

    def work(job: str) -> None:
        started.append(job)
        signal.raise_signal(signal.SIGINT) if job == "e" else ended.wait(5)

    scheduler = Scheduler(ORDER, NEEDS, work, lambda job: Demand("build"), {"build": 2}, interrupt=ended.set)
    with pytest.raises(KeyboardInterrupt):
        scheduler.run()
    assert ended.is_set()
    assert sorted(started) == ["a", "e"], "nothing new was started"


class Seen(Work):
    """Notes also who ran beside whom."""

    def __init__(self, crowd: int) -> None:
        super().__init__(crowd=crowd)
        self.running: set[str] = set()
        self.demanding = 0
        self.beside: dict[str, set[str]] = {}

    def __call__(self, job: str) -> None:
        with self._lock:
            self.running.add(job)
            self.demanding = max(self.demanding, len(self.running - {"x"}))
            for other in self.running:
                self.beside.setdefault(other, set()).update(self.running - {other})
        super().__call__(job)
        with self._lock:
            self.running.discard(job)


def spread(demands: dict[str, Demand], slots: int, memory: int | None = None, *, crowd: int = 0) -> Seen:
    work = Seen(crowd)
    order = list(demands)
    scheduler = Scheduler(order, dict.fromkeys(order, ()), work, demands.__getitem__, {"build": slots}, memory=memory)
    assert scheduler.run() == Outcome({}, {})
    return work


def test_memory_is_shared_out() -> None:
    demands = {name: Demand("build", memory=40) for name in "abcdef"} | {"x": Demand("build")}
    work = spread(demands, 8, memory=100, crowd=3)
    assert work.demanding == 2
    assert sorted(work.done) == sorted(demands)


def test_a_demand_beyond_the_budget_runs_when_nothing_else_demands_any() -> None:
    work = spread({"a": Demand("build", 10), "big": Demand("build", 1000), "b": Demand("build", 10)}, 3, memory=100)
    assert work.beside.get("big", set()) == set()


def test_an_exclusive_job_is_alone() -> None:
    demands = {name: Demand("build") for name in "abcdef"}
    work = spread({"a": demands["a"], "alone": Demand("build", exclusive=True), **demands}, 4, crowd=4)
    assert work.beside.get("alone", set()) == set() and "alone" in work.done and work.most == 4


def test_a_job_that_does_not_fit_is_not_overtaken_for_ever() -> None:
    demands = {"first": Demand("build", memory=60), "big": Demand("build", memory=100)}
    demands |= {f"small{number}": Demand("build", memory=40) for number in range(3 * OVERTAKING)}
    work = spread(demands, 2, memory=100)
    assert work.done.index("big") <= OVERTAKING + 3


def test_a_thousand_jobs_keep_the_slots_full() -> None:
    names = [f"job{number}" for number in range(1000)]
    work = Work(crowd=8)
    ended = Scheduler(names, dict.fromkeys(names, ()), work, lambda job: Demand("build"), {"build": 8}).run()
    assert ended == Outcome({}, {}) and len(work.done) == 1000 and work.most == 8

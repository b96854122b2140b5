"""Budgets: an evaluation that takes too much ends in an error at the line that was running.

Steps are counted by the code itself, which is compiled for it where there is such a budget: a step is one call of a
function, or one turn of a comprehension. So it ends at the same place on every machine.

For time and memory a watchdog looks at the clock and at the process's memory some fifty times a second, and raises
an exception in the evaluating thread (`PyThreadState_SetAsyncExc`), which CPython delivers at the next call or turn
of a loop. So compiled code does nothing for it, and an evaluation without a budget pays nothing. Memory is bounded
by the kernel, too (RLIMIT_DATA), a little above the budget, for what grows within one operation of C.

The exception may come at any moment until `_Watch.end`, and none comes after it. What was interrupted is not used
again: the evaluator drops its memo cells.
"""

from __future__ import annotations

import _thread
import ctypes
import re
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, TypeVar

from kiln.interpreter.evaluate.mistakes import BudgetSpent, Failure
from kiln.interpreter.evaluate.room import data_size

_T = TypeVar("_T")
_POLL: Final = 0.02
"""Seconds between two looks."""
_AGAIN: Final = 1.0
"""Seconds after which it is raised again: Python drops what is raised while it tidies an object up."""
_QUANTITY: Final = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?|\.[0-9]+)\s*(?P<unit>s|MB|steps|)", re.ASCII)
_LIMITS: Final = {"s": 1e9, "MB": float(1 << 30), "steps": 1e15}
"""Each quantity is below this."""
_SLACK: Final = 256 << 20
"""Bytes above the budget at which the kernel says no."""


class Budget(NamedTuple):
    """What one evaluation may take, None: any.

    Seconds of wall time, MiB of memory above what there was, and steps.
    """

    seconds: float | None = None
    megabytes: int | None = None
    steps: int | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `10`, `10,512` (seconds, MiB), or quantities with their units: `1000000steps,512MB,10s`.

        Raises ValueError.
        """
        found: dict[str, float] = {}
        for place, item in enumerate(text.split(",")):
            match = _QUANTITY.fullmatch(item.strip())
            if match is None:
                raise ValueError(text)
            unit = match["unit"] or ("s", "MB")[place] if place < 2 or match["unit"] else ""
            if unit not in _LIMITS or unit in found or (unit != "s" and "." in match["number"]):
                raise ValueError(text)
            found[unit] = float(match["number"])
            if not 0 < found[unit] < _LIMITS[unit]:
                raise ValueError(text)
        megabytes, steps = found.get("MB"), found.get("steps")
        return cls(
            found.get("s"), None if megabytes is None else int(megabytes), None if steps is None else int(steps)
        )


class Steps:
    """How many steps are left. Its two methods are what metered code calls by name."""

    def __init__(self, budget: int) -> None:
        self._budget = self._left = budget

    def renew(self) -> None:
        """Begin anew."""
        self._left = self._budget

    def step(self) -> None:
        """Count a call. Raises Failure(BudgetSpent)."""
        self._left -= 1
        if self._left < 0:
            raise Failure(BudgetSpent(f"{self._budget:,} {'step' if self._budget == 1 else 'steps'}"))

    def turns(self, items: Iterable[_T]) -> Iterator[_T]:
        """The items, each counted when it is taken. Raises Failure(BudgetSpent)."""
        for item in items:
            self.step()
            yield item


class Meter:
    """A budget, and what is used of it."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.steps = None if budget.steps is None else Steps(budget.steps)
        self._used = 0.0

    def renew(self) -> None:
        """Begin anew."""
        self._used = 0.0
        if self.steps is not None:
            self.steps.renew()

    def run(self, work: Callable[[], _T]) -> _T:
        """The result of `work()`. Raises Failure(BudgetSpent) in it, at whatever it does when the budget is spent."""
        if self.budget.seconds is None and self.budget.megabytes is None:
            return work()
        began = time.monotonic()
        seconds = float("inf") if self.budget.seconds is None else max(0.0, self.budget.seconds - self._used)
        watch = _Watch(self.budget, seconds)
        try:
            try:
                return work()
            finally:
                watch.end()
        finally:
            self._used += time.monotonic() - began


class _Watch:
    """One watchdog, for the thread that makes it."""

    def __init__(self, budget: Budget, seconds: float) -> None:
        self._budget = budget
        self._thread = _thread.get_ident()
        self._deadline = time.monotonic() + seconds
        self._base = _resident()
        self._open = True
        self._guard = _thread.allocate_lock()
        """Guards `_open`, and that nothing is raised when it is false."""
        self._ended = _thread.allocate_lock()
        self._ended.acquire()
        self._limits = resource.getrlimit(resource.RLIMIT_DATA)
        self._bound_memory()
        _thread.start_new_thread(self._look, ())

    def end(self) -> None:
        """Nothing is raised from now on; what was raised while this waited comes out of it."""
        try:
            with self._guard:
                self._open = False
        finally:
            self._open = False
            if self._ended.locked():
                self._ended.release()
            resource.setrlimit(resource.RLIMIT_DATA, self._limits)

    def _look(self) -> None:
        while not self._ended.acquire(timeout=_POLL):
            spent = self._spent()
            if spent is None:
                continue
            with self._guard:
                if self._open:
                    _raise_in(self._thread, spent)
            if self._ended.acquire(timeout=_AGAIN):
                return

    def _spent(self) -> BudgetSpent | None:
        megabytes, seconds = self._budget.megabytes, self._budget.seconds
        if seconds is not None and time.monotonic() >= self._deadline:
            return BudgetSpent(f"{seconds:g} {'second' if seconds == 1 else 'seconds'}")
        if megabytes is not None and _resident() - self._base > megabytes << 20:
            return BudgetSpent(f"{megabytes:,} MiB of memory")
        return None

    def _bound_memory(self) -> None:
        if self._budget.megabytes is None:
            return
        soft, hard = self._limits
        bound = data_size() + (self._budget.megabytes << 20) + _SLACK
        for other in (soft, hard):
            bound = bound if other == resource.RLIM_INFINITY else min(bound, other)
        resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))


def _raise_in(thread: int, spent: BudgetSpent) -> None:
    """Raise in another thread. CPython takes a class and makes the exception of it there."""

    class Interruption(Failure):
        def __init__(self) -> None:
            super().__init__(spent)

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Interruption))


def _resident() -> int:
    """The process's resident memory in bytes: proc(5), the second field of statm."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

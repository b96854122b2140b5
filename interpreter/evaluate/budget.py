"""Budgets: an evaluation that takes too long, or too much memory, ends in an error at the line that was running.

A watchdog looks at the clock and at the process's memory some fifty times a second, and raises an exception in
the evaluating thread (`PyThreadState_SetAsyncExc`), which CPython delivers at the next call or turn of a loop. So
compiled code counts nothing, and an evaluation without a budget pays nothing. Memory is also bounded by the
kernel (RLIMIT_DATA) a little above the budget, for what grows within one operation of C.

The exception may come at any moment until `_Watch.end`, and none comes after it. What was interrupted is not used
again: the evaluator drops its memo cells.
"""

from __future__ import annotations

import _thread
import ctypes
import resource
import time
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from kiln.interpreter.evaluate.mistakes import BudgetSpent, Failure
from kiln.interpreter.evaluate.room import data_size

_T = TypeVar("_T")
_POLL: Final = 0.02
"""Seconds between two looks."""
_AGAIN: Final = 1.0
"""Seconds after which it is raised again: Python drops what is raised while it tidies an object up."""
_SLACK: Final = 256 << 20
"""Bytes above the budget at which the kernel says no."""


class Budget(NamedTuple):
    """What one evaluation may take: seconds of wall time, and MiB of memory above what there was (None: any)."""

    seconds: float
    megabytes: int | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `SECONDS[,MB]`. Raises ValueError."""
        seconds, comma, megabytes = text.partition(",")
        budget = cls(float(seconds), int(megabytes) if comma else None)
        if not 0 < budget.seconds < 1e9 or (budget.megabytes is not None and not 0 < budget.megabytes < 1 << 30):
            raise ValueError(text)
        return budget


class Meter:
    """A budget, and what is used of its seconds."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._used = 0.0

    def renew(self) -> None:
        """Begin anew."""
        self._used = 0.0

    def run(self, work: Callable[[], _T]) -> _T:
        """The result of `work()`. Raises Failure(BudgetSpent) in it, at whatever it does when the budget is spent."""
        began = time.monotonic()
        watch = _Watch(self.budget, max(0.0, self.budget.seconds - self._used))
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
        megabytes = self._budget.megabytes
        if time.monotonic() >= self._deadline:
            return BudgetSpent(f"{self._budget.seconds:g} {'second' if self._budget.seconds == 1 else 'seconds'}")
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

"""Running code whose recursion may be deep, in a thread with a large stack.

Calls from Python to Python use no C stack (CPython 3.11 and later), so the frames of Kiln's functions are bounded
by the recursion limit alone; the thread's stack serves what does recurse in C. A stack's pages are used when
they are touched, so that a large one costs nothing.
"""

from __future__ import annotations

import _thread
import gc
import sys
from collections.abc import Callable
from typing import Final, TypeVar

LIMIT: Final = 250_000
"""Frames: some 60 to 100 MB if all are used."""
_TOLD, _PATIENCE = 10, 0.2
"""How often, and for how long each time in seconds, an interrupted thread is waited for."""
DIGITS: Final = 300_000
"""Of a number that is turned into text or read from it: for more, CPython takes minutes in one step."""
_STACKS: Final = (512 << 20, 128 << 20, 32 << 20)

_T = TypeVar("_T")
_deep_threads: set[int] = set()
"""The identities of running threads with a large stack."""


def run_deep(work: Callable[[], _T]) -> _T:
    """The result of `work()`, or the exception that it raised. May be called from within `work`."""
    if _thread.get_ident() in _deep_threads:
        return work()
    results: list[_T] = []
    errors: list[BaseException] = []
    threads: list[int] = []
    done = _thread.allocate_lock()
    done.acquire()

    def body() -> None:
        threads.append(_thread.get_ident())
        _deep_threads.add(_thread.get_ident())
        try:
            results.append(work())
        except BaseException as error:  # handed to the caller's thread
            errors.append(error)
        finally:
            _deep_threads.discard(_thread.get_ident())
            done.release()

    collecting = gc.isenabled()
    recursion, digits = sys.getrecursionlimit(), sys.get_int_max_str_digits()
    sys.setrecursionlimit(max(recursion, LIMIT))
    sys.set_int_max_str_digits(DIGITS)
    # Values hardly ever form circles, and looking for some among millions takes a third of the time.
    gc.disable()
    try:
        _start(body)
        done.acquire()
    except KeyboardInterrupt:
        if threads:
            _interrupt(threads[0], done)
        raise
    finally:
        sys.setrecursionlimit(recursion)
        sys.set_int_max_str_digits(digits)
        if collecting:
            gc.enable()
    if errors:
        raise errors[0]
    return results[0]


def _interrupt(thread: int, done: _thread.LockType) -> None:
    """End what runs in the other thread, so that it neither goes on behind the next one nor writes into its state.

    It is told several times, as Python drops what is raised while it tidies an object up; what is busy within one
    operation of C for longer is left behind.
    """
    import ctypes

    for _ in range(_TOLD):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
        if done.acquire(timeout=_PATIENCE):
            return


def _start(body: Callable[[], None]) -> None:
    """Start a thread with the largest stack that the machine gives."""
    before = _thread.stack_size()
    try:
        for place, size in enumerate(_STACKS):
            try:
                _thread.stack_size(size)
                _thread.start_new_thread(body, ())
            except (RuntimeError, ValueError):
                if place == len(_STACKS) - 1:
                    raise
            else:
                return
    finally:
        _thread.stack_size(before)

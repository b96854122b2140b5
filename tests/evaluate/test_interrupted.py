"""Ctrl-C while something is evaluated ends it, and leaves nothing behind that goes on."""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time

import pytest

from kiln.interpreter.evaluate import deep
from kiln.interpreter.evaluate.deep import run_deep


def test_an_interrupt_ends_the_evaluation() -> None:
    turns = 0

    def work() -> None:
        nonlocal turns
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        while True:
            turns += 1

    threads = _thread._count()
    with pytest.raises(KeyboardInterrupt):
        run_deep(work)
    seen = turns
    time.sleep(0.1)
    assert turns == seen and not deep._deep_threads
    assert _thread._count() <= threads + 1  # the timer's own may be ending
    assert run_deep(lambda: 2) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_tidies_up_while_it_is_interrupted_ends_too() -> None:
    class Slow:
        def __del__(self) -> None:
            time.sleep(0.01)

    def work() -> None:
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()
        while True:
            Slow()
            for _ in range(5_000_000):
                pass

    with pytest.raises(KeyboardInterrupt):
        run_deep(work)
    assert not deep._deep_threads

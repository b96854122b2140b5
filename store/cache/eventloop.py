"""The one event loop of this process that caches on the web are asked from, in a thread of its own.

It is started when it is first needed, and again in a child of a fork, which inherits no thread.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_guard = threading.Lock()
_running: tuple[int, asyncio.AbstractEventLoop] | None = None  # process id and loop; guarded by _guard


def event_loop() -> asyncio.AbstractEventLoop:
    """The loop, running."""
    global _running
    with _guard:
        if _running is None or _running[0] != os.getpid():
            loop = asyncio.new_event_loop()
            # What asyncio would print by itself concerns nobody: every result is waited for, and connections that
            # are open when the process ends are the kernel's to close.
            loop.set_exception_handler(lambda loop, facts: None)
            threading.Thread(target=loop.run_forever, name="kiln-caches", daemon=True).start()
            _running = (os.getpid(), loop)
        return _running[1]


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine on the loop."""
    return asyncio.run_coroutine_threadsafe(work, event_loop())


def run(work: Coroutine[Any, Any, T]) -> T:
    """The same, and wait for it; an interrupt of the waiting thread cancels it."""
    future = submit(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise

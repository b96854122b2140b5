"""Many transfers at once, within bounds: so many of them, and so many bytes on their way or waiting to be taken.

The thread that takes the results starts the next transfers: what waits for it counts as on its way, so a slow taker
holds the network back, and memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_window(
    items: Iterable[T],
    start: Callable[[T], Future[R]],
    weight: Callable[[T], int],
    *,
    at_once: int,
    in_flight: int,
) -> Iterator[tuple[T, Future[R]]]:
    """Each item with its finished transfer, as they finish.

    An item that alone weighs more than `in_flight` goes alone. What is under way when the iterator is closed is
    cancelled.
    """
    todo = iter(items)
    waiting: T | None = None
    running: dict[Future[R], tuple[T, int]] = {}
    done: SimpleQueue[Future[R]] = SimpleQueue()
    load = 0
    try:
        while True:
            while len(running) < at_once:
                item = waiting if waiting is not None else next(todo, None)
                if item is None:
                    break
                cost = weight(item)
                if running and load + cost > in_flight:
                    waiting = item
                    break
                waiting = None
                future = start(item)
                running[future] = (item, cost)
                load += cost
                future.add_done_callback(done.put)
            if not running:
                return
            finished = done.get()
            item, cost = running.pop(finished)
            load -= cost
            yield item, finished
    finally:
        for future in running:
            future.cancel()

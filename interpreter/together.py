"""Questions of many threads, asked together: whoever comes while one is under way shares the next one.

So a thousand steps that become ready one after the other cost a cache a few questions, and nobody waits for company.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Together(Generic[K, V]):
    """`answer(keys)` gives a value for each key; what it raises, every thread that asked with it raises."""

    def __init__(self, answer: Callable[[Collection[K]], Mapping[K, V]]) -> None:
        self._answer = answer
        self._state = threading.Condition()
        self._waiting: dict[K, _Slot[V]] = {}
        self._busy = False

    def ask(self, key: K) -> V:
        with self._state:
            slot = self._waiting.setdefault(key, _Slot())
            while self._busy and not slot.done:
                self._state.wait()
            if not slot.done:
                mine, self._waiting = self._waiting, {}
                self._busy = True
        if not slot.done:
            self._lead(mine)
        if slot.error is not None:
            raise slot.error
        return slot.values[0]

    def _lead(self, slots: Mapping[K, _Slot[V]]) -> None:
        answers: Mapping[K, V] = {}
        error: Exception | None = None
        try:
            answers = self._answer(slots.keys())
        except Exception as failure:
            error = failure
        finally:
            with self._state:
                self._busy = False
                for key, slot in slots.items():
                    slot.done = True
                    slot.error = error
                    slot.values = [answers[key]] if key in answers else []
                    if not slot.values and error is None:
                        slot.error = KeyError(key)
                self._state.notify_all()


class _Slot(Generic[V]):
    __slots__ = ("done", "error", "values")

    def __init__(self) -> None:
        self.done = False
        self.error: Exception | None = None
        self.values: list[V] = []

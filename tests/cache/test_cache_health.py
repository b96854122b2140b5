"""A cache that is slow or silent is not waited for where another serves, and is remembered by the next command."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from taking_graphs import Graph, User, Users

from kiln.store.cache.backend import Answer, Backend, Health, Request, open_backend
from kiln.store.cache.errors import CacheDown
from kiln.store.cache.health import REST, Met, remember, remembered
from kiln.store.cache.several import Caches
from kiln.store.store import Store


class Silent:
    """A cache that accepts questions and answers none until it is let go. A `Backend`."""

    def __init__(self, inner: Backend, url: str) -> None:
        self.inner = inner
        self.url = url
        self.name = "silent"
        self.health = Health()
        self.over = threading.Event()
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def get_many(self, requests: Iterable[Request]) -> Iterator[Answer]:
        wanted = list(requests)
        if self.health.down is not None and time.monotonic() < self.health.down_until:
            return iter([(request, self.health.down) for request in wanted])
        self.asked += 1
        self.over.wait()
        return iter([(request, CacheDown("it was silent", cache=self.name)) for request in wanted])


@pytest.fixture
def users(place: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Users]:
    found = Users(place, monkeypatch)
    yield found
    found.close()


@pytest.fixture
def graph() -> Graph:
    return Graph()


@pytest.fixture
def alice(users: Users, graph: Graph, place: str) -> User:
    made = users.add(b"a")
    made.realise(graph, graph.add("top", graph.add("base")))
    made.push(open_backend(f"{place}/cache", name="team"))
    return made


@pytest.mark.parametrize("silent_first", [False, True])
def test_what_one_serves_whole_waits_for_no_other(
    users: Users, graph: Graph, alice: User, place: str, silent_first: bool
) -> None:
    good = open_backend(f"{place}/cache", name="team")
    silent = Silent(good, "http://silent.example/")
    caches = [silent, good] if silent_first else [good, silent]
    bob = users.add(b"b", trusts=[alice.key], caches=caches, failing=True)
    try:
        bob.realise(graph, *graph)
        assert silent.asked == 1 and set(bob.cached.values()) == {"team"}
    finally:
        silent.over.set()


def test_what_needs_the_other_waits_for_it(users: Users, graph: Graph, alice: User, place: str) -> None:
    """Two keys must agree, and the second one's word lies in the cache that is late."""
    carol = users.add(b"c")
    carol.realise(graph, *graph)
    carol.push(open_backend(f"{place}/other", name="other"), name="other")
    late = Silent(open_backend(f"{place}/other", name="other"), "http://late.example/")
    plain = late.inner.get_many
    late.get_many = lambda requests: late.over.wait() and plain(requests)  # type: ignore[method-assign]
    caches = [open_backend(f"{place}/cache", name="team"), late]
    bob = users.add(b"b", trusts=[alice.key, carol.key], threshold=2, caches=caches, failing=True)
    waiting = threading.Thread(target=late.over.set)
    waiting.start()
    bob.realise(graph, *graph)
    waiting.join()
    assert set(bob.cached) == {"top", "base"}


def test_a_cache_that_owed_an_answer_rests_in_the_next_command(
    users: Users, graph: Graph, alice: User, place: str
) -> None:
    good = open_backend(f"{place}/cache", name="team")
    silent = Silent(good, "http://silent.example/")
    bob = users.add(b"b", trusts=[alice.key], caches=[good, silent], failing=True)
    try:
        now = 1_000_000.0
        caches = bob.opened()
        caches._clock = lambda: now
        caches.each(lambda reader: reader.open(), lambda answers: True)
        caches.close()
        assert remembered(bob.store.memo(), [silent.url])[silent.url].rests(now + 10) == REST - 10
        for later, asked in ((10.0, False), (REST + 1, True)):
            silent.health, silent.asked = Health(), 0
            again = Caches(caches.readers, bob.store, caches.believed, print, clock=lambda later=later: now + later)
            assert (silent.health.down is None) == asked
            assert again.readers == caches.readers
        required = Caches(caches.readers, bob.store, caches.believed, print, ["silent"], clock=lambda: now + 1)
        assert silent.health.down is None and required.readers
    finally:
        silent.over.set()


def test_what_is_remembered(store: Store) -> None:
    met = {"a": Met(0.25, 0.0), "b": Met(None, 5_000.0)}
    remember(store.memo(), met)
    assert remembered(store.memo(), ["a", "b", "c"]) == met
    assert Met(None, 100.0).rests(90.0) == 10.0 and Met(None, 100.0).rests(100.0) == 0.0
    assert Met(None, 10_000.0).rests(90.0) == 0.0, "another clock set it"


def test_those_that_are_many_times_slower_come_last(users: Users, alice: User, place: str) -> None:
    backends = [open_backend(f"{place}/cache", name=name) for name in ("one", "two", "three")]
    bob = users.add(b"b", trusts=[alice.key], caches=backends)
    readers = bob.opened().readers
    for latencies, expected in (
        ((None, None, None), "one two three"),
        ((0.1, 0.05, 0.01), "one two three"),  # none that anybody would notice
        ((0.9, 0.05, 0.3), "two one three"),
        ((0.9, None, 0.3), "one two three"),
    ):
        for reader, latency in zip(readers, latencies, strict=True):
            reader.backend.health.latency = latency
        ordered = Caches._by_speed([(reader, None) for reader in readers])
        assert " ".join(reader.name for reader, _ in ordered) == expected, latencies

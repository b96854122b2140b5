"""What moves when objects are received: chunks that are here are not fetched, what came before an interruption
counts, depth costs no questions, and a byte that is wrong never gets in.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from taking_graphs import Graph, User, Users, objects

from kiln.store.cache.backend import Answer, Backend, Request, open_backend
from kiln.store.cache.errors import CacheDown, CacheError


class Watched:
    """A cache that counts what is asked of it, and can be made to fail or to lie. A `Backend`."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.questions = 0
        self.received: list[Request] = []
        self.fails_after: int | None = None
        self.damages: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def get_many(self, requests: Iterable[Request]) -> Iterator[Answer]:
        self.questions += 1
        for request, answer in self.inner.get_many(requests):
            self.received.append(request)
            if self.fails_after is not None and len(self.received) > self.fails_after:
                yield request, CacheDown("the cable was pulled", cache=self.name)
            elif self.damages is not None and request.path.startswith(self.damages):
                yield request, self._damaged(answer)
            else:
                yield request, answer

    def _damaged(self, answer: bytes | CacheError) -> bytes | CacheError:
        if isinstance(answer, CacheError):
            return answer
        at = len(answer) // 2
        return answer[:at] + bytes([answer[at] ^ 1]) + answer[at + 1 :]

    def count(self, prefix: str) -> int:
        return sum(request.path.startswith(prefix) for request in self.received)


@pytest.fixture
def users(place: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Users]:
    found = Users(place, monkeypatch)
    yield found
    found.close()


BIG = random.Random(5).randbytes(12 << 20)


def big(name: str, inputs: Sequence[str]) -> dict[str, bytes]:
    """A big file, of which a later version has one other byte."""
    data = bytearray(BIG)
    if name == "newer":
        data[5_000_000] ^= 1
    return {"blob": bytes(data), "name": name.encode()}


def shared_big(users: Users, place: str) -> tuple[Graph, list, User, Watched]:
    graph = Graph()
    drvs = [graph.add("older"), graph.add("newer")]
    alice = users.add(b"a", content=big)
    alice.realise(graph, *drvs)
    cache = Watched(open_backend(f"{place}/cache", name="team"))
    alice.push(cache)  # type: ignore[arg-type]
    return graph, drvs, alice, cache


def test_of_a_file_with_one_other_byte_one_chunk_moves(users: Users, place: str) -> None:
    graph, (older, newer), alice, cache = shared_big(users, place)
    bob = users.add(b"b", trusts=[alice.key], caches=[cache], failing=True)
    bob.realise(graph, older)
    whole = cache.count("c/")
    assert whole > 4
    bob.realise(graph, newer)
    assert cache.count("c/") == whole + 1
    assert bob.store.check(contents=True) == []


def test_what_is_remembered_of_chunks_is_a_hint(users: Users, place: str) -> None:
    """The pool's file is another one now: nothing of it gets in, and what was wrong is fetched."""
    graph, (older, newer), alice, cache = shared_big(users, place)
    bob = users.add(b"b", trusts=[alice.key], caches=[cache], failing=True)
    bob.realise(graph, older)
    [folder] = os.listdir(f"{bob.store.root}/pool")
    [name] = os.listdir(f"{bob.store.root}/pool/{folder}")
    path = f"{bob.store.root}/pool/{folder}/{name}"
    os.unlink(path)
    with open(path, "wb") as file:
        file.write(bytes(len(BIG)))
    made = objects(bob.realise(graph, newer), [newer])
    [info] = [info for info in bob.store.closure(made) if info.name == "newer"]
    assert bob.store.verify(info.id) == []


def test_what_came_before_an_interruption_counts(users: Users, place: str) -> None:
    graph, (older, _), alice, cache = shared_big(users, place)
    bob = users.add(b"b", trusts=[alice.key], caches=[cache], content=big)
    bob.failing = True
    cache.fails_after = len(cache.received) + 12
    with pytest.raises(Exception, match=r"is built|failed"):
        bob.realise(graph, older)
    first = cache.count("c/")
    assert sum("the cable was pulled" in text for text in bob.warnings) == 1, bob.warnings
    assert os.listdir(f"{bob.store.root}/partial") != []
    cache.fails_after = None
    bob.realise(graph, older)
    total = len({request.path for request in cache.received if request.path.startswith("c/")})
    assert cache.count("c/") < first + total, "not all of it came twice"
    assert os.listdir(f"{bob.store.root}/partial") == []
    assert bob.store.check(contents=True) == []


@pytest.mark.parametrize("part", ["kiln-cache.json", "heads/", "x/", "p/", "c/"])
def test_a_damaged_answer_gets_nothing_in(users: Users, place: str, part: str) -> None:
    graph, (older, _), alice, cache = shared_big(users, place)
    cache.damages = part
    bob = users.add(b"b", trusts=[alice.key], caches=[cache], content=big)
    plan = bob.realise(graph, older)
    assert bob.built == ["older"] and bob.cached == {}
    assert any("team" in text for text in bob.warnings), bob.warnings
    assert bob.store.check(contents=True) == []
    assert objects(plan, [older]) == objects(alice.realise(graph, older), [older])


def deep(levels: int, width: int) -> tuple[Graph, Any]:
    graph = Graph()
    level = [graph.add(f"0-{n}") for n in range(width)]
    for depth in range(1, levels):
        level = [graph.add(f"{depth}-{n}", level[n], level[(n + 1) % width]) for n in range(width)]
    return graph, graph.add("top", *level)


def test_depth_costs_no_questions(users: Users, place: str) -> None:
    graph, top = deep(40, 3)
    alice = users.add(b"a")
    made = objects(alice.realise(graph, top), [top])
    cache = Watched(open_backend(f"{place}/cache", name="team"))
    alice.push(cache, *made)  # type: ignore[arg-type]
    bob = users.add(b"b", trusts=[alice.key], caches=[cache], failing=True)
    bob.realise(graph, top)
    taken = cache.questions
    assert taken <= 12, "a question for each kind of thing, and not for each level"
    above = graph.add("above", *[item.drv for item in graph[top].derivation.inputs])  # type: ignore[union-attr]
    cache.questions = 0
    carol = users.add(b"c", trusts=[alice.key], caches=[cache])
    carol.realise(graph, above)
    assert carol.built == ["above"] and cache.questions <= 16


def test_files_that_mention_their_own_object_come_back_as_they_were(users: Users, place: str) -> None:
    from cache_samples import push_all, self_mentioning

    from kiln.store.cache.receive import Receiver

    alice = users.add(b"m")
    infos = [self_mentioning(alice.store, "app", version, 3 << 20) for version in (b"1", b"2")]
    cache = Watched(open_backend(f"{place}/cache", name="team"))
    os.mkdir(f"{place}/cache")
    push_all(alice.store, cache)  # type: ignore[arg-type]
    bob = users.add(b"b", trusts=[alice.key], caches=[cache])
    [reader] = bob.opened().readers
    for info in infos:
        receiver = Receiver(bob.store)
        staged = receiver.receive({info.id: [reader]})
        bob.store.admit(staged)
        receiver.remember()
    assert bob.store.check(contents=True) == []
    paths = {request.path for request in cache.received if request.path.startswith("c/")}
    assert cache.count("c/") <= len(paths) + 1, "of the second version, at most the chunk with the mention"
    for info in infos:
        theirs, mine = (user.store.physical(info.path) for user in (alice, bob))
        for name in os.listdir(theirs):
            with open(f"{theirs}/{name}", "rb") as one, open(f"{mine}/{name}", "rb") as two:
                assert one.read() == two.read(), name


def test_objects_of_every_kind_and_files_of_every_mode(users: Users, place: str) -> None:
    from cache_samples import made, push_all

    from kiln.store.cache.receive import Receiver
    from tests.store.store_samples import Link, Script, Tree

    alice = users.add(b"m")
    deep: Tree = {"end": b"here"}
    for number in range(28):
        deep = {f"{number:0>120}": deep}
    trees: dict[str, Tree] = {
        "file": b"alone",
        "empty": b"",
        "script": Script(b"#!/bin/sh\n"),
        "link": Link("somewhere/else"),
        "tree": {"a": b"1", "same": b"1", "x": Script(b"1"), "none": b"", "folder": {}, "l": Link("a")},
        "deep": deep,
        "middle": {"two-frames": random.Random(1).randbytes(900_000), "again": random.Random(1).randbytes(900_000)},
    }
    infos = [made(alice.store, alice.place, name, tree) for name, tree in trees.items()]
    cache = open_backend(f"{place}/cache", name="team")
    os.mkdir(f"{place}/cache")
    push_all(alice.store, cache)
    bob = users.add(b"b", trusts=[alice.key], caches=[cache])
    [reader] = bob.opened().readers
    staged = Receiver(bob.store).receive({info.id: [reader] for info in infos})
    bob.store.admit(staged)
    assert [item.meta.info for item in staged] == infos
    assert bob.store.check(contents=True) == []


def test_a_record_that_is_another_objects_is_passed_over(users: Users, place: str) -> None:
    from cache_samples import made, push_all

    from kiln.store.cache.receive import Receiver

    alice = users.add(b"m")
    one, two = (made(alice.store, alice.place, name, name.encode()) for name in ("one", "two"))
    cache = open_backend(f"{place}/cache", name="team")
    os.mkdir(f"{place}/cache")
    push_all(alice.store, cache)
    bob = users.add(b"b", trusts=[alice.key], caches=[cache])
    [reader] = bob.opened().readers
    rows = reader.objects([one.id, two.id])
    assert reader.records({one.id: rows[two.id]}) == {}
    assert any("is not one" in text for text in bob.warnings)
    assert Receiver(bob.store).receive({two.id: [reader]}) != []

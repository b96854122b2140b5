"""Targets are taken from caches where they can be, made where they can't, and nothing wrong gets in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from taking_graphs import Content, Graph, User, Users, objects

from kiln.interpreter.plan import Plan
from kiln.store import tables
from kiln.store.cache.backend import Backend, open_backend
from kiln.store.digest import DrvDigest
from kiln.store.records import sign_resolution


@pytest.fixture
def users(place: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Users]:
    found = Users(place, monkeypatch)
    yield found
    found.close()


def chain(graph: Graph) -> list:
    a = graph.add("a")
    b = graph.add("b", a)
    c = graph.add("c", a, b)
    return [a, b, c]


def test_a_target_is_taken_with_all_it_refers_to(users: Users, backend: Backend) -> None:
    graph = Graph()
    _, _, c = chain(graph)
    alice = users.add(b"a")
    made = objects(alice.realise(graph, c), [c])
    alice.push(backend)
    bob = users.add(b"b", trusts=[alice.key], caches=[backend], failing=True)
    plan = bob.realise(graph, c)
    assert objects(plan, [c]) == made and bob.built == []
    assert bob.cached == {"c": backend.name}
    assert [info.name for info in bob.store.closure(made)] == ["a", "b", "c"]
    assert bob.store.check(contents=True) == []
    [claim] = bob.store.producers(made[0])
    assert claim.origin == "substituted" and claim.source is not None
    assert (claim.source.name, claim.source.url) == (backend.name, backend.url)
    assert bob.store.envelope(claim.witness.envelope)
    bob.caches = []
    assert bob.realise(graph, c).todo == (), "and then it is there"


def test_the_policy_decides(users: Users, backend: Backend) -> None:
    graph = Graph()
    _, _, c = chain(graph)
    alice = users.add(b"a")
    alice.realise(graph, c)
    alice.push(backend)
    stranger = users.add(b"s", caches=[backend])
    stranger.realise(graph, c)
    assert stranger.cached == {} and stranger.built == ["a", "b", "c"]
    wary = users.add(b"w", trusts=[alice.key, users.add(b"x").key], threshold=2, caches=[backend])
    wary.realise(graph, c)
    assert wary.cached == {} and wary.built == ["a", "b", "c"]
    assert any("K0661" in text for text in wary.warnings), wary.warnings


def test_two_builders_in_two_caches_are_two_witnesses(users: Users, place: str) -> None:
    graph = Graph()
    _, _, c = chain(graph)
    caches = []
    builders = [users.add(b"1"), users.add(b"2")]
    for number, builder in enumerate(builders):
        builder.realise(graph, c)
        caches.append(open_backend(f"{place}/cache-{number}"))
        builder.push(caches[-1])
    bob = users.add(b"b", trusts=[builder.key for builder in builders], threshold=2, caches=caches, failing=True)
    plan = bob.realise(graph, c)
    assert bob.built == [] and len(bob.store.producers(objects(plan, [c])[0])) == 2


def test_what_is_missing_above_is_made_from_what_is_taken_below(users: Users, backend: Backend) -> None:
    graph = Graph()
    a, b, _ = chain(graph)
    alice = users.add(b"a")
    alice.realise(graph, b)
    alice.push(backend)
    top = graph.add("top", b, a)
    bob = users.add(b"b", trusts=[alice.key], caches=[backend])
    plan = bob.realise(graph, top)
    assert bob.built == ["top"] and set(bob.cached) == {"a", "b"}
    assert {info.name for info in bob.store.closure(objects(plan, [top]))} == {"a", "b", "top"}
    assert bob.store.check(contents=True) == []


def test_a_record_that_is_missing_deep_below_costs_nothing(users: Users, backend: Backend) -> None:
    """Alice has lost how `a` came about; whoever takes `c` does not ask."""
    graph = Graph()
    a, _, c = chain(graph)
    alice = users.add(b"a")
    alice.realise(graph, c)
    [lost] = alice.store.resolutions_for([a])[a]
    alice.store._index.update(lambda txn: txn.delete(tables.RESOLUTIONS, a + lost.digest))
    alice.push(backend)
    bob = users.add(b"b", trusts=[alice.key], caches=[backend], failing=True)
    bob.realise(graph, c)
    assert set(bob.cached) == {"c"}
    carol = users.add(b"c", trusts=[alice.key], caches=[backend])
    top = graph.add("top", a, c)
    carol.realise(graph, top)
    assert carol.built == ["top"] and set(carol.cached) == {"c"}, "`a` came along"


def test_early_cutoff_across_the_cache(users: Users, backend: Backend) -> None:
    """Bob's `a` has another recipe that makes the same: what stands on it is another derivation, and not rebuilt."""
    graph = Graph()
    _, _, c = chain(graph)
    alice = users.add(b"a")
    made = objects(alice.realise(graph, c), [c])
    alice.push(backend)
    changed = Graph()
    a = changed.add("a", note="a comment")
    b = changed.add("b", a)
    top = changed.add("c", a, b)
    assert top != c
    bob = users.add(b"b", trusts=[alice.key], caches=[backend])
    plan = bob.realise(changed, top)
    assert objects(plan, [top]) == made and bob.built == ["a"]
    assert set(bob.cached) == {"b", "c"}
    bob.caches, bob.failing = [], True
    assert bob.realise(changed, top).todo == (), "the resolution is Bob's own now"


def test_the_first_cache_is_preferred_and_the_next_one_helps_out(users: Users, place: str) -> None:
    graph = Graph()
    _, _, c = chain(graph)
    alice = users.add(b"a")
    alice.realise(graph, c)
    near, far = open_backend(f"{place}/near", name="near"), open_backend(f"{place}/far", name="far")
    alice.push(far)
    alice.push(near)
    bob = users.add(b"b", trusts=[alice.key], caches=[near, far], failing=True)
    bob.realise(graph, c)
    assert bob.cached == {"c": "near"}
    for entry in list(near.listing("p/")):
        near.delete(entry.path)
    carol = users.add(b"c", trusts=[alice.key], caches=[near, far], failing=True)
    carol.realise(graph, c)
    assert set(carol.cached["c"].split(", ")) == {"far", "near"} and carol.warnings != []
    assert carol.store.check(contents=True) == []


def test_where_no_cache_brings_what_was_offered_it_is_made(users: Users, folder: Backend) -> None:
    graph = Graph()
    _, _, c = chain(graph)
    alice = users.add(b"a")
    made = objects(alice.realise(graph, c), [c])
    alice.push(folder)
    for entry in list(folder.listing("p/")):
        folder.delete(entry.path)
    bob = users.add(b"b", trusts=[alice.key], caches=[folder])
    plan = bob.realise(graph, c)
    assert objects(plan, [c]) == made and bob.built == ["a", "b", "c"] and bob.cached == {}
    assert bob.warnings != []


def test_a_cache_that_is_down_costs_one_warning(users: Users, place: str) -> None:
    graph = Graph()
    _, _, c = chain(graph)
    bob = users.add(b"b", caches=[open_backend(f"{place}/nowhere", name="gone")])
    bob.realise(graph, c)
    assert bob.built == ["a", "b", "c"]
    assert len(bob.warnings) == 1 and "gone" in bob.warnings[0], bob.warnings


def test_results_of_two_builds_are_never_mixed(users: Users, place: str) -> None:
    """`a` comes out differently for each; what Alice made from hers does not go with what Dave made from his."""
    graph = Graph()
    a = graph.add("a")
    left, right = graph.add("left", a), graph.add("right", a)
    top = graph.add("top", left, right)
    caches = []
    builders = []
    for seed, drv in ((b"a", left), (b"d", right)):

        def odd(name: str, inputs: object, seed: bytes = seed) -> dict[str, bytes]:
            return {"made": seed if name == "a" else repr(inputs).encode()}

        builder = users.add(seed, content=odd)
        builder.realise(graph, drv)
        caches.append(open_backend(f"{place}/{seed.decode()}"))
        builder.push(caches[-1])
        builders.append(builder)
    bob = users.add(b"b", trusts=[builder.key for builder in builders], caches=caches)
    plan = bob.realise(graph, top)
    closure = bob.store.closure(objects(plan, [top]))
    assert sorted(info.name for info in closure) == ["a", "left", "right", "top"]
    [again, last] = bob.built
    assert last == "top" and {again, *bob.cached} >= {"left", "right"} and again not in bob.cached


def test_a_resolution_that_is_another_derivations_is_refused_and_named(users: Users, backend: Backend) -> None:
    graph = Graph()
    a, b, c = chain(graph)
    alice = users.add(b"a")
    alice.realise(graph, c)
    [good] = alice.store.resolutions_for([b])[b]
    other = graph.add("other", a)
    said = sign_resolution(alice.key, other, good.resolved, good.pins, made=7)
    alice.store.put_resolution(said)
    alice.push(backend)
    bob = users.add(b"b", trusts=[alice.key], caches=[backend])
    bob.realise(graph, other)
    assert bob.built == ["other"] and set(bob.cached) == {"a"}
    assert any("another derivation" in text and backend.name in text for text in bob.warnings)


def test_nothing_is_asked_where_the_store_has_it(users: Users, place: str) -> None:
    graph = Graph()
    _, _, c = chain(graph)
    bob = users.add(b"b")
    bob.realise(graph, c)
    bob.caches = [open_backend(f"{place}/nowhere", name="gone")]
    bob.realise(graph, c)
    assert bob.warnings == []


def odd(seed: bytes) -> Content:
    """Each builder's `a` is another; all else follows from its inputs."""
    return lambda name, inputs: {"made": seed if name == "a" else name.encode() + repr(inputs).encode()}


def deep_pair() -> tuple[Graph, dict[str, DrvDigest]]:
    """`a` two levels below `left` and `right`, which `top` puts together: no pin of theirs names it."""
    graph = Graph()
    drvs = {"a": graph.add("a")}
    for side in ("left", "right"):
        drvs[f"{side}-middle"] = graph.add(f"{side}-middle", drvs["a"])
        drvs[side] = graph.add(side, drvs[f"{side}-middle"])
    drvs["top"] = graph.add("top", drvs["left"], drvs["right"])
    return graph, drvs


def two_builders(users: Users, place: str, graph: Graph, drvs: dict[str, DrvDigest]) -> tuple[list, list]:
    builders, caches = [], []
    for seed, side in ((b"a", "left"), (b"d", "right")):
        builder = users.add(seed, content=odd(seed))
        builder.realise(graph, drvs[side])
        caches.append(open_backend(f"{place}/{side}", name=side))
        builder.push(caches[-1])
        builders.append(builder.key)
    return builders, caches


def names_below(user: User, plan: Plan, drv: DrvDigest) -> list[str]:
    return sorted(info.name for info in user.store.closure(objects(plan, [drv])))


WHOLE = ["a", "left", "left-middle", "right", "right-middle", "top"]


def test_results_that_would_meet_deep_below_two_targets_of_two_caches(users: Users, place: str) -> None:
    graph, drvs = deep_pair()
    keys, caches = two_builders(users, place, graph, drvs)
    bob = users.add(b"b", trusts=keys, caches=caches)
    plan = bob.realise(graph, drvs["top"])
    assert names_below(bob, plan, drvs["top"]) == WHOLE, "one `a`, and not two"
    assert len(bob.cached) >= 1 and "top" in bob.built
    assert bob.store.check(contents=True) == []


def test_results_that_would_meet_deep_below_two_targets_of_the_own_store(users: Users, place: str) -> None:
    graph, drvs = deep_pair()
    keys, caches = two_builders(users, place, graph, drvs)
    bob = users.add(b"b", trusts=keys, content=odd(b"a"))
    for cache, side in zip(caches, ("left", "right"), strict=True):
        bob.caches = [cache]
        bob.realise(graph, drvs[side])
    assert bob.built == [] and bob.store.contests() != []
    bob.caches = []
    plan = bob.realise(graph, drvs["top"])
    assert names_below(bob, plan, drvs["top"]) == WHOLE
    assert "top" in bob.built


def test_what_two_targets_hold_may_differ_as_long_as_they_are_apart(users: Users, place: str) -> None:
    """Each target alone is whole: nothing is made anew for the other's sake."""
    graph, drvs = deep_pair()
    keys, caches = two_builders(users, place, graph, drvs)
    bob = users.add(b"b", trusts=keys, caches=caches, failing=True)
    bob.realise(graph, drvs["left"])
    bob.realise(graph, drvs["right"])
    assert set(bob.cached) == {"left", "right"} and bob.built == []

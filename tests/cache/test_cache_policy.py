"""The policy decides what is taken from caches, and, as it is today, what is used again of what was taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from cache_samples import identity
from taking_graphs import NOW, OUT, Graph, Tree, User, Users, objects

from kiln.interpreter.derivation import BuildStep, resolve, resolved_digest
from kiln.store.cache.backend import Backend, open_backend
from kiln.store.cache.push import push
from kiln.store.cache.rows import ClaimRow
from kiln.store.cache.selection import Selection
from kiln.store.cache.upstream import Upstream
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.provenance.keys import SecretKey
from kiln.store.provenance.trust import Scope, TrustedKey
from kiln.store.records import make_claim, sign_witness

STRANGER = SecretKey.of(b"x" * 32)


@pytest.fixture
def users(place: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Users]:
    found = Users(place, monkeypatch)
    yield found
    found.close()


def trusted(user: User, name: str, **given: object) -> TrustedKey:
    return TrustedKey(user.key.public_key, name, **given)  # type: ignore[arg-type]


def resolved_of(graph: Graph, drv: DrvDigest) -> ResolvedDigest:
    step = graph[drv]
    assert isinstance(step, BuildStep)
    return resolved_digest(resolve(step.derivation, {}))


def claim_falsely(backend: Backend, liar: User, graph: Graph, drv: DrvDigest, source: User, made: ObjectId) -> None:
    """Push, signed by the liar, that a derivation came to an object that it did not come to."""
    resolved, info = resolved_of(graph, drv), source.store.info(made)
    claim = make_claim(resolved, OUT, info.id, info.root, info.size, info.references)
    witness = sign_witness(liar.key, claim, EnvelopeDigest(bytes(32)), started=1, finished=2)
    selection = Selection(
        objects=[info], made_by={info.id: (resolved,)}, claims={resolved: [ClaimRow(claim, (witness,))]}
    )
    who = identity(liar.key, "liar")
    push(source.store, Upstream.open(backend, who, [], name="team", now=NOW), who, selection)


class Libraries:
    """Alice has an application on the old library; the new one is another derivation, which she never made."""

    def __init__(self, users: Users, backend: Backend) -> None:
        self.graph = Graph()
        self.old = self.graph.add("lib", note="1.0")
        self.app = self.graph.add("app", self.old)
        self.new = self.graph.add("lib", note="2.0")
        self.alice = users.add(b"a", content=self.content(b"old"))
        plan = self.alice.realise(self.graph, self.app)
        [self.made] = objects(plan, [self.old])
        self.alice.push(backend)

    @staticmethod
    def content(version: bytes):  # type: ignore[no-untyped-def]
        def made(name: str, inputs: Sequence[str]) -> Tree:
            return {"name": name.encode(), "version": version}

        return made


@pytest.mark.parametrize("liar_first", [True, False])
def test_a_key_for_fetches_decides_no_build_by_what_comes_along(
    users: Users, backend: Backend, liar_first: bool
) -> None:
    """Mallory's word counts for fetches alone. She says that the new library is the old one, which Bob has."""
    shown = Libraries(users, backend)
    mallory = users.add(b"m")
    claim_falsely(backend, mallory, shown.graph, shown.new, shown.alice, shown.made)
    mirror = trusted(mallory, "mirror", scopes=frozenset({Scope.FETCH}))
    keys = [mirror, trusted(shown.alice, "alice")]
    bob = users.add(b"b", trusts=keys if liar_first else keys[::-1], caches=[backend], content=shown.content(b"new"))
    bob.realise(shown.graph, shown.app)
    assert set(bob.cached) == {"app"}, "the application comes with its library, and so would what is said of that"
    plan = bob.realise(shown.graph, shown.new)
    assert bob.built == ["lib"] and objects(plan, [shown.new]) != [shown.made]
    said = bob.store.claims_for(resolved_of(shown.graph, shown.new))
    assert [item.witness.keyid for item in said] == [bob.key.public_key.keyid]


def test_what_a_store_has_on_the_word_of_a_key_for_fetches_is_no_build(users: Users, backend: Backend) -> None:
    """As it may have come by a version that took it."""
    shown = Libraries(users, backend)
    mallory = users.add(b"m")
    mirror = trusted(mallory, "mirror", scopes=frozenset({Scope.FETCH}))
    bob = users.add(b"b", trusts=[mirror], content=shown.content(b"old"))
    [made] = objects(bob.realise(shown.graph, shown.old), [shown.old])
    info = bob.store.info(made)
    claim = make_claim(resolved_of(shown.graph, shown.new), OUT, info.id, info.root, info.size, info.references)
    bob.store.put_witness(
        claim,
        sign_witness(mallory.key, claim, EnvelopeDigest(bytes(32)), started=1, finished=2),
        origin="substituted",
    )
    bob.content = shown.content(b"new")
    assert objects(bob.realise(shown.graph, shown.new), [shown.new]) != [made] and bob.built == ["lib", "lib"]


BEFORE = {"a", "b", "c"}


class Taken:
    """Bob took a chain of three from Alice's cache; what happens to her key afterwards is up to the test."""

    def __init__(self, users: Users, backend: Backend) -> None:
        self.graph, self.backend = Graph(), backend
        a = self.graph.add("a")
        b = self.graph.add("b", a)
        self.top = self.graph.add("c", a, b)
        self.alice = users.add(b"a")
        self.alice.realise(self.graph, self.top)
        self.alice.push(backend)
        self.bob = users.add(b"b", trusts=[trusted(self.alice, "alice")], caches=[backend])
        self.made = objects(self.bob.realise(self.graph, self.top), [self.top])
        assert set(self.bob.cached) == {"c"} and not self.bob.built
        self.bob.events.clear()

    def again(self) -> list[str]:
        """What Bob builds when he wants it again; the result is the same."""
        assert objects(self.bob.realise(self.graph, self.top), [self.top]) == self.made
        return self.bob.built


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"revoked": "2026-01-01"}, "K0662"),
        ({"expires": "2026-01-01"}, "K0663"),
        ({"scopes": frozenset({Scope.FETCH, Scope.RESOLVE})}, "K0608"),
        (None, "K0602"),
    ],
)
def test_what_was_taken_is_used_while_the_policy_admits_it(
    users: Users, backend: Backend, change: dict[str, object] | None, rule: str, offline: bool
) -> None:
    taken = Taken(users, backend)
    bob = taken.bob
    bob.trusts = () if change is None else [trusted(taken.alice, "alice", **change)]
    if offline:
        bob.caches = []
    assert taken.again() == ["a", "b", "c"] and not bob.cached
    assert offline or any(rule in text and backend.name in text for text in bob.warnings), bob.warnings
    bob.caches, bob.built[:] = [], []
    assert taken.again() == [], "what was built here needs nobody's word"
    bob.trusts = [trusted(taken.alice, "alice")]
    assert taken.again() == []


def test_a_key_that_may_not_resolve_is_believed_of_builds(users: Users, backend: Backend) -> None:
    """What the inputs come to is asked step by step then, and leads to the claims (early cutoff)."""
    taken = Taken(users, backend)
    taken.bob.trusts = [trusted(taken.alice, "alice", scopes=frozenset({Scope.SANDBOXED}))]
    assert taken.again() == []


def test_a_higher_threshold_holds_for_what_was_taken_before(users: Users, backend: Backend) -> None:
    taken = Taken(users, backend)
    taken.bob.threshold = 2
    assert taken.again() == ["a", "b", "c"]


def test_a_key_that_is_trusted_for_one_cache_alone_is_believed_of_what_came_from_another(
    users: Users, backend: Backend
) -> None:
    """Where its word may be taken from is asked when it is taken."""
    taken = Taken(users, backend)
    taken.bob.trusts, taken.bob.caches = [trusted(taken.alice, "alice", caches=frozenset({"elsewhere"}))], []
    assert taken.again() == []


def test_what_was_taken_needs_no_policy_where_all_was_built_here(users: Users) -> None:
    """The warm path of a builder who takes nothing reads no file of trusted keys."""
    from kiln.interpreter.derivation import DrvOutput
    from kiln.interpreter.ledger import Ledger
    from kiln.interpreter.plan import take_all

    graph = Graph()
    drv = graph.add("a")
    alice = users.add(b"a")
    alice.realise(graph, drv)

    def asked():  # type: ignore[no-untyped-def]
        raise AssertionError("the policy is asked for")

    assert take_all([DrvOutput(drv, OUT)], Ledger(alice.store, asked)) is not None


def both(users: Users, place: str) -> tuple[Graph, DrvDigest, User, User, list[Backend]]:
    """Two builders who made the same, each with a cache of his own."""
    graph = Graph()
    drv = graph.add("a")
    one, two = users.add(b"1"), users.add(b"2")
    caches = [open_backend(f"{place}/{name}", name=name) for name in ("first", "second")]
    for builder, cache in zip((one, two), caches, strict=True):
        builder.realise(graph, drv)
        builder.push(cache)
    return graph, drv, one, two, caches


def test_a_key_counts_in_its_own_cache_alone(users: Users, place: str) -> None:
    graph, drv, one, _, caches = both(users, place)
    elsewhere = trusted(one, "one", caches=frozenset({"second"}))
    bob = users.add(b"b", trusts=[elsewhere], caches=caches)
    bob.realise(graph, drv)
    assert bob.built == ["a"] and not bob.cached
    assert any("[K0602]" in text and "first" in text for text in bob.warnings), bob.warnings
    carol = users.add(b"c", trusts=[trusted(one, "one", caches=frozenset({"first"}))], caches=caches, failing=True)
    carol.realise(graph, drv)
    assert carol.cached == {"a": "first"}


def test_one_key_in_two_caches_is_one_of_two(users: Users, place: str) -> None:
    graph, drv, one, two, caches = both(users, place)
    one.push(caches[1])
    bob = users.add(b"b", trusts=[trusted(one, "one")], threshold=2, caches=caches)
    bob.realise(graph, drv)
    assert bob.built == ["a"] and any("[K0661]" in text and "first" in text for text in bob.warnings), bob.warnings
    same = [trusted(one, "one", operator="us"), trusted(two, "two", operator="us")]
    carol = users.add(b"c", trusts=same, threshold=2, caches=caches)
    carol.realise(graph, drv)
    assert carol.built == ["a"] and any("[K0661]" in text for text in carol.warnings), "one operator is one"


@pytest.mark.parametrize("good", [1, 2])
def test_a_mixed_set_counts_as_far_as_it_is_good(users: Users, place: str, good: int) -> None:
    """A revoked key's word, a stranger's, and one or two that count: the threshold is two."""
    graph, drv, one, two, caches = both(users, place)
    gone, stranger = users.add(b"3"), users.add(b"4")
    for builder in (gone, stranger):
        builder.realise(graph, drv)
        builder.push(caches[0])
    keys = [trusted(gone, "gone", revoked="2026-01-01"), trusted(one, "one"), trusted(two, "two")]
    bob = users.add(b"b", trusts=keys[: 1 + good], threshold=2, caches=caches)
    bob.realise(graph, drv)
    if good == 2:
        assert bob.cached and not bob.built
        assert {row.witness.keyid for row in bob.store.claims_for(resolved_of(graph, drv))} == {
            one.key.public_key.keyid,
            two.key.public_key.keyid,
        }
    else:
        assert bob.built == ["a"] and any("[K0661]" in text for text in bob.warnings), bob.warnings

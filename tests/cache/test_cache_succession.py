"""What keys say of themselves, as a cache's card brings it: forks, chains, thieves, processes that save at once."""

from __future__ import annotations

import itertools

import pytest

from kiln.store.cache.errors import OtherCache
from kiln.store.cache.seen import Memory
from kiln.store.provenance.keys import SecretKey
from kiln.store.provenance.succession import Revocation, Rotation
from kiln.store.provenance.trust import Policy, TrustedKey

K, N, T, U = (SecretKey.of(letter * 32).public_key for letter in (b"K", b"N", b"T", b"U"))
DAY = "2026-0{}-01T00:00:00Z"
POLICY = Policy.of([TrustedKey(K, "k")])


def rotation(old, new, month=1):
    return Rotation(old, new, DAY.format(month))


def trusted(policy):
    return {name for name, key in (("K", K), ("N", N), ("T", T), ("U", U)) if key.keyid in policy.by_id}


def test_of_two_processes_the_one_that_saved_first_decides_the_successor(tmp_path):
    early, late = Memory.load(str(tmp_path / "seen")), Memory.load(str(tmp_path / "seen"))
    late.learn(POLICY, [rotation(K, N)], [])
    late.save()
    early.learn(POLICY, [rotation(K, T, 2)], [])
    early.save()
    assert trusted(Memory.load(str(tmp_path / "seen")).policy(POLICY)) == {"K", "N"}
    assert trusted(early.policy(POLICY)) == {"K", "N"}


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_successors_that_are_seen_together_neither_is_taken(order):
    policy, refused = Memory.none().learn(POLICY, [rotation(K, N), rotation(K, T)][::order], [])
    assert trusted(policy) == {"K"} and len(refused) == 2
    assert all("different successors" in error.message for error in refused)


def test_a_second_successor_of_one_that_was_accepted_is_refused():
    memory = Memory.none()
    policy, _ = memory.learn(POLICY, [rotation(K, N)], [])
    policy, refused = memory.learn(policy, [rotation(K, N), rotation(K, T)], [])
    assert trusted(policy) == {"K", "N"} and len(refused) == 1


@pytest.mark.parametrize("made", [1, 9])
def test_a_rotation_that_is_seen_together_with_its_keys_revocation_is_refused(made):
    """A thief can write any time into it."""
    policy, refused = Memory.none().learn(POLICY, [rotation(K, T, made)], [Revocation(K, DAY.format(6))])
    assert trusted(policy) == set() and len(refused) == 1


def test_a_revoked_successor_names_no_other():
    policy, refused = Memory.none().learn(POLICY, [rotation(K, N), rotation(N, T)], [Revocation(N, DAY.format(6))])
    assert trusted(policy) == {"K"} and len(refused) == 1


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_a_chain_is_followed_whatever_the_order(order):
    chain = [rotation(K, N), rotation(N, T), rotation(T, U)]
    policy, refused = Memory.none().learn(POLICY, [chain[at] for at in order], [])
    assert trusted(policy) == {"K", "N", "T", "U"} and refused == []


def test_a_stranger_s_fork_says_nothing():
    assert Memory.none().learn(POLICY, [rotation(N, T), rotation(N, U)], [])[1] == []


class TestNames:
    def test_an_address_goes_on_showing_the_same_cache(self, tmp_path):
        memory = Memory.load(str(tmp_path / "seen"))
        memory.check_name("team", "https://x", "prod")
        memory.note_name("https://x", "prod")
        memory.save()
        again = Memory.load(str(tmp_path / "seen"))
        again.check_name("team", "https://x", "prod")
        again.check_name("team", "https://y", "staging")
        with pytest.raises(OtherCache, match="the cache team shows another cache in its place: H5") as caught:
            again.check_name("team", "https://x", "staging")
        assert caught.value.code == "K0672" and "staging" in str(caught.value.found)
        again.forget("https://x")
        Memory.load(str(tmp_path / "seen")).check_name("team", "https://x", "staging")

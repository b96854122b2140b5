"""Outputs with more than one result are noted, and from where something was taken is kept, also through a rebuild."""

from __future__ import annotations

import os

from store_samples import Key, add, claim_of, resolved, witness_of

from kiln.store.collect import Policy
from kiln.store.store import Store
from kiln.store.tables import Source, Witnessed

TEAM = Source("team", "https://cache.example/team")


def test_nothing_is_contested_where_claims_agree(store: Store, place: str) -> None:
    info = add(store, place, "app", b"1")
    claim = claim_of(info, "r")
    store.put_witness(claim, witness_of(claim, Key(1)))
    store.put_witness(claim, witness_of(claim, Key(2)))
    other = claim_of(info, "another")
    store.put_witness(other, witness_of(other, Key(1)))
    assert store.contests() == []


def test_two_results_of_one_output_are_noted_whoever_says_so(store: Store, place: str) -> None:
    first, second, third = (add(store, place, "app", data) for data in (b"1", b"2", b"3"))
    for info in (first, second):
        claim = claim_of(info, "r")
        store.put_witness(claim, witness_of(claim, Key(1)))
    assert [set(item) for item in store.contests()] == [{first.id, second.id}]
    claim = claim_of(third, "r")
    store.admit([], witnesses=[Witnessed(claim, witness_of(claim, Key(3)), "substituted", TEAM)])
    assert [set(item) for item in store.contests()] == [{first.id, second.id, third.id}]
    assert [item for item in store.check() if item.where == "contested"] == []


def test_where_something_came_from_outlives_the_index(store: Store, place: str) -> None:
    claim = claim_of(add(store, place, "app", b"1"), "r")
    item = Witnessed(claim, witness_of(claim, Key(1)), "substituted", TEAM)
    store.admit([], witnesses=[item])
    assert store.claims_for(resolved("r")) == [item]
    store.close()
    Store.rebuild_index(f"{place}/store")
    with Store.open(f"{place}/store") as again:
        assert again.claims_for(resolved("r")) == [item]


def test_what_was_built_here_stays_built_here(store: Store, place: str) -> None:
    claim = claim_of(add(store, place, "app", b"1"), "r")
    witness = witness_of(claim, Key(1))
    store.put_witness(claim, witness)
    store.admit([], witnesses=[Witnessed(claim, witness, "substituted", TEAM)])
    store.close()
    Store.rebuild_index(f"{place}/store")
    with Store.open(f"{place}/store") as again:
        assert [(item.origin, item.source) for item in again.claims_for(resolved("r"))] == [("built", None)]


def test_many_records_at_once_lie_in_one_file_and_outlive_the_index(store: Store, place: str) -> None:
    info = add(store, place, "app", b"1")
    claims = [claim_of(info, f"r{number}") for number in range(40)]
    items = [Witnessed(claim, witness_of(claim, Key(1)), "substituted", TEAM) for claim in claims]
    store.admit([], witnesses=items)
    [name] = os.listdir(store.layout.records)
    assert name.startswith("b-")
    store.close()
    Store.rebuild_index(f"{place}/store")
    with Store.open(f"{place}/store") as again:
        assert [again.claims_for(claim.resolved) for claim in claims] == [[item] for item in items]
    os.chmod(f"{place}/store/records/{name}", 0o644)
    with open(f"{place}/store/records/{name}", "r+b") as file:
        file.write(b"\xff")
    [(skipped, why)] = Store.rebuild_index(f"{place}/store").skipped
    assert skipped == name and "a file of records" in why


def test_evidence_of_many_records_goes_with_the_last_of_them(store: Store, place: str) -> None:
    info = add(store, place, "app", b"1")
    claims = [claim_of(info, f"r{number}") for number in range(40)]
    store.admit([], witnesses=[Witnessed(claim, witness_of(claim, Key(1)), "substituted", TEAM) for claim in claims])
    store.close()
    with Store.open(f"{place}/store") as again:
        again.collect(Policy())
        again.sweep_rest(evidence=True)
        assert os.listdir(again.layout.records) == []
        assert again.claims_for(claims[0].resolved) == []

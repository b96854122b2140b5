"""Evidence about what is gone goes when asked for, while others say new things about it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from store_samples import Key, add, claim_of, drv, read, resolution_of, resolved, witness_of

from kiln.store import evidence
from kiln.store.collect import Policy
from kiln.store.info import ObjectInfo
from kiln.store.passage import sole_passage
from kiln.store.store import Store


def say(store: Store, info: ObjectInfo, what: str, envelope: bytes, output: str = "out") -> None:
    claim = claim_of(info, what, output)
    store.commit(
        witnesses=[(claim, witness_of(claim, Key(1), envelope))],
        resolutions=[resolution_of(what, info, Key(1))],
        envelopes=[envelope],
    )


@pytest.fixture
def gone(place: str) -> Iterator[Store]:
    """Forty objects, `o-0` to `o-39`, that are gone, and what is said of them; the first twenty in one file."""
    with Store.open(f"{place}/store") as store:
        infos = [add(store, place, f"o-{number}", b"%d" % number) for number in range(40)]
        claims = [claim_of(info, info.name) for info in infos[:20]]
        store.commit(
            witnesses=[(claim, witness_of(claim, Key(1), b"{%d}" % at)) for at, claim in enumerate(claims)],
            resolutions=[resolution_of(info.name, info, Key(1)) for info in infos[:20]],
            envelopes=[b"{%d}" % at for at in range(20)],
        )
        for number, info in enumerate(infos[20:], 20):
            say(store, info, info.name, b"{%d}" % number)
        assert len(os.listdir(store.layout.records)) == 41
    with Store.open(f"{place}/store") as store:
        store.collect(Policy())
        yield store


def left(store: Store) -> tuple[int, int, int]:
    assert store.check(contents=True) == []
    claims = sum(bool(store.claims_for(resolved(f"o-{number}"))) for number in range(40))
    return claims, len(os.listdir(store.layout.records)), len(os.listdir(store.layout.envelopes))


def test_all_of_it_goes_in_batches(gone: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "BATCH", 7)
    assert gone.sweep_rest(evidence=True, dry_run=True).envelopes == 40
    assert left(gone) == (40, 41, 40)
    assert gone.sweep_rest(evidence=True).envelopes == 40
    assert left(gone) == (0, 0, 0)
    assert gone.resolutions_for([drv("o-3")]) == {}
    assert gone.sweep_rest(evidence=True).envelopes == 0


def test_what_is_said_again_meanwhile_stays(gone: Store, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object comes back, and another output is said to come from the same build, each between two passages."""
    monkeypatch.setattr(evidence, "BATCH", 7)
    enter = evidence.sole_passage
    turns: list[int] = []

    def between(layout: object) -> object:
        turns.append(len(turns))
        if len(turns) == 2:
            add(gone, place, "o-1", b"1")
            new = add(gone, place, "new", b"new")
            say(gone, new, "o-39", b"{39}", "dev")
        return enter(gone.layout)

    kept = {b"{%d}" % at for at in (1, 39)}
    monkeypatch.setattr(evidence, "sole_passage", between)
    gone.sweep_rest(evidence=True)
    assert len(turns) > 3
    # Of what went before, the first passage's seven items may have been one of these two.
    found = {read(f"{gone.layout.envelopes}/{name}") for name in os.listdir(gone.layout.envelopes)}
    assert b"{39}" in found and found <= kept
    assert gone.check(contents=True) == []
    assert len(gone.claims_for(resolved("o-39"))) >= 1
    assert len(gone.claims_for(resolved("o-1"))) == (b"{1}" in found)
    gone.close()
    Store.rebuild_index(f"{place}/store")
    with Store.open(f"{place}/store") as store:
        assert store.check(contents=True) == [], "nothing that went is said again"


def test_nothing_is_decoded_while_others_are_kept_out(gone: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = evidence.decode_claim
    seen: list[bytes] = []

    def outside(data: bytes) -> object:
        seen.append(data)
        with sole_passage(gone.layout):
            return decode(data)

    monkeypatch.setattr(evidence, "decode_claim", outside)
    assert gone.sweep_rest(evidence=True).envelopes == 40
    assert len(seen) == 40

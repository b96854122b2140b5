"""What is read fast from one's own index is what a careful reading gives; a row that was changed is damage."""

from __future__ import annotations

import gc
import threading

import pytest
from store_samples import Key, add, claim_of, drv, resolution_of, resolved, witness_of

from kiln.store import tables
from kiln.store.acyclic import no_cycles
from kiln.store.errors import Damaged
from kiln.store.ownrows import own_claim, own_resolution, own_witness
from kiln.store.records import decode_claim, decode_resolution, decode_witness
from kiln.store.store import Store


def test_fast_and_careful_reading_agree_in_values_and_types(store: Store, place: str) -> None:
    base = add(store, place, "base", b"1")
    info = add(store, place, "app", b"2", [base.id])
    claim = claim_of(info, "r")
    witness, resolution = witness_of(claim, Key(1)), resolution_of("r", info, Key(1))
    pairs = [
        (own_claim(claim.encode()), decode_claim(claim.encode())),
        (own_witness(witness.encode()), decode_witness(witness.encode())),
        (own_resolution(resolution.encode()), decode_resolution(resolution.encode())),
    ]
    for fast, careful in pairs:
        assert fast == careful and type(fast) is type(careful)
        assert [type(item) for item in fast] == [type(item) for item in careful]
    assert [type(item) for item in pairs[2][0].pins[0]] == [type(item) for item in pairs[2][1].pins[0]]


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x01", b"\x93\x01\xc4\x01\xc1\xc0"])
def test_a_row_that_does_not_unpack(store: Store, data: bytes) -> None:
    for read in (own_claim, own_witness, own_resolution):
        with pytest.raises(Damaged, match="in the index does not parse"):
            read(data)
    store._index.update(lambda txn: txn.put(tables.RESOLUTIONS, drv("r") + bytes(32), data))
    with pytest.raises(Damaged):
        store.resolutions_for([drv("r")])


def test_a_damaged_witness_row(store: Store, place: str) -> None:
    claim = claim_of(add(store, place, "app", b"2"), "r")
    witness = witness_of(claim, Key(1))
    store.put_witness(claim, witness)
    store._index.update(lambda txn: txn.put(tables.WITNESSES, claim.digest + witness.digest, b"\x92\x01\x00"))
    with pytest.raises(Damaged, match="witness"):
        store.claims_for(resolved("r"))


def test_the_cycle_collector_comes_back() -> None:
    assert gc.isenabled()
    seen = []

    def work() -> None:
        with no_cycles():
            seen.append(gc.isenabled())
            with no_cycles():
                seen.append(gc.isenabled())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gc.isenabled() and not any(seen)
    gc.disable()
    try:
        with no_cycles():
            pass
        assert not gc.isenabled(), "who had it off keeps it off"
    finally:
        gc.enable()

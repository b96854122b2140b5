"""The index is only an index: without it, the small files make it again."""

from __future__ import annotations

import os

import pytest
from store_samples import Key, add, built, claim_of, resolution_of, resolved, scratch, witness_of

from kiln.store.errors import Damaged
from kiln.store.index import Environment
from kiln.store.paths import OutputName
from kiln.store.store import Store

KEY = Key(5)


def fill(store: Store, place: str) -> None:
    base = add(store, place, "base", {"d": {"f": b"1"}})
    tree = {"self": str(scratch("p")).encode(), "base": str(base.path).encode()}
    info = store.add_outputs([built(store, "p", "out", tree)], [base])[OutputName("out")]
    claim = claim_of(info, "p")
    store.put_envelope(b"{}")
    store.put_witness(claim, witness_of(claim, KEY))
    store.put_witness(claim, witness_of(claim, Key(6)), origin="substituted")
    store.put_resolution(resolution_of("p", base, KEY))
    store.add_root(f"{place}/result", info.id)


def everything(store: Store) -> object:
    infos = store.all_objects()
    claims = store.claims_for(resolved("p"))
    resolutions = store.resolutions_for([resolution_of("p", infos[0], KEY).drv])
    return infos, claims, resolutions, [(root.link, root.object) for root in store.roots()]


def test_everything_comes_back(place: str) -> None:
    with Store.open(f"{place}/store") as store:
        fill(store, place)
        before = everything(store)
    made = Store.rebuild_index(f"{place}/store")
    assert (made.objects, made.records, made.roots, made.skipped) == (2, 3, 1, ())
    with Store.open(f"{place}/store") as store:
        assert everything(store) == before
        assert store.check(contents=True) == []


@pytest.mark.parametrize("harm", ["gone", "torn", "garbage"])
def test_a_lost_index(place: str, harm: str) -> None:
    with Store.open(f"{place}/store") as store:
        fill(store, place)
        before = everything(store)
    data = f"{place}/store/index/critical/data.mdb"
    if harm == "gone":
        os.unlink(data)
    elif harm == "torn":
        os.truncate(data, 5000)
    else:
        with open(data, "r+b") as file:
            file.write(os.urandom(8192))
        with pytest.raises(Damaged, match="index is damaged") as caught:
            Store.open(f"{place}/store")
        assert caught.value.help == "kiln store rebuild-index"
        assert f"{place}/store/index/critical" not in Environment._open
    Store.rebuild_index(f"{place}/store")
    with Store.open(f"{place}/store") as store:
        assert everything(store) == before


def test_what_does_not_prove_itself_is_left_out_and_said(place: str) -> None:
    with Store.open(f"{place}/store") as store:
        fill(store, place)
        base, info = sorted(store.all_objects(), key=lambda item: item.name)
    path = f"{place}/store/objects-meta/{base.path.base}"
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(60)
        file.write(b"\xff\xff")
    made = Store.rebuild_index(f"{place}/store")
    assert made.objects == 0
    assert {name for name, _ in made.skipped} == {base.path.base, info.path.base}

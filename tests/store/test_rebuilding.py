"""The index is only an index: without it, the small files make it again."""

from __future__ import annotations

import errno
import os
import signal

import pytest
from store_samples import Key, add, built, claim_of, resolution_of, resolved, run_python, scratch, witness_of

from kiln.store import failpoint
from kiln.store.collect import Policy
from kiln.store.errors import Damaged, StoreError, StoreLocked
from kiln.store.index import Environment
from kiln.store.openlock import hold_alone, hold_open
from kiln.store.paths import OutputName
from kiln.store.store import Store

KEY = Key(5)
REBUILD = [point for point in failpoint.POINTS if point.startswith("rebuild:")]


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


KILLED = """
import os, signal, sys
from kiln.store import failpoint
from kiln.store.store import Store
def die(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
failpoint.armed = die
Store.rebuild_index(sys.argv[1])
"""


@pytest.mark.parametrize("point", REBUILD)
def test_killed_on_the_way_there_is_a_whole_index(place: str, point: str) -> None:
    with Store.open(f"{place}/store") as store:
        fill(store, place)
        before = everything(store)
    assert run_python(KILLED, f"{place}/store", point).returncode == -signal.SIGKILL
    with Store.open(f"{place}/store") as store:
        assert everything(store) == before and store.check(contents=True) == []
        assert store.collect(Policy()).objects == (), "what the result link shows is held"
    assert set(os.listdir(f"{place}/store/index")) == {"critical", "disposable"}
    assert os.listdir(f"{place}/store/.tmp") == []


@pytest.mark.parametrize("point", REBUILD)
def test_failing_on_the_way_the_old_index_stays(place: str, point: str) -> None:
    with Store.open(f"{place}/store") as store:
        fill(store, place)
        before = everything(store)

    def fail(name: str) -> None:
        if name == point:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    failpoint.armed = fail
    with pytest.raises(StoreError, match="disk failed, while making the index again"):
        Store.rebuild_index(f"{place}/store")
    failpoint.armed = None
    with Store.open(f"{place}/store") as store:
        assert everything(store) == before and store.check(contents=True) == []
    assert os.listdir(f"{place}/store/.tmp") == os.listdir(f"{place}/store/locks/sessions") == []


REFUSED = """
import sys
from kiln.store.errors import StoreLocked
from kiln.store.store import Store
try:
    print(Store.rebuild_index(sys.argv[1], limit=0.0))
except StoreLocked as error:
    print(error.message, "|", error.found)
"""


def test_refused_while_others_have_the_store_open(place: str) -> None:
    with Store.open(f"{place}/store") as store:
        fill(store, place)
        answer = run_python(REFUSED, store.root)
        said = "the index cannot be made again while others have the store open"
        assert answer.stdout.startswith(f"{said} | process {os.getpid()} ("), answer.stderr
        with pytest.raises(StoreLocked, match=said) as caught:
            Store.rebuild_index(store.root, limit=0.0)
        assert caught.value.found == "this process has it open"
        later = add(store, place, "later", b"later")
        before = everything(store)
    assert run_python(REFUSED, f"{place}/store").stdout.startswith("Rebuilt(objects=3")
    with Store.open(f"{place}/store") as store:
        assert everything(store) == before and store.info(later.id) == later


def test_nobody_opens_it_meanwhile(place: str) -> None:
    with Store.open(f"{place}/store") as store:
        fill(store, place)
        layout = store.layout
    with hold_alone(layout), pytest.raises(StoreLocked, match="is being made again") as caught:
        hold_open(layout, limit=0.0)
    assert caught.value.help is not None
    os.close(hold_open(layout, limit=0.0))


@pytest.mark.parametrize("lost", ["data.mdb", "lock.mdb", "the folder"])
def test_a_missing_index_is_said(place: str, lost: str) -> None:
    with Store.open(f"{place}/store") as store:
        fill(store, place)
        before = everything(store)
    folder = f"{place}/store/index/critical"
    if lost == "the folder":
        os.rename(folder, f"{place}/away")
    else:
        os.unlink(f"{folder}/{lost}")
    if lost == "lock.mdb":  # That is made anew each time that nobody has it open.
        Store.open(f"{place}/store").close()
    else:
        for _ in range(2):
            with pytest.raises(Damaged, match="the index is missing, and the store is not empty") as caught:
                Store.open(f"{place}/store")
            assert caught.value.help == "kiln store rebuild-index"
    Store.rebuild_index(f"{place}/store")
    with Store.open(f"{place}/store") as store:
        assert everything(store) == before


def test_what_links_showed_before_comes_back(place: str) -> None:
    with Store.open(f"{place}/store") as store:
        shown = [add(store, place, f"v{number}", b"%d" % number) for number in range(4)]
        for info in shown:
            store.add_root(f"{place}/result", info.id)
        store.add_root(f"{place}/other", shown[0].id)
    Store.rebuild_index(f"{place}/store")
    with Store.open(f"{place}/store") as store:
        # Of v3's past, two; and the history goes on where it was.
        new = add(store, place, "new", b"new")
        store.add_root(f"{place}/result", new.id)
    Store.rebuild_index(f"{place}/store")
    with Store.open(f"{place}/store") as store:
        gone = store.collect(Policy(keep_last=2)).objects
        assert [info.name for info in gone] == ["v1"], "v0 has a link of its own"
        assert store.remove_root(f"{place}/result")
    assert [name for name in os.listdir(f"{place}/store/roots") if name.endswith(".before")] == []

"""What nobody holds goes, what somebody holds stays, and nobody waits for long or loses anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time

import pytest
from store_samples import (
    Key,
    add,
    child_environment,
    claim_of,
    drv,
    make,
    read,
    resolution_of,
    resolved,
    run_python,
    start_python,
    witness_of,
)

from kiln.store import failpoint, leftovers
from kiln.store.collect import Policy
from kiln.store.digest import ObjectId
from kiln.store.errors import NotInStore, StoreLocked
from kiln.store.info import ObjectInfo
from kiln.store.passage import shared_passage, sole_passage
from kiln.store.store import Store

ALL = Policy()


def filled(place: str) -> dict[str, ObjectInfo]:
    """app → lib → base, other → base, alone. The process that added them is gone, and its pins with it."""
    with Store.open(f"{place}/store") as store:
        base = add(store, place, "base", {"f": b"base" * 100})
        lib = add(store, place, "lib", {"f": b"lib"}, [base.id])
        app = add(store, place, "app", {"f": b"app"}, [lib.id])
        other = add(store, place, "other", b"other", [base.id])
        alone = add(store, place, "alone", b"alone")
    return {info.name: info for info in (base, lib, app, other, alone)}


def collect(store: Store, policy: Policy = ALL) -> list[str]:
    return [info.name for info in store.collect(policy).objects]


def names(store: Store) -> set[str]:
    assert store.check(contents=True) == []
    return {info.name for info in store.all_objects()}


def test_links_keep_closures(place: str) -> None:
    made = filled(place)
    with Store.open(f"{place}/store") as store:
        store.add_root(f"{place}/result", made["lib"].id)
        gone = collect(store)
        assert sorted(gone) == ["alone", "app", "other"] and names(store) == {"base", "lib"}
        assert not os.path.lexists(store.physical(made["app"].path))
        assert not os.path.lexists(f"{store.layout.meta}/{made['app'].path.base}")
        os.unlink(f"{place}/result")
        assert collect(store) == ["lib", "base"], "referrers before what they refer to"
        assert names(store) == set() and store.empty_trash() == 0 and os.listdir(store.layout.trash) == []


def test_what_a_process_adds_or_pins_stays_until_it_ends(place: str) -> None:
    made = filled(place)
    with Store.open(f"{place}/store") as store:
        assert store.pin([made["app"].id, ObjectId(bytes(32))]).keys() == {made["app"].id}
        again = add(store, place, "alone", b"alone")
        new = add(store, place, "new", b"new")
        assert again.id == made["alone"].id
        with Store.open(f"{place}/store") as collector:
            assert collect(collector) == ["other"]
            assert names(collector) == {"base", "lib", "app", "alone", "new"}
        assert read(store.physical(new.path)) == b"new"
    with Store.open(f"{place}/store") as store:
        assert set(collect(store)) == {"base", "lib", "app", "alone", "new"}


def test_a_dead_process_holds_nothing(place: str) -> None:
    made = filled(place)
    code = (
        "import os, sys; from kiln.store.store import Store; from kiln.store.digest import ObjectId\n"
        "Store.open(sys.argv[1]).pin([ObjectId(bytes.fromhex(sys.argv[2]))]); os._exit(0)"
    )
    assert run_python(code, f"{place}/store", made["app"].id.hex()).returncode == 0
    assert os.listdir(f"{place}/store/locks/sessions") != []
    with Store.open(f"{place}/store") as store:
        assert len(collect(store)) == 5
        assert len(os.listdir(f"{place}/store/locks/sessions")) == 1, "its own"


def test_the_trash_is_emptied_in_the_background(place: str) -> None:
    filled(place)
    with Store.open(f"{place}/store") as store:
        assert len(collect(store)) == 5
        store.leave_trash()
    deadline = time.monotonic() + 60
    while os.listdir(f"{place}/store/.trash") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert os.listdir(f"{place}/store/.trash") == []


def test_an_object_comes_back(place: str) -> None:
    """Its records stayed; the same bytes added again are the same object."""
    made = filled(place)
    with Store.open(f"{place}/store") as store:
        claim = claim_of(made["alone"], "r")
        store.put_envelope(b"{}")
        store.put_witness(claim, witness_of(claim, Key(1)))
        collect(store)
        assert store.info(made["alone"].id) is None
        assert [item.claim for item in store.claims_for(resolved("r"))] == [claim]
        assert add(store, place, "alone", b"alone") == made["alone"]
        assert names(store) == {"alone"}


def test_a_dry_run_changes_nothing(place: str) -> None:
    filled(place)
    with Store.open(f"{place}/store") as store:
        found = store.collect(Policy(dry_run=True))
        assert len(found.objects) == 5 and found.freed == sum(info.size for info in found.objects)
        assert len(names(store)) == 5


def test_no_more_is_freed_than_was_asked_for_and_the_oldest_goes_first(place: str) -> None:
    made = filled(place)
    with Store.open(f"{place}/store") as store:
        for name, age in (("other", 300), ("alone", 200), ("app", 100)):
            at = time.time() - age
            os.utime(f"{store.layout.meta}/{made[name].path.base}", (at, at))
        assert collect(store, Policy(max_freed=6)) == ["other", "alone"]
        assert collect(store, Policy(max_freed=0)) == []


def test_what_was_wanted_lately_stays(place: str) -> None:
    made = filled(place)
    with Store.open(f"{place}/store") as store:
        for info in made.values():
            at = time.time() - 40 * 86_400
            os.utime(f"{store.layout.meta}/{info.path.base}", (at, at))
    code = (
        "import sys; from kiln.store.store import Store; from kiln.store.digest import ObjectId\n"
        "with Store.open(sys.argv[1]) as store:\n"
        "    store.pin([ObjectId(bytes.fromhex(sys.argv[2]))])"
    )
    shutil.rmtree(f"{place}/store/index/disposable", ignore_errors=True)
    assert run_python(code, f"{place}/store", made["lib"].id.hex()).returncode == 0
    with Store.open(f"{place}/store") as store:
        assert sorted(collect(store, Policy(older_than=30))) == ["alone", "app", "other"]
        assert collect(store, Policy(older_than=30)) == []
        assert sorted(collect(store)) == ["base", "lib"]


def test_what_a_link_showed_before(place: str) -> None:
    made = filled(place)
    with Store.open(f"{place}/store") as store:
        for name in ("alone", "other", "app"):
            store.add_root(f"{place}/result", made[name].id)
        assert collect(store, Policy(keep_last=2)) == []
        assert collect(store, Policy(keep_last=1)) == ["alone"]
        assert collect(store) == ["other"]


def test_named_roots(place: str) -> None:
    made = filled(place)
    with Store.open(f"{place}/store") as store:
        root = store.add_named_root("release-1", made["app"].id)
        assert sorted(collect(store)) == ["alone", "other"]
        with pytest.raises(NotInStore):
            store.add_named_root("release-2", made["alone"].id)
        assert store.remove_root(root.link) and not store.remove_root(root.link)
        assert not os.path.lexists(root.link)
        assert len(collect(store)) == 3


def test_a_running_program_keeps_what_it_has_open(place: str) -> None:
    made = filled(place)
    with Store.open(f"{place}/store") as store:
        with open(store.physical(made["alone"].path), "rb") as file:
            assert "alone" not in collect(store) and file.read() == b"alone"
        sleeper = subprocess.Popen(["sleep", "60"], cwd=store.physical(add(store, place, "d", {"s": b""}).path))
        try:
            store.close()
            with Store.open(f"{place}/store") as again:
                assert collect(again) == ["alone"] and names(again) == {"d"}
        finally:
            sleeper.kill()
            sleeper.wait()


def test_what_is_registered_during_a_sweep_stays_with_what_it_needs(place: str) -> None:
    """A process pins, and adds a referrer, between the marking and the sweep."""
    made = filled(place)
    builder = Store.open(f"{place}/store")

    def meanwhile(point: str) -> None:
        if point == "collect:marked":
            failpoint.armed = None
            builder.pin([made["lib"].id])
            add(builder, place, "user", b"user", [made["alone"].id])

    with Store.open(f"{place}/store") as store:
        failpoint.armed = meanwhile
        assert sorted(collect(store)) == ["app", "other"]
        assert names(store) == {"base", "lib", "alone", "user"}
    builder.close()


def test_the_same_object_committed_during_a_sweep(place: str) -> None:
    """It was staged before it was taken out and waits to be placed until it has left: it is placed anew."""
    made = filled(place)
    done: list[ObjectInfo] = []
    source = f"{place}/same"
    make(source, b"alone")
    builder = Store.open(f"{place}/store")
    thread = threading.Thread(target=lambda: done.append(builder.add_object(source, "alone", move=False)))

    def meanwhile(point: str) -> None:
        if point == "collect:taken-out":
            failpoint.armed = None
            thread.start()
            time.sleep(0.3)
            assert done == []

    with Store.open(f"{place}/store") as store:
        failpoint.armed = meanwhile
        assert "alone" in collect(store)
        thread.join(60)
        assert done == [made["alone"]]
        assert names(store) == {"alone"} and read(store.physical(made["alone"].path)) == b"alone"
    builder.close()


KILLED = """
import os, signal, sys
from kiln.store import failpoint, leftovers
from kiln.store.collect import Policy
from kiln.store.store import Store
point = sys.argv[2]
def die(name):
    if name == point:
        os.kill(os.getpid(), signal.SIGKILL)
store = Store.open(sys.argv[1])
failpoint.armed = die
store.collect(Policy())
print("done")
"""


@pytest.mark.parametrize("point", [point for point in failpoint.POINTS if point.startswith("collect:")])
def test_killed_during_a_collection(place: str, point: str) -> None:
    made = filled(place)
    with Store.open(f"{place}/store") as store:
        store.add_root(f"{place}/result", made["base"].id)
    assert run_python(KILLED, f"{place}/store", point).returncode == -9
    with Store.open(f"{place}/store") as store:
        left = names(store)
        assert left == ({"base"} if point in ("collect:taken-out", "collect:renamed") else set(made))
        assert add(store, place, "alone", b"alone") == made["alone"]
        collect(store)
        assert names(store) == {"base", "alone"}


def test_one_collector_at_a_time(place: str) -> None:
    filled(place)
    with Store.open(f"{place}/store") as store:

        def second(point: str) -> None:
            if point == "collect:marked":
                failpoint.armed = None
                with Store.open(f"{place}/store") as other, pytest.raises(StoreLocked, match="collecting"):
                    other.collect(Policy())

        failpoint.armed = second
        assert len(collect(store)) == 5


def test_a_stopped_process_in_the_passage_is_named(place: str) -> None:
    with Store.open(f"{place}/store") as store:
        holder = start_python(
            "import sys, time; from kiln.store.layout import open_layout\n"
            "from kiln.store.passage import shared_passage\n"
            "with shared_passage(open_layout(sys.argv[1], create=False)):\n"
            "    print('in', flush=True); time.sleep(600)",
            store.root,
        )
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "in\n"
            with shared_passage(store.layout, 1):
                pass
            with pytest.raises(StoreLocked, match=f"process {holder.pid} "), sole_passage(store.layout, 0.2):
                pass
            with shared_passage(store.layout, 1):
                pass
        finally:
            holder.kill()
            holder.communicate()
        with sole_passage(store.layout, 30):
            pass


LOOP = """
import sys, time
from kiln.store.collect import Policy
from kiln.store.store import Store
while True:
    with Store.open(sys.argv[1]) as store:
        store.collect(Policy())
        problems = store.check()
        assert problems == [], problems
        print(len(store.all_objects()), flush=True)
"""


def test_builders_and_a_collecting_loop(place: str) -> None:
    from test_concurrency import WORKER

    Store.open(f"{place}/store").close()
    workers = [start_python(WORKER, place, str(number)) for number in range(3)]
    loop = subprocess.Popen(
        [sys.executable, "-c", LOOP, f"{place}/store"],
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for worker in workers:
        _, errors = worker.communicate(timeout=240)
        assert worker.returncode == 0, errors
    assert loop.poll() is None, loop.communicate()[1]
    loop.kill()
    rounds, _ = loop.communicate()
    assert rounds.count("\n") > 0
    with Store.open(f"{place}/store") as store:
        collect(store)
        assert names(store) == set()


def test_usage(place: str) -> None:
    made = filled(place)
    with Store.open(f"{place}/store") as store:
        store.add_root(f"{place}/result", made["app"].id)
        store.add_root(f"{place}/other", made["other"].id)
        usage = store.usage()
        assert (usage.objects, usage.dead_objects, usage.dead_size) == (5, 1, 5)
        shares = {share.holder.name: (share.closure, share.alone) for share in usage.shares}
        assert shares == {f"{place}/result": (406, 6), f"{place}/other": (405, 5)}
        ways = {holder.name: [info.name for info in way] for holder, way in usage.why(made["base"].id)}
        assert ways == {f"{place}/result": ["app", "lib", "base"], f"{place}/other": ["other", "base"]}
        assert usage.why(made["alone"].id) == []


def test_evidence_of_what_is_gone_goes_when_asked_for(place: str) -> None:
    made = filled(place)
    with Store.open(f"{place}/store") as store:
        store.add_root(f"{place}/result", made["base"].id)
        for name in ("base", "alone"):
            claim = claim_of(made[name], f"r-{name}")
            envelope = b"{%b}" % name.encode()
            store.commit(
                witnesses=[(claim, witness_of(claim, Key(1), envelope))],
                resolutions=[resolution_of(f"r-{name}", made[name], Key(1))],
                envelopes=[envelope],
            )
        verdict = store.put_envelope(b"{verdict}")
        collect(store)
        assert store.sweep_rest().envelopes == 0 and len(os.listdir(store.layout.envelopes)) == 3
        assert store.sweep_rest(evidence=True, dry_run=True).envelopes == 1
        assert len(os.listdir(store.layout.envelopes)) == 3
        assert store.sweep_rest(evidence=True).envelopes == 1
        assert names(store) == {"base"} and store.envelope(verdict) == b"{verdict}"
        assert len(store.claims_for(resolved("r-base"))) == 1 and store.claims_for(resolved("r-alone")) == []
        assert len(os.listdir(store.layout.records)) == 2
        assert store.resolutions_for([drv("r-alone")]) == {} != store.resolutions_for([drv("r-base")])
    assert Store.rebuild_index(f"{place}/store").records == 2


def test_old_logs_and_failed_builds(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(place)
    with Store.open(f"{place}/store") as store:
        claim = claim_of(made["base"], "kept")
        store.put_envelope(b"{}")
        store.put_witness(claim, witness_of(claim, Key(1)))
        for name in ("kept", "lost"):
            make(f"{store.layout.logs}/{resolved(name).hex()}.log.zst", b"log")
        os.mkdir(f"{store.root}/failed")
        for number in range(25):
            make(f"{store.root}/failed/b-{number}", {"f": b""})
        monkeypatch.setattr(leftovers, "LOG_DAYS", -1)
        monkeypatch.setattr(leftovers, "LOGS_KEPT", 0)
        assert store.sweep_rest() == (0, 1, 0), "failed builds are young"
        monkeypatch.setattr(leftovers, "FAILED_DAYS", -1)
        assert store.sweep_rest() == (5, 0, 0)
        assert os.listdir(store.layout.logs) == [f"{resolved('kept').hex()}.log.zst"]
        assert len(os.listdir(f"{store.root}/failed")) == 20

"""Eight processes, and many threads, on one store."""

from __future__ import annotations

import os
import threading

from store_samples import Key, add, built, claim_of, make, resolution_of, resolved, start_python, witness_of

from kiln.store.disk import sync_filesystem
from kiln.store.paths import OutputName
from kiln.store.session import GroupSync
from kiln.store.store import Store

WORKER = """
import os, sys
from store_samples import Key, add, built, claim_of, resolution_of, scratch, witness_of
from kiln.store.paths import OutputName
from kiln.store.store import Store
place, number = sys.argv[1], int(sys.argv[2])
key = Key(7)
with Store.open(f"{place}/store") as store:
    for round in range(12):
        shared = add(store, place, f"shared-{round}", {"d": {"f": b"same" * round}, "g": b""})
        mine = add(store, place, f"own-{number}-{round}", {"n": b"%d" % number}, references=[shared.id])
        tree = {"self": str(scratch(f"b-{round}")).encode(), "uses": str(shared.path).encode()}
        staged = store.stage_outputs([built(store, f"b-{round}", "out", tree)], store.closure([mine.id]))
        info = staged.infos[OutputName("out")]
        claim = claim_of(info, f"r-{round}")
        store.commit(
            staged,
            witnesses=[(claim, witness_of(claim, key))],
            resolutions=[resolution_of(f"r-{round}", shared, key)],
            envelopes=[b"{}"],
        )
        assert store.info(info.id) == info and store.closure([info.id]) == [shared, info]
"""


def test_eight_processes_add_the_same_and_different(place: str) -> None:
    workers = [start_python(WORKER, place, str(number)) for number in range(8)]
    for worker in workers:
        _, errors = worker.communicate(timeout=240)
        assert worker.returncode == 0, errors
    with Store.open(f"{place}/store") as store:
        names = sorted(info.name for info in store.all_objects())
        wanted = [f"shared-{n}" for n in range(12)] + [f"b-{n}" for n in range(12)]
        wanted += [f"own-{worker}-{n}" for worker in range(8) for n in range(12)]
        assert names == sorted(wanted)
        assert store.check(contents=True) == []
        assert all(len(store.claims_for(resolved(f"r-{n}"))) == 1 for n in range(12))
    assert os.listdir(f"{place}/store/.tmp") == os.listdir(f"{place}/store/locks/builds") == []


def test_checking_while_others_commit_finds_nothing(place: str) -> None:
    workers = [start_python(WORKER, place, str(number)) for number in range(2)]
    with Store.open(f"{place}/store") as store:
        while any(worker.poll() is None for worker in workers):
            assert store.check() == []
    for worker in workers:
        _, errors = worker.communicate(timeout=240)
        assert worker.returncode == 0, errors


def test_threads_share_one_store(store: Store, place: str) -> None:
    errors: list[BaseException] = []
    key = Key(9)

    def work(number: int) -> None:
        try:
            for count in range(8):
                same = add(store, place, "same", b"same")
                info = store.add_outputs([built(store, f"t-{number}", "out", {"c": b"%d" % count})], [same])
                claim = claim_of(info[OutputName("out")], f"{number}-{count}")
                store.put_witness(claim, witness_of(claim, key))
                store.put_resolution(resolution_of(f"{number}-{count}", same, key))
                assert store.claims_for(resolved(f"{number}-{count}"))[0].claim == claim
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.put_envelope(b"{}")
    assert errors == []
    assert len(store.all_objects()) == 8 * 8 + 1 and store.check(contents=True) == []


def test_a_sync_that_began_before_a_write_does_not_count(place: str) -> None:
    """Those who wait while one runs share the next: never more than needed, never one that was too early."""
    fd = os.open(place, os.O_RDONLY)
    group = GroupSync(fd)
    running, go = threading.Event(), threading.Event()
    ran: list[int] = []

    def slow(number: int) -> None:
        ran.append(number)
        if number == 1:
            running.set()
            go.wait(30)
        sync_filesystem(fd)
        with group._state:
            group._finished = number
            group._state.notify_all()

    group._run = slow  # type: ignore[method-assign]
    threads = [threading.Thread(target=group.sync) for _ in range(6)]
    threads[0].start()
    assert running.wait(30)
    for thread in threads[1:]:
        thread.start()
    assert all(thread.is_alive() for thread in threads), "nobody returns before a sync that began after they asked"
    go.set()
    for thread in threads:
        thread.join(30)
    os.close(fd)
    assert ran[:2] == [1, 2] and len(ran) <= 3


def test_a_failed_sync_fails_everyone_who_shared_it(place: str) -> None:
    group = GroupSync(-1)
    for _ in range(2):
        try:
            group.sync()
        except OSError as error:
            assert error.errno == 9
        else:
            raise AssertionError("a sync of nothing succeeded")


def test_readers_see_whole_commits_only(place: str) -> None:
    """While one process commits pairs, another never sees a half of one."""
    writer = start_python(
        "import sys; from store_samples import built; from kiln.store.store import Store\n"
        "store = Store.open(sys.argv[1])\n"
        "for n in range(40):\n"
        "    pair = [built(store, f'w-{n}', 'out', {'n': b'%d' % n}), built(store, f'w-{n}-dev', 'dev', b'%d' % n)]\n"
        "    store.add_outputs(pair, [])\n"
        "store.close()",
        f"{place}/store",
    )
    make(f"{place}/wait", b"")
    seen = 0
    with Store.open(f"{place}/store") as store:
        while writer.poll() is None or seen < 80:
            infos = store.all_objects()
            assert len(infos) % 2 == 0
            assert all(os.path.lexists(store.physical(info.path)) for info in infos)
            seen = len(infos)
            if writer.poll() not in (None, 0):
                break
    _, errors = writer.communicate(timeout=60)
    assert (writer.returncode, seen) == (0, 80), errors

"""Locks: who waits, who is named, and what a killed or stopped holder does to others."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from store_samples import add, resolved, start_python

from kiln.store import index, passage
from kiln.store.errors import StoreLocked
from kiln.store.store import Store

HOLDER = """
import sys, time
from kiln.store.store import Store
from kiln.store.digest import ResolvedDigest
store = Store.open(sys.argv[1])
def hold(*_):
    print("held", flush=True)
    time.sleep(600)
if sys.argv[2] == "write":
    store._index.update(hold)
elif sys.argv[2] in ("shared", "sole"):
    from kiln.store import passage
    enter = passage.shared_passage if sys.argv[2] == "shared" else passage.sole_passage
    with enter(store.layout, 600):
        hold()
else:
    with store.lock_build(ResolvedDigest(bytes.fromhex(sys.argv[2]))):
        hold()
"""


@contextmanager
def holder(store: Store, what: str, *, holds: bool = True) -> Iterator[int]:
    """Another process that holds a lock and does not let go; or, not `holds`, that is about to wait for it."""
    process = start_python(HOLDER, store.root, what)
    try:
        assert not holds or (process.stdout is not None and process.stdout.readline() == "held\n")
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def test_a_stopped_writer_is_named(store: Store, place: str) -> None:
    info = add(store, place, "before", b"x")
    with holder(store, "write") as pid:
        os.kill(pid, signal.SIGSTOP)
        assert store.info(info.id) == info, "readers never wait for a writer"
        with Store.open(store.root) as again:
            assert again.info(info.id) == info
        with pytest.raises(StoreLocked, match=f"process {pid}") as caught:
            store._index.update(lambda txn: None, limit=0.2)
        assert f"kill -CONT {pid}" in (caught.value.help or "")
    assert add(store, place, "after", b"y").name == "after", "a killed writer blocks nobody"
    assert store.check(contents=True) == []


def test_waiting_for_a_builder_can_be_told_and_cancelled(store: Store) -> None:
    digest = resolved("r")
    with holder(store, digest.hex()) as pid:
        told: list[int | None] = []
        with store.lock_build(digest, on_wait=told.append, cancelled=lambda: bool(told)) as held:
            assert held is False
        assert told == [pid]
        with pytest.raises(StoreLocked, match=f"process {pid}"), store.lock_build(digest, limit=0.1):
            pass
        with store.lock_build(resolved("another")) as held:
            assert held
    with store.lock_build(digest, limit=30) as held:
        assert held, "the kernel drops a dead holder's lock"
    assert os.listdir(f"{store.root}/locks/builds") == []


def test_a_stopped_builder_is_named_and_a_slow_one_waited_for(store: Store) -> None:
    digest = resolved("r")
    with holder(store, digest.hex()) as pid:
        asked = 0

        def soon() -> bool:
            nonlocal asked
            asked += 1
            return asked > 40

        with store.lock_build(digest, stopped=0.1, cancelled=soon) as held:
            assert held is False, "forty looks at a builder that works take two seconds"
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(StoreLocked, match=f"process {pid} .* is stopped") as caught:
            store.lock_build(digest, stopped=0.1).__enter__()
        assert f"kill -CONT {pid}" in (caught.value.help or "")


def test_who_is_inside_is_named_and_not_who_waits_for_him(store: Store) -> None:
    """A collector that waits keeps newcomers out; the process to continue is the one that it waits for."""
    with holder(store, "shared") as inside, holder(store, "sole", holds=False) as collector:
        os.kill(inside, signal.SIGSTOP)
        turn = os.open(f"{store.layout.locks}/turn", os.O_RDWR)
        until = time.monotonic() + 60
        while collector not in passage.holders(turn) and time.monotonic() < until:
            time.sleep(0.01)
        os.close(turn)
        with (
            pytest.raises(StoreLocked, match=f"process {inside} ") as caught,
            passage.shared_passage(store.layout, 0.2),
        ):
            pass
        assert f"kill -CONT {inside}" in (caught.value.help or "") and str(collector) not in caught.value.message


def test_one_builder_among_threads(store: Store) -> None:
    """The lock excludes threads like processes, and a removed lock file lets nobody in twice."""
    inside, most, count = 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most, count
        for _ in range(20):
            with store.lock_build(resolved("r")):
                with guard:
                    inside += 1
                    most = max(most, inside)
                    count += 1
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, count) == (1, 120)


def test_the_map_grows(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index.Environment.shared.__func__, "__defaults__", (1 << 16,))
    with Store.open(f"{place}/store") as store:
        before = store._index._env.info()["map_size"]
        table = index.Table(b"z", "test")
        for number in range(60):
            store._index.update(lambda txn, n=number: txn.put(table, b"%d" % n, os.urandom(4000)))
        assert store._index._env.info()["map_size"] >= 4 * before
        assert len(store._index.view(lambda txn: txn.items(table))) == 60


def test_a_map_that_another_process_grew_is_read_again(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index.Environment.shared.__func__, "__defaults__", (1 << 16,))
    code = (
        "import os, sys; from kiln.store import index; from kiln.store.store import Store\n"
        "store = Store.open(sys.argv[1]); table = index.Table(b'z', 'test')\n"
        "for n in range(40):\n"
        "    store._index.update(lambda txn: txn.put(table, b'%d' % n, os.urandom(9000)))\n"
        "store.close()"
    )
    with Store.open(f"{place}/store") as store:
        for _ in range(2):
            writer = start_python(code, store.root)
            _, errors = writer.communicate(timeout=60)
            assert writer.returncode == 0, errors
            assert len(store._index.view(lambda txn: txn.items(index.Table(b"z", "test")))) == 40
        add(store, place, "thing", b"x")
        assert store.check(contents=True) == []

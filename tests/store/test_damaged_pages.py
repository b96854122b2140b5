"""One damaged page of the index, each page in turn: it is said, and never by a process that dies of it twice."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import pytest
from store_samples import add, run_python

from kiln.store.errors import Damaged
from kiln.store.firstlook import died_reading, look_at_index
from kiln.store.layout import Layout
from kiln.store.store import Store

PAGE = 4096
CHECK = """
import sys
from kiln.store.errors import StoreError
from kiln.store.store import Store
from test_damaged_pages import each_page
for page in each_page(sys.argv[2], sys.argv[3]):
    try:
        with Store.open(sys.argv[1]) as store:
            print(len(store.check()), "problems", flush=True)
    except StoreError as error:
        print(error.code, error.message, "|", error.help, flush=True)
"""
WRITE = """
import sys
from kiln.store.errors import StoreError
from kiln.store.store import Store
from store_samples import add
try:
    with Store.open(sys.argv[1] + "/store") as store:
        add(store, sys.argv[1], "more", b"more")
    print("done")
except StoreError as error:
    print(error.code, error.message)
"""
SAID = "K0703 the index is damaged | kiln store rebuild-index\n"


def fill(place: str) -> tuple[str, Layout]:
    """An index of some twenty pages, free ones among them; its file, and the store's layout."""
    with Store.open(f"{place}/store") as store:
        for number in range(60):
            add(store, place, f"o{number}", b"%d" % number)
        return f"{place}/store/index/critical/data.mdb", store.layout


def damaged(good: bytes, page: int, how: str) -> bytes:
    new = {"zeros": bytes(PAGE), "random": random.Random(page).randbytes(PAGE)}[how]
    return good[: page * PAGE] + new + good[(page + 1) * PAGE :]


def write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def each_page(path: str, how: str) -> Iterator[int]:
    """Have each page of the file damaged in turn, and the file whole afterwards."""
    with open(path, "rb") as file:
        good = file.read()
    for page in range(len(good) // PAGE):
        write(path, damaged(good, page, how))
        yield page
    write(path, good)


def is_readable(layout: Layout) -> bool:
    try:
        look_at_index(layout)
    except Damaged as error:
        assert error.help == "kiln store rebuild-index"
        return False
    return True


@pytest.mark.parametrize("how", ["zeros", "random"])
def test_checking_never_dies_of_it(place: str, how: str) -> None:
    path, layout = fill(place)
    assert is_readable(layout)
    found = [is_readable(layout) for _ in each_page(path, how)]
    assert found.count(False) > 4 and found.count(True) > 2, found
    answer = run_python(CHECK, f"{place}/store", path, how)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines(keepends=True) == ["0 problems\n" if good else SAID for good in found]


def test_writing_into_it(place: str) -> None:
    """Whatever a writer's end is, nothing that was registered is lost, and the next is told."""
    path, layout = fill(place)
    ends = set()
    for _ in each_page(path, "zeros"):
        if is_readable(layout):
            continue
        answer = run_python(WRITE, place)
        ends.add(answer.returncode)
        assert answer.returncode in (0, -signal.SIGABRT), answer.stderr
        if answer.returncode == 0 and answer.stdout != "done\n":
            assert answer.stdout.startswith("K0703"), answer.stdout
        with pytest.raises(Damaged, match="the index is damaged"), Store.open(f"{place}/store") as store:
            store.check()
        Store.rebuild_index(f"{place}/store")
        with Store.open(f"{place}/store") as store:
            assert store.check(contents=True) == [] and len(store.all_objects()) >= 60
    assert 0 in ends


def test_who_died_while_reading_is_noticed(place: str) -> None:
    """An assertion of LMDB's ends the first reader; the next opening looks before it reads."""
    path, layout = fill(place)
    read = (
        "import sys; from kiln.store.store import Store\n"
        "Store.open(sys.argv[1])._index.view(lambda txn: list(txn._txn.cursor()))"
    )
    died = False
    for _ in each_page(path, "zeros"):
        if died:
            continue
        answer = run_python(read, f"{place}/store")
        if answer.returncode == -signal.SIGABRT:
            died = True
            assert died_reading(layout)
            with pytest.raises(Damaged, match="the index is damaged"):
                Store.open(f"{place}/store")
    assert died, "no page of this index is one that LMDB asserts something of"
    with Store.open(f"{place}/store") as store:
        assert not died_reading(layout), "who opens it looks once"
        assert store.check() == []


def test_a_reader_that_was_killed_costs_one_look(place: str) -> None:
    _, layout = fill(place)
    code = (
        "import os, signal, sys; from kiln.store.store import Store\n"
        "store = Store.open(sys.argv[1])\n"
        "store._index.view(lambda txn: os.kill(os.getpid(), signal.SIGKILL))"
    )
    with Store.open(f"{place}/store"):
        assert not died_reading(layout)
        assert run_python(code, f"{place}/store").returncode == -signal.SIGKILL
        assert died_reading(layout)
        Store.open(f"{place}/store").close()
        assert not died_reading(layout)


def test_looking_leaves_nobody_behind(place: str) -> None:
    from tests.support.processes import descendants

    _, layout = fill(place)
    before, children = set(os.listdir("/proc/self/fd")), descendants(os.getpid())
    look_at_index(layout)
    assert set(os.listdir("/proc/self/fd")) == before
    assert descendants(os.getpid()) <= children

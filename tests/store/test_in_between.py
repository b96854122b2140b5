"""What another process does at the worst moment: each test stops one at a place and lets the other do its work."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable

import pytest
from store_samples import add, built, run_python

from kiln.store import check, collect, failpoint, pool, trash, verify
from kiln.store.collect import Policy
from kiln.store.info import ObjectInfo
from kiln.store.layout import Layout
from kiln.store.paths import OutputName
from kiln.store.store import Store

BIG = os.urandom(100_000)
COLLECT = """
import sys
from kiln.store.collect import Policy
from kiln.store.store import Store
with Store.open(sys.argv[1] + "/store") as store:
    store.collect(Policy())
    store.sweep_rest()
"""
ADD = """
import sys
from kiln.store.digest import ObjectId
from kiln.store.store import Store
from store_samples import add
place, name, data, *references = sys.argv[1:]
with Store.open(place + "/store") as store:
    add(store, place, name, {"f": data.encode()}, [ObjectId(bytes.fromhex(item)) for item in references])
"""
EMPTY = "import sys; from kiln.store.store import Store; Store.open(sys.argv[1] + '/store').empty_trash()"


def other(code: str, *arguments: str) -> None:
    answer = run_python(code, *arguments)
    assert answer.returncode == 0, answer.stderr


def dead(place: str, name: str, data: bytes = b"x") -> ObjectInfo:
    """An object that nobody holds: the process that added it is gone."""
    with Store.open(f"{place}/store") as store:
        return add(store, place, name, {"f": data})


def once_before(monkeypatch: pytest.MonkeyPatch, where: object, name: str, first: Callable[[], None]) -> None:
    """Call `first` before the first call of a function."""
    real = getattr(where, name)

    def replaced(*args: object, **named: object) -> object:
        monkeypatch.setattr(where, name, real)
        first()
        return real(*args, **named)

    monkeypatch.setattr(where, name, replaced)


def once_after(monkeypatch: pytest.MonkeyPatch, where: object, name: str, then: Callable[[], None]) -> None:
    """The same after its first call."""
    real = getattr(where, name)

    def replaced(*args: object, **named: object) -> object:
        answer = real(*args, **named)
        monkeypatch.setattr(where, name, real)
        then()
        return answer

    monkeypatch.setattr(where, name, replaced)


@pytest.mark.parametrize("moment", ["read_meta", "ingest", "wrong_places", "_not_normal"])
def test_an_object_is_collected_while_it_is_verified(
    place: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def vanish() -> None:
        other(COLLECT, place)
        other(EMPTY, place)

    dead(place, "thing")
    with Store.open(f"{place}/store") as store:
        once_before(monkeypatch, verify, moment, vanish)
        assert store.check(contents=True) == []
        assert store.all_objects() == []


@pytest.mark.parametrize("contents", [False, True])
def test_an_object_goes_and_comes_back_while_it_is_verified(
    place: str, monkeypatch: pytest.MonkeyPatch, contents: bool
) -> None:
    dead(place, "thing")
    with Store.open(f"{place}/store") as store:
        once_before(monkeypatch, check, "_disk_problems", lambda: other(COLLECT, place))
        once_after(monkeypatch, check, "_disk_problems", lambda: other(ADD, place, "thing", "x"))
        assert store.check(contents=contents) == []
        assert [info.name for info in store.all_objects()] == ["thing"]


def test_what_is_damaged_all_the_while_is_told(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    info = dead(place, "thing")
    with Store.open(f"{place}/store") as store:
        os.unlink(f"{store.layout.meta}/{info.path.base}")
        once_before(monkeypatch, check, "_disk_problems", lambda: other(ADD, place, "another", "y"))
        assert [problem.where for problem in store.check(contents=True)] == [str(info.path)]


def test_an_object_comes_back_while_strangers_are_looked_for(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was there, was collected, and is in place but not registered: its commit began after intents were read."""
    dead(place, "thing")
    placed, go_on = threading.Event(), threading.Event()
    moving = check._moving

    def stall(point: str) -> None:
        if point == "commit:directories-synced":
            placed.set()
            go_on.wait(60)

    def then_placed(layout: Layout) -> set[str]:
        monkeypatch.setattr(check, "_moving", moving)
        found = moving(layout)
        thread.start()
        assert placed.wait(60)
        return found

    failpoint.armed = stall
    with Store.open(f"{place}/store") as store, Store.open(f"{place}/store") as builder:
        thread = threading.Thread(target=lambda: add(builder, place, "thing", {"f": b"x"}))
        once_before(monkeypatch, store._index, "view", lambda: other(COLLECT, place))
        monkeypatch.setattr(check, "_moving", then_placed)
        once_before(monkeypatch, check, "sole_passage", go_on.set)
        assert store.check() == []
        thread.join()
        assert [info.name for info in store.all_objects()] == ["thing"]


def test_the_pool_is_pruned_while_a_file_is_shared(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(f"{place}/store") as store:
        add(store, place, "one", {"f": BIG})
    [inside] = [f"{folder}/{name}" for folder, _, names in os.walk(f"{place}/store/pool") for name in names]
    with Store.open(f"{place}/store") as store:
        for moment in ("hash_file", "open_parent"):
            once_before(monkeypatch, pool, moment, lambda: os.unlink(inside))
            two = add(store, place, f"two-{moment}", {"f": BIG})
            assert store.verify(two.id) == []
            assert os.path.exists(inside), "it was offered again"
        assert store.check(contents=True) == []


def test_big_files_are_free_when_the_trash_is_empty(place: str) -> None:
    dead(place, "thing", BIG)
    with Store.open(f"{place}/store") as store:
        assert store.collect(Policy(dry_run=True)).freed == len(BIG)
        assert store.collect(Policy()).freed == len(BIG)
        assert store.empty_trash() == 0
        assert [names for _, _, names in os.walk(f"{store.root}/pool") if names] == []


def test_only_what_the_disk_gets_back_is_counted(place: str) -> None:
    """Two dead objects and a living one share a file; two dead ones share another."""
    with Store.open(f"{place}/store") as store:
        staged = store.stage_outputs([built(store, "kept", "out", {"f": BIG})], [])
        kept = store.commit(staged)[OutputName("out")]
        store.add_root(f"{place}/result", kept.id)
        dead_ones = [add(store, place, f"a{number}", {"f": BIG, "own": b"12345"}) for number in range(2)]
        others = [add(store, place, f"b{number}", {"g": BIG[:70_000]}) for number in range(2)]
        for age, info in enumerate([*dead_ones, *others]):
            os.utime(f"{store.layout.meta}/{info.path.base}", (1000 + age, 1000 + age))
        if os.lstat(store.physical(kept.path) + "/f").st_nlink == 1:
            pytest.skip("this file system clones: what is shared can't be seen")
    shutil.rmtree(f"{place}/store/index/disposable")  # Else what was added just now was wanted just now.
    with Store.open(f"{place}/store") as store:

        def names(wanted: int | None) -> tuple[list[str], int]:
            found = store.collect(Policy(max_freed=wanted, dry_run=True))
            return [info.name for info in found.objects], found.freed

        assert names(None)[1] == 10 + 70_000
        assert names(10) == (["a0", "a1"], 10)
        assert names(11) == (["a0", "a1", "b0", "b1"], 70_010)
        assert store.collect(Policy(max_freed=11)).freed == 70_010
        entries = [name for _, _, files in os.walk(f"{store.root}/pool") for name in files]
        assert len(entries) == 1 and store.check(contents=True) == []


def test_the_trash_is_emptied_with_the_collectors_folder_in_it(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        dead(place, f"thing-{number}")
    enter = trash.Bin.__enter__

    def emptied(self: trash.Bin) -> trash.Bin:
        entered = enter(self)
        other(EMPTY, place)
        return entered

    monkeypatch.setattr(trash.Bin, "__enter__", emptied)
    with Store.open(f"{place}/store") as store:
        assert len(store.collect(Policy()).objects) == 4
        assert os.listdir(store.layout.store) == os.listdir(store.layout.meta) == []
        assert store.check() == []


def test_a_number_of_the_log_is_never_given_twice(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two batches another process registers what refers to a candidate of the second."""
    low = dead(place, "low")
    dead(place, "top")
    monkeypatch.setattr(collect, "BATCH", 1)
    order = collect._in_order
    monkeypatch.setattr(
        collect, "_in_order", lambda found, used: sorted(order(found, used), key=lambda info: info.name != "top")
    )
    seen: list[str] = []
    batch = collect._Sweep._batch

    def between(self: collect._Sweep, items: list[ObjectInfo]) -> list[ObjectInfo]:
        if seen:
            other(ADD, place, "user", "y", low.id.hex())
        seen.append(items[0].name)
        return batch(self, items)

    monkeypatch.setattr(collect._Sweep, "_batch", between)
    with Store.open(f"{place}/store") as store:
        number, _ = store.registered_after(0)
        assert [info.name for info in store.collect(Policy()).objects] == ["top"]
        assert seen == ["top", "low"]
        assert {info.name for info in store.all_objects()} == {"low", "user"}
        assert store.check(contents=True) == []
        _, new = store.registered_after(number)
        assert [store.infos([item])[item].name for item in new] == ["user"]

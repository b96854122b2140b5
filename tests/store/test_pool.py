"""Big files lie on the disk once, and nothing that reads an object can tell."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest
from store_samples import Script, Tree, add, built, read

from kiln.store import pool
from kiln.store.collect import Policy
from kiln.store.info import ObjectInfo
from kiln.store.paths import OutputName
from kiln.store.store import Store

BIG = bytes(range(256)) * 400
"""100 KiB."""


def facts(store: Store, info: ObjectInfo, path: str = "") -> os.stat_result:
    return os.lstat(store.physical(info.path) + path)


def can_clone(place: str) -> bool:
    with open(f"{place}/one", "wb") as one, open(f"{place}/two", "wb") as two:
        return pool.clone(one.fileno(), two.fileno())


def test_equal_files_of_two_objects_lie_there_once(store: Store, place: str) -> None:
    one = add(store, place, "one", {"d": {"f": BIG}, "small": b"s" * 1000})
    two = add(store, place, "two", {"g": BIG, "small": b"s" * 1000})
    single = add(store, place, "single", BIG)
    [built_one] = store.add_outputs([built(store, "b", "out", {"e": {"h": BIG}})], []).values()
    inodes = {
        facts(store, info, path).st_ino
        for info, path in ((one, "/d/f"), (two, "/g"), (single, ""), (built_one, "/e/h"))
    }
    assert len(inodes) == (4 if can_clone(place) else 1)
    assert facts(store, one, "/small").st_nlink == facts(store, two, "/small").st_nlink == 1
    assert store.check(contents=True) == []
    assert read(store.physical(built_one.path) + "/e/h") == BIG


def test_an_executable_is_another_file(store: Store, place: str) -> None:
    one, two = add(store, place, "one", BIG), add(store, place, "two", Script(BIG))
    assert facts(store, one).st_ino != facts(store, two).st_ino
    assert (facts(store, one).st_mode & 0o777, facts(store, two).st_mode & 0o777) == (0o444, 0o555)
    assert store.check(contents=True) == []


TREE: Tree = {"a": BIG, "b": BIG, "d": {"c": BIG, "x": Script(BIG)}, "s": b"small", "t": b"small"}


def archive(store: Store, info: ObjectInfo) -> bytes:
    """What tar makes of an object, with everything that it sees but the times of access."""
    command = ["tar", "--create", "--sort=name", "--format=pax", "--pax-option=delete=atime,delete=ctime", "."]
    return subprocess.run(command, cwd=store.physical(info.path), capture_output=True, check=True).stdout


def test_neither_tar_nor_cp_can_tell(place: str) -> None:
    with Store.open(f"{place}/alone") as alone, Store.open(f"{place}/shared") as shared:
        add(shared, place, "other", {"f": BIG, "g": {"x": Script(BIG)}})
        info = add(alone, place, "tree", TREE)
        assert add(shared, place, "tree", TREE) == info
        assert archive(alone, info) == archive(shared, info)
        for store in (alone, shared):
            inodes = [facts(store, info, f"/{path}").st_ino for path in ("a", "b", "d/c", "d/x")]
            assert len(set(inodes)) == 4, "never two names in one object"
            target = f"{store.root}-copy"
            subprocess.run(["cp", "-a", store.physical(info.path), target], check=True)
            copies = [os.lstat(f"{target}/{path}") for path in ("a", "b", "d/c", "d/x", "s", "t")]
            assert [item.st_nlink for item in copies] == [1] * 6
            subprocess.run(["chmod", "-R", "u+w", target], check=True)
            with open(f"{target}/a", "wb") as file:
                file.write(b"changed")
            assert read(f"{target}/b") == read(f"{target}/d/c") == BIG
        assert shared.check(contents=True) == alone.check(contents=True) == []


def test_a_damaged_entry_is_given_up(store: Store, place: str) -> None:
    one = add(store, place, "one", BIG)
    os.chmod(store.physical(one.path), 0o644)
    with open(store.physical(one.path), "r+b") as file:
        file.write(b"X")
    two = add(store, place, "two", BIG)
    assert store.verify(two.id) == [] and read(store.physical(two.path)) == BIG
    assert add(store, place, "three", BIG).size == len(BIG)
    assert next(problem.where for problem in store.check(contents=True)) == str(one.path)


def test_all_links_taken(store: Store, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if can_clone(place):
        pytest.skip("this file system clones and needs no links")
    one = add(store, place, "one", {"f": BIG})
    plain = os.link

    def full(*args: object, **named: object) -> None:
        if "dst_dir_fd" in named:
            raise OSError(errno.EMLINK, "Too many links")
        plain(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", full)
    two = add(store, place, "two", {"f": BIG})
    monkeypatch.undo()
    three = add(store, place, "three", {"f": BIG})
    assert facts(store, one, "/f").st_ino != facts(store, two, "/f").st_ino == facts(store, three, "/f").st_ino
    assert store.check(contents=True) == []


def test_a_file_system_that_clones(store: Store, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Played by a copy, where the file system can't."""

    def play(source: int, target: int) -> bool:
        os.write(target, os.pread(source, len(BIG), 0))
        return True

    monkeypatch.setattr(pool, "clone", play)
    add(store, place, "one", {"f": BIG})
    two = add(store, place, "two", {"g": Script(BIG), "f": BIG})
    assert facts(store, two, "/f").st_nlink == 1
    assert store.check(contents=True) == []


def test_what_nobody_shares_goes_with_a_collection(place: str) -> None:
    with Store.open(f"{place}/store") as store:
        add(store, place, "one", {"f": BIG})
        staged = store.stage_outputs([built(store, "kept", "out", {"f": BIG[:70_000]})], [])
        kept = store.commit(staged)[OutputName("out")]
        store.add_root(f"{place}/result", kept.id)
    with Store.open(f"{place}/store") as store:
        assert [info.name for info in store.collect(Policy()).objects] == ["one"]
        store.empty_trash()
        store.sweep_rest()
        entries = [name for _, _, files in os.walk(f"{store.root}/pool") for name in files]
        assert len(entries) == 1 and store.check(contents=True) == []

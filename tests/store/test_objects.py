"""Adding trees and files: what they become, what is refused, and what their identity depends on."""

from __future__ import annotations

import os
import socket
import stat

import pytest
from store_samples import Link, Script, add, make, read, scratch

from kiln.store.digest import ObjectId, blob_digest
from kiln.store.errors import BadName, NotInStore, Refused, StoreError
from kiln.store.ingest import CaseCollision
from kiln.store.manifest import FileNode, entries_of
from kiln.store.store import Store
from kiln.store.tree import walk

TREE = {"bin": {"run": Script(b"#!/bin/sh\n")}, "lib": {"a": b"a" * 1000, "b": Link("a")}, "empty": {}}


def facts(path: str) -> list[tuple[bytes, int, int, int]]:
    """(path, mode, modification time, links) of everything below."""
    fd = os.open(os.path.dirname(path), os.O_RDONLY)
    found = []
    try:
        for event in walk(fd, os.path.basename(path).encode()):
            found_at = os.path.join(os.fsencode(path), event.path)
            item = os.lstat(found_at.rstrip(b"/"))
            found.append(
                (event.path, item.st_mode, item.st_mtime_ns, item.st_nlink if stat.S_ISREG(item.st_mode) else 1)
            )
    finally:
        os.close(fd)
    return found


@pytest.mark.parametrize("move", [False, True])
def test_normalised(store: Store, place: str, move: bool) -> None:
    source = f"{store.new_temp('in')}/tree" if move else f"{place}/tree"
    make(source, TREE)
    os.chmod(f"{source}/lib/a", 0o600)
    os.chmod(f"{source}/bin", 0o2700)
    info = store.add_object(source, "thing-1.0", move=move)
    for path, mode, mtime, links in facts(store.physical(info.path)):
        assert (mtime, links) == (1_000_000_000, 1), path
        if not stat.S_ISLNK(mode):
            assert stat.S_IMODE(mode) in (0o444, 0o555), path
    assert read(store.physical(info.path) + "/lib/a") == b"a" * 1000
    assert os.path.exists(source) is not move
    assert store.verify(info.id) == []
    assert (info.kind, info.size, info.references) == ("tree", 10 + 1000 + 1, ())


@pytest.mark.parametrize("move", [False, True])
def test_single_files(store: Store, place: str, move: bool) -> None:
    for name, tree, mode in (("plain", b"x", 0o444), ("script", Script(b"x"), 0o555)):
        source = f"{store.new_temp('in')}/f" if move else f"{place}/{name}"
        make(source, tree)
        info = store.add_object(source, name, move=move)
        assert info.kind == "file"
        assert stat.S_IMODE(os.stat(store.physical(info.path)).st_mode) == mode
        assert store.verify(info.id) == []
    make(f"{place}/link", Link("plain"))
    assert store.add_object(f"{place}/link", "link", move=False).kind == "symlink"


def test_identity_is_content_name_and_references(store: Store, place: str) -> None:
    one = add(store, place, "one", {"a": b"1"})
    assert add(store, place, "one", {"a": b"1"}) == one
    others = [
        add(store, place, "two", {"a": b"1"}),
        add(store, place, "one", {"a": b"2"}),
        add(store, place, "one", {"a": Script(b"1")}),
        add(store, place, "one", {"a": Link("1")}),
        add(store, place, "one", {"b": b"1"}),
        add(store, place, "one", {"a": {"a": b"1"}}),
        add(store, place, "one", b"1"),
        add(store, place, "one", {"a": b"1"}, references=[one.id]),
    ]
    assert len({info.id for info in [one, *others]}) == 9
    assert store.by_path(one.path) == one and store.info(one.id) == one
    assert store.by_path(one.path._replace(name="other")) is None
    assert store.referrers(one.id) == [others[-1].id]
    assert len(store.all_objects()) == 9 and store.check(contents=True) == []


def test_an_unchanged_source_is_not_written_again(store: Store, place: str) -> None:
    make(f"{place}/tree", TREE)
    info = store.add_object(f"{place}/tree", "tree", move=False)
    before = os.stat(store.physical(info.path)).st_ino
    assert store.add_object(f"{place}/tree", "tree", move=False) == info
    assert os.stat(store.physical(info.path)).st_ino == before
    session = os.listdir(f"{store.root}/.tmp")
    assert [os.listdir(f"{store.root}/.tmp/{name}") for name in session] == [[]]


def test_an_object_whose_folder_was_removed_is_put_back(store: Store, place: str) -> None:
    info = add(store, place, "thing", b"bytes")
    os.unlink(store.physical(info.path))
    assert [problem.what for problem in store.check()] == ["it is registered but not there"]
    assert add(store, place, "thing", b"bytes") == info
    assert store.check(contents=True) == []


def test_strange_names(store: Store, place: str) -> None:
    tree = {
        b"\xff\xfe\x80": b"1",
        b"n" * 255: b"2",
        "new\nline": b"3",
        "-rf": b"4",
        " ": {"\t": b"5"},
        "é": Link("ü"),
    }
    info = add(store, place, "names", tree)
    paths = [path for path, _ in entries_of(store.meta(info.id).manifest)]
    assert set(paths) == {b"\xff\xfe\x80", b"n" * 255, b"new\nline", b"-rf", b" /\t", "é".encode()}
    assert store.verify(info.id) == []


@pytest.mark.parametrize("move", [False, True])
def test_a_tree_deeper_than_any_path_and_any_stack(store: Store, place: str, move: bool) -> None:
    source = f"{store.new_temp('in')}/deep" if move else f"{place}/deep"
    os.mkdir(source)
    fd = os.open(source, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("directory", dir_fd=fd)
        inner = os.open("directory", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    info = store.add_object(source, "deep", move=move)
    assert store.verify(info.id) == []
    assert len(store.meta(info.id).manifest.directories) == 3001


@pytest.mark.parametrize("kind", ["fifo", "socket"])
@pytest.mark.parametrize("move", [False, True])
def test_special_files_are_refused_by_path(store: Store, place: str, kind: str, move: bool) -> None:
    source = f"{store.new_temp('i')}/t" if move else f"{place}/t"
    make(source, {"sub": {}})
    if kind == "fifo":
        os.mkfifo(f"{source}/sub/pipe")
    else:
        here = os.getcwd()
        os.chdir(f"{source}/sub")
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind("pipe")
        finally:
            os.chdir(here)
    with pytest.raises(Refused, match=kind) as caught:
        store.add_object(source, "t", move=move)
    assert caught.value.found == "'sub/pipe'"
    assert store.all_objects() == [] and store.check() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_devices_are_refused(store: Store, place: str) -> None:
    make(f"{place}/t", {})
    os.mknod(f"{place}/t/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with pytest.raises(Refused, match="device"):
        store.add_object(f"{place}/t", "t", move=False)


def test_modeless_and_hard_linked_outputs(store: Store) -> None:
    source = f"{store.new_temp('in')}/tree"
    make(source, {"a": b"one", "d": {"e": b"two"}, "setuid": Script(b"x")})
    os.link(f"{source}/a", f"{source}/d/again")
    outside = f"{store.new_temp('other')}/outside"
    os.link(f"{source}/a", outside)
    os.chmod(f"{source}/setuid", 0o6755)
    os.chmod(f"{source}/d/e", 0)
    os.chmod(f"{source}/d", 0)
    info = store.add_object(source, "tree", move=True)
    with open(outside, "r+b") as file:
        file.write(b"ONE")
    assert store.verify(info.id) == []
    assert {links for *_, links in facts(store.physical(info.path))} == {1}


def test_extended_attributes_are_dropped(store: Store) -> None:
    source = f"{store.new_temp('in')}/tree"
    make(source, {"a": b"one"})
    try:
        os.setxattr(f"{source}/a", "user.note", b"x")
        os.setxattr(source, "user.note", b"x")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    physical = store.physical(store.add_object(source, "tree", move=True).path)
    assert os.listxattr(physical) == os.listxattr(f"{physical}/a") == []


def test_symlinks_are_never_followed(store: Store, place: str) -> None:
    make(f"{place}/outside", {"secret": b"s"})
    info = add(store, place, "links", {"dir": Link(f"{place}/outside"), "loop": Link("loop"), "gone": Link("/no")})
    assert info.size == len(f"{place}/outside") + len("loop") + len("/no")
    moved = f"{store.new_temp('in')}/link"
    make(moved, Link(f"{place}/outside"))
    assert store.add_object(moved, "link", move=True).kind == "symlink"
    assert stat.S_IMODE(os.stat(f"{place}/outside/secret").st_mode) & 0o200


def test_case_collisions_are_told(store: Store, place: str) -> None:
    make(f"{place}/t", {"d": {"A": b"", "a": b"", "b": b""}, "é": b"", "e\u0301": b""})
    told: list[CaseCollision] = []
    store.add_object(f"{place}/t", "t", move=False, on_collision=told.append)
    assert sorted(told) == [
        CaseCollision(b"", ("e\u0301".encode(), "é".encode())),
        CaseCollision(b"d", (b"A", b"a")),
    ]


def test_select_chooses(store: Store, place: str) -> None:
    make(f"{place}/t", {"keep": b"1", "drop": b"2", "dir": {"keep": b"3"}, ".git": {"keep": b"4"}})
    info = store.add_object(
        f"{place}/t",
        "t",
        move=False,
        select=lambda path, is_dir: (is_dir and path != b".git") or path.endswith(b"keep"),
    )
    assert [path for path, _ in entries_of(store.meta(info.id).manifest)] == [b"dir/keep", b"keep"]


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "é", "x" * 201])
def test_bad_names(store: Store, place: str, name: str) -> None:
    make(f"{place}/f", b"x")
    for move in (False, True):
        with pytest.raises(BadName):
            store.add_object(f"{place}/f", name, move=move)
    assert os.path.exists(f"{place}/f")


def test_references_must_be_here(store: Store, place: str) -> None:
    make(f"{place}/f", b"x")
    missing = ObjectId(blob_digest(b"nothing"))
    with pytest.raises(NotInStore):
        store.add_object(f"{place}/f", "f", references=[missing], move=False)
    with pytest.raises(NotInStore):
        store.closure([missing])
    assert store.info(missing) is None and store.by_path(scratch("f")) is None


def test_a_source_that_is_not_there_or_not_readable(store: Store, place: str) -> None:
    with pytest.raises(Refused, match="cannot be read") as caught:
        store.add_object(f"{place}/none", "none", move=False)
    assert "none" in (caught.value.found or "")
    if os.geteuid() != 0:
        make(f"{place}/t", {"closed": b"x"})
        os.chmod(f"{place}/t/closed", 0)
        with pytest.raises(Refused, match="cannot be read") as caught:
            store.add_object(f"{place}/t", "t", move=False)
        assert "closed" in (caught.value.found or "")


def test_a_file_that_changes_while_it_is_copied(store: Store, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make(f"{place}/f", b"x" * 100)

    def change(name: str) -> None:
        if name == "ingest:file-copied":
            with open(f"{place}/t/later", "wb") as file:
                file.write(b"changed")

    make(f"{place}/t", {"first": b"1", "later": b"2"})
    monkeypatch.setattr("kiln.store.failpoint.armed", change)
    with pytest.raises(Refused, match="changed while"):
        store.add_object(f"{place}/t", "t", move=False)
    assert store.all_objects() == []


def test_manifest_names_every_blob(store: Store, place: str) -> None:
    info = add(store, place, "tree", TREE)
    found = dict(entries_of(store.meta(info.id).manifest))
    assert found[b"lib/a"] == FileNode(1000, blob_digest(b"a" * 1000), False)
    assert found[b"bin/run"] == FileNode(10, blob_digest(b"#!/bin/sh\n"), True)


def test_verify_names_what_was_changed(store: Store, place: str) -> None:
    info = add(store, place, "tree", TREE)
    physical = store.physical(info.path)
    os.chmod(f"{physical}/lib/a", 0o644)
    with open(f"{physical}/lib/a", "r+b") as file:
        file.write(b"b")
    what = [problem.what for problem in store.verify(info.id)]
    assert "changed: 'lib/a'" in what and "mode 0644: 'lib/a'" in what
    assert "modification time: 'lib/a'" in what


def test_closure_is_in_order_however_deep(store: Store, place: str) -> None:
    base = add(store, place, "base", b"base")
    last = base
    chain = [base]
    for number in range(40):
        last = add(store, place, f"n{number}", b"x", references=[last.id, base.id])
        chain.append(last)
    assert store.closure([last.id]) == chain
    assert store.closure([base.id, last.id, base.id]) == chain
    assert store.infos([base.id, last.id]) == {base.id: base, last.id: last}


def test_a_closed_store_says_so(place: str) -> None:
    store = Store.open(f"{place}/store")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.all_objects()

"""The canonical archive is GNU tar's, byte for byte."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_samples import Link, Script, Tree, add, make

from kiln.store.archive import canonical_tar, tar_pieces
from kiln.store.errors import Refused
from kiln.store.store import Store

TAR = [
    "tar",
    "--create",
    "--format=pax",
    "--sort=name",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "--mtime=@1",
    "--mode=a=rX",
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
    "--hard-dereference",
    "--blocking-factor=20",
]


def gnu(path: str) -> bytes:
    command = [*TAR, f"--directory={path}", "."]
    return subprocess.run(command, capture_output=True, check=True, env={"PATH": os.environ["PATH"]}).stdout


def ours(path: str) -> bytes:
    pieces: list[bytes] = []
    assert canonical_tar(path, pieces.append) == sum(map(len, pieces))
    return b"".join(pieces)


TREES: dict[str, Tree] = {
    "empty": {},
    "kinds": {"a": b"x" * 513, "b": Script(b"#!/bin/sh\n"), "c": Link("a"), "d": {"e": {}}, "f": b""},
    "order": {"a": {"b": b"1"}, "a-b": b"2", "a.b": b"3", "aa": b"4", "A": b"5", "a0": {"z": b"6"}},
    "long name": {"n" * 200: b"1", "d" * 120: {"e" * 120: {"f" * 120: b"2", "g": Link("t")}}},
    "hundred": {"n" * 98: b"1", "n" * 97: b"1", "n" * 99: b"2", "m" * 97: {}, "m" * 98: {}},
    "both": {"é" * 60: Link("ü" * 60), "é": Link("t" * 200)},
    "link target": {"a": Link("t" * 100), "b": Link("t" * 101), "c": Link("é" * 30)},
    "bytes": {b"\xff\xfe": b"1", "é".encode(): b"2", "日本語".encode(): {b"\x80": Link(b"\xff")}, b"new\nline": b""},
}


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
def test_equal_to_gnu_tar(place: str, tree: Tree) -> None:
    make(f"{place}/tree", tree)
    assert ours(f"{place}/tree") == gnu(f"{place}/tree")


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..") and len(name.encode()) <= 200
)
leaves = st.one_of(
    st.binary(max_size=2000),
    st.binary(max_size=20).map(Script),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=120).map(Link),
)
trees = st.recursive(leaves, lambda inner: st.dictionaries(names, inner, max_size=4), max_leaves=12)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(names, trees, max_size=5))
def test_equal_for_any_tree(place: str, tree: Tree) -> None:
    path = f"{place}/{os.urandom(8).hex()}"
    make(path, tree)
    assert ours(path) == gnu(path)


def test_an_object_is_archived_like_the_tree_it_came_from(store: Store, place: str) -> None:
    info = add(store, place, "thing", TREES["kinds"])
    make(f"{place}/again", TREES["kinds"])
    assert ours(store.physical(info.path)) == gnu(f"{place}/again")


def test_a_file_too_large_for_its_field(place: str) -> None:
    """8 GiB of hole: only the headers are compared."""
    os.mkdir(f"{place}/tree")
    with open(f"{place}/tree/large", "wb") as file:
        try:
            file.truncate(8**11)
        except OSError:
            pytest.skip("this file system has no files of 8 GiB")
    headers = 512 * 4
    command = [*TAR, f"--directory={place}/tree", "."]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tar:
        assert tar.stdout is not None
        wanted = tar.stdout.read(headers)
        tar.kill()
    pieces = tar_pieces(f"{place}/tree")
    found = b""
    while len(found) < headers:
        found += next(pieces)
    assert found[:headers] == wanted


def test_only_directories_have_one(place: str) -> None:
    make(f"{place}/file", b"x")
    with pytest.raises(Refused, match="only a directory"):
        ours(f"{place}/file")

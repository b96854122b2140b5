"""Manifests: canonical bytes, changes that keep the rest, and small files that prove themselves."""

from __future__ import annotations

import os
from itertools import pairwise

import msgpack
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import Link, Script, add, built, read, scratch

from kiln.store.digest import BlobDigest, blob_digest
from kiln.store.errors import Damaged
from kiln.store.manifest import (
    DirNode,
    FileNode,
    LinkNode,
    Manifest,
    ManifestBuilder,
    Node,
    check_manifest,
    content_size,
    decode_directory,
    encode_directory,
    entries_of,
    replaced,
)
from kiln.store.meta import decode_meta
from kiln.store.paths import base32
from kiln.store.store import Store
from kiln.store.tables import OBJECTS
from kiln.store.verify import wrong_places

names = st.binary(min_size=1, max_size=6).filter(lambda name: name not in (b".", b"..") and not set(name) & {0, 47})
leaves = st.one_of(
    st.builds(FileNode, st.integers(0, 2**40), st.binary(min_size=32, max_size=32).map(BlobDigest), st.booleans()),
    st.builds(LinkNode, st.binary(min_size=1, max_size=20)),
)
trees = st.recursive(leaves, lambda inner: st.dictionaries(names, inner, max_size=4), max_leaves=20)


def build(tree: object) -> Manifest:
    builder = ManifestBuilder()

    def visit(item: object) -> Node:
        if not isinstance(item, dict):
            assert isinstance(item, FileNode | LinkNode)
            return item
        return DirNode(builder.add([(name, visit(item[name])) for name in sorted(item)]))

    return builder.finish(visit(tree))


def flat(tree: object, path: bytes = b"") -> dict[bytes, object]:
    if not isinstance(tree, dict):
        return {path: tree}
    found: dict[bytes, object] = {}
    for name, child in tree.items():
        found.update(flat(child, path + b"/" + name if path else name))
    return found


@given(trees)
def test_manifests_survive_checking(tree: object) -> None:
    manifest = build(tree)
    assert check_manifest(manifest.root, manifest.directories) == manifest
    assert dict(entries_of(manifest)) == flat(tree)
    assert content_size(manifest) == sum(
        item.size if isinstance(item, FileNode) else len(item.target)  # type: ignore[union-attr]
        for item in flat(tree).values()
    )


@given(trees, leaves, st.data())
def test_replacing_is_building_anew(tree: object, new: FileNode | LinkNode, data: st.DataObject) -> None:
    paths = sorted(flat(tree))
    chosen = data.draw(st.sets(st.sampled_from(paths))) if paths else set()

    def change(item: object, path: bytes = b"") -> object:
        if not isinstance(item, dict):
            return new if path in chosen else item
        return {name: change(child, path + b"/" + name if path else name) for name, child in item.items()}

    assert replaced(build(tree), dict.fromkeys(chosen, new)) == build(change(tree))


@given(trees, st.data())
def test_other_bytes_are_not_that_manifest(tree: object, data: st.DataObject) -> None:
    manifest = build(tree)
    at = data.draw(st.integers(0, len(manifest.directories) - 1))
    raw = bytearray(manifest.directories[at])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    changed = (*manifest.directories[:at], bytes(raw), *manifest.directories[at + 1 :])
    with pytest.raises(Damaged):
        check_manifest(manifest.root, changed)
    with pytest.raises(Damaged):
        check_manifest(manifest.root, (*manifest.directories, encode_directory([(b"x", LinkNode(b"y"))])))


FILE = FileNode(1, blob_digest(b"x"), False)


@pytest.mark.parametrize(
    "entries",
    [
        [(b"b", FILE), (b"a", FILE)],
        [(b"a", FILE), (b"a", FILE)],
        [(b"..", FILE)],
        [(b".", FILE)],
        [(b"a/b", FILE)],
        [(b"a\0b", FILE)],
        [(b"n" * 256, FILE)],
        [(b"l", LinkNode(b""))],
    ],
)
def test_what_no_directory_can_be(entries: list[tuple[bytes, Node]]) -> None:
    with pytest.raises(Damaged):
        decode_directory(encode_directory(entries))


def test_a_directory_has_these_bytes() -> None:
    """The format that the module's docstring shows, so that it cannot change unnoticed."""
    node = FileNode(5, blob_digest(b"hello"), True)
    assert encode_directory([(b"hi", node)]) == bytes.fromhex("9194c40268690205c420") + blob_digest(b"hello")


def test_identities_do_not_change_between_versions(store: Store, place: str) -> None:
    """These were computed once; whoever changes a format must say so with a new domain."""
    tree = {"bin": {"run": Script(b"#!/bin/sh\n")}, "lib": {"a": b"a" * 1000, "b": Link("a")}, "empty": {}}
    info = add(store, place, "thing-1.0", tree)
    own = built(store, "p", "out", {"self": str(scratch("p")).encode(), "uses": str(info.path).encode()})
    [(_, staged)] = store.stage_outputs([own], [info]).staged
    assert (str(info.path), str(info.root)) == (GOLDEN_PATH, GOLDEN_ROOT)
    assert str(staged.meta.info.path) == GOLDEN_SELF


GOLDEN_PATH = "/kiln/store/g9znkr6bf48pcxrns39teebkt42emdnf-thing-1.0"
GOLDEN_ROOT = "blake3:f0d4f2ac48687843e7688b195b9e001d0a5b00089836878069152499968bddea"
GOLDEN_SELF = "/kiln/store/jk3py4x6dqk04qff3c7qgft8gadeyf8d-p"


def test_the_golden_identities_follow_from_the_documented_format() -> None:
    """The same once more, with msgpack and BLAKE3 alone."""

    def derived(context: str, fields: object) -> bytes:
        return blake3(msgpack.packb(fields), derive_key_context=f"kiln-build 2026 {context} v1").digest()

    def directory(*entries: list[object]) -> bytes:
        return derived("directory manifest", list(entries))

    def blob(data: bytes) -> bytes:
        return blake3(data).digest()

    bin_folder = directory([b"run", 2, 10, blob(b"#!/bin/sh\n")])
    lib = directory([b"a", 1, 1000, blob(b"a" * 1000)], [b"b", 3, b"a"])
    root = directory([b"bin", 0, bin_folder], [b"empty", 0, directory()], [b"lib", 0, lib])
    thing = derived("object id", [1, "thing-1.0", root, [], []])
    assert f"/kiln/store/{base32(thing)}-thing-1.0" == GOLDEN_PATH and f"blake3:{root.hex()}" == GOLDEN_ROOT
    own, uses = str(scratch("p")).encode(), GOLDEN_PATH.encode()
    zeroed = own.replace(scratch("p").hash.encode(), bytes(32))
    modulo = directory([b"self", 1, len(own), blob(zeroed)], [b"uses", 1, len(uses), blob(uses)])
    identity = derived("object id", [1, "p", modulo, [[b"self", [12]]], [thing]])
    assert f"/kiln/store/{base32(identity)}-p" == GOLDEN_SELF


def test_forged_self_references_are_noticed(store: Store) -> None:
    """A small file can be consistent in itself and still lie about what stands at the places it names."""
    [info] = store.add_outputs([built(store, "p", "out", {"self": str(scratch("p")).encode()})], []).values()
    meta = store.meta(info.id)
    [place] = meta.places
    for lie in (
        place._replace(modulo=FileNode(1, blob_digest(b"another file"), False)),
        place._replace(offsets=(0,)),
        place._replace(offsets=(12, 13)),
    ):
        assert wrong_places(store.physical(info.path), meta._replace(places=(lie,))) != []
    assert wrong_places(store.physical(info.path), meta) == []


@settings(max_examples=200)
@given(st.data())
def test_a_small_file_proves_itself(data: st.DataObject) -> None:
    raw = bytearray(SMALL_FILE)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Damaged):
        decode_meta(bytes(raw))


@pytest.fixture(scope="module", autouse=True)
def small_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    global SMALL_FILE
    folder = str(tmp_path_factory.mktemp("small"))
    with Store.open(f"{folder}/store") as store:
        used = add(store, folder, "used", {"f": b"1"})
        tree = {"d": {"self": str(scratch("p")).encode()}, "l": Link(str(scratch("p"))), "u": str(used.path).encode()}
        [info] = store.add_outputs([built(store, "p", "out", tree)], [used]).values()
        SMALL_FILE = read(f"{store.root}/objects-meta/{info.path.base}")
    assert decode_meta(SMALL_FILE).info == info
    assert all(a.path < b.path for a, b in pairwise(decode_meta(SMALL_FILE).places))


SMALL_FILE = b""


@pytest.mark.parametrize("intact", [True, False])
def test_what_lies_in_the_place_of_an_object(store: Store, place: str, intact: bool) -> None:
    """An unregistered folder with the object's name: its bytes are kept if they are right, and trashed if not."""
    info = add(store, place, "thing", {"f": b"right"})
    path = store.physical(info.path)
    inode = os.stat(path).st_ino
    with Store.open(f"{place}/other") as other:
        if not intact:
            os.chmod(f"{path}/f", 0o644)
            with open(f"{path}/f", "ab") as file:
                file.write(b" and wrong")
        os.chmod(path, 0o755)
        os.rename(path, other.physical(info.path))
        again = add(other, place, "thing", {"f": b"right"})
        assert again == info and other.check(contents=True) == []
        assert (os.stat(other.physical(info.path)).st_ino == inode) is intact
        assert len(os.listdir(f"{other.root}/.trash")) == 1


def test_a_file_system_without_exclusive_renames(store: Store, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(function: str, *arguments: object) -> None:
        if function == "renameat2":
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr("kiln.store.disk._call", refuse)
    info = add(store, place, "thing", {"f": b"x"})
    assert add(store, place, "file", b"y").kind == "file"
    store._index.update(lambda txn: txn.delete(OBJECTS, info.id))
    assert add(store, place, "thing", {"f": b"x"}) == info


def test_the_umask_does_not_matter(place: str) -> None:
    before = os.umask(0o077)
    try:
        with Store.open(f"{place}/store") as store:
            temp = store.new_temp("build")
            for folder in ("store", ".tmp", "objects-meta", "envelopes", "records"):
                assert os.stat(f"{store.root}/{folder}").st_mode & 0o777 == 0o755
            assert os.stat(os.path.dirname(temp)).st_mode & 0o777 == 0o711
            assert os.stat(temp).st_mode & 0o777 == 0o700
            assert os.stat(f"{store.root}/keys").st_mode & 0o777 == 0o700
    finally:
        os.umask(before)

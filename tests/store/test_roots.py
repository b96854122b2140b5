"""Roots are symlinks outside the store; removing one ends it."""

from __future__ import annotations

import os

import pytest
from store_samples import add, make

from kiln.store.digest import ObjectId, blob_digest
from kiln.store.errors import BadName, NotInStore, Refused
from kiln.store.store import Store


def test_a_link_opens_and_is_a_root(store: Store, place: str) -> None:
    one, two = add(store, place, "one", {"f": b"1"}), add(store, place, "two", b"2")
    store.add_root(f"{place}/result", one.id)
    assert os.readlink(f"{place}/result") == store.physical(one.path)
    with open(f"{place}/result/f", "rb") as file:
        assert file.read() == b"1"
    assert [(root.link, root.object) for root in store.roots()] == [(f"{place}/result", one.id)]
    store.add_root(f"{place}/result", two.id)
    assert [root.object for root in store.roots()] == [two.id]
    os.unlink(f"{place}/result")
    assert store.roots() == []


def test_nothing_of_the_users_is_replaced(store: Store, place: str) -> None:
    info = add(store, place, "one", b"1")
    make(f"{place}/file", b"mine")
    make(f"{place}/folder", {})
    os.symlink("elsewhere", f"{place}/link")
    for name in ("file", "folder", "link"):
        with pytest.raises(Refused):
            store.add_root(f"{place}/{name}", info.id)
    assert os.readlink(f"{place}/link") == "elsewhere"
    assert store.roots() == []


def test_bad_roots(store: Store, place: str) -> None:
    with pytest.raises(NotInStore):
        store.add_root(f"{place}/result", ObjectId(blob_digest(b"none")))
    with pytest.raises(BadName, match="absolute"):
        store.add_root("result", add(store, place, "one", b"1").id)


def test_a_link_with_a_long_path(store: Store, place: str) -> None:
    info = add(store, place, "one", b"1")
    folder = place
    for _ in range(6):
        folder = f"{folder}/{'d' * 200}"
        os.mkdir(folder)
    store.add_root(f"{folder}/result", info.id)
    assert [root.link for root in store.roots()] == [f"{folder}/result"]

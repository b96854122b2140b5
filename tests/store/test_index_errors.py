"""What the system answers while the index is used ends in words, and in an index that goes on working."""

from __future__ import annotations

import errno
import os

import lmdb
import pytest
from store_samples import run_python

from kiln.store.disk import explain
from kiln.store.errors import NoSpace, StoreError
from kiln.store.index import Environment
from kiln.store.store import Store


@pytest.mark.parametrize(
    "code,words,remedy",
    [
        (errno.EROFS, "the store's file system is read-only, while", "remount it writable"),
        (errno.EIO, "the store's disk failed, while", "kiln store verify"),
        (errno.ENOMEM, "there is not enough memory, while", "ulimit -v"),
        (errno.ENOSPC, "no space left while", "free space"),
        (errno.EDQUOT, "no space left while", "free space"),
    ],
)
def test_the_system_s_answers_in_words(store: Store, code: int, words: str, remedy: str) -> None:
    """Of the index, where LMDB gives the answer as text, and of any other file."""
    index = store._index
    for error in (
        index._explain(lmdb.Error(f"mdb_txn_commit: {os.strerror(code)}")),
        explain(OSError(code, os.strerror(code), "/a/file"), "writing"),
    ):
        assert error.message.startswith(words), error.message
        assert error.help is not None and remedy in error.help
        assert isinstance(error, NoSpace) == (words == "no space left while")


def test_an_earlier_failure_is_not_taken_for_damage(store: Store) -> None:
    error = store._index._explain(lmdb.PanicError("mdb_txn_begin: Update of meta page failed"))
    assert error.code == "K0700" and "earlier write failed" in error.message


def test_a_body_that_fails_while_the_map_is_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing resize left one transaction too few counted, and the next one waited for ever."""
    index = store._index

    def resized(_: object) -> None:
        raise lmdb.MapResizedError("mdb_txn_begin: another process made it larger")

    def fails(_: Environment, size: int) -> None:
        raise StoreError("there is not enough memory")

    with monkeypatch.context() as patch:
        patch.setattr(Environment, "_resize", fails)
        with pytest.raises(StoreError, match="not enough memory"):
            index.view(resized)
    assert index._active == 0
    index._resize(0)
    assert store.all_objects() == []


NO_MEMORY = """
import resource, sys
from kiln.store.errors import StoreError
from kiln.store.index import Table
from kiln.store.store import Store
from store_samples import add
store = Store.open(sys.argv[1] + "/store")
before = add(store, sys.argv[1], "before", b"b")
table = Table(b"z", "test")
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (16 << 20), resource.RLIM_INFINITY))
try:
    for number in range(100_000):
        store._index.update(lambda txn: txn.put(table, b"%d" % number, bytes(1 << 20)))
    print("no error")
except StoreError as error:
    print(error.code, error.message, "|", error.help)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(store.info(before.id) == before, store._index._active)
store._index.update(lambda txn: [txn.put(table, b"%d" % number, bytes(1 << 20)) for number in range(64)])
print(store.check(contents=True))
"""


def test_a_map_that_cannot_grow_for_lack_of_memory(place: str) -> None:
    answer = run_python(NO_MEMORY, place)
    lines = answer.stdout.splitlines()
    assert lines[:1] == [
        "K0700 there is not enough memory, while using the index | "
        "free memory, or raise the limit (ulimit -v), then run the same command again"
    ], answer.stderr
    assert lines[1:] == ["True 0", "[]"], answer.stderr

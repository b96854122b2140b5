"""Files that are kept: whole or absent, whatever the file system does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kiln.interpreter.caching.shelf import Shelf, key
from tests.support.home import REPOSITORY


def test_kept_and_found():
    shelf = Shelf("things")
    assert shelf.read("a") is None
    shelf.write("a", b"one")
    shelf.write("a", b"two")
    shelf.write("b", b"")
    assert (shelf.read("a"), shelf.read("b")) == (b"two", b"")
    assert sorted(os.listdir(shelf.folder)) == ["a", "b"]


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 40])
def test_damaged(damage):
    shelf = Shelf("things")
    shelf.write("a", b"one")
    with open(os.path.join(shelf.folder, "a"), "wb") as file:
        file.write(damage)
    assert shelf.read("a") is None
    shelf.write("a", b"two")
    assert shelf.read("a") == b"two"


def test_every_changed_byte_is_seen():
    shelf = Shelf("things")
    shelf.write("a", b"some bytes")
    path = os.path.join(shelf.folder, "a")
    with open(path, "rb") as file:
        whole = file.read()
    for at in range(len(whole)):
        with open(path, "wb") as file:
            file.write(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert shelf.read("a") is None
        with open(path, "wb") as file:
            file.write(whole[:at])
        assert shelf.read("a") is None


def test_where_nothing_can_be_written(monkeypatch, tmp_path):
    """A file stands where the folder would be: that holds for root, too."""
    with open(os.path.join(tmp_path, "file"), "w", encoding="utf-8"):
        pass
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.join(tmp_path, "file"))
    shelf = Shelf("things")
    shelf.write("a", b"one")
    assert shelf.read("a") is None


def test_a_folder_in_an_entry_s_place():
    shelf = Shelf("things")
    os.makedirs(os.path.join(shelf.folder, "a"))
    shelf.write("a", b"one")
    assert shelf.read("a") is None
    assert os.listdir(shelf.folder) == ["a"]


def test_off(monkeypatch):
    shelf = Shelf("things")
    shelf.write("a", b"one")
    monkeypatch.setenv("KILN_NO_CACHE", "1")
    shelf.write("b", b"two")
    assert shelf.read("a") is None and os.listdir(shelf.folder) == ["a"]
    monkeypatch.setenv("KILN_NO_CACHE", "0")
    assert shelf.read("a") == b"one"


@pytest.mark.parametrize("most", [{"most_entries": 8}, {"most_bytes": 8 * 132}])
def test_the_oldest_go_where_there_are_too_many(most):
    for number in range(20):
        shelf = Shelf("things", **most)
        shelf.write(f"e{number:02}", b"x" * 100)
        path = os.path.join(shelf.folder, f"e{number:02}")
        os.utime(path, (1_000_000_000 + number, 1_000_000_000 + number))
    found = sorted(os.listdir(shelf.folder))
    assert 5 <= len(found) <= 9
    assert found == [f"e{number:02}" for number in range(20 - len(found), 20)]


def test_what_is_used_is_not_old():
    shelf = Shelf("things")
    shelf.write("a", b"one")
    path = os.path.join(shelf.folder, "a")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    shelf.read("a")
    assert os.stat(path).st_mtime > 1_700_000_000


def test_keys_are_told_apart():
    names = [key(), key(b""), key(b"", b""), key(b"ab"), key(b"a", b"b"), key(b"b", b"a")]
    assert len(set(names)) == len(names) and key(b"a", b"b") == names[4]


_WRITER = """
import sys
from kiln.interpreter.caching.shelf import Shelf
shelf, own = Shelf("things"), sys.argv[1].encode() * 40_000
for _ in range(150):
    shelf.write("shared", own)
    found = shelf.read("shared")
    assert found is not None and len(found) == 40_000 and len(set(found)) == 1, "torn"
"""


def test_processes_that_write_one_entry():
    env = {**os.environ, "PYTHONPATH": REPOSITORY}
    running = [subprocess.Popen([sys.executable, "-c", _WRITER, name], env=env) for name in "abc"]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert os.listdir(Shelf("things").folder) == ["shared"]

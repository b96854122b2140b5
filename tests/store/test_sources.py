"""Sources: unchanged ones are not read again, changes are noticed, what can't be taken is named."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

import pytest
from store_samples import make, run_python

from kiln.store import bigcopy, copying, ingest, sourcememo
from kiln.store.digest import blob_digest
from kiln.store.errors import Refused
from kiln.store.manifest import entries_of
from kiln.store.store import Store


@pytest.fixture
def read_paths(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths of files that were opened for reading."""
    opened: list[bytes] = []
    plain = copying.open_regular

    def noting(event: ingest.Event) -> tuple[int, os.stat_result]:
        opened.append(event.path)
        return plain(event)

    monkeypatch.setattr(copying, "open_regular", noting)
    return opened


def settle() -> None:
    """Let the file system's clock go on by more than a tick."""
    time.sleep(0.12)


def test_an_unchanged_tree_is_not_read_again(store: Store, place: str, read_paths: list[bytes]) -> None:
    make(f"{place}/src", {"p": {"a": b"1"}, "d": {"b": b"2", "c": {"e": b"3"}}, "empty": {}})
    settle()
    first = store.add_object(f"{place}/src", "src", move=False)
    assert sorted(read_paths) == [b"d/b", b"d/c/e", b"p/a"], "each is read once"
    read_paths.clear()
    assert store.add_object(f"{place}/src", "src", move=False) == first and read_paths == []
    with Store.open(f"{place}/other") as other:
        assert other.add_object(f"{place}/src", "src", move=False) == first and len(read_paths) == 3


CHANGES: dict[str, tuple[Callable[[str], None], list[bytes]]] = {
    "content": (lambda at: make(f"{at}/d/b", b"X"), [b"d/b"]),
    "mode": (lambda at: os.chmod(f"{at}/a", 0o755), [b"a"]),
    "replaced": (lambda at: (make(f"{at}/new", b"9"), os.rename(f"{at}/new", f"{at}/a"))[0], [b"a"]),
    "added": (lambda at: make(f"{at}/d/z", b"z"), [b"d/z"]),
    "removed": (lambda at: os.unlink(f"{at}/a"), []),
    "renamed": (lambda at: os.rename(f"{at}/d/b", f"{at}/d/n"), [b"d/n"]),
    "a link": (lambda at: os.symlink("a", f"{at}/l"), []),
    "an old time": (lambda at: (make(f"{at}/a", b"2"), os.utime(f"{at}/a", ns=(10**18, 10**18)))[0], [b"a"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_read(store: Store, place: str, read_paths: list[bytes], change: str) -> None:
    make(f"{place}/src", {"a": b"1", "d": {"b": b"2"}})
    settle()
    first = store.add_object(f"{place}/src", "src", move=False)
    read_paths.clear()
    do, expected = CHANGES[change]
    do(f"{place}/src")
    second = store.add_object(f"{place}/src", "src", move=False)
    assert second != first
    assert set(expected) <= set(read_paths)
    fresh = Store.open(f"{place}/fresh")
    assert fresh.add_object(f"{place}/src", "src", move=False) == second
    fresh.close()


def test_a_file_that_was_just_written_is_not_trusted(store: Store, place: str, read_paths: list[bytes]) -> None:
    """It could be written again within one tick of the clock, with the same size and times."""
    make(f"{place}/file", b"1")
    store.add_object(f"{place}/file", "file", move=False)
    read_paths.clear()
    store.add_object(f"{place}/file", "file", move=False)
    assert read_paths != []


def test_times_without_a_fraction_get_two_seconds(store: Store, place: str) -> None:
    make(f"{place}/f", b"1")
    facts = os.stat(f"{place}/f")
    node = ingest.FileNode(1, blob_digest(b"1"), False)
    coarse = os.stat_result(facts, {"st_ctime_ns": 5_000_000_000, "st_mtime_ns": 5, "st_ino": facts.st_ino})
    for at, kept in ((6_000_000_000, False), (8_000_000_000, True)):
        memo = sourcememo.SourceMemo(store.memo(), f"{place}/x{at}")
        memo.enter(b"", 1)
        memo.note(b"f", _with(coarse, 5_000_000_000), node, at)
        memo.leave()
        memo.save()
        memo.enter(b"", 1)
        assert (memo.recall(b"f", _with(coarse, 5_000_000_000)) is not None) is kept


def _with(facts: os.stat_result, changed: int) -> os.stat_result:
    class Facts:
        st_ino, st_size, st_mode = facts.st_ino, facts.st_size, facts.st_mode
        st_mtime_ns = st_ctime_ns = changed

    return Facts()  # type: ignore[return-value]


def test_two_selections_of_one_folder(store: Store, place: str, read_paths: list[bytes]) -> None:
    make(f"{place}/src", {"a": b"1", "b": b"2"})
    settle()
    for name in ("a", "b"):
        store.add_object(f"{place}/src", "src", move=False, select=lambda path, _, n=name: path == n.encode())
    read_paths.clear()
    store.add_object(f"{place}/src", "src", move=False, select=lambda path, _: path == b"a")
    store.add_object(f"{place}/src", "src", move=False, select=lambda path, _: path == b"b")
    assert read_paths == []


def test_a_damaged_memo_is_nothing(store: Store, place: str) -> None:
    from kiln.store.disposable import STAT

    make(f"{place}/src", {"a": b"1"})
    settle()
    first = store.add_object(f"{place}/src", "src", move=False)
    for row in (b"", b"\xc1", b"\x93\x01\x02\x03", b"\x01"):
        store.memo().put(STAT, sourcememo._key(f"{place}/src".encode()), row)
        assert store.add_object(f"{place}/src", "src", move=False) == first


def test_a_file_that_changes_while_it_is_read(store: Store, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make(f"{place}/src", {"d": {"log": b"1"}})
    plain = copying.hash_file

    def slow(fd: int, *rest: object) -> object:
        with open(f"{place}/src/d/log", "ab") as file:
            file.write(b"more")
        return plain(fd, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(copying, "hash_file", slow)
    with pytest.raises(Refused, match="a source changed") as caught:
        store.add_object(f"{place}/src", "src", move=False)
    assert "d/log" in (caught.value.found or "")
    monkeypatch.undo()
    assert store.add_object(f"{place}/src", "src", move=False).size == 5


def test_a_folder_that_changes_while_it_is_read(store: Store, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make(f"{place}/src", {"d": {"f": b"1"}})
    plain = copying.hash_file

    def slow(fd: int, *rest: object) -> object:
        make(f"{place}/src/d/late", b"")
        return plain(fd, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(copying, "hash_file", slow)
    with pytest.raises(Refused, match="a source changed") as caught:
        store.add_object(f"{place}/src", "src", move=False)
    assert "'d'" in (caught.value.found or "")


def test_what_cannot_be_taken_is_named_by_its_whole_path(store: Store, place: str) -> None:
    make(f"{place}/src", {"d": {"secret": b"1"}})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{place}/src/d/sock")
        with pytest.raises(Refused, match="socket") as caught:
            store.add_object(f"{place}/src", "src", move=False)
        assert caught.value.found == "'d/sock'"
    os.unlink(f"{place}/src/d/sock")
    if os.geteuid() == 0:
        return
    for path, mode in (("d/secret", 0o600), ("d", 0o700)):
        os.chmod(f"{place}/src/{path}", 0)
        with pytest.raises(Refused, match="cannot be read") as caught:
            store.add_object(f"{place}/src", "src", move=False)
        assert f"'{path}'" in (caught.value.found or "")
        os.chmod(f"{place}/src/{path}", mode)
    assert store.add_object(f"{place}/src", "src", move=False).size == 1


def test_a_big_file_is_copied_and_hashed_with_one_reading(store: Store, place: str) -> None:
    data = os.urandom(1 << 20) * 21 + b"end"
    make(f"{place}/big", data)
    info = store.add_object(f"{place}/big", "big", move=False)
    assert store.verify(info.id) == [] and info.size == len(data)
    [(_, node)] = list(entries_of(store.meta(info.id).manifest))
    assert isinstance(node, ingest.FileNode) and node.digest == blob_digest(data)


def test_a_clone_is_hashed_as_it_is(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that can't clone, a clone is played by a copy."""
    make(f"{place}/big", b"x" * 10)

    def play(source: int, target: int) -> bool:
        os.write(target, os.pread(source, 10, 0))
        return True

    monkeypatch.setattr(bigcopy, "clone", play)
    source, target = os.open(f"{place}/big", os.O_RDONLY), os.open(f"{place}/copy", os.O_WRONLY | os.O_CREAT)
    try:
        assert bigcopy.copy_big(source, target) == (10, blob_digest(b"x" * 10))
    finally:
        os.close(source)
        os.close(target)


def test_a_disk_that_fills_in_a_big_copy() -> None:
    code = (
        "import os, resource, sys, tempfile; from kiln.store import bigcopy\n"
        "with tempfile.TemporaryFile() as a, tempfile.TemporaryFile() as b:\n"
        "    a.truncate(64 << 20); import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (9 << 20, resource.RLIM_INFINITY))\n"
        "    try:\n        bigcopy.copy_big(a.fileno(), b.fileno())\n"
        "    except OSError as error:\n        print(error.errno)"
    )
    answer = run_python(code)
    assert answer.stdout == "27\n", answer.stderr

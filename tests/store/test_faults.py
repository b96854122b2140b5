"""A disk that turns read-only, an index that is damaged, a clock that jumps: a clear error, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest
from store_samples import add, child_environment, run_python

from kiln.store.collect import Policy
from kiln.store.errors import Damaged
from kiln.store.store import Store

READ = (
    "import sys; from kiln.store.store import Store; from kiln.store.errors import StoreError\n"
    "try:\n    store = Store.open(sys.argv[1]); print(len(store.all_objects()), store.check())\n"
    "except StoreError as error:\n    print(error.code, error.message, '|', error.help)"
)


def fill(place: str, number: int = 60) -> str:
    with Store.open(f"{place}/store") as store:
        for count in range(number):
            add(store, place, f"o{count}", b"%d" % count)
    return f"{place}/store/index/critical/data.mdb"


def rebuilt(place: str) -> None:
    made = Store.rebuild_index(f"{place}/store")
    assert made.objects == 60 and made.skipped == ()
    with Store.open(f"{place}/store") as store:
        assert store.check(contents=True) == [] and len(store.all_objects()) == 60
        add(store, place, "after", b"after")


@pytest.mark.parametrize("damage", ["page", "meta pages", "cut short", "empty", "another file"])
def test_a_damaged_index(place: str, damage: str) -> None:
    path = fill(place)
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        match damage:
            case "page":
                file.seek(2 * 4096)
                file.write(b"\xff" * (size - 2 * 4096))
            case "meta pages":
                file.write(b"\xff" * 8192)
            case "cut short":
                file.truncate(size // 2)
            case "empty":
                file.truncate(0)
            case "another file":
                file.write(b"\x7fELF" * (size // 4))
    answer = run_python(READ, f"{place}/store")
    said = "missing, and the store is not empty" if damage == "empty" else "damaged"
    assert answer.stdout.startswith(f"K0703 the index is {said}"), (answer.stdout, answer.stderr)
    assert answer.stdout.endswith("| kiln store rebuild-index\n")
    rebuilt(place)


def test_a_page_that_is_damaged_while_the_store_is_open(place: str) -> None:
    path = fill(place)
    with Store.open(f"{place}/store") as store:
        with open(path, "r+b") as file:
            file.seek(2 * 4096)
            file.write(b"\xff" * (os.path.getsize(path) - 2 * 4096))
        with pytest.raises(Damaged, match="the index is damaged"):
            store.all_objects()
    rebuilt(place)


READ_ONLY = """
import os, sys
from store_samples import add
from kiln.store.errors import StoreError
from kiln.store.store import Store
place = sys.argv[1]
small = f"{place}/small"
def remount(how):
    assert os.system(f"mount -o remount,bind,{how} {small}") == 0
def tried(what):
    try:
        what()
        print("nothing happened")
    except StoreError as error:
        print(error.code, "read-only" in error.message, error.help)
store = Store.open(f"{small}/store")
before = add(store, place, "before", b"b")
store.close()
remount("ro")
tried(lambda: Store.open(f"{small}/store"))
print(Store.open_readonly(f"{small}/store").info(before.id) == before)
remount("rw")
with Store.open(f"{small}/store") as store:
    print(add(store, place, "new", b"n").name, store.check(contents=True))
"""


def test_a_file_system_that_turns_read_only(place: str) -> None:
    """Between two commands: the kernel does not let it happen while an index is open for writing."""
    mount = f'mkdir -p {place}/small && mount -t tmpfs -o size=40m tmpfs {place}/small && exec "$@"'
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")
    answer = subprocess.run(
        [*unshare, "sh", "-c", mount, "sh", sys.executable, "-c", READ_ONLY, place],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    refused = "K0700 True remount it writable, then run the same command again"
    lines = answer.stdout.splitlines()
    assert lines == [refused, "True", "new []"], (lines, answer.stderr[-3000:])


@pytest.mark.parametrize("step", [-10 * 365 * 86_400, 10 * 365 * 86_400])
def test_a_clock_that_jumps_by_ten_years(place: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ages are wrong then, and nothing else: what is held stays, and what is added is whole."""
    with Store.open(f"{place}/store") as store:
        kept = add(store, place, "kept", b"kept")
        store.add_root(f"{place}/result", kept.id)
        real, real_ns = time.time, time.time_ns
        monkeypatch.setattr(time, "time", lambda: real() + step)
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + step * 10**9)
        new = add(store, place, "new", {"f": b"new"})
        assert store.add_object(store.physical(new.path), "new", move=False) == new
        store.collect(Policy(older_than=30))
        assert {info.name for info in store.all_objects()} == {"kept", "new"}, "one is held, the other pinned"
        assert store.check(contents=True) == []

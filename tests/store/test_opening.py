"""Who may open what, what opening costs, and what a fork may not do."""

from __future__ import annotations

import os

import pytest
from store_samples import add, make, run_python

from kiln.store.codes import CODES
from kiln.store.digest import ObjectId, blob_digest
from kiln.store.errors import NotInStore, NotOwner, StoreError
from kiln.store.store import Store

HEAVY = {
    "argparse",
    "asyncio",
    "ctypes",
    "fsspec",
    "git",
    "hashlib",
    "importlib.metadata",
    "lark",
    "logging",
    "nacl",
    "pathlib",
    "shutil",
    "subprocess",
    "tempfile",
}


def test_an_existing_store_is_opened_again(place: str) -> None:
    with Store.open(f"{place}/a/b/store") as store:
        info = add(store, place, "thing", b"x")
    with Store.open(f"{place}/a/b/store", create=False) as store:
        assert store.info(info.id) == info


def test_two_openings_in_one_process_share(place: str) -> None:
    with Store.open(f"{place}/store") as first:
        with Store.open(f"{place}/store") as second:
            info = add(second, place, "thing", b"x")
        assert first.info(info.id) == info
        assert add(first, place, "thing", b"x") == info


def test_what_is_no_store_is_refused(place: str) -> None:
    with pytest.raises(NotInStore):
        Store.open(f"{place}/none", create=False)
    assert not os.path.exists(f"{place}/none")
    make(f"{place}/home", {"letter": b"dear"})
    with pytest.raises(StoreError, match="not a store and not empty") as caught:
        Store.open(f"{place}/home")
    assert "letter" in (caught.value.found or "") and os.listdir(f"{place}/home") == ["letter"]
    make(f"{place}/file", b"")
    with pytest.raises(StoreError, match="not a folder"):
        Store.open(f"{place}/file")


def test_another_version_is_refused(place: str) -> None:
    Store.open(f"{place}/store").close()
    os.chmod(f"{place}/store/format", 0o644)
    with open(f"{place}/store/format", "wb") as file:
        file.write(b"kiln store 2\n")
    with pytest.raises(StoreError, match="another version"):
        Store.open(f"{place}/store")


OTHER_USER = """
import os, sys
os.setgroups([]); os.setgid(65533); os.setuid(65533)
from kiln.store.errors import NotOwner
from kiln.store.store import Store
try:
    Store.open(sys.argv[1])
except NotOwner as error:
    print(error.message, "|", error.expected, "|", error.found)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_whose_it_is() -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        Store.open(f"{folder}/store").close()
        import sys

        import test_ordinary_user
        from store_samples import child_environment

        command, _ = test_ordinary_user.interpreter_for(65533)
        import subprocess

        answer = subprocess.run(
            [*command, "-c", OTHER_USER, f"{folder}/store"],
            env=child_environment(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert "belongs to another user | user id 0" in answer.stdout, (answer, sys.executable)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own a store for another user")
def test_root_gives_every_file_to_the_owner(place: str) -> None:
    os.mkdir(f"{place}/store")
    os.chown(f"{place}/store", 65533, 65532)
    with Store.open(f"{place}/store") as store:
        info = add(store, place, "thing", {"d": {"f": b"x"}, "l": b"t"})
        store.put_envelope(b"{}")
        store.add_root(f"{place}/result", info.id)
        store.remember_sha256(blob_digest(b"x"), b"s" * 32)
        owners = {
            (os.lstat(os.path.join(folder, name)).st_uid, os.lstat(os.path.join(folder, name)).st_gid): name
            for folder, folders, files in os.walk(store.root)
            for name in folders + files
        }
    assert owners.keys() == {(65533, 65532)}, owners


FORK = """
import os, sys
from store_samples import add
from kiln.store.errors import StoreError
from kiln.store.store import Store
place = sys.argv[1]
store = Store.open(f"{place}/store")
info = add(store, place, "thing", b"x")
if os.fork() == 0:
    try:
        store.info(info.id)
    except StoreError as error:
        print(error.message)
    with Store.open(f"{place}/store") as own:
        print(own.info(info.id) == info and add(own, place, "more", b"z").name)
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
print(add(store, place, "other", b"y").name)
print(store.check(contents=True), len(store.all_objects()))
store.close()
"""


def test_a_store_is_not_used_across_a_fork(place: str) -> None:
    answer = run_python(FORK, place)
    assert answer.stdout.splitlines() == [
        "a store was used across a fork",
        "more",
        "0",
        "other",
        "[] 3",
    ], answer.stderr


WARM = """
import sys
before = set(sys.modules)
from kiln.store.digest import DrvDigest, ObjectId
from kiln.store.store import Store
store = Store.open(sys.argv[1])
store.info(ObjectId(bytes(32)))
store.resolutions_for([DrvDigest(bytes(32))])
store.closure([])
store.roots()
store.close()
print(*sorted(set(sys.modules) - before))
"""


def test_the_warm_path_imports_little(place: str) -> None:
    Store.open(f"{place}/store").close()
    answer = run_python(WARM, f"{place}/store")
    loaded = set(answer.stdout.split())
    assert "lmdb" in loaded, answer.stderr
    assert loaded & HEAVY == set()
    own = {name.removeprefix("kiln.store.") for name in loaded if name.startswith("kiln.store.")}
    assert own & {"scan", "rewrite", "commit", "session", "add", "recovery", "archive", "check", "verify"} == set()


def test_opening_and_asking_write_nothing(place: str) -> None:
    Store.open(f"{place}/store").close()
    before = sorted(os.walk(f"{place}/store"))
    with Store.open(f"{place}/store") as store:
        assert store.info(ObjectId(bytes(32))) is None
        assert sorted(os.walk(f"{place}/store")) == before


def test_every_code_is_explained() -> None:
    import kiln.store.errors as errors

    codes = {item.code for item in vars(errors).values() if isinstance(item, type) and issubclass(item, StoreError)}
    assert {code for code in codes if code.startswith("K07")} == set(CODES)
    assert NotOwner.code in CODES and all(title and len(text) > 80 for title, text in CODES.values())

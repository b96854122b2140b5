"""Damaged objects are made whole from another store, or taken out; another user's store can be read and no more."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from store_samples import (
    Key,
    Link,
    Script,
    add,
    claim_of,
    drv,
    make,
    read,
    resolution_of,
    resolved,
    run_python,
    scratch,
    witness_of,
)
from store_samples import built as built_output

from kiln.store import failpoint, repair, session
from kiln.store.errors import Damaged, NotInStore, StoreError
from kiln.store.info import ObjectInfo
from kiln.store.passage import sole_passage
from kiln.store.paths import OutputName
from kiln.store.reader import StoreReader
from kiln.store.store import Store


def fill(store: Store, place: str) -> dict[str, ObjectInfo]:
    """base ← lib ← app; `own` mentions itself."""
    base = add(store, place, "base", {"d": {"f": b"1" * 5000}, "x": Script(b"#!")})
    lib = add(store, place, "lib", {"g": b"2"}, [base.id])
    app = add(store, place, "app", b"3", [lib.id])
    own = store.add_outputs([built_output(store, "own", "out", {"s": str(scratch("own")).encode()})], [])
    return {info.name: info for info in (base, lib, app, *own.values())}


@pytest.fixture
def other(place: str) -> StoreReader:
    with Store.open(f"{place}/other") as store:
        fill(store, place)
    return Store.open_readonly(f"{place}/other")


def change(path: str) -> None:
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.write(b"X")
    os.chmod(path, 0o444)


def remove(path: str) -> None:
    os.chmod(path, 0o755)
    shutil.move(path, path + ".away")
    os.rename(path + ".away", os.path.join(os.path.dirname(os.path.dirname(path)), "away"))


DAMAGE: dict[str, Callable[[Store, ObjectInfo], None]] = {
    "a byte": lambda store, info: change(store.physical(info.path) + "/d/f"),
    "gone": lambda store, info: remove(store.physical(info.path)),
    "a mode": lambda store, info: os.chmod(store.physical(info.path) + "/d/f", 0o600),
    "a time": lambda store, info: os.utime(store.physical(info.path) + "/d/f"),
    "no small file": lambda store, info: os.unlink(f"{store.layout.meta}/{info.path.base}"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_mended_from_another_store(store: Store, place: str, other: StoreReader, damage: str) -> None:
    made = fill(store, place)
    DAMAGE[damage](store, made["base"])
    assert store.check(contents=True) != []
    repaired = store.repair([other])
    assert repaired.mended == (made["base"],) and repaired.lost == repaired.useless == ()
    assert store.check(contents=True) == []
    assert read(store.physical(made["base"].path) + "/d/f") == b"1" * 5000
    assert store.repair().mended == ()


def test_what_needs_no_other_copy(store: Store, place: str) -> None:
    made = fill(store, place)
    for damage in ("a mode", "a time", "no small file"):
        DAMAGE[damage](store, made["base"])
    assert store.repair().mended == (made["base"],) and store.check(contents=True) == []


def test_taken_out_with_all_that_needs_it_and_back_again(store: Store, place: str) -> None:
    made = fill(store, place)
    change(store.physical(made["base"].path) + "/d/f")
    repaired = store.repair()
    assert repaired.lost == (made["base"],) and set(repaired.useless) == {made["lib"], made["app"]}
    assert store.info(made["base"].id) is None and store.info(made["app"].id) is None
    assert store.check(contents=True) == [], "nothing uses what is in quarantine"
    assert store.repair().returned == ()
    add(store, place, "base", {"d": {"f": b"1" * 5000}, "x": Script(b"#!")})
    assert store.repair().returned == (made["lib"], made["app"])
    assert store.check(contents=True) == [] and store.info(made["app"].id) == made["app"]
    assert os.listdir(f"{store.root}/quarantine") == []


def test_a_damaged_other_store_is_no_help(store: Store, place: str, other: StoreReader) -> None:
    made = fill(store, place)
    change(f"{other.store_dir}/{made['base'].path.base}/d/f")
    change(store.physical(made["base"].path) + "/d/f")
    assert store.repair([other]).lost == (made["base"],)
    with pytest.raises(Damaged):
        store.borrow(other, made["base"].id)
    assert store.check(contents=True) == []


KILLED = """
import os, signal, sys
from kiln.store import failpoint
from kiln.store.store import Store
def die(name):
    if name == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
store = Store.open(sys.argv[1])
failpoint.armed = die
store.repair([Store.open_readonly(sys.argv[2])] if sys.argv[2] else [])
"""


@pytest.mark.parametrize("point", [point for point in failpoint.POINTS if point.startswith("repair:")])
def test_killed_during_a_repair(place: str, other: StoreReader, point: str) -> None:
    with Store.open(f"{place}/store") as store:
        made = fill(store, place)
        change(store.physical(made["base"].path) + "/d/f")
    source = other.root if point in ("repair:synced", "repair:exchanged") else ""
    assert run_python(KILLED, f"{place}/store", source, point).returncode == -9
    with Store.open(f"{place}/store") as store:
        left = store.check(contents=True)
        assert {item.where for item in left} == ({str(made["base"].path)} if point == "repair:synced" else set())
        store.repair([other])
        assert store.check(contents=True) == []
        assert store.borrow(other, made["app"].id) == made["app"]
        assert store.check(contents=True) == [] and len(store.all_objects()) == 4


def test_failing_during_a_repair(place: str, other: StoreReader) -> None:
    """Between the exchange and the seal: the next to open the store finishes it."""

    def fail(name: str) -> None:
        if name == "repair:exchanged":
            raise OSError(5, "Input/output error")

    with Store.open(f"{place}/store") as store:
        made = fill(store, place)
        change(store.physical(made["base"].path) + "/d/f")
        failpoint.armed = fail
        with pytest.raises(StoreError, match="repairing an object"):
            store.repair([other])
        failpoint.armed = None
    with Store.open(f"{place}/store") as store:
        assert store.check(contents=True) == [] and len(store.all_objects()) == 4


@pytest.mark.parametrize("damage", ["a byte", "a mode", "no small file"])
def test_nobody_is_kept_out_while_a_repair_reads_or_writes(
    store: Store, place: str, other: StoreReader, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """What may take long is done outside the passage: this thread could enter it there."""
    seen: list[str] = []

    def outside(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def look(*args: object) -> object:
            seen.append(name)
            with sole_passage(store.layout):
                pass
            return real(*args)

        return look

    made = fill(store, place)
    DAMAGE[damage](store, made["base"])
    monkeypatch.setattr(repair, "ingest", outside("ingest", repair.ingest))
    monkeypatch.setattr(session, "sync_filesystem", outside("sync", session.sync_filesystem))
    assert store.repair([other]).mended == (made["base"],)
    assert set(seen) == {"ingest", "sync"}


def test_borrowing_takes_the_closure(store: Store, place: str, other: StoreReader) -> None:
    infos = {info.name: info for info in Store.open(other.root).all_objects()}
    assert store.borrow(other, infos["app"].id) == infos["app"]
    assert store.borrow(other, infos["own"].id) == infos["own"]
    assert store.check(contents=True) == [] and len(store.all_objects()) == 4
    assert other.verify(infos["own"].id) == []
    with pytest.raises(NotInStore):
        store.borrow(other, type(infos["app"].id)(bytes(32)))


def test_a_reader_answers_like_a_store(place: str) -> None:
    with Store.open(f"{place}/store") as store:
        made = fill(store, place)
        claim = claim_of(made["app"], "r")
        witness = witness_of(claim, Key(1))
        resolution = resolution_of("r", made["app"], Key(1))
        store.commit(witnesses=[(claim, witness)], resolutions=[resolution], envelopes=[b"{}"])
        reader = Store.open_readonly(store.root)
        for info in made.values():
            assert reader.info(info.id) == reader.by_path(info.path) == info
            assert reader.meta(info.id) == store.meta(info.id)
            assert reader.physical(info.path) == store.physical(info.path)
        assert reader.closure([made["app"].id]) == store.closure([made["app"].id])
        assert reader.claims_for(resolved("r")) == store.claims_for(resolved("r"))
        assert reader.resolutions_for([drv("r")]) == store.resolutions_for([drv("r")])
        assert reader.envelope(witness.envelope) == b"{}"
        with pytest.raises(NotInStore):
            reader.envelope(type(witness.envelope)(bytes(32)))
        assert OutputName("out") in {item.claim.output for item in reader.claims_for(resolved("r"))}


AS_ANOTHER = """
import os, sys
from kiln.store.store import Store
from kiln.store.errors import NotOwner, StoreError
from kiln.store.digest import ObjectId
root, mine, ident = sys.argv[1], sys.argv[2], ObjectId(bytes.fromhex(sys.argv[3]))
with Store.open(root + "-warm") as store:  # Imports everything: the other user may not see Python's own files.
    store.borrow(Store.open_readonly(root), ident), store.check(contents=True), store.roots(), store.memo()
os.setgroups([]); os.setgid(65533); os.setuid(65533)
reader = Store.open_readonly(root)
print(reader.verify(ident), len(reader.closure([ident])))
with Store.open(mine) as store:
    print(store.borrow(reader, ident).id == ident, store.check(contents=True))
try:
    Store.open(root)
except NotOwner:
    print("not the owner")
for folder, _, files in os.walk(root):
    for name in [*files, "new"]:
        path = f"{folder}/{name}"
        for flags in (os.O_WRONLY, os.O_WRONLY | os.O_CREAT):
            try:
                os.close(os.open(path, flags))
                print("could write", path)
            except OSError:
                pass
    try:
        os.rename(folder, folder + ".moved"); print("could move", folder)
    except OSError:
        pass
try:
    os.listdir(root + "/keys"); print("could see keys")
except PermissionError:
    print("keys are hidden")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_reads_and_changes_nothing() -> None:
    place = f"/tmp/kiln-reader-{os.getpid()}"
    os.mkdir(place)
    try:
        os.chmod(place, 0o755)
        with Store.open(f"{place}/store") as store:
            made = fill(store, place)
        os.mkdir(f"{place}/mine")
        os.chown(f"{place}/mine", 65533, 65533)
        answer = run_python(AS_ANOTHER, f"{place}/store", f"{place}/mine/store", made["app"].id.hex())
        assert answer.stdout.splitlines() == ["[] 3", "True []", "not the owner", "keys are hidden"], answer.stderr
        with Store.open(f"{place}/store") as store:
            assert store.check(contents=True) == []
    finally:
        shutil.rmtree(place)


def test_what_is_no_store_cannot_be_read(place: str) -> None:
    make(f"{place}/folder", {"f": b""})
    for path in ("folder", "nothing"):
        with pytest.raises(NotInStore):
            Store.open_readonly(f"{place}/{path}")


def test_put_together_from_the_pool(store: Store, place: str) -> None:
    """Another object shares the bytes; directories, links, small files and modes come from what is left."""
    big = os.urandom(100_000)
    tree = {"f": big, "d": {"x": Script(big), "s": b"small", "l": Link("s"), "empty": {}}, "own": b"o"}
    info = add(store, place, "tree", tree)
    single = add(store, place, "single", big)
    add(store, place, "script", Script(big))
    physical = store.physical(info.path)
    for path in ("f", "d/x"):
        os.chmod(os.path.dirname(f"{physical}/{path}"), 0o755)
        os.unlink(f"{physical}/{path}")
    make(f"{physical}/f", b"put in its place")
    os.chmod(store.physical(single.path), 0o644)
    os.unlink(store.physical(single.path))
    assert set(store.repair().mended) == {info, single}
    assert store.check(contents=True) == [] and read(f"{physical}/f") == big
    os.chmod(physical, 0o755)
    os.unlink(f"{physical}/own")
    assert store.repair().lost == (info,), "a small file is nowhere else"

"""kill -9 at every point of a commit, then open again: nothing half registered, nothing registered lost."""

from __future__ import annotations

import os
import signal

import pytest
from store_samples import Key, built, claim_of, read, resolution_of, resolved, run_python, scratch, witness_of

from kiln.store import failpoint
from kiln.store.digest import EnvelopeDigest, blob_digest
from kiln.store.errors import StoreError
from kiln.store.paths import OutputName
from kiln.store.store import Store

KEY = Key(3)
OUT, DEV = OutputName("out"), OutputName("dev")
COMMIT = [point for point in failpoint.POINTS if point.startswith("commit:")]


def build(store: Store) -> None:
    """Two outputs, one mentioning the other, with witness, resolution and envelope, in one transaction."""
    outputs = [
        built(store, "p", "out", {"bin": {"p": str(scratch("p")).encode()}}),
        built(store, "p-dev", "dev", {"pc": str(scratch("p")).encode()}),
    ]
    staged = store.stage_outputs(outputs, [])
    claim = claim_of(staged.infos[OUT], "p")
    store.commit(
        staged,
        witnesses=[(claim, witness_of(claim, KEY, b"{p}"))],
        resolutions=[resolution_of("p", staged.infos[DEV], KEY)],
        envelopes=[b"{p}"],
    )


CHILD = """
import os, signal, sys
from kiln.store import failpoint
from kiln.store.store import Store
from test_crashes import build
place, point, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = Store.open(f"{place}/store")
def die(name):
    global times
    if name == point:
        times -= 1
        if times == 0:
            os.kill(os.getpid(), signal.SIGKILL)
failpoint.armed = die
build(store)
print("done")
"""


def expect_whole(store: Store) -> None:
    assert store.check(contents=True) == []
    infos = {info.name: info for info in store.all_objects()}
    assert set(infos) == {"p", "p-dev"}
    assert read(store.physical(infos["p"].path) + "/bin/p").decode() == str(infos["p"].path)
    assert infos["p-dev"].references == (infos["p"].id,)
    assert len(store.claims_for(resolved("p"))) == 1
    assert store.envelope(EnvelopeDigest(blob_digest(b"{p}"))) == b"{p}"


IN_PLACE = {
    ("commit:object-renamed", 2),
    ("commit:draft-renamed", 1),
    ("commit:draft-renamed", 2),
    ("commit:directories-synced", 1),
    ("commit:in-transaction", 1),
    ("commit:registered", 1),
}
"""From here on, both objects lie in their places: recovery finishes the commit."""


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("point", COMMIT)
def test_killed_during_a_commit(place: str, point: str, times: int) -> None:
    answer = run_python(CHILD, place, point, str(times))
    if times == 2 and answer.returncode == 0:
        assert "done" in answer.stdout, "a point that a commit passes once"
        return
    assert answer.returncode == -signal.SIGKILL, answer.stderr
    with Store.open(f"{place}/store") as store:
        assert store.recovered is not None and len(store.recovered.sessions) == 1
        assert store.check(contents=True) == []
        if (point, times) in IN_PLACE:
            expect_whole(store)
        build(store)
        expect_whole(store)
    assert os.listdir(f"{place}/store/.tmp") == os.listdir(f"{place}/store/locks/sessions") == []
    assert os.listdir(f"{place}/store/.trash") == []


@pytest.mark.parametrize("point", ["recover:adopting", "ingest:file-copied", "rewrite:file-written"])
def test_killed_elsewhere(place: str, point: str) -> None:
    first = "commit:directories-synced" if point == "recover:adopting" else point
    if point == "ingest:file-copied":
        code = CHILD.replace(
            "build(store)", "from store_samples import add; add(store, place, 'a', {'f': b'1', 'g': b'2'})"
        )
    else:
        code = CHILD
    assert run_python(code, place, first, "1").returncode == -signal.SIGKILL
    if point == "recover:adopting":
        again = code.replace('store = Store.open(f"{place}/store")\n', "") + 'Store.open(f"{place}/store")\n'
        again = again.replace("failpoint.armed = die\nbuild(store)", "failpoint.armed = die")
        assert run_python(again, place, point, "1").returncode == -signal.SIGKILL
    with Store.open(f"{place}/store") as store:
        assert store.check(contents=True) == []
        build(store)
        assert store.check(contents=True) == []


@pytest.mark.parametrize("point", COMMIT)
def test_failing_during_a_commit(place: str, point: str) -> None:
    """The same as an exception: the process lives on, and so does its store."""

    def fail(name: str) -> None:
        if name == point:
            failpoint.armed = None
            raise OSError(5, "Input/output error")

    with Store.open(f"{place}/store") as store:
        failpoint.armed = fail
        with pytest.raises(StoreError, match="the store's disk failed, while"):
            build(store)
        build(store)
        expect_whole(store)
    with Store.open(f"{place}/store") as store:
        expect_whole(store)
        assert os.listdir(f"{place}/store/.tmp") == []


def orphan(place: str) -> str:
    assert run_python(CHILD, place, "commit:directories-synced", "1").returncode == -signal.SIGKILL
    [name] = [name for name in os.listdir(f"{place}/store/store") if name.endswith("-p")]
    return f"{place}/store/store/{name}"


def test_an_orphan_with_other_bytes_is_trashed(place: str) -> None:
    path = orphan(place)
    os.chmod(f"{path}/bin/p", 0o644)
    with open(f"{path}/bin/p", "ab") as file:
        file.write(b"torn")
    with Store.open(f"{place}/store") as store:
        assert store.recovered is not None
        assert sorted(store.recovered.trashed) == sorted(os.path.basename(item) for item in (path, *others(path)))
        assert store.all_objects() == [] and store.check() == []
        assert store.claims_for(resolved("p")) == []
        build(store)
        expect_whole(store)


def others(path: str) -> list[str]:
    """What refers to it cannot be adopted without it."""
    trash = os.path.join(os.path.dirname(os.path.dirname(path)), ".trash")
    return [name.rsplit(".", 1)[0] for name in os.listdir(trash) if "-p-dev" in name]


def test_modes_are_repaired(place: str) -> None:
    path = orphan(place)
    os.chmod(path, 0o755)
    with Store.open(f"{place}/store") as store:
        expect_whole(store)


def test_a_torn_intent_is_nothing(place: str) -> None:
    assert run_python(CHILD, place, "commit:intent", "1").returncode == -signal.SIGKILL
    [session] = os.listdir(f"{place}/store/.tmp")
    [intent] = [name for name in os.listdir(f"{place}/store/.tmp/{session}") if name.startswith("intent")]
    path = f"{place}/store/.tmp/{session}/{intent}"
    os.chmod(path, 0o644)
    os.truncate(path, 20)
    with Store.open(f"{place}/store") as store:
        assert store.all_objects() == [] and store.check() == []


def test_a_living_process_is_left_alone(place: str) -> None:
    with Store.open(f"{place}/store") as store:
        folder = store.new_temp("build")
        answer = run_python(
            "import sys; from kiln.store.store import Store\n"
            "with Store.open(sys.argv[1]) as store: print(store.recovered, store.new_temp('x') != '')",
            store.root,
        )
        assert answer.stdout == "None True\n", answer.stderr
        assert os.path.isdir(folder)


def test_temporary_folders_of_the_dead_go(place: str) -> None:
    code = (
        "import os, sys; from kiln.store.store import Store\n"
        "path = Store.open(sys.argv[1]).new_temp('build')\n"
        "os.makedirs(path + '/a/b'); os.chmod(path + '/a/b', 0); os.chmod(path + '/a', 0o555); os._exit(0)"
    )
    assert run_python(code, f"{place}/store").returncode == 0
    [session] = os.listdir(f"{place}/store/.tmp")
    with Store.open(f"{place}/store") as store:
        assert store.recovered is not None and store.recovered.sessions == (session,)
        assert os.listdir(f"{place}/store/.tmp") == []
        assert store.empty_trash() == 0
    assert os.listdir(f"{place}/store/.trash") == []

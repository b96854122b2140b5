"""What a dead process left is settled beside others that work, and only what proves itself whole is registered."""

from __future__ import annotations

import os
import signal

from store_samples import Key, add, claim_of, resolved, run_python, witness_of

from kiln.store import failpoint
from kiln.store.store import Store

DIE = """
import os, signal, sys
from kiln.store import failpoint
from kiln.store.store import Store
from store_samples import Key, add, claim_of, witness_of
place, point = sys.argv[1:]
def die(name):
    if name == point:
        os.kill(os.getpid(), signal.SIGKILL)
store = Store.open(f"{place}/store")
"""
ADD_THING = DIE + "failpoint.armed = die\nadd(store, place, 'thing', {'f': b'hello'})"
WITNESS = (
    DIE
    + """
info = add(store, place, "a", b"a")
failpoint.armed = die
claim = claim_of(info, "r")
store.commit(witnesses=[(claim, witness_of(claim, Key(1), b"{env}"))], envelopes=[b"{env}"])
"""
)
OTHER = """
import sys
from kiln.store.store import Store
from store_samples import add
with Store.open(sys.argv[1] + "/store") as store:
    print(add(store, sys.argv[1], "thing", {"f": b"hello"}).id.hex())
"""


def killed(place: str, code: str, point: str) -> None:
    answer = run_python(code, place, point)
    assert answer.returncode == -signal.SIGKILL, answer.stderr


def drafts(place: str, content: bytes) -> list[str]:
    """Drafts of the dead process that hold these bytes."""
    [session] = os.listdir(f"{place}/store/.tmp")
    folder = f"{place}/store/.tmp/{session}"
    found = [f"{folder}/{name}" for name in os.listdir(folder) if name.startswith("draft-")]
    return [path for path in found if open(path, "rb").read() == content]


def test_what_another_registers_meanwhile_is_left_alone(place: str) -> None:
    """The orphan is torn; before it is thrown away, another process puts the whole object in its place."""
    killed(place, ADD_THING, "commit:directories-synced")
    [name] = os.listdir(f"{place}/store/store")
    path = f"{place}/store/store/{name}/f"
    os.chmod(path, 0o644)
    with open(path, "ab") as file:
        file.write(b"torn")
    said: list[str] = []

    def interfere(point: str) -> None:
        if point == "recover:looked":
            failpoint.armed = None
            said.append(run_python(OTHER, place).stdout)

    failpoint.armed = interfere
    with Store.open(f"{place}/store") as store:
        [info] = store.all_objects()
        assert said == [f"{info.id.hex()}\n"]
        assert store.recovered is not None and store.recovered.trashed == ()
        assert store.check(contents=True) == []


def test_a_small_file_is_not_taken_from_what_another_registers(place: str) -> None:
    """The dead process' object never came; another process brings it, small file and all, just before that goes."""
    killed(place, ADD_THING, "commit:synced")
    for path in drafts_of_folder(place):
        os.rename(path, f"{place}/away")  # The object itself is lost, its small file is not.

    def interfere(point: str) -> None:
        if point == "recover:looked":
            failpoint.armed = None
            assert run_python(OTHER, place).returncode == 0

    failpoint.armed = interfere
    with Store.open(f"{place}/store") as store:
        assert [info.name for info in store.all_objects()] == ["thing"]
        assert store.check(contents=True) == []


def drafts_of_folder(place: str) -> list[str]:
    """Staged trees of the dead process."""
    [session] = os.listdir(f"{place}/store/.tmp")
    folder = f"{place}/store/.tmp/{session}"
    found = []
    for name in os.listdir(folder):
        if os.path.isdir(f"{folder}/{name}"):
            os.chmod(f"{folder}/{name}", 0o755)
            found.append(f"{folder}/{name}")
    assert found
    return found


def test_a_witness_whose_envelope_is_torn_is_not_registered(place: str) -> None:
    killed(place, WITNESS, "commit:intent")
    [path] = drafts(place, b"{env}")
    os.chmod(path, 0o644)
    os.truncate(path, 0)
    with Store.open(f"{place}/store") as store:
        assert store.claims_for(resolved("r")) == []
        assert store.check(contents=True) == []
    assert os.listdir(f"{place}/store/records") == []


def test_nor_is_it_found_by_a_new_index(place: str) -> None:
    """The witness' file is in its place already when its envelope turns out to be torn."""
    killed(place, WITNESS, "commit:draft-renamed")
    assert len(os.listdir(f"{place}/store/records")) == 1
    [path] = drafts(place, b"{env}")
    os.chmod(path, 0o644)
    os.truncate(path, 2)
    with Store.open(f"{place}/store") as store:
        assert store.check(contents=True) == []
    Store.rebuild_index(f"{place}/store")
    with Store.open(f"{place}/store") as store:
        assert store.claims_for(resolved("r")) == []
        assert store.check(contents=True) == []


def test_whole_records_follow(place: str) -> None:
    for point in ("commit:intent", "commit:draft-renamed", "commit:directories-synced"):
        killed(place, WITNESS, point)
        with Store.open(f"{place}/store") as store:
            assert len(store.claims_for(resolved("r"))) == 1
            assert store.check(contents=True) == []


def test_records_that_others_registered_stay(place: str) -> None:
    """A torn commit says what is known already: its file of records belongs to the index."""
    killed(place, WITNESS, "commit:draft-renamed")
    [path] = drafts(place, b"{env}")
    with Store.open(f"{place}/other") as other:
        add(other, place, "a", b"a")
    os.chmod(path, 0o644)
    os.truncate(path, 0)

    def interfere(point: str) -> None:
        if point == "recover:looked":
            failpoint.armed = None
            code = (
                "import sys; from kiln.store.store import Store; from store_samples import *\n"
                "with Store.open(sys.argv[1] + '/store') as store:\n"
                "    claim = claim_of(add(store, sys.argv[1], 'a', b'a'), 'r')\n"
                "    store.commit(witnesses=[(claim, witness_of(claim, Key(1), b'{env}'))], envelopes=[b'{env}'])"
            )
            answer = run_python(code, place)
            assert answer.returncode == 0, answer.stderr

    failpoint.armed = interfere
    with Store.open(f"{place}/store") as store:
        [found] = store.claims_for(resolved("r"))
        assert found.witness == witness_of(found.claim, Key(1), b"{env}")
        assert claim_of(store.all_objects()[0], "r") == found.claim
        assert store.check(contents=True) == []
    assert len(os.listdir(f"{place}/store/records")) == 1

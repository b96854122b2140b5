"""Random kill -9 over adding, building, collecting, repairing and borrowing; nothing may be broken or lost.

    python -m tests.store.crash --rounds 2000 [--seed N] [--place FOLDER]

Each round starts a process that does such things to one store, in a random order, and kills it after a random time
or at a random failpoint. Before it takes the next step, the process notes on a pipe what the store has told it to be
registered and rooted. After each round the store is opened again (which recovers) and everything is checked: every
invariant, with every byte read, and that each object noted as rooted is there.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(REPOSITORY, "tests", "store")

WORKER = """
import os, random, signal, sys
from kiln.store import failpoint
from kiln.store.collect import Policy
from kiln.store.store import Store
from store_samples import Key, add, built, claim_of, resolution_of, scratch, witness_of
from kiln.store.paths import OutputName
place, seed = sys.argv[1], int(sys.argv[2])
pick = random.Random(seed)
countdown = pick.choice([0, 0, pick.randint(1, 150)])
def maybe_die(name):
    global countdown
    if countdown:
        countdown -= 1
        if not countdown:
            os.kill(os.getpid(), signal.SIGKILL)
key, number = Key(7), 0
with Store.open(f"{place}/store") as store:
    failpoint.armed = maybe_die
    known = []
    while True:
        number += 1
        match pick.choice(["add", "add", "build", "build", "root", "collect", "repair", "damage", "borrow"]):
            case "add":
                tree = {"f": b"%d" % pick.randrange(40), "d": {"g": os.urandom(pick.choice([10, 70_000]))}}
                info = add(store, place, f"a-{pick.randrange(40)}", tree, [item.id for item in known[-1:]])
                known.append(info)
            case "build":
                name = f"b-{pick.randrange(60)}"
                tree = {"self": str(scratch(name)).encode(), "n": b"%d" % pick.randrange(5)}
                staged = store.stage_outputs([built(store, name, "out", tree)], [])
                [info] = staged.infos.values()
                claim = claim_of(info, name)
                store.commit(staged, witnesses=[(claim, witness_of(claim, key))],
                             resolutions=[resolution_of(name, info, key)], envelopes=[b"{}"])
                known.append(info)
            case "root" if known:
                slot = pick.randrange(8)
                info = pick.choice(known)
                if store.pin([info.id]):
                    print("rooting", slot, flush=True)
                    store.add_root(f"{place}/result-{slot}", info.id)
                    print("rooted", slot, info.id.hex(), flush=True)
            case "collect":
                store.collect(Policy(max_freed=pick.choice([None, 1000])))
            case "repair":
                store.repair()
            case "borrow":
                other = Store.open_readonly(f"{place}/other")
                for name in os.listdir(other.layout.meta)[:2]:
                    from kiln.store.paths import StorePath
                    known.append(store.borrow(other, other.by_path(StorePath.parse(name)).id))
            case "damage" if pick.random() < 0.2:
                # Of an object that nobody rooted: repair may take it out.
                tree = {"f": b"to be damaged", "n": b"%d" % number}
                info = add(store, place, "damaged", tree)
                path = store.physical(info.path) + "/f"
                os.chmod(path, 0o644)
                open(path, "wb").write(b"other bytes, as they are")
                store.repair()
"""


class Report(NamedTuple):
    """What came of the rounds."""

    rounds: int
    killed: int
    recovered: int
    rooted: int
    seconds: float


def prepare(place: str) -> None:
    """Another store, to borrow from."""
    code = (
        "import sys; from kiln.store.store import Store; from store_samples import add\n"
        "with Store.open(sys.argv[1] + '/other') as store:\n"
        "    base = add(store, sys.argv[1], 'base', {'f': b'1' * 70_000})\n"
        "    add(store, sys.argv[1], 'o', b'2', [base.id])"
    )
    subprocess.run([sys.executable, "-c", code, place], env=_environment(), check=True)


def _environment() -> dict[str, str]:
    paths = [REPOSITORY, HERE, *(item for item in sys.path if item.endswith("site-packages"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def run_round(place: str, seed: int, rooted: dict[str, str | None]) -> bool:
    """One process and its end; what it noted goes into `rooted`. Whether it was killed by us or by itself."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, place, str(seed)],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pause = random.Random(seed).uniform(0.15, 1.2)
    try:
        output, errors = worker.communicate(timeout=pause)
    except subprocess.TimeoutExpired:
        worker.kill()
        output, errors = worker.communicate()
    assert worker.returncode == -9, f"seed {seed}: {errors}"
    for line in output.splitlines():
        match line.split():
            case ["rooting", slot]:
                rooted[slot] = None  # From here on it may show the old one or the new one.
            case ["rooted", slot, digest]:
                rooted[slot] = digest
    return True


def check(place: str, seed: int, rooted: dict[str, str | None]) -> bool:
    """Open, recover, and look at everything; whether there was something to recover."""
    from kiln.store.digest import ObjectId
    from kiln.store.store import Store

    with Store.open(f"{place}/store") as store:
        problems = [item for item in store.check(contents=True) if "to be damaged" not in item.what]
        broken = {item.where.rpartition("/")[2] for item in problems}
        # The worker damages objects of this name on purpose, and may be killed before it repairs them.
        problems = [item for item in problems if not item.where.endswith("-damaged")]
        assert problems == [], f"seed {seed}: {problems}"
        if broken:
            store.repair()
            assert store.check(contents=True) == [], f"seed {seed}: after repair"
        for slot, digest in rooted.items():
            if digest is not None:
                object_id = ObjectId(bytes.fromhex(digest))
                assert store.info(object_id) is not None, f"seed {seed}: result-{slot} lost {digest}"
                assert os.path.exists(f"{place}/result-{slot}"), f"seed {seed}: result-{slot} points nowhere"
        return store.recovered is not None


def run(place: str, rounds: int, seed: int, *, tell: bool = False) -> Report:
    """All rounds. Raises AssertionError, naming the seed of the round, at the first thing that is wrong."""
    start, killed, recovered = time.monotonic(), 0, 0
    rooted: dict[str, str | None] = {}
    prepare(place)
    for number in range(rounds):
        killed += run_round(place, seed + number, rooted)
        recovered += check(place, seed + number, rooted)
        _remove_sources(place)
        if tell and number % 100 == 99:
            print(f"{number + 1} rounds, {recovered} recoveries, {time.monotonic() - start:.0f} s", flush=True)
    return Report(rounds, killed, recovered, len(rooted), time.monotonic() - start)


def _remove_sources(place: str) -> None:
    for name in os.listdir(place):
        if name.startswith("source-"):
            path = f"{place}/{name}"
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--place", help="an empty folder; by default a temporary one")
    args = parser.parse_args()
    place = args.place or tempfile.mkdtemp(prefix="kiln-crash-")
    print(run(place, args.rounds, args.seed, tell=True))
    subprocess.run(["chmod", "-R", "u+w", place], check=False)
    shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    sys.path.insert(0, HERE)
    main()

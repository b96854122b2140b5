"""A victim of `crash`: does all that a library can do to a store, in a random order, until it is killed.

    python tests/store/crash_worker.py PLACE SEED

It says `step` when the store is open and after each step, and before that what the store has told it to be
registered: `rooted SLOT ID`, `said CLAIM RESOLUTION ENVELOPE`. In two of three rounds it may kill itself first, at a
point.
"""

from __future__ import annotations

import os
import random
import signal
import sys

from store_samples import Key, add, built, claim_of, resolution_of, scratch, witness_of

from kiln.store import failpoint
from kiln.store.collect import Policy
from kiln.store.commit import envelope_digest
from kiln.store.info import ObjectInfo
from kiln.store.paths import StorePath
from kiln.store.store import Store

STEPS = ("add", "add", "build", "build", "root", "collect", "repair", "damage", "borrow")


class Worker:
    """One victim."""

    def __init__(self, place: str, seed: int, store: Store) -> None:
        self._place = place
        self._pick = random.Random(seed)
        self._store = store
        self._key = Key(7)
        self._known: list[ObjectInfo] = []
        self._countdown = self._pick.choice([0, self._pick.randint(1, 40), self._pick.randint(1, 400)])

    def maybe_die(self, _: str) -> None:
        """What each failpoint calls."""
        self._countdown -= 1
        if self._countdown == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def step(self) -> None:
        match self._pick.choice(STEPS):
            case "add":
                tree = {"f": b"%d" % self._pick.randrange(40), "d": {"g": self._bytes()}}
                name = f"a-{self._pick.randrange(40)}"
                self._known.append(add(self._store, self._place, name, tree, [item.id for item in self._known[-1:]]))
            case "build":
                self._build()
            case "root" if self._known:
                self._root(self._pick.randrange(8), self._pick.choice(self._known))
            case "collect":
                self._store.collect(Policy(max_freed=self._pick.choice([None, 1000])))
                if self._pick.random() < 0.3:
                    self._store.sweep_rest()
            case "repair":
                self._store.repair()
            case "borrow":
                other = Store.open_readonly(f"{self._place}/other")
                name = self._pick.choice(os.listdir(other.layout.meta))
                wanted = other.by_path(StorePath.parse(name))
                assert wanted is not None
                self._known.append(self._store.borrow(other, wanted.id))
            case "damage" if self._pick.random() < 0.2:
                self._damage()

    def _bytes(self) -> bytes:
        """Small; or big, and the only one; or big, and one of four: what the pool is for."""
        shared = bytes([self._pick.randrange(4)]) * 70_000
        return self._pick.choice([os.urandom(10), os.urandom(70_000), shared])

    def _build(self) -> None:
        name = f"b-{self._pick.randrange(60)}"
        tree = {"self": str(scratch(name)).encode(), "n": b"%d" % self._pick.randrange(5), "g": self._bytes()}
        staged = self._store.stage_outputs([built(self._store, name, "out", tree)], [])
        [info] = staged.infos.values()
        claim = claim_of(info, name)
        envelope = b'{"n": "%b"}' % os.urandom(8).hex().encode()
        resolution = resolution_of(f"{name}-{os.urandom(4).hex()}", info, self._key)
        self._store.commit(
            staged,
            witnesses=[(claim, witness_of(claim, self._key, envelope))],
            resolutions=[resolution],
            envelopes=[envelope],
        )
        said = (claim.digest, resolution.drv + resolution.digest, envelope_digest(envelope))
        print("said", *(item.hex() for item in said), flush=True)
        self._known.append(info)

    def _root(self, slot: int, info: ObjectInfo) -> None:
        if self._store.pin([info.id]):
            print("rooting", slot, flush=True)
            self._store.add_root(f"{self._place}/result-{slot}", info.id)
            print("rooted", slot, info.id.hex(), flush=True)

    def _damage(self) -> None:
        """Of an object that nobody rooted: repair may take it out."""
        tree = {"f": b"to be damaged", "n": os.urandom(8)}
        info = add(self._store, self._place, "damaged", tree)
        path = self._store.physical(info.path) + "/f"
        os.chmod(path, 0o644)
        with open(path, "wb") as file:
            file.write(b"other bytes, as they are")
        self._store.repair()


def main() -> None:
    place, seed = sys.argv[1], int(sys.argv[2])
    with Store.open(f"{place}/store") as store:
        worker = Worker(place, seed, store)
        failpoint.armed = worker.maybe_die
        while True:
            print("step", flush=True)
            worker.step()


if __name__ == "__main__":
    main()

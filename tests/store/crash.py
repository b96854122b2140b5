"""Random kill -9 over all that changes a store; nothing may be broken or lost.

    python -m tests.store.crash --rounds 2000 [--seed N] [--place FOLDER] [--busybox FILE]

Each round starts a victim on one store and kills it after a random time, or at a random failpoint. Victims are a
process that does all that the library can (see `crash_worker`), and whole commands: a build of a graph in the
sandbox, the same taken from a cache's folder, `gc`, `repair` of what was damaged before, from a store that has it,
and `rebuild-index`. Big files are shared by many objects. After each round the store is opened again, which
recovers, and everything is checked: every invariant, with every byte read; that every link leads to all that it
needs; and that no claim, witness, resolution or envelope is lost that was registered before, or that the victim
was told to be, nor any object unless the victim collects.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from typing import NamedTuple

from tests.store import load
from tests.support.home import REPOSITORY, Home

HERE = os.path.join(REPOSITORY, "tests", "store")
VICTIMS = ("library", "realise", "library", "gc", "repair", "import", "library", "rebuild-index")
PATIENCE = 300


class Report(NamedTuple):
    """What came of the rounds: how many of each kind of victim, how many of these were killed."""

    rounds: Counter[str]
    killed: Counter[str]
    recovered: int
    rooted: int
    said: int
    seconds: float


class Known(NamedTuple):
    """All that is registered, by its keys."""

    objects: frozenset[bytes]
    claims: frozenset[bytes]
    witnesses: frozenset[bytes]
    resolutions: frozenset[bytes]
    envelopes: frozenset[str]


class Crash:
    """One run. Raises AssertionError, naming the seed of the round, at the first thing that is wrong."""

    def __init__(self, place: str, busybox: str, seed: int, tops: int) -> None:
        self.place = place
        self.home = Home(place)
        self._seed = seed
        self._tops = tops
        self._typical = dict.fromkeys(VICTIMS, 2.0)
        self._rooted: dict[str, str | None] = {}
        self._rounds: Counter[str] = Counter()
        self._killed: Counter[str] = Counter()
        self._recovered = self._said = 0
        self._damaged: set[str] = set()
        load.lay(self.home, busybox)

    def prepare(self) -> None:
        """Another store and a cache, which have all that the graphs make."""
        other = Home(self.place, store=f"{self.place}/other")
        other.kiln("realise", *map(load.target, range(self._tops)), "--no-link").expect()
        other.kiln("cache", "push", "--all", "--to", f"{self.place}/cache").expect()
        self.home.kiln("cache", "use", f"{self.place}/cache", "--yes").expect()
        self.home.kiln("realise", load.target(0), "--out-link", f"{self.place}/work/result-0").expect()

    def run(self, rounds: int, *, tell: bool = False) -> Report:
        start = time.monotonic()
        known = self._check(self._seed)
        for number in range(rounds):
            victim = VICTIMS[number % len(VICTIMS)]
            known = self._round(victim, self._seed + number, known)
            if tell and number % 50 == 49:
                print(self._report(start), flush=True)
        return self._report(start)

    def _report(self, start: float) -> Report:
        rooted = sum(digest is not None for digest in self._rooted.values())
        return Report(self._rounds, self._killed, self._recovered, rooted, self._said, time.monotonic() - start)

    def _round(self, victim: str, seed: int, before: Known) -> Known:
        pick = random.Random(seed)
        self._rounds[victim] += 1
        said = self._library(seed, pick) if victim == "library" else []
        if victim != "library":
            self._command(victim, seed, pick)
        now = self._check(seed)
        for what in ("claims", "witnesses", "resolutions", "envelopes"):
            lost = getattr(before, what) - getattr(now, what)
            assert not lost, f"seed {seed}, {victim}: {what} lost: {sorted(lost)[:3]}"
        if victim in ("realise", "import", "rebuild-index"):
            assert before.objects <= now.objects, f"seed {seed}, {victim}: objects lost"
        for claim, resolution, envelope in said:
            assert bytes.fromhex(claim) in now.claims, f"seed {seed}: a claim that was registered is lost"
            assert bytes.fromhex(resolution) in now.resolutions, f"seed {seed}: a resolution is lost"
            assert f"{envelope}.json" in now.envelopes, f"seed {seed}: an envelope is lost"
        self._said += len(said)
        self._remove_sources()
        return now

    # Victims

    def _library(self, seed: int, pick: random.Random) -> list[list[str]]:
        """What it said to be registered."""
        worker = subprocess.Popen(
            [sys.executable, f"{HERE}/crash_worker.py", self.place, str(seed)],
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        lines, steps = [], pick.randint(2, 30)
        while steps and (line := worker.stdout.readline()):
            lines.append(line)
            steps -= line == "step\n"
        if not steps:  # Else it killed itself.
            time.sleep(pick.uniform(0.0, 0.3))
            worker.kill()
        output, errors = worker.communicate(timeout=PATIENCE)
        assert worker.returncode == -signal.SIGKILL, f"seed {seed}: {errors}"
        self._killed["library"] += 1
        said = []
        for line in (*lines, *output.splitlines()):
            match line.split():
                case ["rooting", slot]:
                    self._rooted[f"{self.place}/result-{slot}"] = None  # It may show the old one or the new one.
                case ["rooted", slot, digest]:
                    self._rooted[f"{self.place}/result-{slot}"] = digest
                case ["said", *items]:
                    said.append(items)
        return said

    def _command(self, victim: str, seed: int, pick: random.Random) -> None:
        words = self._words(victim, pick)
        start = time.monotonic()
        running = self.home.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            _, errors = running.communicate(timeout=pick.uniform(0.0, 1.2) * self._typical[victim])
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate(timeout=PATIENCE)
            self._killed[victim] += 1
        else:
            assert running.returncode == 0, f"seed {seed}: {' '.join(words)}: {errors.decode()[-2000:]}"
            self._typical[victim] = (self._typical[victim] + time.monotonic() - start) / 2

    def _words(self, victim: str, pick: random.Random) -> list[str]:
        top = pick.randrange(self._tops)
        link = f"{self.home.work}/result-{pick.randrange(3)}"
        match victim:
            case "realise":
                return ["realise", load.target(top), "--out-link", link, "-j", "2", "--no-cache"]
            case "import":
                return ["realise", load.target(top), "--out-link", link, "-j", "2"]
            case "gc":
                for number in range(3):
                    gone = f"{self.home.work}/result-{number}"
                    if os.path.lexists(gone) and pick.random() < 0.6:
                        os.unlink(gone)
                return ["store", "gc", *pick.choice([[], [], ["--max-freed", "200K"], ["--keep-last", "1"]])]
            case "repair":
                self._damage(pick)
                return ["store", "repair", "--from", f"{self.place}/other"]
            case _:
                return ["store", "rebuild-index"]

    def _damage(self, pick: random.Random) -> None:
        """Change a byte of a file that the other store has, in all the objects that share it."""
        there = set(os.listdir(f"{self.place}/other/store"))
        here = [name for name in os.listdir(self.home.objects) if name in there and not name.endswith("-busybox")]
        if not here:
            return
        top = f"{self.home.objects}/{pick.choice(sorted(here))}"
        path = f"{top}/{pick.choice(sorted(os.listdir(top)))}"
        facts = os.stat(path)
        os.chmod(path, 0o644)
        with open(path, "r+b") as file:
            file.write(b"X")
        os.chmod(path, stat.S_IMODE(facts.st_mode))
        os.utime(path, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
        for folder, _, names in os.walk(self.home.objects):
            for name in names:
                if os.lstat(f"{folder}/{name}").st_ino == facts.st_ino:
                    self._damaged.add(os.path.relpath(folder, self.home.objects).partition("/")[0])

    # After each round

    def _check(self, seed: int) -> Known:
        """Open, recover, and look at everything."""
        from kiln.store.store import Store

        with Store.open(self.home.store) as store:
            self._recovered += store.recovered is not None
            problems = store.check(contents=True)
            broken = {item.where.rpartition("/")[2] for item in problems}
            # Objects that were damaged on purpose may not be repaired yet, and nothing else may be wrong.
            strange = [item for item in problems if not self._on_purpose(item.where.rpartition("/")[2])]
            assert strange == [], f"seed {seed}: {strange}"
            if broken:
                lost = store.repair([Store.open_readonly(f"{self.place}/other")]).lost
                assert all(info.name == "damaged" for info in lost), f"seed {seed}: {lost} lost in a repair"
                assert store.check(contents=True) == [], f"seed {seed}: after repair"
            self._damaged.clear()
            self._check_links(seed, store)
            return _known(store)

    def _on_purpose(self, base: str) -> bool:
        return base in self._damaged or base.endswith("-damaged")

    def _check_links(self, seed: int, store: object) -> None:
        from kiln.store.digest import ObjectId
        from kiln.store.store import Store

        assert isinstance(store, Store)
        for link, digest in self._rooted.items():
            if digest is not None:
                object_id = ObjectId(bytes.fromhex(digest))
                assert store.info(object_id) is not None, f"seed {seed}: {link} lost {digest}"
        for folder in (self.place, self.home.work):
            for name in os.listdir(folder):
                if name.startswith("result-"):
                    assert os.path.exists(f"{folder}/{name}"), f"seed {seed}: {name} leads nowhere"
                    lost = load.missing(self.home, f"{folder}/{name}") if folder == self.home.work else []
                    assert lost == [], f"seed {seed}: {lost}"

    def _remove_sources(self) -> None:
        for name in os.listdir(self.place):
            if name.startswith("source-"):
                path = f"{self.place}/{name}"
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def _known(store: object) -> Known:
    from kiln.store import tables
    from kiln.store.index import Table
    from kiln.store.store import Store

    assert isinstance(store, Store)

    def keys(table: Table) -> frozenset[bytes]:
        return store._index.view(lambda txn: frozenset(key for key, _ in txn.items(table)))

    return Known(
        keys(tables.OBJECTS),
        keys(tables.CLAIMS),
        keys(tables.WITNESSES),
        keys(tables.RESOLUTIONS),
        frozenset(os.listdir(store.layout.envelopes)),
    )


def _environment() -> dict[str, str]:
    paths = [REPOSITORY, HERE, *(item for item in sys.path if item.endswith("site-packages"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def run(place: str, busybox: str, rounds: int, seed: int, *, tops: int = 4, tell: bool = False) -> Report:
    """All rounds, in an empty folder."""
    crash = Crash(place, busybox, seed, tops)
    crash.prepare()
    return crash.run(rounds, tell=tell)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--place", help="an empty folder; by default a temporary one")
    parser.add_argument("--busybox", default=shutil.which("busybox"), help="a static one")
    args = parser.parse_args()
    if args.busybox is None:
        parser.error("no busybox here (Debian: busybox-static); name one with --busybox")
    place = args.place or tempfile.mkdtemp(prefix="kiln-crash-")
    print(run(place, args.busybox, args.rounds, args.seed, tops=load.VARIANTS, tell=True))
    subprocess.run(["chmod", "-R", "u+w", place], check=False)
    shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()

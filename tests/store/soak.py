"""Eight builders, a collecting loop and a verifying loop on one store; nothing may fail, be missing or be broken.

    python -m tests.store.soak [--minutes 10] [--builders 8] [--seed N] [--busybox FILE] [--place FOLDER]

Every step is a whole `kiln` command. A builder realises one of a dozen graphs that overlap (see `load`), in the
sandbox, under a result link that is a root, looks whether all that the link leads to is there, and removes a link
now and then. The collecting loop runs `kiln store gc` with and without each of its options, the verifying loop
`kiln store verify`, which reads and hashes every object. At the end all links go, and all objects with them.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.store import load
from tests.support.home import Done, Home

OPTIONS: tuple[tuple[str, ...], ...] = (
    (),
    ("--max-freed", "300K"),
    ("--older-than", "0.00002"),
    ("--keep-last", "2"),
    ("--evidence",),
    ("--dry-run",),
    ("--keep-last", "1", "--max-freed", "1M", "--evidence"),
)


@dataclass
class Report:
    """What came of it. `rounds` of each kind; the rest is empty when all is well."""

    rounds: Counter[str] = field(default_factory=Counter)
    collected: int = 0
    errors: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def well(self) -> bool:
        return not (self.errors or self.missing or self.broken)

    def __str__(self) -> str:
        counts = ", ".join(f"{number} of {kind}" for kind, number in sorted(self.rounds.items()))
        lines = [f"{self.seconds:.0f} s, rounds: {counts}; {self.collected} objects collected"]
        for what in ("errors", "missing", "broken"):
            found: list[str] = getattr(self, what)
            lines.append(f"{len(found)} {what}")
            lines += [f"  {text}" for text in found[:20]]
        return "\n".join(lines)


class Soak:
    """One run. Each loop is a thread that starts one command after the other."""

    def __init__(self, home: Home, seconds: float, seed: int, most: int) -> None:
        self.home = home
        self.report = Report()
        self._seed = seed
        self._end = time.monotonic() + seconds
        self._most = most
        self._guard = threading.Lock()  # Guards the report.

    def run(self, builders: int) -> Report:
        start = time.monotonic()
        work: list[Callable[[], None]] = [self._collector, self._verifier]
        work += [lambda number=number: self._builder(number) for number in range(builders)]  # type: ignore[misc]
        threads = [threading.Thread(target=item) for item in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._finish()
        self.report.seconds = time.monotonic() - start
        return self.report

    def _goes_on(self, rounds: int) -> bool:
        """At least one round each, and no more than is asked for."""
        return not rounds or (rounds < self._most and time.monotonic() < self._end)

    def _command(self, kind: str, *words: str) -> Done:
        done = self.home.kiln(*words)
        with self._guard:
            self.report.rounds[kind] += 1
            if done.code != 0 and not (words[:2] == ("store", "verify") and done.code == 10):
                self.report.errors.append(f"{' '.join(words)}: exit code {done.code}\n{done.err[-2000:]}")
        return done

    def _builder(self, number: int) -> None:
        pick = random.Random(self._seed * 100 + number)
        rounds = 0
        while self._goes_on(rounds):
            rounds += 1
            link = f"{self.home.work}/result-{number}-{pick.randrange(3)}"
            done = self._command(
                "realise", "realise", load.target(pick.randrange(load.VARIANTS)), "--out-link", link, "-j", "2"
            )
            if done.code == 0:
                lost = load.missing(self.home, link)
                with self._guard:
                    self.report.missing += lost
            for slot in range(3):
                link = f"{self.home.work}/result-{number}-{slot}"
                if os.path.lexists(link) and pick.random() < 0.5:
                    os.unlink(link)

    def _collector(self) -> None:
        rounds = 0
        while self._goes_on(rounds):
            options = OPTIONS[rounds % len(OPTIONS)]
            self._collect(*options)
            rounds += 1

    def _collect(self, *options: str) -> None:
        done = self._command("gc", "store", "gc", *options, "--json")
        if done.code == 0 and "--dry-run" not in options:
            self.report.collected += len(done.document["data"]["objects"])

    def _verifier(self) -> None:
        rounds = 0
        while self._goes_on(rounds):
            self._verify()
            rounds += 1

    def _verify(self) -> None:
        done = self._command("verify", "store", "verify")
        with self._guard:
            if done.code != 0 and not done.lines:
                self.report.errors.append(f"store verify: exit code {done.code}\n{done.err[-2000:]}")
            self.report.broken += done.lines

    def _finish(self) -> None:
        """All is well with what is left, and nothing is left when nobody holds anything."""
        self._verify()
        for name in os.listdir(self.home.work):
            if name.startswith("result-"):
                os.unlink(f"{self.home.work}/{name}")
        self._collect("--evidence")
        self._verify()
        for folder in ("store", "objects-meta", "records", ".tmp", "quarantine"):
            path = f"{self.home.store}/{folder}"
            left = os.listdir(path) if os.path.isdir(path) else []
            self.report.broken += [f"{folder}/{name} is left at the end" for name in left]
        self.report.broken += [
            f"{folder}/{name} is left at the end"
            for folder, _, names in os.walk(f"{self.home.store}/pool")
            for name in names
        ]


def run(place: str, busybox: str, *, builders: int, seconds: float, seed: int = 1, most: int = 1 << 30) -> Report:
    """All loops in `place`, an empty folder, for so long, or until each went round `most` times."""
    home = Home(place)
    load.lay(home, busybox)
    return Soak(home, seconds, seed, most).run(builders)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--builders", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--busybox", default=shutil.which("busybox"), help="a static one")
    parser.add_argument("--place", help="an empty folder; by default a temporary one")
    args = parser.parse_args()
    if args.busybox is None:
        parser.error("no busybox here (Debian: busybox-static); name one with --busybox")
    place = args.place or tempfile.mkdtemp(prefix="kiln-soak-")
    report = run(place, args.busybox, builders=args.builders, seconds=args.minutes * 60, seed=args.seed)
    print(report)
    if report.well:
        subprocess.run(["chmod", "-R", "u+w", place], check=False)
        shutil.rmtree(place, ignore_errors=True)
    else:
        print(f"left to be looked at: {place}")
    return 0 if report.well else 1


if __name__ == "__main__":
    raise SystemExit(main())

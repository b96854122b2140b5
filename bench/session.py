"""One session: its peers, its sizes, its folders, and the loop that lets peers take turns."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.inputs import START
from bench.peers.nix import Nix
from bench.peers.own import Kiln
from bench.peers.peer import Peer
from bench.places import Work
from bench.results import Measure, Results
from bench.timing import PATIENCE, Command, Failed, Run, measure, run

GIB = 1 << 30
_MEMORY = "/dev/shm"
_RACY = 2.1
"""Seconds after which a file's times are believed to show whether it changed."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured, and how often."""

    graphs: tuple[int, ...] = (1000, 10_000, 100_000)
    builds: tuple[int, ...] = (1000,)
    built: tuple[int, ...] = (1, 100, 1000, 10_000)
    long: int = 2_000_000
    big: int = GIB
    files: int = 20_000
    shared: tuple[int, ...] = (100, 1000, 10_000)
    dead: int = 20_000
    deep: int = 10_000
    many: int = 10_000
    """Builds, to see what a member of a closure costs."""
    scales: tuple[int, ...] = (1000, 10_000, 100_000)
    added: int = 100
    launches: int = 100
    runs: int = 5
    slow_runs: int = 3


QUICK = Sizes(
    graphs=(100, 1000), builds=(100,), built=(1, 100), long=200_000, big=GIB // 16, files=1000, shared=(100,),
    dead=1000, deep=200, many=200, scales=(100, 1000), added=10, launches=20, runs=3, slow_runs=1,
)  # fmt: skip


@dataclass(slots=True)
class Session:
    """`kiln` is the first of `peers`, which are those that are installed."""

    work: Work
    memory: Work | None
    sizes: Sizes
    results: Results
    busybox: str
    peers: list[Peer] = field(default_factory=list)
    patience: float = PATIENCE
    launches: int = 0
    """How many folders for launching were made."""

    def turns(self, *, slow: bool = False) -> Iterator[Peer]:
        """The peers, again and again (A B A B), as often as is measured."""
        for _ in range(self.sizes.slow_runs if slow else self.sizes.runs):
            yield from self.peers

    def time(self, peer: Peer, what: Measure, command: Command) -> Run:
        """Measure one run. Raises Failed."""
        made = measure(command, self.patience)
        self.results.add(what, peer.name, made)
        return made

    def inputs(self, name: str, make: Callable[[str], None], *, memory: bool = False) -> str:
        """A file or folder that `make` made at a path, once a session; settled when it is returned."""
        work = self.memory if memory and self.memory is not None else self.work
        path = os.path.join(work.folder("inputs"), name)
        if not os.path.lexists(path):
            make(path)
            time.sleep(_RACY)
        return path


def open_peers(session: Session, wanted: tuple[str, ...]) -> None:
    """Find out who is there. Says so when Nix is not; its figures and all ratios are then left out."""
    if "kiln" in wanted:
        session.peers.append(Kiln(session.work, session.memory, session.busybox))
    if "nix" in wanted and Nix.is_installed():
        session.peers.append(Nix(session.work, session.memory, session.busybox))
    elif "nix" in wanted:
        session.results.note("Nix is not installed (Debian: apt-get install nix-bin): Kiln's own figures, no ratios")
    for peer in session.peers:
        peer.fresh()
        session.results.note(f"{peer.name}: {peer.version()}")
        run(peer.program(START))  # what a first run leaves behind (compiled modules) is there from now on
        run(peer.build(1))


def find_busybox() -> str:
    """A static busybox: the one program that both peers build with. Raises Failed."""
    found = shutil.which("busybox")
    if found is None:
        raise Failed("busybox is not installed (Debian: apt-get install busybox-static)")
    return os.path.realpath(found)


def memory_folder() -> Work | None:
    """A folder on a tmpfs, where there is one."""
    return Work(_MEMORY) if os.access(_MEMORY, os.W_OK) else None


def size_name(size: int) -> str:
    """`1 GiB`, `2 MB`, `300 kB`."""
    for unit, name in ((GIB, "GiB"), (1 << 20, "MiB"), (1_000_000, "MB"), (1000, "kB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"

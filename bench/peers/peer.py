"""What a group asks of a peer."""

from __future__ import annotations

from typing import Protocol

from bench.inputs import Program
from bench.timing import Command


class Peer(Protocol):
    """A peer with one store, and what it keeps beside it (its caches), below one folder."""

    @property
    def name(self) -> str: ...

    @property
    def caches_code(self) -> bool:
        """Whether it keeps what it made of a file (its tree, its types), and not only whole answers."""
        ...

    def version(self) -> str: ...

    def fresh(self, *, memory: bool = False) -> None:
        """An empty store and empty caches; in memory (a tmpfs) if asked."""
        ...

    def forget(self) -> None:
        """Drop what was remembered of whole questions; what was remembered of code stays."""
        ...

    def empty_store(self) -> None:
        """An empty store; what is kept beside it stays."""
        ...

    def program(self, program: Program) -> Command:
        """Evaluate a small program and print its value."""
        ...

    def check_long(self, size: int) -> Command:
        """Parse (and check, if the peer does) a file of that many bytes, and evaluate the number 1 in it."""
        ...

    def instantiate(self, count: int) -> Command:
        """Evaluate the graph and compute every derivation's identity; build nothing."""
        ...

    def build(self, count: int, *, mention: bool = True) -> Command:
        """Make the root of the graph, two builds at once, or find that it is there."""
        ...

    def populate(self, count: int) -> None:
        """Put everything into the store that building the graph leaves there, without running the builders."""
        ...

    def dead(self, count: int) -> None:
        """A fresh store that holds `count` objects which nothing needs."""
        ...

    def collect(self) -> Command:
        """Remove every object that nothing needs."""
        ...

    def add_file(self, path: str) -> Command: ...

    def add_tree(self, path: str) -> Command: ...

    def verify(self) -> Command:
        """Read every object of the store and compare it with what it should be."""
        ...

    def closure(self, count: int) -> Command:
        """List the closure of the graph's root, which was built or populated before."""
        ...

    def make_big(self, size: int) -> tuple[str, str]:
        """Build an object of random bytes, and one that differs in one byte; what each of them is called."""
        ...

    def graph(self, count: int) -> str:
        """What the root of a populated graph is called."""
        ...

    def push(self, target: str, folder: str) -> Command:
        """Put a target with its closure into the cache in a folder, signed."""
        ...

    def fetch(self, target: str, url: str) -> Command:
        """Make a target by taking it from the cache at an address; signatures are checked."""
        ...

"""Kiln, through its command line where there is a command, else through one of `bench.drivers`.

As it comes: builds are sandboxed, what is registered is durable and signed. Where root runs the session, the store
belongs to the build id, as `kiln` itself arranges it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from bench.inputs import Program, kiln_big, kiln_graph, kiln_long
from bench.places import Work
from bench.timing import Command, run

_HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Kiln:
    """The Kiln of this checkout, in the interpreter that runs the session."""

    name = "kiln"
    caches_code = True

    def __init__(self, work: Work, memory: Work | None, busybox: str) -> None:
        self._work = work
        self._memory = memory
        self._busybox = busybox
        self._root = self._home(in_memory=False)
        self._config = work.folder("kiln-config")
        run(self._kiln("key", "show"))

    def version(self) -> str:
        return run(self._kiln("--version")).strip()

    def fresh(self, *, memory: bool = False) -> None:
        self._root = self._home(in_memory=memory)
        self._where(in_memory=memory).throw_away(self._root)
        os.makedirs(self._root)

    def forget(self) -> None:
        self._work.throw_away(os.path.join(self._cache(), "answers"))

    def empty_store(self) -> None:
        self._work.throw_away(self._store())

    def program(self, program: Program) -> Command:
        file = self._work.file(f"{program.name.replace(' ', '-').replace(',', '')}.kiln", program.kiln)
        return self._kiln("eval", f"{file}#x")

    def check_long(self, size: int) -> Command:
        file = self._work.file(f"long-{size}.kiln", kiln_long(size))
        return self._kiln("eval", f"{file}#x")

    def instantiate(self, count: int) -> Command:
        return self.driver("instantiate", self._store(), self._cache(), self._graph(count))

    def build(self, count: int, *, mention: bool = True) -> Command:
        return self._kiln(
            "realise", self._graph(count, mention=mention), "--no-link", "-j", "2", "--progress", "none"
        )

    def populate(self, count: int) -> None:
        run(self.populating(count))

    def populating(self, count: int, *, mention: bool = True, without: str = "") -> Command:
        """`without` names a node whose record is left out."""
        graph = self._graph(count, mention=mention)
        return self.driver("populate", self._store(), self._cache(), graph, without)

    def dead(self, count: int) -> None:
        self.fresh()
        self.populate(count)

    def collect(self) -> Command:
        return self._kiln("store", "gc")

    def push_all(self, folder: str) -> Command:
        return self._kiln("cache", "push", "--all", "--to", folder, "--progress", "none")

    def add_file(self, path: str) -> Command:
        return self._add(f"file-{os.path.basename(path)}", f"pub let default: Out(File) = source_file(`{path}`);\n")

    def add_tree(self, path: str) -> Command:
        return self._add(f"tree-{os.path.basename(path)}", f"pub let default: Out(Tree) = source(`{path}`);\n")

    def verify(self) -> Command:
        return self._kiln("store", "verify")

    def closure(self, count: int) -> Command:
        root = run(self.build(count)).split()[-1]
        return self.driver("closure", self._store(), os.path.basename(root))

    def make_big(self, size: int) -> tuple[str, str]:
        file = self._work.file(f"big-{size}.kiln", kiln_big(size, self._busybox))
        old, new = f"{file}#old", f"{file}#new"
        run(self._kiln("realise", old, new, "--no-link", "--progress", "none"))
        return old, new

    def graph(self, count: int, *, mention: bool = True) -> str:
        return self._graph(count, mention=mention)

    def push(self, target: str, folder: str) -> Command:
        return self._kiln("cache", "push", target, "--to", folder, "--progress", "none")

    def fetch(self, target: str, url: str) -> Command:
        """The key that signed is the reader's own: he is the same user, with another store."""
        made = self._kiln("realise", target, "--no-link", "--progress", "none")
        return replace(made, env={**made.env, "KILN_CACHES": url})

    def driver(self, name: str, *words: str) -> Command:
        """One of `bench.drivers`, in a process of its own."""
        return Command((sys.executable, "-m", f"bench.drivers.{name}", *words), self._env(), _HERE)

    def _add(self, name: str, text: str) -> Command:
        return self._kiln("realise", self._work.file(f"{name}.kiln", text), "--no-link", "--progress", "none")

    def _kiln(self, *words: str) -> Command:
        return Command((sys.executable, "-m", "kiln", *words), self._env(), _HERE)

    def _env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": self._root,
            "LANG": "C.UTF-8",
            "XDG_CACHE_HOME": os.path.join(self._root, "cache"),
            "XDG_CONFIG_HOME": self._config,
            "KILN_STORE": self._store(),
        }

    def _home(self, *, in_memory: bool) -> str:
        return os.path.join(self._where(in_memory=in_memory).path, "kiln")

    def _where(self, *, in_memory: bool) -> Work:
        return self._memory if in_memory and self._memory is not None else self._work

    def _store(self) -> str:
        return os.path.join(self._root, "store")

    def _cache(self) -> str:
        return os.path.join(self._root, "cache", "kiln")

    def _graph(self, count: int, *, mention: bool = True) -> str:
        name = f"graph-{count}-{'refs' if mention else 'flat'}.kiln"
        return self._work.file(name, kiln_graph(count, self._busybox, mention=mention))

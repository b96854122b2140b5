"""Nix, with every path that it uses below one folder: a store in single-user mode, no substituter, no package set."""

from __future__ import annotations

import os
import shutil

from bench.inputs import Program, graph_nodes, nix_big, nix_graph, nix_long
from bench.places import Work
from bench.timing import Command, Failed, run

_SHOWN = 20


class Nix:
    """Needs `nix-instantiate`, `nix-build`, `nix-store` (Debian: nix-bin) and a static busybox."""

    name = "nix"
    caches_code = False

    @staticmethod
    def is_installed() -> bool:
        return all(map(shutil.which, ("nix-instantiate", "nix-build", "nix-store")))

    def __init__(self, work: Work, memory: Work | None, busybox: str) -> None:
        self._work = work
        self._memory = memory
        self._root = self._home(in_memory=False)
        self._tree = work.folder("busybox-tree")
        shutil.copy(busybox, os.path.join(work.folder("busybox-tree", "bin"), "busybox"))
        os.symlink("busybox", os.path.join(self._tree, "bin", "sh"))
        self._busybox = ""

    def version(self) -> str:
        return run(self._command("nix-store", "--version")).strip()

    def fresh(self, *, memory: bool = False) -> None:
        self._root = self._home(in_memory=memory)
        self._where(in_memory=memory).throw_away(self._root)
        os.makedirs(os.path.join(self._root, "home"))
        self._busybox = run(self._command("nix-store", "--add", self._tree)).strip()

    def forget(self) -> None:
        """It remembers nothing of a question."""

    def empty_store(self) -> None:
        self.fresh()

    def program(self, program: Program) -> Command:
        return self._command("nix-instantiate", "--eval", "--strict", "--expr", program.nix)

    def check_long(self, size: int) -> Command:
        file = self._work.file(f"long-{size}.nix", nix_long(size))
        return self._command("nix-instantiate", "--eval", "--expr", f"(import {file}).x")

    def instantiate(self, count: int) -> Command:
        return self._command("nix-instantiate", "-Q", self._graph(count))

    def build(self, count: int, *, mention: bool = True) -> Command:
        options = ("--no-out-link", "-Q", "-j2", "--option", "sandbox", "true")
        return self._command("nix-build", *options, self._graph(count, mention=mention))

    def populate(self, count: int) -> None:
        """Write the outputs and register them, as a build does: their paths follow from their derivations."""
        derivation = run(self.instantiate(count)).split()[-1]
        every = run(self._command("nix-store", "--query", "--requisites", derivation)).split()
        derivers = {path[:-4].split("-", 1)[1]: path for path in every if path.endswith(".drv")}
        names = [node.name for node in graph_nodes(count)]
        asked = self._command("nix-store", "--query", "--outputs", *(derivers[name] for name in names))
        outputs = {path.rsplit("-", 1)[1]: path for path in run(asked).split()}
        if outputs.keys() != set(names):
            raise Failed(f"nix-store told the outputs of {len(outputs)} of {count} derivations")
        lines: list[str] = []
        for node in graph_nodes(count):
            needs = [outputs[name] for name in node.needs]
            with open(outputs[node.name], "w", encoding="utf-8") as file:
                file.write(" ".join([node.name, *needs]) + "\n")
            lines += [outputs[node.name], derivers[node.name], str(len(needs)), *needs]
        run(self._command("nix-store", "--register-validity", stdin="\n".join(lines) + "\n"))

    def dead(self, count: int) -> None:
        """A derivation is an object too: half of them are."""
        self.fresh()
        self.populate(count // 2)

    def collect(self) -> Command:
        return self._command("nix-store", "--gc")

    def add_file(self, path: str) -> Command:
        return self._command("nix-store", "--add", path)

    def add_tree(self, path: str) -> Command:
        return self._command("nix-store", "--add", path)

    def verify(self) -> Command:
        return self._command("nix-store", "--verify", "--check-contents")

    def closure(self, count: int) -> Command:
        root = run(self.build(count)).split()[-1]
        return self._command("nix-store", "--query", "--requisites", root)

    def make_big(self, size: int) -> tuple[str, str]:
        key = os.path.basename(self._busybox)[:_SHOWN]
        file = self._work.file(f"big-{size}-{key}.nix", nix_big(size, self._busybox))
        options = ("--no-out-link", "-Q", "--option", "sandbox", "true")
        return (
            run(self._command("nix-build", *options, "-A", "old", file)).strip(),
            run(self._command("nix-build", *options, "-A", "new", file)).strip(),
        )

    def graph(self, count: int) -> str:
        return run(self.build(count)).split()[-1]

    def push(self, target: str, folder: str) -> Command:
        url = f"file://{folder}?compression=zstd&secret-key={self._keys()}"
        return self._command("nix", "--extra-experimental-features", "nix-command", "copy", "--to", url, target)

    def fetch(self, target: str, url: str) -> Command:
        with open(f"{self._keys()}.public", encoding="utf-8") as file:
            key = file.read().strip()
        options = ("--option", "substituters", url, "--option", "trusted-public-keys", key)
        return self._command("nix-store", "--realise", target, *options)

    def _keys(self) -> str:
        """The file of the secret key that signs what is pushed; the public one lies beside it."""
        secret = os.path.join(self._work.folder("nix-keys"), "secret")
        if not os.path.exists(secret):
            nix = ("nix", "--extra-experimental-features", "nix-command", "key")
            made = run(self._command(*nix, "generate-secret", "--key-name", "bench-1"))
            public = run(self._command(*nix, "convert-secret-to-public", stdin=made))
            for path, text in ((f"{secret}.public", public), (secret, made)):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
        return secret

    def _home(self, *, in_memory: bool) -> str:
        return os.path.join(self._where(in_memory=in_memory).path, "nix")

    def _where(self, *, in_memory: bool) -> Work:
        return self._memory if in_memory and self._memory is not None else self._work

    def _graph(self, count: int, *, mention: bool = True) -> str:
        # The busybox's store path is the same in every store at this place, and another in one elsewhere.
        key = os.path.basename(self._busybox)[:_SHOWN]
        name = f"graph-{count}-{'refs' if mention else 'flat'}-{key}.nix"
        return self._work.file(name, nix_graph(count, self._busybox, mention=mention))

    def _command(self, *argv: str, stdin: str = "") -> Command:
        root = self._root
        config = ("build-users-group =", "substituters =", "sandbox-fallback = false")
        env = {
            "PATH": os.environ["PATH"],
            "HOME": os.path.join(root, "home"),
            "XDG_CACHE_HOME": os.path.join(root, "cache"),
            "NIX_STORE_DIR": os.path.join(root, "store"),
            "NIX_STATE_DIR": os.path.join(root, "var"),
            "NIX_LOG_DIR": os.path.join(root, "log"),
            "NIX_CONF_DIR": os.path.join(root, "etc"),
            "NIX_CONFIG": "\n".join(config) + "\n",
        }
        return Command(argv, env, stdin=stdin)

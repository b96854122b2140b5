"""`kiln cache serve` as a process of its own, that a test can end in any way and start again."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kiln.serve.tokens import format_tokens, parse_tokens, token_digest
from kiln.store.provenance.trust import TrustedKey, format_trusted
from tests.support.home import REPOSITORY

TOKENS = {"writer": "write", "second": "write", "reader": "read", "stale": "write"}
PATIENCE = 30

KILLED = """
import os, signal, sys
from kiln.serve.admission import Admitter
left = int(sys.argv.pop(1))
def counting(call):
    def counted(*args, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    return counted
admit = Admitter._admit
def armed(self, upload):
    for name in ("link", "replace", "fsync", "makedirs", "chmod", "utime", "unlink"):
        setattr(os, name, counting(getattr(os, name)))
    return admit(self, upload)
Admitter._admit = armed
from kiln.__main__ import main
sys.exit(main())
"""
"""A server that is killed at the n-th change to the disk that admitting makes."""


class Said(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Served:
    """A cache folder, tokens by their names, keys; and a server, while it runs."""

    def __init__(self, folder: Path, keys: Sequence[TrustedKey] = ()) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.cache.mkdir(parents=True)
        lines = [
            f"{right} {token_digest(name)} {name}" + (" expires=2001-01-31" if name == "stale" else "")
            for name, right in TOKENS.items()
        ]
        self.tokens = folder / "tokens"
        self.tokens.write_text(format_tokens(parse_tokens("\n".join(lines))))
        self.trust = folder / "trusted"
        self.trust.write_text(format_trusted(keys))
        self.trust.chmod(0o600)
        self.port = 0
        self.url = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self, *words: str, program: Sequence[str] = ("-m", "kiln"), **options: Any) -> str:
        """Start it, at the port that it had before; its address."""
        listen = [] if "--listen" in words else ["--listen", f"127.0.0.1:{self.port}"]
        given = [str(self.cache), "--tokens", str(self.tokens), "--trust", str(self.trust), *listen, *words]
        return self.run([*program, "cache", "serve", *given], **options)

    def run(self, words: Sequence[str], env: Mapping[str, str] | None = None, **options: Any) -> str:
        """Start a server by these words; its address."""
        self._process = subprocess.Popen(
            [sys.executable, *words],
            env={**self.env(), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            **options,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the server did not start"
        if self.url.startswith("http"):
            self.port = int(self.url.rsplit(":", 1)[1])
        return self.url

    def env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        home = self.folder / "home"
        return {**kept, "HOME": str(home), "KILN_STORE": str(self.folder / "store"), "PYTHONPATH": REPOSITORY}

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """As a machine that loses its power ends it."""
        self.end(signal.SIGKILL)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit code."""
        assert self._process is not None
        self._process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """Until it has ended; its exit code."""
        assert self._process is not None and self._process.stdout is not None
        code = self._process.wait(PATIENCE)
        self._process.stdout.close()
        self._process = None
        return code

    def close(self) -> None:
        if self._process is not None:
            self.kill()

    def ask(self, method: str, path: str, body: bytes | None = None, token: str = "", **headers: str) -> Said:
        """One request, over TCP or the socket."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        if self.url.startswith("unix:"):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self.url.removeprefix("unix://"))
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Said(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()


def until(holds: Any, patience: float = PATIENCE) -> None:
    """Wait for what another process brings about."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)

"""A user's surroundings for a test: folders of its own, a fixed environment, and `kiln` run in them.

Nothing of the machine's own settings is seen but the way to the network: proxies and certificates. Mirrors are
what the test gives; without any, nothing can be fetched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLES = os.path.join(REPOSITORY, "examples")
PACKAGES = ("busybox", "musl", "tcc", "cc", "make", "zlib", "lua", "bzip2", "sqlite", "hello", "app")
"""What the examples build, each an attribute of examples/all.kiln."""
PATIENCE = 300
"""Seconds after which a command is taken for hung."""

_FOLDERS = ("home", "work", "cache", "config/kiln", "tmp")
_KEPT = (
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO",
)  # fmt: skip


def target(name: str) -> str:
    """FILE#attribute of an example."""
    return f"{os.path.join(EXAMPLES, 'all.kiln')}#{name}"


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document that stdout holds."""
        assert self.out.count("\n") == 1, f"stdout is not one document:\n{self.out}\n{self.err}"
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    def expect(self, code: int = 0) -> Done:
        """This, having ended with a code."""
        assert self.code == code, f"exit code {self.code}, not {code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"
        return self


@dataclass(slots=True)
class Home:
    """Everything below `folder`. `prefix` stands before each command: what runs it as another user."""

    folder: str
    mirrors: Mapping[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    python: Sequence[str] = (sys.executable,)
    store: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = self.store or os.path.join(self.folder, "store")
        for name in _FOLDERS:
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        if not os.path.exists(self.config):
            self.configure("clients = false")

    @property
    def config(self) -> str:
        return os.path.join(self.folder, "config/kiln/config.toml")

    @property
    def work(self) -> str:
        """Where commands run."""
        return os.path.join(self.folder, "work")

    @property
    def objects(self) -> str:
        """The folder whose entries are the store's objects."""
        return os.path.join(self.store, "store")

    def configure(self, mirrors: str) -> None:
        """Write the table of mirrors in Kiln's configuration."""
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f"[mirrors]\n{mirrors}\n")

    def give_to(self, user: int) -> None:
        """Make another user the owner of these folders."""
        for name in ("", "config", *_FOLDERS):
            os.chown(os.path.join(self.folder, name), user, user)

    def write(self, name: str, text: str) -> str:
        """A file in the folder where commands run; its path."""
        path = os.path.join(self.work, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        return path

    def env(self) -> dict[str, str]:
        """All that a command sees of an environment."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return {
            **kept,
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": os.path.join(self.folder, "home"),
            "XDG_CONFIG_HOME": os.path.join(self.folder, "config"),
            "XDG_CACHE_HOME": os.path.join(self.folder, "cache"),
            "XDG_DATA_HOME": os.path.join(self.folder, "data"),
            "TMPDIR": os.path.join(self.folder, "tmp"),
            "KILN_STORE": self.store,
            "PYTHONPATH": os.pathsep.join(filter(None, (REPOSITORY, os.environ.get("PYTHONPATH")))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TZ": "UTC",
            "LANG": "C.UTF-8",
            "KILN": f"{self.python[-1]} -m kiln",
            "TERM": "xterm-256color",
            **{f"KILN_MIRROR_{kind.upper()}": address for kind, address in self.mirrors.items()},
            **self.extra,
        }

    def command(self, *words: str) -> list[str]:
        """The words that run `kiln` as this user."""
        return [*self.prefix, *self.python, "-m", "kiln", *words]

    def start(self, *words: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[bytes]:
        """`kiln …`, running, in a session of its own."""
        return subprocess.Popen(
            self.command(*words),
            cwd=options.pop("cwd", self.work),
            env={**self.env(), **(env or {})},
            stdin=options.pop("stdin", subprocess.DEVNULL),
            start_new_session=True,
            **options,
        )

    def kiln(self, *words: str, env: Mapping[str, str] | None = None, cwd: str | None = None) -> Done:
        """`kiln …`, to its end."""
        return self.run(self.command(*words), env=env, cwd=cwd)

    def run(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | None = None, stdin: str = ""
    ) -> Done:
        """Any command in these surroundings, to its end."""
        done = subprocess.run(
            command,
            cwd=cwd or self.work,
            env={**self.env(), **(env or {})},
            input=stdin.encode(),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode("utf-8"))

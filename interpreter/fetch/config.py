"""What a user may configure about fetching.

    # $XDG_CONFIG_HOME/kiln/config.toml            (~/.config/kiln/config.toml)
    [mirrors]
    debian  = ["http://mirror.example/debian/"]    tried in this order; a string or a list
    pypi    = "https://mirror.example/simple/"
    npm     = "https://mirror.example/npm/"
    clients = true                                 afterwards, ask apt, pip and npm what they use

`KILN_MIRROR_DEBIAN`, `KILN_MIRROR_PYPI` and `KILN_MIRROR_NPM` (addresses apart by spaces) come before the
file. A mirror is http, https or file; one of a private network may carry a user and a password, which no
message shows. Everything else about fetching is a limit, fixed in `Limits`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from kiln.interpreter.fetch.errors import BadConfig
from kiln.interpreter.fetch.source import redact

KINDS = ("debian", "pypi", "npm")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, how often and how much. Seconds and bytes."""

    connect: float = 15.0
    silence: float = 30.0
    """Without one byte for so long, a connection is given up."""
    floor: int = 1024
    """Bytes a second; slower than this over `floor_window` is given up."""
    floor_window: float = 30.0
    tries: int = 4
    """Requests for one address that bring nothing new; one that brought `progress` bytes doesn't count."""
    progress: int = 1 << 20
    backoff: float = 0.4
    """Before the second try; doubled each time, up to `longest_wait`, which also bounds Retry-After."""
    longest_wait: float = 20.0
    redirects: int = 8
    size: int = 16 << 30
    document: int = 64 << 20
    """The largest index page or package document that is read."""
    git: float = 1800.0


@dataclass(frozen=True, slots=True)
class FetchConfig:
    """Mirrors by kind, whether the machine's own clients are asked too, and the limits.

    `keep_dir` is where a file that failed its digest is kept; without it, beside the destination.
    """

    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ask_clients: bool = True
    offline: bool = False
    keep_dir: str | None = None
    limits: Limits = Limits()


def load_config(env: Mapping[str, str], *, offline: bool = False, keep_dir: str | None = None) -> FetchConfig:
    """The configuration of this user. Raises BadConfig."""
    table = _mirrors_table(_config_path(env))
    clients = table.pop("clients", True)
    if not isinstance(clients, bool):
        raise BadConfig("[mirrors] clients is true or false", found=repr(clients))
    unknown = sorted(set(table) - set(KINDS))
    if unknown:
        raise BadConfig(
            "an unknown name in [mirrors]", found=", ".join(unknown), expected=", ".join((*KINDS, "clients"))
        )
    mirrors = {
        kind: tuple(
            check_mirror(item, place)
            for item, place in [
                *((item, f"KILN_MIRROR_{kind.upper()}") for item in _from_env(env, kind)),
                *((item, f"[mirrors] {kind}") for item in _as_list(table.get(kind), kind)),
            ]
        )
        for kind in KINDS
    }
    return FetchConfig(mirrors, clients, offline, keep_dir)


def check_mirror(address: str, place: str) -> str:
    """A base address that ends in a slash. `place` says where it was written. Raises BadConfig."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    local = parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc
    if not (local or (parts.scheme in ("http", "https") and parts.hostname)) or parts.query or parts.fragment:
        raise BadConfig(
            f"a mirror in {place} is not an address",
            found=repr(redact(address)[:200]),
            expected="http://…, https://… or file:///…",
        )
    plain = f"file://{parts.path}" if local else address
    return plain if plain.endswith("/") else plain + "/"


def _config_path(env: Mapping[str, str]) -> str | None:
    base = env.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        home = env.get("HOME", "")
        if not home.startswith("/"):
            return None
        base = os.path.join(home, ".config")
    return os.path.join(base, "kiln", "config.toml")


def _mirrors_table(path: str | None) -> dict[str, object]:
    try:
        if path is None:
            return {}
        with open(path, "rb") as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise BadConfig("Kiln's configuration cannot be read", found=f"{path}: {error.strerror}") from None
    import tomllib  # 20 ms: only where there is a file

    try:
        table = tomllib.loads(data.decode()).get("mirrors", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig("Kiln's configuration is not TOML", found=f"{path}: {error}") from None
    if not isinstance(table, dict):
        raise BadConfig("[mirrors] is a table", found=f"{path}: {table!r}")
    return table


def _from_env(env: Mapping[str, str], kind: str) -> list[str]:
    return env.get(f"KILN_MIRROR_{kind.upper()}", "").split()


def _as_list(value: object, kind: str) -> list[str]:
    match value:
        case None:
            return []
        case str():
            return [value]
        case list() if all(isinstance(item, str) for item in value):
            return value
        case _:
            raise BadConfig(f"[mirrors] {kind} is an address or a list of them", found=repr(value)[:200])

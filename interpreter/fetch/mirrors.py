"""The mirrors of each kind of source: Kiln's configuration first, then what the machine's own client uses.

A client is asked once in the life of a process, and only when every configured mirror has failed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeAlias

from kiln.interpreter.fetch import clients
from kiln.interpreter.fetch.config import FetchConfig, check_mirror
from kiln.interpreter.fetch.errors import BadConfig

Kind: TypeAlias = Literal["debian", "pypi", "npm"]

_CLIENTS: dict[Kind, tuple[str, Callable[[Mapping[str, str]], tuple[str, ...]]]] = {
    "debian": ("apt-get", clients.debian_mirrors),
    "pypi": ("pip", clients.pypi_index),
    "npm": ("npm", clients.npm_registry),
}
_lock = threading.Lock()
_known: dict[tuple[Kind, frozenset[tuple[str, str]]], tuple[str, ...]] = {}  # guarded by _lock


def mirrors(kind: Kind, config: FetchConfig, env: Mapping[str, str]) -> Iterator[str]:
    """Base addresses, each ending in a slash, in the order in which they are to be tried."""
    configured = config.mirrors.get(kind, ())
    yield from configured
    if config.ask_clients:
        yield from (base for base in _from_client(kind, env) if base not in configured)


def how_to_configure(kind: Kind, config: FetchConfig) -> str:
    """What to do when there is no mirror."""
    client = _CLIENTS[kind][0]
    asked = f"{client} knows none" if config.ask_clients else f"{client} is not asked (clients = false)"
    return f"{asked}; set {kind} in [mirrors] of Kiln's config.toml, or KILN_MIRROR_{kind.upper()}"


def _from_client(kind: Kind, env: Mapping[str, str]) -> tuple[str, ...]:
    key = kind, frozenset(env.items())
    with _lock:
        if key not in _known:
            client, ask = _CLIENTS[kind]
            found = []
            for address in ask(env):
                try:
                    found.append(check_mirror(address, client))
                except BadConfig:
                    continue  # one that only the client itself can use
            _known[key] = tuple(found)
        return _known[key]

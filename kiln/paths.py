"""Where Kiln keeps things for this user, by the XDG base directory specification."""

from __future__ import annotations

import os


def _base(variable: str, fallback: str) -> str:
    value = os.environ.get(variable, "")
    return value if os.path.isabs(value) else os.path.join(os.path.expanduser("~"), fallback)


def data_root() -> str:
    """The folder that holds the store, its index, its keys and its evidence."""
    named = os.environ.get("KILN_STORE")
    return os.path.abspath(named) if named else os.path.join(_base("XDG_DATA_HOME", ".local/share"), "kiln")


def cache_root() -> str:
    """The folder of everything that can be made again."""
    return os.path.join(_base("XDG_CACHE_HOME", ".cache"), "kiln")


def config_root() -> str:
    """The folder of what the user decided: mirrors, caches, trusted keys."""
    return os.path.join(_base("XDG_CONFIG_HOME", ".config"), "kiln")


def state_root() -> str:
    """The folder of what Kiln remembers between runs: it can be lost, but is not made again."""
    return os.path.join(_base("XDG_STATE_HOME", ".local/state"), "kiln")

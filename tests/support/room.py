"""One folder for a whole session of tests, that its worker processes share and every user can enter.

What is dear to make is made there once: whoever needs it first makes it, under a lock, and the others wait.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

VARIABLE = "KILN_TESTS_ROOM"
"""Names the folder to worker processes."""
_DOWNLOADS = "KILN_TESTS_DOWNLOADS"
_OWN_FOLDERS = {"XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data"}


def open_room() -> str:
    """Make the folder; workers that are started later find it by their environment."""
    room = tempfile.mkdtemp(prefix="kiln-tests-")
    os.chmod(room, 0o755)
    os.environ[VARIABLE] = room
    return room


def keep_apart() -> None:
    """What runs in the tests' own processes keeps its things in the room, and nothing in the user's own folders."""
    os.environ.setdefault(_DOWNLOADS, os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    for variable, name in _OWN_FOLDERS.items():
        os.environ[variable] = os.path.join(os.environ[VARIABLE], "own", name)


def downloads() -> str:
    """The user's folder of what tests downloaded, which outlives a session."""
    return os.path.join(os.environ[_DOWNLOADS], "kiln-tests")


def remove_room(room: str) -> None:
    """Remove it, and forget it."""
    os.environ.pop(VARIABLE, None)
    remove_tree(room)


def remove_tree(top: str) -> None:
    """Remove a folder with stores in it, whose folders are read-only."""
    for folder, folders, _ in os.walk(top):
        for name in folders:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(top)


def once(name: str, make: Callable[[str], None]) -> str:
    """The path of what `make` makes at a path in the room; made in this session already, or now."""
    path = os.path.join(os.environ[VARIABLE], name)
    with _locked(f"{path}.lock"):
        if not os.path.exists(f"{path}.ready"):
            make(path)
            with open(f"{path}.ready", "x", encoding="ascii"):
                pass
    return path


@contextmanager
def _locked(path: str) -> Iterator[None]:
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

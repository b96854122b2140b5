"""Putting a store in order after processes that died in it.

At each open, folders under .tmp whose session nobody locks are taken up, by one process at a time. What their
intents name and is in place but not registered is an orphan. It is adopted if its small file proves itself, its
bytes are the manifest's and its references are here; otherwise it goes to the trash. When all the objects of a
commit are registered, its records follow (see `settle`). Then the session's folder goes to the trash. A store in
which nobody died costs one listing of an empty folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kiln.store import tables
from kiln.store.commit import Intent, decode_intent
from kiln.store.disk import disk_errors, open_directory, read_file
from kiln.store.index import Environment
from kiln.store.layout import Layout
from kiln.store.locks import FileLock, is_alive
from kiln.store.session import INTENT
from kiln.store.settle import Settler
from kiln.store.trash import to_trash


class Recovered(NamedTuple):
    """What a recovery did: store entries adopted and trashed, sessions of dead processes removed."""

    adopted: tuple[str, ...] = ()
    trashed: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()


def dead_sessions(layout: Layout) -> list[str]:
    """Folders under .tmp whose process is gone."""
    return [name for name in os.listdir(layout.temp) if not is_alive(layout, name)]


def recover(layout: Layout, index: Environment) -> Recovered:
    """Take up what dead processes left. Raises StoreLocked, NoSpace, Damaged, StoreError."""
    if not os.listdir(layout.temp):
        return Recovered()
    lock = FileLock(layout, f"{layout.locks}/recover")
    if not lock.try_acquire():
        return Recovered()
    try:
        with disk_errors("putting the store in order"):
            names = dead_sessions(layout)
            if not names:
                return Recovered()
            index.check_readers()
            settler = Settler(layout, index)
            for folder, intent in _intents(layout, names):
                settler.settle(folder, intent)
            _settle_collection(layout, index)
            for name in names:
                _discard_session(layout, name)
            return Recovered(tuple(settler.adopted), tuple(settler.trashed), tuple(names))
    finally:
        lock.release()


def _intents(layout: Layout, sessions: Iterable[str]) -> Iterator[tuple[str, Intent]]:
    """Each unfinished commit, with the folder that holds its drafts."""
    for session in sessions:
        folder = f"{layout.temp}/{session}"
        for name in sorted(os.listdir(folder)):
            if name.startswith(INTENT):
                yield folder, decode_intent(read_file(f"{folder}/{name}"))


def _settle_collection(layout: Layout, index: Environment) -> None:
    """Finish what a collector that died had taken out of the index."""
    if index.view(lambda txn: txn.first_at(tables.TRASH, b"")) is None:
        return
    from kiln.store.collect import settle_notes

    lock = FileLock(layout, f"{layout.locks}/collect")
    if lock.try_acquire():
        try:
            settle_notes(layout, index)
        finally:
            lock.release()


def _discard_session(layout: Layout, name: str) -> None:
    temp_fd = open_directory(layout.temp)
    try:
        to_trash(layout, temp_fd, os.fsencode(name))
    finally:
        os.close(temp_fd)

"""What a store gathers beside objects, and what of it goes with a collection.

failed/          trees of failed builds: a week, and the last 20 of any age
logs/            a month, and the last 100 of any age; longer while something that the build made is here
locks/builds/    files of builders that died
envelopes/       for ever, unless evidence is asked for: see `evidence`
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple

from kiln.store import tables
from kiln.store.digest import ResolvedDigest
from kiln.store.disk import disk_errors
from kiln.store.evidence import sweep_evidence
from kiln.store.index import Environment, Txn
from kiln.store.lastuse import DAY
from kiln.store.layout import Layout
from kiln.store.locks import FileLock
from kiln.store.pool import Pool
from kiln.store.session import Session
from kiln.store.trash import Bin

FAILED_DAYS = 7
FAILED_KEPT = 20
LOG_DAYS = 30
LOGS_KEPT = 100
"""The youngest, whatever their age: a clock that jumps ahead makes everything old at once."""


class Swept(NamedTuple):
    """How many of each went, or would go."""

    failed: int
    logs: int
    envelopes: int

    def texts(self) -> list[str]:
        """For people; nothing of what is none."""
        named = ((self.failed, "failed builds"), (self.logs, "logs"), (self.envelopes, "envelopes"))
        return [f"{number} {what}" for number, what in named if number]


def sweep_leftovers(layout: Layout, index: Environment, session: Session, *, evidence: bool, dry_run: bool) -> Swept:
    """Remove them. The caller holds the collector's lock. Raises StoreLocked, NoSpace, StoreError."""
    failed = _old_failures(layout)
    logs = _old_logs(layout, index)
    with disk_errors("removing leftovers"):
        if not dry_run:
            with Bin(layout) as trash:
                for name in failed:
                    trash.take(f"{layout.root}/failed", name, is_tree=None)
                for name in logs:
                    trash.take(layout.logs, name)
            _remove_dead_locks(layout)
            Pool(layout).prune()
        envelopes = sweep_evidence(layout, index, session, dry_run=dry_run) if evidence else 0
    return Swept(len(failed), len(logs), envelopes)


def _by_age(folder: str) -> list[tuple[float, str]]:
    """Age in days and name of each entry, the youngest first."""
    now, found = time.time(), []
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            with suppress(FileNotFoundError):
                found.append(((now - os.lstat(f"{folder}/{name}").st_ctime) / DAY, name))
    return sorted(found)


def _old_failures(layout: Layout) -> list[str]:
    return [name for age, name in _by_age(f"{layout.root}/failed")[FAILED_KEPT:] if age > FAILED_DAYS]


def _old_logs(layout: Layout, index: Environment) -> list[str]:
    old = [name for age, name in _by_age(layout.logs)[LOGS_KEPT:] if age > LOG_DAYS]

    def body(txn: Txn) -> list[str]:
        return [name for name in old if not _is_needed(txn, name)]

    return index.view(body) if old else []


def _is_needed(txn: Txn, log: str) -> bool:
    try:
        resolved = ResolvedDigest(bytes.fromhex(log.partition(".")[0]))
    except ValueError:
        return False
    return any(tables.get_object(txn, item.claim.object) is not None for item in tables.claims_for(txn, resolved))


def _remove_dead_locks(layout: Layout) -> None:
    folder = f"{layout.locks}/builds"
    for name in os.listdir(folder):
        lock = FileLock(layout, f"{folder}/{name}")
        if lock.try_acquire():
            lock.release(remove=True)

"""What a store gathers beside objects, and what of it goes with a collection.

failed/          trees of failed builds: a week, and the last 20 of any age
logs/            a month; longer while something that the build made is here
locks/builds/    files of builders that died
envelopes/       for ever. Only when evidence is asked for: those whose every subject is gone, with the
                 witnesses that cite them, the claims that nobody then witnesses, and the resolutions that
                 lead to nothing. An envelope that no witness cites (a verdict, an attestation) always stays.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple

from kiln.store import tables
from kiln.store.digest import ResolvedDigest
from kiln.store.disk import disk_errors, read_file
from kiln.store.errors import StoreError
from kiln.store.index import Environment, Table, Txn
from kiln.store.lastuse import DAY
from kiln.store.layout import Layout
from kiln.store.locks import FileLock
from kiln.store.passage import sole_passage
from kiln.store.pool import Pool
from kiln.store.recordfile import BUNDLE, record_files, resolution_file, witness_file
from kiln.store.records import decode_claim, decode_resolution
from kiln.store.trash import Bin

FAILED_DAYS = 7
FAILED_KEPT = 20
LOG_DAYS = 30


class Swept(NamedTuple):
    """How many of each went, or would go."""

    failed: int
    logs: int
    envelopes: int

    def texts(self) -> list[str]:
        """For people; nothing of what is none."""
        named = ((self.failed, "failed builds"), (self.logs, "logs"), (self.envelopes, "envelopes"))
        return [f"{number} {what}" for number, what in named if number]


def sweep_leftovers(layout: Layout, index: Environment, *, evidence: bool, dry_run: bool) -> Swept:
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
        envelopes = _sweep_evidence(layout, index, dry_run=dry_run) if evidence else 0
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
    old = [name for age, name in _by_age(layout.logs) if age > LOG_DAYS]

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


class _Evidence(NamedTuple):
    """What goes: rows of the index by table, files of records/, files of envelopes/."""

    rows: list[tuple[Table, bytes, bytes]]
    records: list[str]
    envelopes: list[str]


def _sweep_evidence(layout: Layout, index: Environment, *, dry_run: bool) -> int:
    with sole_passage(layout):
        found = index.view(_dead_evidence)
        if dry_run or not found.rows:
            return len(found.envelopes)

        def body(txn: Txn) -> None:
            for table, key, value in found.rows:
                txn.delete(table, key, value)

        index.update(body)
        with Bin(layout) as trash:
            for name in (*found.records, *_emptied(layout, set(found.records))):
                trash.take(layout.records, name)
            for name in found.envelopes:
                trash.take(layout.envelopes, name)
    return len(found.envelopes)


def _emptied(layout: Layout, gone: set[str]) -> list[str]:
    """Files of many records, all of which go. One that keeps a record stays whole: the index alone is asked."""
    found = []
    for name in os.listdir(layout.records):
        if name.startswith(BUNDLE):
            with suppress(FileNotFoundError, StoreError):
                inside = {inner for inner, _ in record_files(name, read_file(f"{layout.records}/{name}"))}
                if inside <= gone:
                    found.append(name)
    return found


def _dead_evidence(txn: Txn) -> _Evidence:
    found = _Evidence([], [], [])
    cited: dict[bytes, bool] = {}  # envelope → whether one of its subjects is here
    leading: set[bytes] = set()
    for digest, data in txn.items(tables.CLAIMS):
        claim = decode_claim(data)
        alive = txn.get(tables.OBJECTS, claim.object) is not None
        for item in tables.witnessed(txn, [digest]):
            cited[item.witness.envelope] = cited.get(item.witness.envelope, False) or alive
    for digest, data in txn.items(tables.CLAIMS):
        claim = decode_claim(data)
        items = tables.witnessed(txn, [digest])
        gone = [item for item in items if not cited[item.witness.envelope]]
        for item in gone:
            found.rows.append((tables.WITNESSES, digest + item.witness.digest, b""))
            found.records.append(witness_file(item.witness))
        if len(gone) < len(items):
            leading.add(claim.resolved)
        else:
            found.rows.append((tables.CLAIMS, digest, b""))
            found.rows.append((tables.BY_RESOLVED, claim.resolved, digest))
            found.rows.append((tables.PRODUCERS, claim.object, digest))
            contested = tables.contested_key(claim.resolved, claim.output)
            found.rows.append((tables.CONTESTED, contested, claim.object))
    for key, data in txn.items(tables.RESOLUTIONS):
        resolution = decode_resolution(data)
        if resolution.resolved not in leading:
            found.rows.append((tables.RESOLUTIONS, key, b""))
            found.records.append(resolution_file(resolution))
    found.envelopes.extend(f"{envelope.hex()}.json" for envelope, alive in cited.items() if not alive)
    return found

"""Removing evidence of what is gone, when that is asked for.

What goes: envelopes whose every subject is gone, with the witnesses that cite them, the claims that nobody then
witnesses, and the resolutions that lead to nothing. An envelope that no witness cites (a verdict, an attestation)
always stays.

Others go on registering meanwhile, and may speak of the same objects again. So everything is decoded outside the
passage; inside it only what was registered since then is, if anything was, and one batch goes: rows first, in an
order in which no witness is ever without its claim, then files. Files of many records are written again with what
is left in them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from kiln.store import commit, tables
from kiln.store.disk import read_file
from kiln.store.errors import StoreError
from kiln.store.index import Environment, Table, Txn
from kiln.store.layout import Layout
from kiln.store.passage import sole_passage
from kiln.store.recordfile import BUNDLE, encode_bundle, record_files, resolution_file, witness_file
from kiln.store.records import Claim, decode_claim, decode_resolution
from kiln.store.session import Session
from kiln.store.trash import Bin

BATCH = 500
"""Items removed in one passage, during which commits wait: some tens of milliseconds."""


class _Cited(NamedTuple):
    """A witness: its claim, the envelope that it cites, its file."""

    claim: bytes
    envelope: bytes
    file: str


class _Led(NamedTuple):
    """A resolution: what it leads to, its file."""

    resolved: bytes
    file: str


class _Item(NamedTuple):
    """What goes together: rows of the index by table, names in records/, an envelope."""

    rows: tuple[tuple[Table, bytes, bytes], ...]
    record: str | None = None
    envelope: bytes | None = None


class _Lighter(NamedTuple):
    """What takes the place of a file of many records: a draft and its name, unless nothing stays."""

    inside: set[str]
    stay: set[str]
    draft: str | None
    name: str


class _Known:
    """Every record, decoded once. Only whoever holds the collector's lock removes any."""

    def __init__(self) -> None:
        self.version = -1
        self._objects: set[bytes] = set()
        self._claims: dict[bytes, Claim] = {}
        self._witnesses: dict[bytes, _Cited] = {}
        self._resolutions: dict[bytes, _Led] = {}

    def learn(self, index: Environment) -> bool:
        """Read what was registered since the last time; whether there can be anything."""
        version = index.version()
        if version == self.version:
            return False
        index.view(self._read)
        self.version = version
        return True

    def _read(self, txn: Txn) -> None:
        self._objects = {key for key, _ in txn.items(tables.OBJECTS)}
        for digest, data in txn.items(tables.CLAIMS):
            if digest not in self._claims:
                self._claims[digest] = decode_claim(data)
        for key, data in txn.items(tables.WITNESSES):
            if key not in self._witnesses:
                witness = tables.decode_witnessed(self._claims[key[:32]], data).witness
                self._witnesses[key] = _Cited(key[:32], witness.envelope, witness_file(witness))
        for key, data in txn.items(tables.RESOLUTIONS):
            if key not in self._resolutions:
                resolution = decode_resolution(data)
                self._resolutions[key] = _Led(resolution.resolved, resolution_file(resolution))

    def dead(self) -> Iterator[_Item]:
        """What is to go, in order."""
        here = {
            item.envelope for item in self._witnesses.values() if self._claims[item.claim].object in self._objects
        }
        gone = [(item.envelope, key, item) for key, item in self._witnesses.items() if item.envelope not in here]
        gone.sort(key=lambda item: item[:2])
        for at, (envelope, key, item) in enumerate(gone):
            is_last = at + 1 == len(gone) or gone[at + 1][0] != envelope
            yield _Item(((tables.WITNESSES, key, b""),), item.file, envelope if is_last else None)
        kept = {item.claim for item in self._witnesses.values() if item.envelope in here}
        for digest, claim in self._claims.items():
            if digest not in kept:
                yield _Item(_rows_of(digest, claim))
        leading = {self._claims[digest].resolved for digest in kept}
        for key, led in self._resolutions.items():
            if led.resolved not in leading:
                yield _Item(((tables.RESOLUTIONS, key, b""),), led.file)

    def forget(self, items: Iterable[_Item]) -> None:
        """These were removed."""
        for item in items:
            for table, key, _ in item.rows:
                if table is tables.CLAIMS:
                    del self._claims[key]
                elif table is tables.WITNESSES:
                    del self._witnesses[key]
                elif table is tables.RESOLUTIONS:
                    del self._resolutions[key]

    def files(self) -> set[str]:
        """The names, in records/, of all that is registered."""
        witnesses = {item.file for item in self._witnesses.values()}
        return witnesses | {item.file for item in self._resolutions.values()}


def _rows_of(digest: bytes, claim: Claim) -> tuple[tuple[Table, bytes, bytes], ...]:
    return (
        (tables.CLAIMS, digest, b""),
        (tables.BY_RESOLVED, claim.resolved, digest),
        (tables.PRODUCERS, claim.object, digest),
        (tables.CONTESTED, tables.contested_key(claim.resolved, claim.output), claim.object),
    )


def sweep_evidence(layout: Layout, index: Environment, session: Session, *, dry_run: bool) -> int:
    """How many envelopes went, or would go. The caller holds the collector's lock. Raises StoreLocked, StoreError."""
    known = _Known()
    known.learn(index)
    waiting = list(known.dead())
    if dry_run:
        return sum(item.envelope is not None for item in waiting)
    removed = 0
    while waiting:
        with sole_passage(layout):
            if known.learn(index):
                waiting = list(known.dead())
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            _remove(layout, index, batch)
            known.forget(batch)
            known.version = index.version()
        removed += sum(item.envelope is not None for item in batch)
    _lighten_bundles(layout, index, session, known)
    return removed


def _remove(layout: Layout, index: Environment, batch: list[_Item]) -> None:
    def body(txn: Txn) -> None:
        for item in batch:
            for table, key, value in item.rows:
                txn.delete(table, key, value)

    index.update(body)
    with Bin(layout) as trash:
        for item in batch:
            if item.record is not None:
                trash.take(layout.records, item.record)
            if item.envelope is not None:
                trash.take(layout.envelopes, f"{item.envelope.hex()}.json")


def _lighten_bundles(layout: Layout, index: Environment, session: Session, known: _Known) -> None:
    """Files of many records go, or are written again with those of their records that are registered still."""
    kept = known.files()
    lighter: dict[str, _Lighter] = {}
    for name in os.listdir(layout.records):
        if name.startswith(BUNDLE):
            with suppress(FileNotFoundError, StoreError):
                files = record_files(name, read_file(f"{layout.records}/{name}"))
                stay = [(inner, data) for inner, data in files if inner in kept]
                if len(stay) < len(files):
                    new, data = encode_bundle(stay)
                    draft = commit.draft(session, data) if stay else None
                    lighter[name] = _Lighter({inner for inner, _ in files}, {inner for inner, _ in stay}, draft, new)
    if not lighter:
        return
    session.sync()
    with sole_passage(layout), Bin(layout) as trash:
        if known.learn(index):
            kept = known.files()
        lighter = {name: item for name, item in lighter.items() if item.inside & kept == item.stay}
        for item in lighter.values():
            if item.draft is not None:
                os.rename(item.draft, f"{layout.records}/{item.name}", src_dir_fd=session.fd)
        commit.sync_folders(layout, [commit.RECORDS], [])
        for name in lighter:
            trash.take(layout.records, name)

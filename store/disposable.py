"""What the store remembers to save work, and may forget: any error empties it.

    sha256   blob's BLAKE3 → SHA-256
    archive  tree's root digest → BLAKE3 ‖ SHA-256 of its canonical archive
    stat     for a stat cache of sources; used: when an object was last wanted; negative: look-ups that failed

It has an environment of its own, so that losing it loses nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from kiln.store.errors import Damaged, StoreError
from kiln.store.index import Environment, Table, Txn
from kiln.store.layout import Layout

SHA256 = Table(b"a", "sha256")
ARCHIVE = Table(b"b", "archive")
STAT = Table(b"c", "stat")
USED = Table(b"d", "used")
NEGATIVE = Table(b"e", "negative")
CHUNKS = Table(b"f", "chunks")
HEALTH = Table(b"g", "health")
_FIRST_MAP = 8 << 20
_LIMIT = 1.0
"""Seconds to wait for another writer before doing without."""


class Memo:
    """Reads and writes the disposable environment; never raises for it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._env: Environment | None = None
        try:
            self._env = self._open()
        except Damaged:
            self._empty()
        except StoreError:
            return  # A full disk, say: work without it.

    def get(self, table: Table, key: bytes) -> bytes | None:
        if self._env is None:
            return None
        try:
            return self._env.view(lambda txn: txn.get(table, key))
        except StoreError:
            self._empty()
            return None

    def get_many(self, table: Table, keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
        """Every key with its value, or None, on one snapshot."""
        wanted = list(keys)
        nothing: dict[bytes, bytes | None] = dict.fromkeys(wanted)
        if self._env is None:
            return nothing
        try:
            return self._env.view(lambda txn: {key: txn.get(table, key) for key in wanted})
        except StoreError:
            self._empty()
            return nothing

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self.put_many(table, {key: value})

    def put_many(self, table: Table, rows: Mapping[bytes, bytes]) -> None:
        """The same for many, in one transaction."""

        def body(txn: Txn) -> None:
            for key, value in rows.items():
                txn.put(table, key, value)

        if self._env is None:
            return
        try:
            self._env.update(body, _LIMIT)
        except StoreError as error:
            if error.code not in ("K0706", "K0707"):
                self._empty()

    def close(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None

    def _open(self) -> Environment:
        return Environment.shared(self._layout, self._layout.disposable, _FIRST_MAP)

    def _empty(self) -> None:
        """Away with it; a process that has it open goes on with its own copy until it ends."""
        self.close()
        aside = f"{self._layout.trash}/disposable.{os.urandom(8).hex()}"
        with suppress(OSError):
            os.rename(self._layout.disposable, aside)
        with suppress(StoreError):
            self._env = self._open()

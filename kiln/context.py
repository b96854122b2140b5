"""What a command works with: the console, the store, the key; each opened when it is first asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kiln.console import Console
from kiln.paths import config_root, data_root

if TYPE_CHECKING:
    from kiln.progress import Progress
    from kiln.store.provenance.keyfile import KeyRing
    from kiln.store.store import Store


class Context:
    """One command's surroundings. `close` ends the progress view and the store."""

    def __init__(self, console: Console, *, progress: str = "auto", store: str | None = None) -> None:
        self.console = console
        self.store_root = os.path.abspath(store) if store else data_root()
        self._mode = progress
        self._progress: Progress | None = None
        self._store: Store | None = None
        self._keys: KeyRing | None = None

    def store(self) -> Store:
        """The user's store; made on first use. Raises StoreError."""
        if self._store is None:
            from kiln.store.store import Store

            self._store = Store.open(self.store_root)
        return self._store

    def keys(self) -> KeyRing:
        """The builder's keys; the first use makes one. Raises BadKeyFile."""
        if self._keys is None:
            from kiln.store.provenance.keyfile import open_keys

            self._keys = open_keys(os.path.join(config_root(), "builder.key"))
        return self._keys

    def progress(self) -> Progress:
        """The view of the stream of events."""
        if self._progress is None:
            from kiln.progress import open_progress

            self._progress = open_progress(self.console, self._mode)
        return self._progress

    def end_progress(self) -> None:
        """Take the live lines down, so that messages can follow."""
        if self._progress is not None:
            self._progress.close()
            self._progress = None

    def close(self) -> None:
        self.end_progress()
        if self._store is not None:
            self._store.close()
            self._store = None

"""What every part of an open store works with: its folders, its index, and this process' place in it.

The place is made when it is first needed: reading needs none, pinning needs the locked file, writing the folder.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from kiln.store.errors import StoreError
from kiln.store.index import Environment
from kiln.store.layout import Layout

if TYPE_CHECKING:
    from kiln.store.disposable import Memo
    from kiln.store.presence import Presence
    from kiln.store.recovery import Recovered
    from kiln.store.session import Session

TRASH_SECONDS = 2.0
"""How long closing a store may go on unlinking trash."""


class Opened:
    """An open store, without what is done with it."""

    def __init__(self, layout: Layout, index: Environment) -> None:
        self.layout = layout
        self.root = layout.root
        self.store_dir = layout.store
        self._environment: Environment | None = index
        self._pid = os.getpid()
        self._guard = threading.Lock()
        self._presence: Presence | None = None  # guarded by _guard
        self._session: Session | None = None  # guarded by _guard
        self._memo: Memo | None = None  # guarded by _guard
        self.trash_seconds = TRASH_SECONDS
        self.recovered: Recovered | None = None
        """What opening put in order, if there was anything."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove this process' temporary folders and pins, and let go of everything. Idempotent.

        In a forked child it does nothing: all of that is the parent's.
        """
        if self._pid != os.getpid():
            return
        with self._guard:
            presence, self._presence = self._presence, None
            session, self._session = self._session, None
        if presence is not None:
            self._note_use(presence.pinned)
        with self._guard:
            memo, self._memo = self._memo, None
            index, self._environment = self._environment, None
        finished = session is None or session.close()
        if presence is not None:
            presence.close(remove=finished)
        if memo is not None:
            memo.close()
        if index is not None:
            index.close()
        if session is not None:
            from kiln.store.reserve import fill

            with suppress(StoreError):  # What can't be unlinked now lies there for the next.
                self.empty_trash(self.trash_seconds)
            fill(self.layout)

    def _note_use(self, ids: set[bytes]) -> None:
        if ids:
            from kiln.store.lastuse import note_use

            note_use(self.memo(), ids)

    @property
    def _index(self) -> Environment:
        if self._environment is None:
            raise StoreError("this store was closed")
        return self._environment

    def memo(self) -> Memo:
        """The disposable environment."""
        from kiln.store.disposable import Memo

        with self._guard:
            if self._memo is None:
                self._memo = Memo(self.layout)
            return self._memo

    def empty_trash(self, seconds: float | None = None) -> int:
        """Unlink what was moved to the trash; how many entries are left."""
        from kiln.store.trash import empty_trash

        return empty_trash(self.layout, seconds)

    def _present(self) -> Presence:
        """This process' locked file."""
        from kiln.store.presence import Presence

        with self._guard:
            self._check_process()
            if self._presence is None:
                self._presence = Presence(self.layout)
            return self._presence

    def _writing(self) -> Session:
        """This process' folder."""
        from kiln.store.session import Session

        presence = self._present()
        with self._guard:
            if self._session is None:
                self._session = Session(self.layout, presence)
            return self._session

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise StoreError("a store was used across a fork", help="open the store again in the child process")

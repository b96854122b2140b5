"""What a command works with: the console, the store, the key; each opened when it is first asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kiln.console import Console
from kiln.paths import config_root, data_root, state_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiln.interpreter.evaluate.budget import Budget
    from kiln.interpreter.events import Sink
    from kiln.interpreter.ledger import Ledger
    from kiln.interpreter.workshop import Workshop
    from kiln.latetrees import LateTrees
    from kiln.progress import Progress
    from kiln.store.cache.seen import Memory
    from kiln.store.cache.settings import Settings
    from kiln.store.cache.several import Caches
    from kiln.store.provenance.keyfile import KeyRing
    from kiln.store.provenance.trust import Policy
    from kiln.store.store import Store

VARIABLE = "KILN_CACHES"
"""Names caches in the place of the file (see `store/cache/settings.py`)."""
BUILD_ID = 30033
"""The user and group id that owns, and builds for, a store that root makes."""


class Context:
    """One command's surroundings. `close` ends the progress view and the store."""

    def __init__(self, console: Console, *, progress: str = "auto", store: str | None = None) -> None:
        self.console = console
        self.store_root = os.path.abspath(store) if store else data_root()
        self._mode = progress
        self._progress: Progress | None = None
        self._store: Store | None = None
        self._keys: KeyRing | None = None
        self._policy: Policy | None = None
        self._trees: LateTrees | None = None
        self._caches: list[Caches] = []
        self.engine: str | None = None
        """The sandbox engine that was asked for."""
        self.offline = False
        """Whether remote modules may not be fetched."""
        self.budget: Budget | None = None
        """What an evaluation may take."""

    def store(self) -> Store:
        """The user's store; made on first use. Raises StoreError."""
        if self._store is None:
            self._store = make_store(self.store_root)
        return self._store

    def keys(self) -> KeyRing:
        """The builder's keys; the first use makes one. Raises BadKeyFile."""
        if self._keys is None:
            from kiln.store.provenance.keyfile import open_keys

            self._keys = open_keys(self.key_file())
        return self._keys

    @staticmethod
    def key_file() -> str:
        """The file of the builder's secret keys."""
        return os.path.join(config_root(), "keys", "builder.key")

    def trees(self) -> LateTrees:
        """Where remote modules come from; the store is opened when one is asked for."""
        if self._trees is None:
            from kiln.latetrees import LateTrees

            self._trees = LateTrees(self)
        return self._trees

    def ledger(self) -> Ledger:
        """What the store's records say of derivations."""
        from kiln.interpreter.ledger import Ledger

        return Ledger(self.store(), self.policy_now)

    def workshop(
        self,
        sink: Sink,
        *,
        jobs: int | None = None,
        offline: bool = False,
        store: Store | None = None,
        caches: bool = False,
    ) -> Workshop:
        """What making something takes, in the user's store or another; with `caches`, what they have is taken."""
        from kiln import __version__
        from kiln.interpreter.events import Warned
        from kiln.interpreter.ledger import Ledger
        from kiln.interpreter.sandbox.engines import engine_name
        from kiln.interpreter.workshop import Workshop

        into = store or self.store()
        made = Workshop(
            store=into,
            ledger=Ledger(into, self.policy_now),
            signer=self.keys().signer(),
            policy=self.policy(),
            version=__version__,
            sink=sink,
            jobs=jobs or os.cpu_count() or 1,
            offline=offline,
            engine=engine_name(self.engine),
            secrets=os.path.join(config_root(), "secrets"),
        )
        if caches and not offline:
            made.open_caches = self.cache_opener(into, lambda text: made.emit(Warned(text)))
        return made

    def cache_opener(
        self, store: Store, warn: Callable[[str], None], only: str | None = None
    ) -> Callable[[], Caches] | None:
        """What opens the user's caches, or one of them alone; None where there are none.

        Raises BadCacheAddress, which is also raised for an `only` that is neither a cache's name nor an address.
        """
        if only is None and VARIABLE not in os.environ and not os.path.exists(self.caches_file()):
            return None
        from kiln.opencaches import chosen, open_caches

        used = self.caches()
        settings = chosen(used, only)
        if not settings:
            return None

        def opened() -> Caches:
            found = open_caches(used, settings, store, self.policy(), self.memory(), warn)
            self._caches.append(found)
            return found

        return opened

    def policy(self) -> Policy:
        """Whose word counts here: the builder's own keys, the file of trusted ones, and what these said since of
        themselves. Raises BadTrustFile, BadMemory."""
        from kiln.store.provenance.trust import load_policy

        policy = load_policy(self.trust_file(), own=self.keys().public_keys)
        return self.memory().policy(policy) if os.path.exists(self.memory_file()) else policy

    def policy_now(self) -> Policy:
        """The policy as it is while the command runs: with what the cards of caches that were opened have said."""
        if self._caches:
            return self._caches[-1].believed.policy
        if self._policy is None:
            self._policy = self.policy()
        return self._policy

    def caches(self) -> Settings:
        """The caches that the user has, in order. Raises BadCacheAddress."""
        from kiln.store.cache.settings import load_settings

        return load_settings(self.caches_file())

    def memory(self) -> Memory:
        """What was seen of caches: heads, rotations, revocations. Raises BadMemory."""
        from kiln.store.cache.seen import Memory

        return Memory.load(self.memory_file())

    @staticmethod
    def caches_file() -> str:
        """The file of the caches that this user has."""
        return os.path.join(config_root(), "caches")

    @staticmethod
    def memory_file() -> str:
        """The file of what was seen of caches."""
        return os.path.join(state_root(), "caches-seen")

    @staticmethod
    def trust_file() -> str:
        """The file of keys that this user trusts beside his own."""
        return os.path.join(config_root(), "trusted-keys")

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
        for caches in self._caches:
            caches.close()
        self._caches.clear()
        if self._store is not None:
            self._store.close()
            self._store = None


def make_store(root: str) -> Store:
    """Open a store, or make it. One that root makes belongs to the build id, so that nothing is built as root."""
    from kiln.store.errors import StoreError
    from kiln.store.store import Store

    if os.geteuid() == 0 and not os.path.lexists(root):
        from kiln.interpreter.sandbox.machine import is_lone_root

        if not is_lone_root():
            _make_folder(root)
    try:
        return Store.open(root)
    except StoreError as error:
        if isinstance(error.__cause__, PermissionError):
            error.help = error.help or "name a place that you may write: --store PATH, KILN_STORE or XDG_DATA_HOME"
        raise


def _make_folder(root: str) -> None:
    """The store's folder, which has its owner from the first moment that another process can see it."""
    os.makedirs(os.path.dirname(root), exist_ok=True)
    draft = f"{root}.{os.getpid()}"
    os.mkdir(draft, 0o755)
    os.chown(draft, BUILD_ID, BUILD_ID)
    try:
        os.rename(draft, root)
    except OSError:
        os.rmdir(draft)
        if not os.path.isdir(root):
            raise

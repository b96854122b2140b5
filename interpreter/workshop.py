"""What making something needs of this machine and this user, put together once for a command."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiln.interpreter.events import Event, Sink
from kiln.interpreter.ledger import Ledger
from kiln.store.digest import ObjectId
from kiln.store.info import ObjectInfo
from kiln.store.locks import STOPPED_LIMIT
from kiln.store.paths import StorePath
from kiln.store.provenance.keys import Signer
from kiln.store.provenance.statement import Content
from kiln.store.provenance.trust import Policy
from kiln.store.store import Store

if TYPE_CHECKING:
    from kiln.interpreter.fetch.config import FetchConfig
    from kiln.interpreter.sandbox.mountpoints import MountPoints
    from kiln.interpreter.secrets import SecretValue
    from kiln.store.cache.several import Caches


@dataclass(slots=True)
class Workshop:
    """One command's means. Shared by its threads: the store locks for itself, the sink is guarded by `guard`."""

    store: Store
    ledger: Ledger
    signer: Signer
    policy: Policy
    version: str
    sink: Sink
    jobs: int = 1
    offline: bool = False
    engine: str = "own"
    """What makes sandboxes, by its name in `sandbox/engines.py`."""
    secrets: str = ""
    """The folder of this user's secrets, a file each."""
    open_caches: Callable[[], Caches] | None = None
    """Opens the caches that may be asked; None where there are none."""
    untrusted: tuple[str, ...] = ()
    """Roots of other stores of this machine, from which objects may be copied by digest."""
    patience: float = STOPPED_LIMIT
    """Seconds that another builder of the same may be stopped before that is an error."""
    interrupted: threading.Event = field(default_factory=threading.Event)
    """Set when everything is to end: who waits for others stops waiting."""
    guard: threading.Lock = field(default_factory=threading.Lock)
    contents: dict[ObjectId, Content] = field(default_factory=dict)
    """The digests of objects that statements named already: what has an id never changes."""
    _config: FetchConfig | None = None
    _places: dict[ObjectId, tuple[str, StorePath]] = field(default_factory=dict)
    _mount_points: MountPoints | None = None

    def _keep_dir(self) -> str:
        """Where a file that came and was not the pinned one is kept for a look; never admitted."""
        place = f"{self.store.root}/failed"
        self.store.layout.make_folder(place)
        return place

    def emit(self, event: Event) -> None:
        """Tell of something that happened; from any thread."""
        with self.guard:
            self.sink(event)

    def places(self, infos: Iterable[ObjectInfo]) -> tuple[tuple[str, StorePath], ...]:
        """Where each object lies, and its store path; worked out once, as closures share most of their members."""
        known, found = self._places, []
        for info in infos:
            place = known.get(info.id)
            if place is None:
                path = info.path
                place = known[info.id] = (self.store.physical(path), path)
            found.append(place)
        return tuple(found)

    def mount_points(self) -> MountPoints:
        """Where sandboxes of this process show their inputs: kept from one to the next."""
        from kiln.interpreter.sandbox.mountpoints import MountPoints

        with self.guard:
            if self._mount_points is None:
                folder = self.store.new_temp("mounts")
                os.chmod(folder, 0o755)
                self._mount_points = MountPoints(folder)
            return self._mount_points

    def secret(self, name: str, user: str) -> SecretValue:
        """The value of a secret that `user` is to be made with. Raises SecretMissing."""
        from kiln.interpreter.secrets import read_secret

        return read_secret(name, self.secrets, os.environ, user=user)

    def fetch_config(self) -> FetchConfig:
        """Mirrors and limits of this user. Raises BadConfig."""
        if self._config is None:
            from kiln.interpreter.fetch.config import load_config

            self._config = load_config(os.environ, offline=self.offline, keep_dir=self._keep_dir())
        return self._config

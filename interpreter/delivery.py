"""Bringing what a plan takes from caches: in batches, so that builds begin while the rest is on its way.

    prepare    every record, so that it is known what refers to what; batches, references first
    fetch n    the objects of a batch, in whatever order bytes come; several batches may be fetched at a time
    commit n   register them and what is said about them, in one transaction; after commit n - 1

A batch is bounded in bytes and objects. What nobody could bring is lost: it is noted, all that is whole is registered
all the same, and the next plan does without. What an object is must be what the admitted claim says: its root, its
name, its references.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from kiln.interpreter.derivation import DrvOutput
from kiln.interpreter.judging import Admitted, Realisation
from kiln.interpreter.reach import Reach
from kiln.store.cache.receive import Receiver
from kiln.store.cache.several import Caches
from kiln.store.commit import Staged
from kiln.store.digest import DrvDigest, ObjectId
from kiln.store.records import Resolution
from kiln.store.store import Store
from kiln.store.tables import Source, Witnessed

T = TypeVar("T")
BATCH_BYTES = 64 << 20
BATCH_OBJECTS = 512


class Taking(NamedTuple):
    """Outputs of one derivation that are taken, with what is to be recorded of them."""

    drv: DrvDigest
    name: str
    outputs: Mapping[DrvOutput, Realisation]
    resolutions: tuple[Resolution, ...] = ()

    @property
    def objects(self) -> set[ObjectId]:
        return {item.claim.object for item in self.outputs.values()}


class Done(NamedTuple):
    """A taking that is registered: who gave its bytes, how many seconds it took."""

    taking: Taking
    sources: tuple[str, ...]
    paths: tuple[str, ...]
    seconds: float


@dataclass(slots=True)
class _Batch:
    objects: list[ObjectId] = field(default_factory=list)
    takings: list[Taking] = field(default_factory=list)
    staged: list[Staged] = field(default_factory=list)
    receiver: Receiver | None = None
    envelopes: list[bytes] = field(default_factory=list)
    began: float = 0.0
    size: int = 0


class Delivery:
    """One delivery. `prepare` once, then `fetch` and `commit` for each batch."""

    def __init__(
        self,
        store: Store,
        caches: Caches,
        reach: Reach,
        takings: Sequence[Taking],
        members: Callable[[Iterable[ObjectId]], Mapping[ObjectId, Sequence[Admitted]]],
        *,
        started: Callable[[Taking], None] = lambda _: None,
        progress: Callable[[Taking, int, int], None] = lambda *_: None,
        done: Callable[[Done], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._caches = caches
        self._reach = reach
        self._takings = list(takings)
        self._judged = members
        self._admitted: Future[Mapping[ObjectId, Sequence[Admitted]]] = Future()
        self._started, self._progress, self._done = started, progress, done
        self._batches: list[_Batch] = []
        self._batch_of: dict[ObjectId, int] = {}
        self._claimed = {item.claim.object: item for taking in takings for item in taking.outputs.values()}
        self._guard = threading.Lock()

    @property
    def batches(self) -> int:
        return len(self._batches)

    def batch_of(self, item: ObjectId) -> int | None:
        """After the commit of which batch an object is here, with all that it refers to; None if it is here."""
        return self._batch_of.get(item)

    @property
    def lost(self) -> list[Taking]:
        """What could not be brought whole."""
        return [
            taking for taking in self._takings if any(self._reach.absent(item) != set() for item in taking.objects)
        ]

    def prepare(self) -> None:
        """Learn what refers to what, and make batches."""
        wanted = self._wanted()
        references, sizes = self._learn(wanted)
        batch = _Batch()
        self._batches = [batch] if self._takings else []
        for item in _in_order(wanted, references):
            if batch.objects and (batch.size + sizes[item] > BATCH_BYTES or len(batch.objects) >= BATCH_OBJECTS):
                batch = _Batch()
                self._batches.append(batch)
            batch.objects.append(item)
            batch.size += sizes[item]
            self._batch_of[item] = len(self._batches) - 1
        # Signatures under what comes along are checked while bytes come; the first commit waits for it.
        members = list(wanted)
        self._admitted = _aside(lambda: self._judged(members))
        for taking in self._takings:
            at = max((self._batch_of.get(item, 0) for item in taking.objects), default=0)
            self._batches[at].takings.append(taking)

    def _wanted(self) -> dict[ObjectId, None]:
        wanted: dict[ObjectId, None] = {}
        for taking in self._takings:
            for item in sorted(taking.objects):
                wanted.update(dict.fromkeys(sorted(self._reach.absent(item) or ())))
        return wanted

    def _learn(
        self, wanted: dict[ObjectId, None]
    ) -> tuple[dict[ObjectId, tuple[ObjectId, ...]], dict[ObjectId, int]]:
        """References and sizes by proven records; adds to `wanted` what a cache's list of a closure left out."""
        references: dict[ObjectId, tuple[ObjectId, ...]] = {}
        sizes: dict[ObjectId, int] = {}
        level = list(wanted)
        while level:
            infos = self._caches.infos(level)
            references.update((item, info.references) for item, info in infos.items())
            sizes.update((item, info.size) for item, info in infos.items())
            self._reach.lose(set(level) - infos.keys())
            beyond = {reference for info in infos.values() for reference in info.references} - wanted.keys()
            self._reach.look(beyond)
            level = sorted(item for item in beyond if not self._reach.is_here(item))
            wanted.update(dict.fromkeys(level))
        for item in [item for item in wanted if item not in sizes]:
            del wanted[item]
        return references, sizes

    def fetch(self, number: int) -> None:
        """Bring the bytes of a batch. Raises what is wrong on this machine: NoSpace, StoreError."""
        batch = self._batches[number]
        batch.began = time.monotonic()
        for taking in batch.takings:
            self._started(taking)
        envelopes = self._fetch_envelopes(batch)
        batch.receiver = Receiver(self._store, self._counter(batch))
        batch.staged = batch.receiver.receive(self._reach.holders(batch.objects))
        batch.envelopes = envelopes.result()

    def _fetch_envelopes(self, batch: _Batch) -> Future[list[bytes]]:
        """Those about what is taken, on their way beside the objects."""
        digests = {
            offer.record.envelope
            for taking in batch.takings
            for item in taking.outputs.values()
            for offer in item.witnesses
        }
        wanted = [digest for digest in digests if not self._store.has_envelope(digest)]
        return _aside(lambda: list(self._caches.envelopes(wanted).values()) if wanted else [])

    def _counter(self, batch: _Batch) -> Callable[[int], None]:
        """Tells of a batch's bytes under the name of what it is fetched for, the last of its takings."""
        counted = 0

        def count(more: int) -> None:
            nonlocal counted
            with self._guard:
                counted += more
            if batch.takings:
                self._progress(batch.takings[-1], min(counted, batch.size), batch.size)

        return count

    def commit(self, number: int) -> None:
        """Register a batch, as far as it came. To be called in the order of batches. Raises NoSpace, StoreError."""
        batch = self._batches[number]
        kept = self._whole(batch)
        here = {item.meta.info.id for item in kept}
        self._reach.brought(here)
        self._reach.lose(item for item in batch.objects if item not in here)
        takings = [taking for taking in batch.takings if all(map(self._reach.is_here, taking.objects))]
        self._store.admit(
            kept,
            witnesses=[*self._witnessed(takings), *self._said_of(here)],
            resolutions=[item for taking in takings for item in taking.resolutions],
            envelopes=batch.envelopes,
        )
        if batch.receiver is not None:
            batch.receiver.remember()
        for taking in takings:
            self._done(self._finished(taking, batch))

    def _whole(self, batch: _Batch) -> list[Staged]:
        """What came, is what was claimed, and refers to nothing that is missing."""
        kept: list[Staged] = []
        here: set[ObjectId] = set()
        for item in batch.staged:
            info = item.meta.info
            said = self._claimed.get(info.id)
            if said is not None and (said.name, said.claim.root, said.claim.references) != (
                info.name,
                info.root,
                info.references,
            ):
                continue
            if all(reference in here or self._reach.is_here(reference) for reference in info.references):
                kept.append(item)
                here.add(info.id)
        return kept

    def _witnessed(self, takings: Iterable[Taking]) -> list[Witnessed]:
        return [
            Witnessed(item.claim, offer.record, "substituted", self._source(offer.cache))
            for taking in takings
            for item in taking.outputs.values()
            for offer in item.witnesses
            if offer.cache is not None
        ]

    def _said_of(self, objects: Iterable[ObjectId]) -> list[Witnessed]:
        """What is admitted of all that came along: so that it is known what it is a result of."""
        members = self._admitted.result()
        return [
            Witnessed(admitted.claim, offer.record, "substituted", self._source(offer.cache))
            for item in objects
            for admitted in members.get(item, ())
            for offer in admitted.witnesses
            if offer.cache is not None
        ]

    def _source(self, name: str | None) -> Source | None:
        return None if name is None else Source(name, self._caches.url_of(name))

    def _finished(self, taking: Taking, batch: _Batch) -> Done:
        names: dict[str, None] = {}
        for item in taking.outputs.values():
            source = batch.receiver.sources.get(item.claim.object) if batch.receiver is not None else None
            names.update(dict.fromkeys([source.name] if source is not None else []))
            names.update(dict.fromkeys(offer.cache for offer in item.witnesses if offer.cache is not None))
        paths = tuple(str(item.made.path) for item in taking.outputs.values())
        return Done(taking, tuple(names), paths, time.monotonic() - batch.began)


def _aside(work: Callable[[], T]) -> Future[T]:
    """What `work` comes to, on a thread of its own."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _in_order(wanted: Iterable[ObjectId], references: Mapping[ObjectId, tuple[ObjectId, ...]]) -> Iterable[ObjectId]:
    """References before what refers to them. Iterative, so that depth costs no stack."""
    done: dict[ObjectId, None] = {}
    for start in wanted:
        stack: list[tuple[ObjectId, bool]] = [(start, False)]
        while stack:
            item, ready = stack.pop()
            if item in done or item not in references:
                continue
            if ready:
                done[item] = None
                continue
            stack.append((item, True))
            stack.extend((reference, False) for reference in references[item])
    return list(done)

"""Several caches as one: asked at the same time, their answers put together, each known by where it came from.

A signature counts wherever it lies: what two caches say under one claim is judged together, and with what the
own store has. A cache that fails is named once, and asked no more; the others go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from kiln.store.cache.believed import Believed
from kiln.store.cache.errors import CacheError
from kiln.store.cache.reader import CacheReader
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.errors import StoreError
from kiln.store.info import ObjectInfo
from kiln.store.provenance.admission import Offer
from kiln.store.records import Claim, Resolution, Witness
from kiln.store.store import Store

T = TypeVar("T")
_SLOW = 4.0
"""A cache whose answers take so many times longer than another's comes after it for bytes, which are the same."""
_SLOW_SECONDS = 0.2


class Caches:
    """The caches of one command, in the user's order. Its methods may be called from any thread."""

    def __init__(
        self,
        readers: Iterable[CacheReader],
        store: Store,
        believed: Believed,
        warn: Callable[[str], None],
        required: Iterable[str] = (),
    ) -> None:
        self.believed = believed
        self._readers = list(readers)  # guarded by _guard
        self._required = frozenset(required)
        self._all = tuple(self._readers)
        self._urls = {reader.name: reader.url for reader in self._readers}
        self._store = store
        self._warn = warn
        self._guard = threading.Lock()

    @property
    def readers(self) -> list[CacheReader]:
        """Those that have not failed, in the user's order."""
        with self._guard:
            return list(self._readers)

    def close(self) -> None:
        """Keep what was seen, and let go of connections."""
        try:
            self.believed.save()
        except (OSError, StoreError) as error:
            self._warn(f"what was seen of the caches could not be kept: {error}")
        with self._guard:
            for reader in self._all:
                reader.backend.close()

    def url_of(self, name: str) -> str:
        """The address of the cache that is called so here."""
        return self._urls.get(name, "")

    def drop(self, reader: CacheReader, error: CacheError) -> None:
        """It failed: one warning, and it is asked no more. Raises the error where the cache is required."""
        if reader.name in self._required:
            raise error
        with self._guard:
            if reader not in self._readers:
                return
            self._readers.remove(reader)
        reader.tell_failure(error)

    def each(self, question: Callable[[CacheReader], T]) -> list[tuple[CacheReader, T]]:
        """Every cache's answer, in the user's order; those that fail are dropped."""
        readers = self.readers
        answers: dict[CacheReader, T] = {}
        failures: list[Exception] = []

        def ask(reader: CacheReader) -> None:
            try:
                try:
                    answers[reader] = question(reader)
                except CacheError as error:
                    self.drop(reader, error)
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=ask, args=(reader,), daemon=True) for reader in readers[1:]]
        for thread in threads:
            thread.start()
        for reader in readers[:1]:
            ask(reader)
        for thread in threads:
            thread.join()
        for failure in failures:
            raise failure
        return [(reader, answers[reader]) for reader in readers if reader in answers]

    def resolutions(self, drvs: Iterable[DrvDigest]) -> dict[DrvDigest, list[Offer[Resolution]]]:
        """Every resolution that a cache or the own store has; the own store's first, nothing judged."""
        wanted = list(drvs)
        found: dict[DrvDigest, list[Offer[Resolution]]] = {}
        for drv, own in self._store.resolutions_for(wanted).items():
            found.setdefault(drv, []).extend(Offer(item, None) for item in own)
        for reader, answer in self.each(lambda reader: reader.resolutions(wanted)):
            for drv, items in answer.items():
                found.setdefault(drv, []).extend(Offer(item, reader.name) for item in items)
        return found

    def claims(self, resolved: Iterable[ResolvedDigest]) -> dict[ResolvedDigest, dict[Claim, list[Offer[Witness]]]]:
        """Every claim, with all that stands under it in any cache and in the own store; nothing judged."""
        wanted = list(resolved)
        found: dict[ResolvedDigest, dict[Claim, list[Offer[Witness]]]] = {}
        for item, own in self._store.claims_for_many(wanted).items():
            for row in own:
                found.setdefault(item, {}).setdefault(row.claim, []).append(Offer(row.witness, None))
        for reader, answer in self.each(lambda reader: reader.claims(wanted)):
            for item, rows in answer.items():
                for claim, witnesses in rows:
                    offers = found.setdefault(item, {}).setdefault(claim, [])
                    offers.extend(Offer(witness, reader.name) for witness in witnesses)
        return found

    def prefetch(self, drvs: Iterable[DrvDigest]) -> None:
        """Have at hand what will be asked of these derivations."""
        wanted = list(drvs)
        self.each(lambda reader: reader.prefetch(wanted))

    def holders(self, ids: Iterable[ObjectId]) -> dict[ObjectId, list[CacheReader]]:
        """For each object the caches that have it, those first that are better to fetch from."""
        wanted = list(ids)
        found: dict[ObjectId, list[CacheReader]] = {}
        for reader, rows in self._by_speed(self.each(lambda reader: reader.objects(wanted))):
            for item in rows:
                found.setdefault(item, []).append(reader)
        return found

    def producers(self, ids: Iterable[ObjectId]) -> dict[ObjectId, set[ResolvedDigest]]:
        """The derivations that caches name as an object's; a hint."""
        wanted = list(ids)
        found: dict[ObjectId, set[ResolvedDigest]] = {}
        for _, rows in self.each(lambda reader: reader.objects(wanted)):
            for item, row in rows.items():
                found.setdefault(item, set()).update(row.resolved)
        return found

    def references(self, ids: Iterable[ObjectId]) -> dict[ObjectId, tuple[ObjectId, ...]]:
        """What objects refer to, each as its proven record says; those that no cache has a record of are left out."""
        return {item: info.references for item, info in self.infos(ids).items()}

    def infos(self, ids: Iterable[ObjectId]) -> dict[ObjectId, ObjectInfo]:
        """What proven records say of objects; those that no cache has a record of are left out."""
        left = dict.fromkeys(ids)
        found: dict[ObjectId, ObjectInfo] = {}
        for reader in self.readers:
            if left:
                try:
                    records = reader.records(reader.objects(left))
                except CacheError as error:
                    self.drop(reader, error)
                    continue
                for item, record in records.items():
                    found[item] = record.meta.info
                    left.pop(item, None)
        return found

    def listed_closures(self, ids: Iterable[ObjectId]) -> dict[ObjectId, set[ObjectId]]:
        """The closures of those of the objects that were pushed as targets, as the cache lists them: a hint."""
        wanted = list(ids)
        found: dict[ObjectId, set[ObjectId]] = {}
        for _, rows in self.each(lambda reader: reader.targets(wanted)):
            for item, row in rows.items():
                found.setdefault(item, set()).update(row.closure)
        return found

    def listed_evidence(self, ids: Iterable[ObjectId]) -> set[EnvelopeDigest]:
        """The envelopes that caches list for targets; a hint."""
        wanted = list(ids)
        answers = self.each(lambda reader: reader.targets(wanted))
        return {digest for _, rows in answers for row in rows.values() for digest in row.evidence}

    def envelopes(self, digests: Iterable[EnvelopeDigest]) -> dict[EnvelopeDigest, bytes]:
        """Envelopes by their digests, from whoever has them."""
        left = dict.fromkeys(digests)
        found: dict[EnvelopeDigest, bytes] = {}
        for reader in self.readers:
            if left:
                try:
                    found.update(reader.envelopes(left))
                except CacheError as error:
                    self.drop(reader, error)
                for item in found.keys() & left.keys():
                    del left[item]
        return found

    def standings(self, drvs: Iterable[DrvDigest]) -> dict[DrvDigest, list[EnvelopeDigest]]:
        """The envelopes that bind commits to derivations, from all caches."""
        wanted = list(drvs)
        found: dict[DrvDigest, list[EnvelopeDigest]] = {}
        for _, answer in self.each(lambda reader: reader.standings(wanted)):
            for drv, items in answer.items():
                found.setdefault(drv, []).extend(items)
        return found

    @staticmethod
    def _by_speed(answers: Sequence[tuple[CacheReader, T]]) -> list[tuple[CacheReader, T]]:
        """The user's order, but those that are many times slower than the fastest last."""
        latencies = [reader.backend.health.latency or 0.0 for reader, _ in answers]
        bound = max(_SLOW_SECONDS, _SLOW * min(latencies, default=0.0))
        slow = [latency > bound for latency in latencies]
        ordered = sorted(zip(slow, range(len(answers)), strict=True))
        return [answers[at] for _, at in ordered]

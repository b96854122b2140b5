"""Several caches as one: asked at the same time, their answers put together, each known by where it came from.

A signature counts wherever it lies: what two caches say under one claim is judged together, and with what the
own store has. A cache that fails is named once, and asked no more; the others go on.

All are asked at once. Where what has come is enough (the policy is satisfied, say), a slower cache is given a moment
and then not waited for, nor for later questions until it has answered one; where it is not enough, it is waited for,
which its backend's deadlines bound. How each was met is kept for the next command (`health`): a cache that cost
patience rests for a minute. One that is required is always waited for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from kiln.store.cache.believed import Believed
from kiln.store.cache.errors import CacheDown, CacheError
from kiln.store.cache.health import REST, Met, remember, remembered
from kiln.store.cache.reader import CacheReader
from kiln.store.cache.rows import ClaimRow
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.errors import StoreError
from kiln.store.info import ObjectInfo
from kiln.store.provenance.admission import Offer
from kiln.store.records import Claim, Resolution, Witness
from kiln.store.store import Store

T = TypeVar("T")
Resolutions: TypeAlias = "dict[DrvDigest, list[Offer[Resolution]]]"
Claims: TypeAlias = "dict[ResolvedDigest, dict[Claim, list[Offer[Witness]]]]"
_SLOW = 4.0
"""A cache whose answers take so many times longer than another's comes after it for bytes, which are the same."""
_SLOW_SECONDS = 0.2
_COSTLY = 1.0
"""Seconds from which a failure has cost patience."""


class Caches:
    """The caches of one command, in the user's order. Its methods may be called from any thread."""

    def __init__(
        self,
        readers: Iterable[CacheReader],
        store: Store,
        believed: Believed,
        warn: Callable[[str], None],
        required: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.believed = believed
        self._readers = list(readers)  # guarded by _guard
        self._required = frozenset(required)
        self._all = tuple(self._readers)
        self._urls = {reader.name: reader.url for reader in self._readers}
        self._store = store
        self._warn = warn
        self._guard = threading.Lock()
        self._clock = clock
        self._late: set[CacheReader] = set()  # that are not waited for; guarded by _guard
        self._costly: set[CacheReader] = set()  # that failed, and cost patience; guarded by _guard
        self._met = remembered(store.memo(), (reader.url for reader in self._readers))
        for reader in self._readers:
            self._recall(reader)

    def _recall(self, reader: CacheReader) -> None:
        """Take up what was seen of a cache by an earlier command."""
        met = self._met.get(reader.url, Met())
        rest = met.rests(self._clock())
        if rest and reader.name not in self._required:
            health = reader.backend.health
            health.down_until = time.monotonic() + rest
            health.down = CacheDown(
                f"the cache {reader.name} did not answer a moment ago",
                cache=reader.name,
                found=f"it is left alone for {rest:.0f} more seconds",
                help="kiln cache status asks it again",
            )
        if self._is_slow(met.latency, [item.latency for item in self._met.values()]):
            self._late.add(reader)

    @staticmethod
    def _is_slow(latency: float | None, others: Iterable[float | None]) -> bool:
        fastest = min((item for item in others if item is not None), default=0.0)
        return latency is not None and latency > max(_SLOW_SECONDS, _SLOW * fastest)

    @property
    def readers(self) -> list[CacheReader]:
        """Those that have not failed, in the user's order."""
        with self._guard:
            return list(self._readers)

    def close(self) -> None:
        """Keep what was seen, and let go of connections."""
        self._remember()
        try:
            self.believed.save()
        except (OSError, StoreError) as error:
            self._warn(f"what was seen of the caches could not be kept: {error}")
        with self._guard:
            for reader in self._all:
                reader.backend.close()

    def _remember(self) -> None:
        """Keep how each was met: one that still owes an answer, or failed late, rests."""
        new: dict[str, Met] = {}
        with self._guard:
            for reader in self._all:
                before = self._met.get(reader.url, Met())
                latency = reader.backend.health.latency
                if reader in self._costly or (reader in self._late and latency is None):
                    new[reader.url] = Met(before.latency, self._clock() + REST)
                elif latency is not None:
                    new[reader.url] = Met(latency)
        remember(self._store.memo(), {url: met for url, met in new.items() if _differs(met, self._met.get(url))})

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

    def each(
        self,
        question: Callable[[CacheReader], T],
        enough: Callable[[list[tuple[CacheReader, T]]], bool] | None = None,
    ) -> list[tuple[CacheReader, T]]:
        """The caches' answers, in the user's order; those that fail are dropped.

        Without `enough` all are waited for; with it, those that are late are not, once it says so of what has come.
        """
        readers = self.readers
        answers: dict[CacheReader, T] = {}
        pending = dict.fromkeys(readers)
        failures: list[Exception] = []
        change = threading.Condition()

        def ask(reader: CacheReader) -> None:
            began, failure = time.monotonic(), None
            try:
                answer = question(reader)
            except CacheError as error:
                failure = self._failed(reader, error, time.monotonic() - began)
            except Exception as error:
                failure = error
            else:
                answers[reader] = answer
                if reader.backend.health.latency is not None:  # an empty question is answered by nobody
                    with self._guard:
                        self._late.discard(reader)
            with change:
                pending.pop(reader)
                failures.extend([failure] if failure is not None else [])
                change.notify_all()

        if len(readers) == 1:
            ask(readers[0])
        else:
            for reader in readers:
                threading.Thread(target=ask, args=(reader,), daemon=True).start()

        def in_order() -> list[tuple[CacheReader, T]]:
            return [(reader, answers[reader]) for reader in readers if reader in answers]

        with change:
            until: float | None = None
            seen = 0
            satisfied = False
            while pending and not failures:
                if enough is not None and len(answers) > seen and not self._required & {r.name for r in pending}:
                    seen = len(answers)
                    satisfied = satisfied or enough(in_order())
                if satisfied:
                    until = time.monotonic() + self._moment() if until is None else until
                    with self._guard:
                        prompt = pending.keys() - self._late
                        if not prompt or time.monotonic() >= until:
                            self._late.update(pending)
                            break
                change.wait(None if until is None else max(0.0, until - time.monotonic()))
            found = in_order()
        for failure in failures:
            raise failure
        return found

    def _failed(self, reader: CacheReader, error: CacheError, took: float) -> Exception | None:
        """Drop a cache; what is to be raised for it, where it is required."""
        if took > _COSTLY:
            with self._guard:
                self._costly.add(reader)
        try:
            self.drop(reader, error)
        except CacheError as required:
            return required
        return None

    def _moment(self) -> float:
        """Seconds for which others are waited for once there is enough."""
        latencies = [item.backend.health.latency for item in self.readers]
        return max(_SLOW_SECONDS, _SLOW * min((item for item in latencies if item is not None), default=0.0))

    def _prompt_first(self) -> list[CacheReader]:
        """The user's order, but those that are late last."""
        with self._guard:
            return sorted(self._readers, key=lambda reader: reader in self._late)

    def resolutions(
        self, drvs: Iterable[DrvDigest], enough: Callable[[Resolutions], bool] | None = None
    ) -> Resolutions:
        """The resolutions that caches and the own store have; the own store's first, nothing judged.

        With `enough`, those of caches that are late may be left out when it holds of the others'.
        """
        wanted = list(drvs)
        own = self._store.resolutions_for(wanted)

        def together(answers: Iterable[tuple[CacheReader, dict[DrvDigest, list[Resolution]]]]) -> Resolutions:
            found: Resolutions = {}
            for drv, items in own.items():
                found.setdefault(drv, []).extend(Offer(item, None) for item in items)
            for reader, answer in answers:
                for drv, items in answer.items():
                    found.setdefault(drv, []).extend(Offer(item, reader.name) for item in items)
            return found

        satisfied = None if enough is None else lambda answers: enough(together(answers))
        return together(self.each(lambda reader: reader.resolutions(wanted), satisfied))

    def claims(self, resolved: Iterable[ResolvedDigest], enough: Callable[[Claims], bool] | None = None) -> Claims:
        """Claims, with what stands under them in caches and in the own store; nothing judged.

        With `enough`, what stands in caches that are late may be left out when it holds of the rest.
        """
        wanted = list(resolved)
        own = self._store.claims_for_many(wanted)

        def together(answers: Iterable[tuple[CacheReader, dict[ResolvedDigest, list[ClaimRow]]]]) -> Claims:
            found: Claims = {}
            for item, mine in own.items():
                for row in mine:
                    found.setdefault(item, {}).setdefault(row.claim, []).append(Offer(row.witness, None))
            for reader, answer in answers:
                for item, rows in answer.items():
                    for claim, witnesses in rows:
                        offers = found.setdefault(item, {}).setdefault(claim, [])
                        offers.extend(Offer(witness, reader.name) for witness in witnesses)
            return found

        satisfied = None if enough is None else lambda answers: enough(together(answers))
        return together(self.each(lambda reader: reader.claims(wanted), satisfied))

    def prefetch(self, drvs: Iterable[DrvDigest]) -> None:
        """Have at hand what will be asked of these derivations."""
        wanted = list(drvs)
        self.each(lambda reader: reader.prefetch(wanted), _anything)

    def holders(self, ids: Iterable[ObjectId]) -> dict[ObjectId, list[CacheReader]]:
        """For each object the caches that have it, those first that are better to fetch from."""
        wanted = list(ids)
        found: dict[ObjectId, list[CacheReader]] = {}

        def all_held(answers: Sequence[tuple[CacheReader, Mapping[ObjectId, object]]]) -> bool:
            return all(any(item in rows for _, rows in answers) for item in wanted)

        for reader, rows in self._by_speed(self.each(lambda reader: reader.objects(wanted), all_held)):
            for item in rows:
                found.setdefault(item, []).append(reader)
        return found

    def producers(self, ids: Iterable[ObjectId]) -> dict[ObjectId, set[ResolvedDigest]]:
        """The derivations that caches name as an object's; a hint."""
        wanted = list(ids)
        found: dict[ObjectId, set[ResolvedDigest]] = {}
        for _, rows in self.each(lambda reader: reader.objects(wanted), _anything):
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
        for reader in self._prompt_first():
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
        for _, rows in self.each(lambda reader: reader.targets(wanted), _anything):
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
        for reader in self._prompt_first():
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
        latencies = [reader.backend.health.latency for reader, _ in answers]
        slow = [Caches._is_slow(latency, latencies) for latency in latencies]
        ordered = sorted(zip(slow, range(len(answers)), strict=True))
        return [answers[at] for _, at in ordered]


def _anything(answers: object) -> bool:
    """For hints: whatever has come is enough."""
    return True


def _differs(met: Met, before: Met | None) -> bool:
    """Whether it is worth a write: a failure, the end of one, or a latency that is another by half."""
    if (
        before is None
        or before.latency is None
        or met.latency is None
        or (met.rests_until, before.rests_until) != (0, 0)
    ):
        return met != before
    return not 0.67 < met.latency / max(before.latency, 1e-9) < 1.5

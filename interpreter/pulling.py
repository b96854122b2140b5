"""Bringing the evidence of targets: envelopes of everything that went into them, and what they stand for.

An envelope is known by its digest, which a witness or an envelope above it names: whoever's cache it comes from, it
is the one that was meant. Its signatures are verified when it is used (`kiln verify`, `kiln reproduce`). A statement
of which commit stands behind a derivation is named by no digest; it has to be signed by a key that may make it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from kiln.store.cache.several import Caches
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId
from kiln.store.errors import StoreError
from kiln.store.provenance.closure import unverified_links
from kiln.store.provenance.resolution import Resolution
from kiln.store.provenance.trust import Policy
from kiln.store.provenance.verify import verify_envelope
from kiln.store.standings import add_standing, standings
from kiln.store.store import Store

_BATCH = 2000


class Evidence(NamedTuple):
    """What was brought: envelopes that are new here, those that nobody has, statements of commits."""

    brought: int
    missing: frozenset[EnvelopeDigest]
    standings: int


def pull_evidence(
    store: Store,
    caches: Caches,
    policy: Policy,
    tops: Collection[EnvelopeDigest],
    targets: Collection[ObjectId],
    drvs: Collection[DrvDigest],
) -> Evidence:
    """Bring the envelopes below `tops`, and the standings of derivations. Raises StoreError for this machine's."""
    brought, missing = _closure(store, caches, tops, targets)
    return Evidence(brought, frozenset(missing), _standings(store, caches, policy, drvs))


def _closure(
    store: Store, caches: Caches, tops: Iterable[EnvelopeDigest], targets: Collection[ObjectId]
) -> tuple[int, set[EnvelopeDigest]]:
    """Go down from the tops by what envelopes name. What a cache lists for a target is asked for at once."""
    level = dict.fromkeys(tops)
    listed: set[EnvelopeDigest] | None = None
    named = set(level)
    brought: dict[EnvelopeDigest, bytes] = {}
    missing: set[EnvelopeDigest] = set()
    while level:
        absent = [item for item in level if item not in brought and not store.has_envelope(item)]
        if absent:
            if listed is None:
                listed = {item for item in caches.listed_evidence(targets) if not store.has_envelope(item)}
            brought.update(_fetch(caches, {*absent, *listed} - brought.keys()))
            listed = set()
        gone = {item for item in absent if item not in brought}
        missing |= gone
        below: dict[EnvelopeDigest, None] = {}
        for item in level:
            if item not in gone:
                data = brought[item] if item in brought else store.envelope(item)
                below.update((link, None) for link in unverified_links(data) if link not in named)
        named.update(below)
        level = below
    wanted = [data for item, data in brought.items() if item in named]
    for at in range(0, len(wanted), _BATCH):
        store.commit(envelopes=wanted[at : at + _BATCH])
    return len(wanted), missing


def _fetch(caches: Caches, digests: Collection[EnvelopeDigest]) -> dict[EnvelopeDigest, bytes]:
    return caches.envelopes(sorted(digests))


def _standings(store: Store, caches: Caches, policy: Policy, drvs: Collection[DrvDigest]) -> int:
    found = caches.standings(drvs)
    wanted = {item: drv for drv, items in found.items() for item in items if item not in standings(store.layout, drv)}
    added = 0
    for digest, data in caches.envelopes(wanted).items():
        drv = wanted[digest]
        try:
            said = verify_envelope(data, policy).said
        except StoreError:
            continue
        if isinstance(said, Resolution) and said.unresolved == drv:
            add_standing(store.layout, drv, store.put_envelope(data))
            added += 1
    return added

"""A look at a cache, whoever may be trusted: its card, and the head of each of its uploaders.

Nothing that is seen here decides anything; it is what a person is shown. A head whose signature is not good, or that
is older than one seen before, is said to be so.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kiln.console import Stop
from kiln.store.cache.backend import Backend, Request
from kiln.store.cache.card import CARD_PATH, MAX_CARD, Card, decode_card
from kiln.store.cache.errors import CacheDenied, CacheDown, CacheError, Missing
from kiln.store.cache.head import MAX_HEAD, Head, head_path, open_head
from kiln.store.cache.seen import Memory, SeenHead
from kiln.store.digest import blob_digest
from kiln.store.errors import StoreError
from kiln.store.provenance.fields import format_time
from kiln.store.provenance.keys import PublicKey
from kiln.store.provenance.trust import Policy, TrustedKey


@dataclass(frozen=True, slots=True)
class Shown:
    """One uploader: what he calls himself, his key, his head or what is wrong with it."""

    name: str
    key: PublicKey
    head: Head | None
    problem: StoreError | None
    heir_of: PublicKey | None
    digest: str
    """BLAKE3 of the head's file, in hexadecimal."""

    @property
    def version(self) -> int | None:
        return None if self.head is None else self.head.version

    def counts(self, policy: Policy, cache: str) -> bool:
        """Whether this key's word is taken from this cache."""
        found = policy.by_id.get(self.key.keyid)
        return found is not None and (found.caches is None or cache in found.caches)

    def is_barred(self, policy: Policy) -> bool:
        return self.key.keyid in policy.barred

    def state(self, policy: Policy, cache: str) -> str:
        """What a person should know before he trusts the key."""
        words = [self._trust(policy, cache)]
        if self.problem is not None:
            words.append(self.problem.message)
        elif self.head is None:
            words.append("has pushed nothing")
        else:
            made, until = _day(self.head.made), _day(self.head.expires)
            words.append(f"last pushed {made} (version {self.head.version}), good until {until}")
        if self.heir_of is not None:
            words.append(f"takes the place of {self.heir_of.short}")
        return "; ".join(words)

    def _trust(self, policy: Policy, cache: str) -> str:
        keyid = self.key.keyid
        if keyid in policy.own:
            return "this builder's own key"
        barred: TrustedKey | None = policy.barred.get(keyid)
        if barred is not None:
            return f"revoked {barred.revoked}" if barred.revoked is not None else f"expired {barred.expires}"
        if self.counts(policy, cache):
            return f"trusted here as {policy.by_id[keyid].name}"
        return "not trusted for this cache" if keyid in policy.by_id else "not trusted here"

    def names(self) -> Iterator[str]:
        """What the key could be called here, the best first."""
        base = re.sub(r"[^A-Za-z0-9._-]+", "-", self.name).strip("-._")[:40] or "uploader"
        yield base
        yield f"{base}-{self.key.keyid[:8]}"
        yield self.key.keyid


class Looked(NamedTuple):
    """What was seen, and how long the first answer took, in seconds."""

    name: str
    card: Card
    uploaders: tuple[Shown, ...]
    latency: float | None


def look(backend: Backend, policy: Policy, memory: Memory) -> Looked:
    """Read the card and the heads. Raises CacheError, BadEnvelope, BadSignature; Stop where there is no cache."""
    try:
        card = decode_card(backend.get(CARD_PATH, limit=MAX_CARD))
    except Missing:
        raise Stop(
            "K0654",
            f"there is no cache at {backend.url}",
            expected=CARD_PATH,
            help=f"check the address; kiln cache push TARGET --to {backend.url} makes a cache there",
        ) from None
    memory.check_name(backend.name, backend.url, card.name)
    latest = {item.key.keyid: item for item in sorted(card.uploaders, key=lambda item: item.made)}
    wanted = {Request(head_path(item.key.keyid), None, MAX_HEAD): item for item in latest.values()}
    heirs = {item.new: item.old for item in card.rotations}
    found = []
    for request, answer in backend.get_many(wanted):
        item = wanted[request]
        head, problem = _head(answer, backend, item.key, card, memory)
        digest = blob_digest(answer).hex() if isinstance(answer, bytes) else ""
        found.append(Shown(item.name, item.key, head, problem, heirs.get(item.key), digest))
    found.sort(key=lambda shown: (shown.name, shown.key.keyid))
    return Looked(card.name, card, tuple(found), backend.health.latency)


def _head(
    answer: bytes | CacheError, backend: Backend, key: PublicKey, card: Card, memory: Memory
) -> tuple[Head | None, StoreError | None]:
    try:
        match answer:
            case CacheDown() | CacheDenied():
                raise answer
            case Missing():
                memory.check_missing(backend.name, backend.url, key)
                return None, None
            case CacheError():
                return None, answer
            case bytes():
                head = open_head(answer, key, card.name)
        digest = blob_digest(answer).hex()
        memory.check_head(backend.name, backend.url, key, version=head.version, digest=digest, expires=head.expires)
    except (CacheDown, CacheDenied):
        raise
    except StoreError as error:
        return None, error
    return head, None


def remember(looked: Looked, backend: Backend, policy: Policy, cache: str, memory: Memory) -> None:
    """Keep what was seen of those whose word counts from now on, so that nothing older is taken later."""
    for shown in looked.uploaders:
        if shown.head is not None and shown.counts(policy, cache):
            memory.note_name(backend.url, shown.head.cache)
            seen = SeenHead(shown.head.version, shown.digest, format_time(shown.head.made))
            memory.note_head(backend.url, shown.key.keyid, seen)
    memory.save()


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))

"""Whose word counts while a command runs: the policy, what cards of caches change in it, what was seen of heads."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from kiln.store.cache.card import Card
from kiln.store.cache.head import Head
from kiln.store.cache.seen import Memory, SeenHead
from kiln.store.digest import blob_digest
from kiln.store.errors import Untrusted
from kiln.store.provenance.errors import BadSuccession
from kiln.store.provenance.fields import format_time
from kiln.store.provenance.keys import PublicKey
from kiln.store.provenance.trust import Policy, barred_error


class Believed:
    """Whose word counts while a command runs: the policy, as caches' cards change it, and what was seen of caches."""

    def __init__(self, policy: Policy, memory: Memory | None = None) -> None:
        self.memory = memory or Memory.none()
        self._policy = policy  # guarded by _guard
        self._guard = threading.Lock()

    @property
    def policy(self) -> Policy:
        with self._guard:
            return self._policy

    def learn(self, card: Card) -> list[BadSuccession]:
        """Take in rotations and revocations of keys that count; those that were refused."""
        with self._guard:
            self._policy, refused = self.memory.learn(self._policy, card.rotations, card.revocations)
            return refused

    def unheard(self, name: str, card: Card, heard: Iterable[PublicKey], *, none_left: bool) -> Iterator[str]:
        """Why nothing is used by an uploader whose word counted once; by all of them, where none is left."""
        policy, left = self.policy, {item.key.keyid for item in card.uploaders} - {key.keyid for key in heard}
        for keyid in sorted(left & policy.barred.keys()):
            if none_left or policy.barred[keyid].revoked is None:
                error = barred_error(policy.barred[keyid], f"what the cache {name} has is ")
                yield f"[{error.code}] {error.message}: {error.found}; nothing that it names is used"
        if none_left and left and left.isdisjoint(policy.barred):
            yield (
                f"[{Untrusted.code}] the cache {name} has nothing by a key that is trusted here for it; "
                "nothing is taken from it"
            )

    def check_card(self, name: str, url: str, card: Card) -> None:
        """That it is the cache that was seen at this address. Raises OtherCache."""
        with self._guard:
            self.memory.check_name(name, url, card.name)

    def check(self, name: str, url: str, key: PublicKey, head: Head, data: bytes) -> None:
        """That a head is no rollback, freeze or fork; it is remembered. Raises CacheError."""
        digest = blob_digest(data).hex()
        with self._guard:
            self.memory.check_head(name, url, key, version=head.version, digest=digest, expires=head.expires)
            self.memory.note_name(url, head.cache)
            self.memory.note_head(url, key.keyid, SeenHead(head.version, digest, format_time(head.made)))

    def save(self) -> None:
        """Keep what was seen. Raises OSError, StoreError."""
        with self._guard:
            self.memory.save()

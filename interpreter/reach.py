"""What of an object's run-time closure is here, and who could bring the rest.

A cache's row of a target names the whole closure, so that depth costs no round trips; where there is none, proven
records say what each object refers to, level by level. What is here is pinned, and so is all that it refers to.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from kiln.store.cache.reader import CacheReader
from kiln.store.cache.several import Caches
from kiln.store.digest import ObjectId
from kiln.store.store import Store


class Reach:
    """Grows as questions are asked. Its methods may be called from any thread."""

    def __init__(self, store: Store, caches: Caches) -> None:
        self._store = store
        self._caches = caches
        self._guard = threading.RLock()
        self._here: set[ObjectId] = set()  # guarded by _guard, as all below
        self._holders: dict[ObjectId, list[CacheReader]] = {}
        self._asked: set[ObjectId] = set()
        self._listed: dict[ObjectId, set[ObjectId]] = {}
        self._references: dict[ObjectId, tuple[ObjectId, ...]] = {}
        self._lost: set[ObjectId] = set()

    def look(self, ids: Iterable[ObjectId]) -> None:
        """Find out about these objects and all that they refer to."""
        with self._guard:
            level = set(ids)
            while level:
                self._ask(level - self._asked)
                absent = [item for item in level if item in self._holders and not self._is_explored(item)]
                listed = self._caches.listed_closures(absent)
                self._listed.update(listed)
                self._ask({item for members in listed.values() for item in members} - self._asked)
                plain = [item for item in absent if item not in listed]
                self._references.update(self._caches.references(plain))
                below = {item for at in plain for item in self._references.get(at, ())}
                self._lost.update(item for item in plain if item not in self._references)
                level = {item for item in below if item not in self._lost and not self._is_explored(item)}

    def _is_explored(self, item: ObjectId) -> bool:
        return item in self._here or item in self._listed or item in self._references

    def _ask(self, ids: set[ObjectId]) -> None:
        """Whether objects are here, or who has them; what is neither is lost."""
        if ids:
            self._asked |= ids
            self._here.update(self._store.pin(ids))
            absent = [item for item in ids if item not in self._here]
            self._holders.update(self._caches.holders(absent))
            self._lost.update(item for item in absent if item not in self._holders)

    def absent(self, top: ObjectId) -> set[ObjectId] | None:
        """The members of an object's closure that have to be brought; None if somebody would be missing."""
        with self._guard:
            members: set[ObjectId] = set()
            stack = [top]
            while stack:
                item = stack.pop()
                if item in members or item in self._here:
                    continue
                if item in self._lost or not self._holders.get(item):
                    return None
                members.add(item)
                listed = self._listed.get(item)
                if listed is not None:
                    gone = listed - self._here
                    if gone & self._lost or not gone <= self._holders.keys():
                        return None
                    members |= gone
                elif item in self._references:
                    stack.extend(self._references[item])
                else:
                    return None
            return members

    def members(self, top: ObjectId) -> tuple[set[ObjectId], set[ObjectId]]:
        """What of an object's closure has to be brought, and what of it is here: without what that refers to."""
        absent = self.absent(top) or set()
        with self._guard:
            here = {top} & self._here
            for item in absent:
                here |= self._listed.get(item, set()) & self._here
                here |= self._here.intersection(self._references.get(item, ()))
            return absent, here

    def holders(self, ids: Iterable[ObjectId]) -> dict[ObjectId, list[CacheReader]]:
        """For each object that is not here who has it; only those that are still asked."""
        alive = self._caches.readers
        with self._guard:
            return {item: [reader for reader in self._holders.get(item, ()) if reader in alive] for item in ids}

    def brought(self, ids: Iterable[ObjectId]) -> None:
        """They are here now."""
        with self._guard:
            self._here.update(ids)

    def lose(self, ids: Iterable[ObjectId]) -> None:
        """Nobody could bring these."""
        with self._guard:
            self._lost.update(ids)

    def is_here(self, item: ObjectId) -> bool:
        with self._guard:
            return item in self._here

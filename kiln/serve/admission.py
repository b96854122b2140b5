"""Admitting an upload: verified in quarantine, then moved into the cache; the head last, which makes it readable.

    1  files that are named by their digest have it
    2  the card's items are signed by their own keys, which this server trusts or knows by those that it trusts
    3  a head is signed by its key, newer than the one in force, and names segments that are there
    4  the rows of each segment that no head in force names are verified, and so is what they refer to (`verifying`)
    5  under the cache's lock: the packs, chunks and segments that those rows need move; they are synced; then the
       card and the heads, from the very bytes that were verified

Whose word counts is asked anew each time: the operator's file of trusted keys, and what those keys have said of
themselves on the card, or say on the one that comes: rotations and revocations hold here as they do for readers.

The server never signs: it moves what builders signed. Who uploads under a key that the server does not trust is
refused. An upload that fails at any step changes nothing that a reader sees. Files that come before the head that
names them wait in quarantine, for the uploader's later commits.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from kiln.serve.cardmerge import merge_cards
from kiln.serve.names import CARD, is_head, is_immutable
from kiln.serve.publishing import MAX_ROWS, Publication, check_file, keep, locked, publish
from kiln.serve.quarantine import FOLDER, Upload
from kiln.serve.refusal import Refused
from kiln.serve.shelf import Shelf
from kiln.serve.verifying import Verification, as_refusal
from kiln.store.cache.card import Card, decode_card, encode_card
from kiln.store.cache.head import Head, SegmentEntry, open_head
from kiln.store.cache.seen import Memory
from kiln.store.errors import BadSignature, StoreError
from kiln.store.provenance.trust import Policy, barred_error


@dataclass(frozen=True, slots=True)
class _Came:
    """What an upload has, read once: heads by path with their files' bytes, the card, the names of the rest."""

    heads: dict[str, tuple[Head, bytes]]
    card: Card | None
    immutable: tuple[str, ...]
    policy: Policy
    memory: Memory


@dataclass(frozen=True, slots=True)
class Admitter:
    """Admits uploads into one cache folder. `policy` is what the operator's file of trusted keys says now.

    `patience` is how long one verification may take, in seconds; `stopping` ends it at once.
    """

    cache: str
    policy: Callable[[], Policy]
    patience: float = float("inf")
    stopping: threading.Event = field(default_factory=threading.Event)

    def __call__(self, upload: Upload) -> dict[str, int]:
        """Raises Refused."""
        try:
            return self._admit(upload)
        except BadSignature as error:
            raise Refused("signature", str(error), status=422) from error
        except StoreError as error:
            raise as_refusal(error) from error
        except OSError as error:
            raise Refused(
                "disk", f"the server could not write: {os.strerror(error.errno or 0)}", status=507
            ) from error

    def _admit(self, upload: Upload) -> dict[str, int]:
        shelf = Shelf(upload, self.cache, self._clock())
        came = self._came(upload)
        with _keeping(came, upload):
            counts = self._verify(shelf, came)
            with locked(self.cache):
                self._publish(shelf, came)
        came.memory.save()
        keep(upload, came.immutable)
        return {"files": len(came.immutable) + len(came.heads) + (came.card is not None), **counts}

    def _clock(self) -> Callable[[], None]:
        end = time.monotonic() + self.patience

        def pause() -> None:
            if self.stopping.is_set():
                raise Refused("ending", "the server ends; commit again when it is back", status=503)
            if time.monotonic() > end:
                raise Refused("work", f"verifying takes more than {self.patience:g} seconds", status=422)

        return pause

    # What came.

    def _came(self, upload: Upload) -> _Came:
        paths = _files(upload.files)
        read = {path: _read(upload, path) for path in paths if path == CARD or is_head(path)}
        memory = Memory.load(os.path.join(self.cache, FOLDER, "seen"))
        policy = memory.policy(self.policy())
        old, new = self.card(), None
        if old is not None:
            policy, _ = memory.learn(policy, old.rotations, old.revocations)
        if CARD in read:
            with _naming(CARD):
                new = decode_card(read[CARD])
                policy, refused = memory.learn(policy, new.rotations, new.revocations)
                known = set(old.rotations) if old is not None else set()
                if refused and not known.issuperset(new.rotations):
                    raise refused[0]
        name = new.name if old is None and new is not None else old.name if old is not None else None
        if name is None:
            raise Refused("card", "this cache has no card yet, and none came", status=422, path=CARD)
        heads = {path: (_open_head(read[path], path, policy, name), read[path]) for path in read if path != CARD}
        return _Came(heads, new, tuple(filter(is_immutable, paths)), policy, memory)

    # Verifying.

    def _verify(self, shelf: Shelf, came: _Came) -> dict[str, int]:
        for path in came.immutable:
            with _naming(path):
                check_file(path, shelf.whole(path))
        shelf.used.clear()
        in_force = list(self._heads())
        known = {entry for head in in_force for entry in head.segments}
        entries = list(dict.fromkeys(entry for head, _ in came.heads.values() for entry in head.segments))
        verification = Verification(shelf, came.policy)
        counts: dict[str, int] = {}
        for entry in entries:
            shelf.index(entry)
            if entry not in known:
                with _naming(entry.path):
                    for kind, number in verification.check(shelf.all_rows(entry, MAX_ROWS)).items():
                        counts[kind] = counts.get(kind, 0) + number
        self._check_closed(shelf, in_force, entries, set(verification.needed))
        return counts

    def _check_closed(
        self, shelf: Shelf, in_force: Iterable[Head], entries: Iterable[SegmentEntry], lacking: set[bytes]
    ) -> None:
        """Nothing that the new rows refer to is missing."""
        for head in in_force:
            lacking -= shelf.rows(head.segments, lacking).keys()
        lacking -= shelf.rows(entries, lacking).keys()
        if lacking:
            first = min(lacking)
            what = {b"O": "an object", b"E": "an envelope"}.get(first[:1], "a row")
            raise Refused("closure", f"{what} that is referred to is not in the cache: {first[1:].hex()}", status=422)

    def _heads(self) -> Iterator[Head]:
        """The heads in force: each was verified when it came."""
        card = self.card()
        folder = os.path.join(self.cache, "heads")
        for uploader in card.uploaders if card is not None else ():
            path = os.path.join(folder, f"{uploader.key.keyid}.json")
            with suppress(FileNotFoundError, StoreError), open(path, "rb") as file:
                yield open_head(file.read(), uploader.key, uploader.cache)

    def card(self) -> Card | None:
        """The card in force. Raises StoreError."""
        try:
            with open(os.path.join(self.cache, CARD), "rb") as file:
                return decode_card(file.read())
        except FileNotFoundError:
            return None

    # Publishing; under the cache's lock.

    def _publish(self, shelf: Shelf, came: _Came) -> None:
        for path, (head, data) in came.heads.items():
            self._check_newer(path, head, data, came.policy)
        card = None if came.card is None else merge_cards(self.card(), came.card, came.policy)
        files = {path: place for path, place in shelf.used.items() if is_immutable(path)} if came.heads else {}
        replaced = {} if card is None else {CARD: encode_card(card)}
        replaced.update((path, data) for path, (_, data) in came.heads.items())
        publish(self.cache, Publication(files, replaced))

    def _check_newer(self, path: str, head: Head, data: bytes, policy: Policy) -> None:
        """One that is there and is no head of this key is in nobody's way; the very same one came before."""
        try:
            with open(os.path.join(self.cache, path), "rb") as file:
                there = file.read()
            old = _open_head(there, path, policy, head.cache, fresh=False)
        except (FileNotFoundError, StoreError):
            return
        if head.version <= old.version and there != data:
            message = f"the head has version {head.version}, and {old.version} is in force"
            raise Refused("conflict", message, status=409, path=path, code="K0657")


@contextmanager
def _keeping(came: _Came, upload: Upload) -> Iterator[None]:
    """Where only the head came too late, the files are kept: the next one names them."""
    try:
        yield
    except Refused as refused:
        if refused.status == 409:
            keep(upload, came.immutable)
        raise


def _open_head(data: bytes, path: str, policy: Policy, cache: str, *, fresh: bool = True) -> Head:
    """A head that its key has signed. Raises Refused, BadEnvelope, BadSignature."""
    keyid = os.path.basename(path).removesuffix(".json")
    trusted = policy.by_id.get(keyid)
    if trusted is None and keyid in policy.barred:
        raise barred_error(policy.barred[keyid], "the head is ")
    if trusted is None:
        raise Refused("signature", f"signed by a key that this server does not trust: {keyid}", status=422, path=path)
    head = open_head(data, trusted.key, cache)
    if fresh and head.expires <= time.time():
        raise Refused("expired", "a head that has expired", status=422, path=path)
    return head


def _files(folder: str) -> list[str]:
    found = []
    for place, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(place, name), folder) for name in names]
    return sorted(found)


def _read(upload: Upload, path: str) -> bytes:
    with open(os.path.join(upload.files, path), "rb") as file:
        return file.read()


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Errors say in which file they are."""
    try:
        yield
    except Refused as refused:
        refused.path = refused.path or path
        raise
    except BadSignature as error:
        raise Refused("signature", str(error), status=422, path=path) from error
    except StoreError as error:
        raise as_refusal(error, path) from error

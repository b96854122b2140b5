"""Admitting an upload: verified in quarantine, then moved into the cache; the head last, which makes it readable.

    1  files that are named by their digest have it
    2  the card's items are signed by their own keys, which this server trusts
    3  a head is signed by its key, newer than the one in force, and names segments that are there
    4  the rows of the segments that came are verified (see `verifying`)
    5  under the cache's lock: packs, chunks and segments move; they are synced; then the card and the heads

The server never signs: it moves what builders signed. Who uploads under a key that the server does not trust is
refused. An upload that fails at any step changes nothing that a reader sees.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from kiln.serve.names import CARD, is_head, is_immutable
from kiln.serve.quarantine import FOLDER
from kiln.serve.refusal import Refused
from kiln.serve.shelf import Shelf
from kiln.serve.verifying import Verification, as_refusal
from kiln.store.cache.card import Card, decode_card, encode_card, make_card
from kiln.store.cache.chunking import check_chunk
from kiln.store.cache.framing import ChunkDigest, PackDigest, SegmentDigest
from kiln.store.cache.head import Head, open_head
from kiln.store.cache.pack import check_pack
from kiln.store.cache.segment import read_segment
from kiln.store.digest import Digest
from kiln.store.errors import BadSignature, StoreError
from kiln.store.provenance.trust import Policy


@dataclass(frozen=True, slots=True)
class Admitter:
    """Admits uploads into one cache folder. `policy` is asked anew each time: the operator may have changed it."""

    cache: str
    policy: Callable[[], Policy]

    def __call__(self, upload: str) -> dict[str, int]:
        """Raises Refused."""
        paths = _files(upload)
        try:
            policy = self.policy()
            counts = self._verify(upload, paths, policy)
            with self._lock():
                self._publish(upload, paths, policy)
        except BadSignature as error:
            raise Refused("signature", str(error), status=422) from error
        except StoreError as error:
            raise as_refusal(error) from error
        except OSError as error:
            raise Refused(
                "disk", f"the server could not write: {os.strerror(error.errno or 0)}", status=507
            ) from error
        return {"files": len(paths), **counts}

    def _verify(self, upload: str, paths: list[str], policy: Policy) -> dict[str, int]:
        shelf = Shelf(upload, self.cache)
        name = self._name(shelf)
        heads = [_open_head(shelf.whole(path), path, policy, name) for path in paths if is_head(path)]
        verification = Verification(shelf, policy)
        counts: dict[str, int] = {}
        for path in paths:
            with _naming(path):
                for kind, number in self._immutable(shelf, verification, path).items():
                    counts[kind] = counts.get(kind, 0) + number
        self._check_whole(shelf, heads, verification)
        return counts

    def _immutable(self, shelf: Shelf, verification: Verification, path: str) -> dict[str, int]:
        if not is_immutable(path):
            return {}
        digest, data = Digest.parse(path[-64:]), shelf.whole(path)
        match path[0]:
            case "p":
                check_pack(PackDigest(digest), data)
            case "c":
                check_chunk(ChunkDigest(digest), data)
            case _:
                return verification.check(read_segment(SegmentDigest(digest), data)[1])
        return {}

    def _check_whole(self, shelf: Shelf, heads: list[Head], verification: Verification) -> None:
        """Nothing that came refers to what is not there. Without a head only files came that nothing names yet."""
        entries = list(dict.fromkeys(entry for head in heads for entry in head.segments))
        for entry in entries:
            shelf.index(entry)
        lacking = set(verification.needed)
        for found in self._heads():
            lacking -= shelf.rows(found.segments, lacking).keys()
        lacking -= shelf.rows(entries, lacking).keys()
        if lacking and heads:
            first = min(lacking)
            what = {b"O": "an object", b"E": "an envelope"}.get(first[:1], "a row")
            raise Refused("closure", f"{what} that is referred to is not in the cache: {first[1:].hex()}", status=422)

    def _heads(self) -> Iterator[Head]:
        """The heads in force: each was verified when it came."""
        card = self._card()
        folder = os.path.join(self.cache, "heads")
        for uploader in card.uploaders if card is not None else ():
            path = os.path.join(folder, f"{uploader.key.keyid}.json")
            with suppress(FileNotFoundError, StoreError), open(path, "rb") as file:
                yield open_head(file.read(), uploader.key, uploader.cache)

    def _name(self, shelf: Shelf) -> str:
        card = self._card()
        if card is None and not shelf.has(CARD):
            raise Refused("card", "this cache has no card yet, and none came", status=422, path=CARD)
        return (card or decode_card(shelf.whole(CARD))).name

    def _card(self) -> Card | None:
        try:
            with open(os.path.join(self.cache, CARD), "rb") as file:
                return decode_card(file.read())
        except FileNotFoundError:
            return None

    def _publish(self, upload: str, paths: list[str], policy: Policy) -> None:
        shelf, name = Shelf(upload, self.cache), self._name(Shelf(upload, self.cache))
        for path in filter(is_head, paths):
            head = _open_head(shelf.whole(path), path, policy, name)
            self._check_newer(path, head, policy)
        card = self._merged(upload, policy) if CARD in paths else None
        moved = {os.path.dirname(path) for path in paths if is_immutable(path) and self._move(upload, path)}
        for folder in sorted(moved):
            _sync(os.path.join(self.cache, folder))
        if card is not None:
            _replace(os.path.join(self.cache, CARD), encode_card(card))
        for path in filter(is_head, paths):
            _replace(os.path.join(self.cache, path), shelf.whole(path))

    def _check_newer(self, path: str, head: Head, policy: Policy) -> None:
        try:
            with open(os.path.join(self.cache, path), "rb") as file:
                old = _open_head(file.read(), path, policy, head.cache, fresh=False)
        except FileNotFoundError:
            return
        if head.version <= old.version:
            message = f"the head has version {head.version}, and {old.version} is in force"
            raise Refused("conflict", message, status=409, path=path, code="K0657")

    def _merged(self, upload: str, policy: Policy) -> Card:
        """The card in force and the one that came; every item is signed by its own key, which is trusted here."""
        with open(os.path.join(upload, CARD), "rb") as file:
            came = decode_card(file.read())
        old = self._card()
        if old is not None and old.name != came.name:
            raise Refused("card", f"this cache is called {old.name}, not {came.name}", status=422, path=CARD)
        for uploader in came.uploaders:
            if uploader.cache != came.name:
                message = f"an uploader's entry for the cache {uploader.cache}, not {came.name}"
                raise Refused("card", message, status=422, path=CARD)
            if uploader.key.keyid not in policy.by_id and (old is None or old.uploader(uploader.key.keyid) is None):
                message = f"an uploader's key that this server does not trust: {uploader.key.keyid}"
                raise Refused("signature", message, status=422, path=CARD)
        return make_card(came.name, came.envelopes | (old.envelopes if old is not None else frozenset()))

    def _move(self, upload: str, path: str) -> bool:
        """Whether it is new. A file of that name is there: then it has these bytes."""
        target = os.path.join(self.cache, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        source = os.path.join(upload, path)
        with open(source, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(source, 0o444)
        try:
            os.link(source, target)
        except FileExistsError:
            os.utime(target)  # it is built upon: a collector leaves it for a grace period
            return False
        return True

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with open(os.path.join(self.cache, FOLDER, "lock"), "a", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _open_head(data: bytes, path: str, policy: Policy, cache: str, *, fresh: bool = True) -> Head:
    """A head that its key has signed. Raises Refused, BadEnvelope, BadSignature."""
    keyid = os.path.basename(path).removesuffix(".json")
    trusted = policy.by_id.get(keyid)
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


def _replace(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    draft = f"{path}.{os.getpid()}.new"
    with open(draft, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), 0o644)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
    _sync(os.path.dirname(path))


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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

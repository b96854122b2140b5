"""What the critical environment holds, and how rows are written and read: pure functions of a transaction.

objects       id → row (see `info`); the first 20 bytes of an id are its path, so this answers both
referrers     id → ids of the objects that refer to it
claims        claim's digest → claim
by-resolved   resolved derivation → claims' digests
producers     object's id → claims' digests
witnesses     claim's digest ‖ witness' digest → [1, origin, record], and for what a cache gave [… , name, address]
contested     derivation and output (see `contested_key`) → ids of its results, where there is more than one
resolutions   derivation ‖ resolution's digest → record
roots         digest of the link's path → [1, path, id, made in milliseconds since 1970]
log           8-byte number → id          every object in the order of registration
given         b"log" → 8-byte number      the last number that was given in the log: none is given twice
trash         entry of store/ → b""       taken out of the index, on its way out of store/ (see `collect`)
history       digest of the link's path ‖ 8-byte number → id        what a root's link showed before

What running processes have pinned is no table: see `presence`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

import msgpack
from blake3 import blake3

from kiln.store.digest import DrvDigest, ObjectId, ResolvedDigest
from kiln.store.errors import Damaged
from kiln.store.index import Table, Txn
from kiln.store.info import ObjectInfo, decode_row, encode_row
from kiln.store.ownrows import own_claim, own_resolution, own_witness
from kiln.store.paths import ALPHABET, OutputName, StorePath
from kiln.store.records import (
    Claim,
    ClaimDigest,
    Resolution,
    Witness,
    decode_witness,
)
from kiln.store.roots import Root, root_key

OBJECTS = Table(b"a", "objects")
REFERRERS = Table(b"b", "referrers", many=True)
CLAIMS = Table(b"c", "claims")
BY_RESOLVED = Table(b"d", "by-resolved", many=True)
PRODUCERS = Table(b"e", "producers", many=True)
WITNESSES = Table(b"f", "witnesses")
RESOLUTIONS = Table(b"g", "resolutions")
ROOTS = Table(b"h", "roots")
LOG = Table(b"j", "log")
TRASH = Table(b"k", "trash")
HISTORY = Table(b"l", "history")
CONTESTED = Table(b"m", "contested", many=True)
GIVEN = Table(b"n", "given")
HISTORY_KEPT = 50
"""How many of what a root's link showed before are remembered."""

PATH_BYTES = 20
_DIGITS = {character: value for value, character in enumerate(ALPHABET)}
Origin: TypeAlias = Literal["built", "substituted"]
_ORIGINS: tuple[Origin, ...] = ("built", "substituted")


class Source(NamedTuple):
    """The cache that something was taken from: what it is called here, and its address without credentials."""

    name: str
    url: str


class Witnessed(NamedTuple):
    """A claim with one witness. `origin`: whether this store's own builder made it, or it came from elsewhere.

    `source` says where from; None for what was built here, and for what came from no cache.
    """

    claim: Claim
    witness: Witness
    origin: Origin
    source: Source | None = None


def get_object(txn: Txn, object_id: bytes) -> ObjectInfo | None:
    row = txn.get(OBJECTS, object_id)
    return None if row is None else decode_row(object_id, row)


def find_by_path(txn: Txn, path: StorePath) -> ObjectId | None:
    """The id whose first 160 bits the path shows."""
    return _find(txn, unbase32(path.hash))


def find_base(txn: Txn, base: str) -> ObjectId | None:
    """The same for an entry of store/, `<32 characters>-<name>`."""
    return _find(txn, unbase32(base[:32]))


def _find(txn: Txn, prefix: bytes) -> ObjectId | None:
    found = txn.first_at(OBJECTS, prefix)
    return ObjectId(found) if found is not None and found.startswith(prefix) else None


def unbase32(text: str) -> bytes:
    """The 20 bytes that 32 characters of a store path stand for."""
    number = 0
    for character in text:
        number = number << 5 | _DIGITS[character]
    return number.to_bytes(PATH_BYTES, "big")


def put_object(txn: Txn, info: ObjectInfo) -> bool:
    """Register an object whose references are registered already; whether it is new.

    Raises Damaged when another object has the same path, or a reference is not here.
    """
    if txn.get(OBJECTS, info.id) is not None:
        return False
    other = _find(txn, info.id[:PATH_BYTES])
    if other is not None:
        raise Damaged("two objects would share a store path", expected=f"{other}", found=f"{info.id} at {info.path}")
    for reference in info.references:
        if txn.get(OBJECTS, reference) is None:
            raise Damaged("an object refers to one that is not in this store", found=f"{info.path} to {reference}")
        txn.put(REFERRERS, reference, info.id)
    txn.put(OBJECTS, info.id, encode_row(info))
    _log(txn, info.id)
    return True


def _log(txn: Txn, object_id: ObjectId) -> None:
    """Who has seen the log up to a number has seen all below it, whatever was removed since."""
    given = txn.get(GIVEN, b"log")
    number = txn.append(LOG, object_id, 0 if given is None else int.from_bytes(given, "big"))
    txn.put(GIVEN, b"log", number.to_bytes(8, "big"))


def remove_object(txn: Txn, object_id: bytes, info: ObjectInfo, number: int) -> None:
    """Take an object out that nothing refers to any more; `number` is its key in the log."""
    for reference in info.references:
        txn.delete(REFERRERS, reference, object_id)
    txn.delete(OBJECTS, object_id)
    txn.delete(LOG, number.to_bytes(8, "big"))
    txn.put(TRASH, info.path.base.encode(), b"")


def put_claim(txn: Txn, claim: Claim) -> ClaimDigest:
    digest = claim.digest
    if txn.get(CLAIMS, digest) is None:
        for other in txn.values(BY_RESOLVED, claim.resolved):
            _note_contest(txn, claim, other)
        txn.put(CLAIMS, digest, claim.encode())
        txn.put(BY_RESOLVED, claim.resolved, digest)
        txn.put(PRODUCERS, claim.object, digest)
    return digest


def contested_key(resolved: ResolvedDigest, output: OutputName) -> bytes:
    """One key for a derivation and one of its outputs."""
    return blake3(resolved + output.encode()).digest()


def _note_contest(txn: Txn, claim: Claim, other: bytes) -> None:
    """That an earlier claim says another result of the same output. Most builds have one claim an output."""
    data = txn.get(CLAIMS, other)
    earlier = None if data is None else own_claim(data)
    if earlier is not None and earlier.output == claim.output and earlier.object != claim.object:
        key = contested_key(claim.resolved, claim.output)
        txn.put(CONTESTED, key, earlier.object)
        txn.put(CONTESTED, key, claim.object)


def contests(txn: Txn) -> list[tuple[ObjectId, ...]]:
    """For each contested output the objects that claims give for it. Empty in nearly every store."""
    found: dict[bytes, list[ObjectId]] = {}
    for key, value in txn.items(CONTESTED):
        found.setdefault(key, []).append(ObjectId(value))
    return [tuple(items) for items in found.values()]


def put_witness(txn: Txn, item: Witnessed) -> None:
    """Store a claim and its witness. What was built here is never overwritten by a copy from elsewhere."""
    key = put_claim(txn, item.claim) + item.witness.digest
    if item.origin == "built" or txn.get(WITNESSES, key) is None:
        txn.put(WITNESSES, key, encode_witnessed(item))


def encode_witnessed(item: Witnessed) -> bytes:
    source = () if item.source is None else item.source
    packed: bytes = msgpack.packb([1, _ORIGINS.index(item.origin), item.witness.encode(), *source])
    return packed


def decode_witnessed(claim: Claim, data: bytes) -> Witnessed:
    """Raises Damaged."""
    try:
        fields: object = msgpack.unpackb(data)
    except ValueError:
        fields = None
    match fields:
        case [1, (0 | 1) as origin, bytes(record)]:
            return Witnessed(claim, decode_witness(record), _ORIGINS[origin])
        case [1, 1, bytes(record), str(name), str(url)]:
            return Witnessed(claim, decode_witness(record), _ORIGINS[1], Source(name, url))
        case _:
            raise Damaged("a witness' row in the index does not parse", help="kiln store rebuild-index")


def witnessed(txn: Txn, digests: Iterable[bytes]) -> list[Witnessed]:
    """Every witness of these claims."""
    found: list[Witnessed] = []
    for digest in digests:
        data = txn.get(CLAIMS, digest)
        if data is None:
            raise Damaged("the index names a claim that it does not hold", help="kiln store rebuild-index")
        claim = own_claim(data)
        found.extend(_own_witnessed(claim, value) for _, value in txn.prefixed(WITNESSES, digest))
    return found


def _own_witnessed(claim: Claim, data: bytes) -> Witnessed:
    try:
        _, origin, record, *source = msgpack.unpackb(data)
        return Witnessed(claim, own_witness(record), _ORIGINS[origin], Source(*source) if source else None)
    except (ValueError, TypeError, IndexError) as error:
        raise Damaged("a witness' row in the index does not parse", help="kiln store rebuild-index") from error


def claims_for(txn: Txn, resolved: ResolvedDigest) -> list[Witnessed]:
    return witnessed(txn, txn.values(BY_RESOLVED, resolved))


def producers_of(txn: Txn, object_id: ObjectId) -> list[Witnessed]:
    return witnessed(txn, txn.values(PRODUCERS, object_id))


def put_resolution(txn: Txn, resolution: Resolution) -> None:
    txn.put(RESOLUTIONS, resolution.drv + resolution.digest, resolution.encode())


def resolutions_for(txn: Txn, drv: DrvDigest) -> list[Resolution]:
    return [own_resolution(value) for _, value in txn.prefixed(RESOLUTIONS, drv)]


def all_resolutions(txn: Txn) -> list[Resolution]:
    return [own_resolution(value) for _, value in txn.items(RESOLUTIONS)]


def put_root(txn: Txn, root: Root) -> None:
    """Register a root. What its link showed before is remembered, the last `HISTORY_KEPT` of them."""
    key = root_key(root.link)
    old = get_root(txn, root.link)
    if old is not None and old.object != root.object:
        before = txn.prefixed(HISTORY, key)
        number = int.from_bytes(before[-1][0][len(key) :], "big") + 1 if before else 1
        txn.put(HISTORY, key + number.to_bytes(8, "big"), old.object)
        for forgotten, _ in txn.prefixed(HISTORY, key)[:-HISTORY_KEPT]:
            txn.delete(HISTORY, forgotten)
    txn.put(ROOTS, key, msgpack.packb([1, root.link, root.object, root.made]))


def get_root(txn: Txn, link: str) -> Root | None:
    """What is registered for a link. Raises Damaged."""
    value = txn.get(ROOTS, root_key(link))
    return None if value is None else _decode_root(value)


def drop_root(txn: Txn, link: str) -> None:
    """Forget a root and its history."""
    key = root_key(link)
    txn.delete(ROOTS, key)
    for row, _ in txn.prefixed(HISTORY, key):
        txn.delete(HISTORY, row)


def history_of(txn: Txn, link: str) -> list[ObjectId]:
    """What a link showed before what it shows now, the newest first."""
    return [ObjectId(value) for _, value in reversed(txn.prefixed(HISTORY, root_key(link)))]


def put_history(txn: Txn, link: str, before: Iterable[ObjectId]) -> None:
    """What `history_of` is to answer for a link that has no history yet."""
    key = root_key(link)
    for number, item in enumerate(reversed(list(before)), 1):
        txn.put(HISTORY, key + number.to_bytes(8, "big"), item)


def all_roots(txn: Txn) -> list[Root]:
    """Every registered root, whether its link is still there or not. Raises Damaged."""
    return [_decode_root(value) for _, value in txn.items(ROOTS)]


def _decode_root(value: bytes) -> Root:
    match msgpack.unpackb(value):
        case [1, str(link), bytes(object_id), int(made)]:
            return Root(link, ObjectId(object_id), made)
        case _:
            raise Damaged("a root's row in the index does not parse", help="kiln store rebuild-index")

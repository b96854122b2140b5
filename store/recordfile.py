"""The small files under records/: what the index says about builds, so that it can be made again.

w-<64 hex>   msgpack [1, claim, row of the index]     named by the witness' digest
r-<64 hex>   msgpack [1, record]                      named by the resolution's digest
b-<64 hex>   msgpack [1, [[name, bytes] …]]           many of these at once, named by the BLAKE3 of the bytes

What a build makes is said in files of their own. Where hundreds of records come together, from a cache, they lie in
one: making a file costs more than all else that is done for a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgpack

from kiln.store.digest import blob_digest
from kiln.store.errors import Damaged
from kiln.store.records import Resolution, Witness, decode_claim, decode_resolution
from kiln.store.tables import Witnessed, decode_witnessed, encode_witnessed

RecordFile: TypeAlias = Witnessed | Resolution
BUNDLE = "b-"


def witness_file(witness: Witness) -> str:
    return f"w-{witness.digest.hex()}"


def resolution_file(resolution: Resolution) -> str:
    return f"r-{resolution.digest.hex()}"


def encode_witness_file(item: Witnessed) -> bytes:
    packed: bytes = msgpack.packb([1, item.claim.encode(), encode_witnessed(item)])
    return packed


def encode_resolution_file(resolution: Resolution) -> bytes:
    packed: bytes = msgpack.packb([1, resolution.encode()])
    return packed


def encode_bundle(files: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
    """The name and the bytes of a file that holds several."""
    packed: bytes = msgpack.packb([1, [[name, data] for name, data in files]])
    return f"{BUNDLE}{blob_digest(packed).hex()}", packed


def decode_record_files(name: str, data: bytes) -> list[RecordFile]:
    """Read a file of records/, whatever it holds. Raises Damaged."""
    return [decode_record_file(inner, inside) for inner, inside in record_files(name, data)]


def record_files(name: str, data: bytes) -> list[tuple[str, bytes]]:
    """The files that a file of records/ stands for: those in it, or itself. Raises Damaged."""
    if not name.startswith(BUNDLE):
        return [(name, data)]
    try:
        fields = msgpack.unpackb(data)
    except ValueError as error:
        raise Damaged("a file of records does not parse", found=name) from error
    match fields:
        case [1, list(files)] if name == f"{BUNDLE}{blob_digest(data).hex()}":
            found = [(str(item[0]), bytes(item[1])) for item in files if isinstance(item, list) and len(item) == 2]
            if len(found) == len(files) and not any(inner.startswith(BUNDLE) for inner, _ in found):
                return found
    raise Damaged("a file of records is not what its name says", found=name)


def decode_record_file(name: str, data: bytes) -> RecordFile:
    """Read a file of records/, which must be named by what it holds. Raises Damaged."""
    try:
        fields = msgpack.unpackb(data)
    except ValueError as error:
        raise Damaged("a record's file does not parse", found=name) from error
    match fields:
        case [1, bytes(claim), bytes(row)]:
            item = decode_witnessed(decode_claim(claim), row)
            if item.witness.claim == item.claim.digest and witness_file(item.witness) == name:
                return item
        case [1, bytes(record)]:
            resolution = decode_resolution(record)
            if resolution_file(resolution) == name:
                return resolution
    raise Damaged("a record's file is not what its name says", found=name)

"""The small files under records/: what the index says about builds, so that it can be made again.

w-<64 hex>   msgpack [1, claim, row of the index]     named by the witness' digest
r-<64 hex>   msgpack [1, record]                      named by the resolution's digest
"""

from __future__ import annotations

from typing import TypeAlias

import msgpack

from kiln.store.errors import Damaged
from kiln.store.records import Resolution, Witness, decode_claim, decode_resolution
from kiln.store.tables import Witnessed, decode_witnessed, encode_witnessed

RecordFile: TypeAlias = Witnessed | Resolution


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

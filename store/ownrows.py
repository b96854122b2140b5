"""Reading records out of one's own index, many times faster than `records` reads what comes from elsewhere.

Every row was canonical and complete when it was put there, so that nothing is proven again: the fields are taken
as they stand. A row that does not even unpack is damage to the index. What is read here must never be taken from
another store or a cache.
"""

from __future__ import annotations

from typing import Any

import msgpack

from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest, RootDigest
from kiln.store.errors import Damaged
from kiln.store.paths import OutputName
from kiln.store.records import Claim, ClaimDigest, Pin, Resolution, Witness

_unpack: Any = msgpack.unpackb
_digest: Any = bytes.__new__
_text: Any = str.__new__
_row: Any = tuple.__new__


def own_claim(data: bytes) -> Claim:
    """A row of the table `claims`. Raises Damaged."""
    try:
        _, resolved, output, object_id, root, size, references = _unpack(data)
        fields = (
            _digest(ResolvedDigest, resolved),
            _text(OutputName, output),
            _digest(ObjectId, object_id),
            _digest(RootDigest, root),
            size,
            tuple([_digest(ObjectId, item) for item in references]),
        )
    except (ValueError, TypeError) as error:
        raise _damaged("claim", error) from error
    claim: Claim = _row(Claim, fields)
    return claim


def own_witness(data: bytes) -> Witness:
    """A witness' record, as it stands in a row of the table `witnesses`. Raises Damaged."""
    try:
        _, body, signature = _unpack(data)
        _, claim, keyid, envelope, sandbox, degraded, started, finished, resources = _unpack(body)
        fields = (
            _digest(ClaimDigest, claim),
            keyid,
            _digest(EnvelopeDigest, envelope),
            sandbox,
            tuple(degraded),
            started,
            finished,
            tuple([(name, amount) for name, amount in resources]),
            signature,
        )
    except (ValueError, TypeError) as error:
        raise _damaged("witness", error) from error
    witness: Witness = _row(Witness, fields)
    return witness


def own_resolution(data: bytes) -> Resolution:
    """A row of the table `resolutions`. Raises Damaged."""
    try:
        _, body, signature = _unpack(data)
        _, drv, resolved, pins, keyid, made = _unpack(body)
        fields = (
            _digest(DrvDigest, drv),
            _digest(ResolvedDigest, resolved),
            tuple(
                [
                    _row(Pin, (_digest(DrvDigest, d), _text(OutputName, o), _digest(ObjectId, i), n))
                    for d, o, i, n in pins
                ]
            ),
            keyid,
            made,
            signature,
        )
    except (ValueError, TypeError) as error:
        raise _damaged("resolution", error) from error
    resolution: Resolution = _row(Resolution, fields)
    return resolution


def _damaged(what: str, error: Exception) -> Damaged:
    return Damaged(
        f"a {what}'s row in the index does not parse", found=str(error)[:100], help="kiln store rebuild-index"
    )

"""Changing a builder's own key, and what is published of that.

Beside the key file lies `successions`: the rotations and revocations that its keys have signed, one envelope of
`succession.py` a line. It holds no secret; each push puts its lines on the cache's card.

A new key is in the key file before its rotation is signed: a process that dies between the two has left a ring from
which the rotation follows, and `rotate` signs what lacks one.
"""

from __future__ import annotations

import os
import time
from itertools import pairwise
from typing import NamedTuple

from kiln.store.provenance.errors import BadSuccession
from kiln.store.provenance.keyfile import KeyRing, StoredKey, open_keys, replace_keys, unlock
from kiln.store.provenance.succession import (
    Revocation,
    Rotation,
    read_succession,
    sign_revocation,
    sign_rotation,
)
from kiln.store.textfile import editing, replace

NAME = "successions"
_MAX_BYTES = 4 << 20


class Changed(NamedTuple):
    """The ring after a change, and the envelopes that were signed for it."""

    ring: KeyRing
    signed: tuple[bytes, ...]


def successions_file(key_file: str) -> str:
    return os.path.join(os.path.dirname(key_file), NAME)


def load_successions(key_file: str) -> tuple[bytes, ...]:
    """Every rotation and revocation that the keys have signed, as envelopes. Raises BadSuccession."""
    path = successions_file(key_file)
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return ()
    lines = data.splitlines(keepends=True)
    if len(data) > _MAX_BYTES:
        raise BadSuccession(f"{path} is too large", expected=f"at most {_MAX_BYTES} bytes")
    for line in lines:
        read_succession(line)
    return tuple(lines)


def rotate(key_file: str) -> Changed:
    """Make a new key the active one, and sign that it takes the old one's place. Raises BadKeyFile, BadSuccession."""
    open_keys(key_file)  # makes the folder, private, and a first key
    with editing(key_file):
        ring = open_keys(key_file).rotated(_now())
        replace_keys(key_file, ring)
        return Changed(ring, _sign_rotations(key_file, ring))


def revoke(key_file: str, keyid: str, reason: str) -> bytes:
    """Sign that a retired key's word counts no longer; the envelope. Raises BadKeyFile, BadSuccession."""
    with editing(key_file):
        ring = open_keys(key_file)
        found = next((key for key in ring.keys if key.public_key.keyid == keyid), None)
        if found is None or found.state == "active":
            raise BadSuccession(
                "only a key of this builder that is retired can be revoked",
                expected=", ".join(key.keyid for key in ring.public_keys[1:]) or "kiln key rotate, first",
                found=repr(keyid[:80]),
            )
        made = sign_revocation(unlock(found), _now(), reason)
        _append(key_file, [made])
        return made


def _sign_rotations(key_file: str, ring: KeyRing) -> tuple[bytes, ...]:
    """Sign the rotations that the ring's order says and that no line has: newer keys stand before older ones."""
    lines = [read_succession(line) for line in load_successions(key_file)]
    done = {item.old.keyid for item in lines if isinstance(item, Rotation)}
    done |= {item.key.keyid for item in lines if isinstance(item, Revocation)}
    order = (ring.active, *(key for key in ring.keys if key.state == "retired"))
    pairs: list[tuple[StoredKey, StoredKey]] = [
        (old, new) for new, old in pairwise(order) if old.public_key.keyid not in done
    ]
    made = tuple(sign_rotation(unlock(old), unlock(new), _now()) for old, new in reversed(pairs))
    _append(key_file, made)
    return made


def _append(key_file: str, made: tuple[bytes, ...] | list[bytes]) -> None:
    text = b"".join((*load_successions(key_file), *made)).decode("ascii")
    replace(successions_file(key_file), text)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

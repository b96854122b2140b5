"""The digests under which an object is known outside Kiln: of a file's bytes, of a tree's canonical archive."""

from __future__ import annotations

import hashlib
import os

from blake3 import blake3

from kiln.store.archive import tar_pieces
from kiln.store.digest import RootDigest
from kiln.store.disk import disk_errors
from kiln.store.disposable import ARCHIVE, Memo
from kiln.store.errors import Refused
from kiln.store.info import ObjectInfo
from kiln.store.ingest import CHUNK


def subject_digests(memo: Memo, info: ObjectInfo, physical: str) -> tuple[bytes, bytes]:
    """(SHA-256, BLAKE3), from the memo if it is there. Raises Refused for a symlink, StoreError."""
    remembered = memo.get(ARCHIVE, info.root)
    if remembered is not None and len(remembered) == 64:
        return remembered[:32], remembered[32:]
    match info.kind:
        case "tree":
            found = _tree(physical)
        case "file":
            found = _file(physical)
        case "symlink":
            raise Refused("an object that is a symlink has no bytes of its own to sign", found=str(info.path))
    memo.put(ARCHIVE, RootDigest(info.root), found[0] + found[1])
    return found


def _tree(physical: str) -> tuple[bytes, bytes]:
    sha256, own = hashlib.sha256(), blake3()
    for piece in tar_pieces(physical):
        sha256.update(piece)
        own.update(piece)
    return sha256.digest(), own.digest()


def _file(physical: str) -> tuple[bytes, bytes]:
    sha256, own = hashlib.sha256(), blake3()
    with disk_errors("hashing a file"):
        fd = os.open(physical, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            while data := os.read(fd, CHUNK):
                sha256.update(data)
                own.update(data)
        finally:
            os.close(fd)
    return sha256.digest(), own.digest()

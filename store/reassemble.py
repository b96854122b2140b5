"""An object put together again from its manifest: its own files that are still whole, and the pool's.

A file that was replaced or removed is then no loss, if another object shares its bytes. One whose very blocks went
bad is, where the file system cannot clone: all names of an inode show the same damage.
"""

from __future__ import annotations

import os

from kiln.store.commit import Staged
from kiln.store.disk import disk_errors, write_all
from kiln.store.errors import Damaged
from kiln.store.ingest import CHUNK, Normalise, hash_file, ingest
from kiln.store.layout import Layout
from kiln.store.manifest import DirNode, FileNode, LinkNode, Node, decode_directory, top
from kiln.store.meta import ObjectMeta
from kiln.store.pool import Pool
from kiln.store.session import Session
from kiln.store.verify import wrong_places


def stage_reassembled(layout: Layout, session: Session, meta: ObjectMeta) -> Staged:
    """A whole copy in a folder of the session's. Raises Damaged when a file is nowhere whole, NoSpace, StoreError."""
    folder = session.new_folder("again")
    target = f"{folder}/object".encode()
    known = meta.manifest.by_digest()
    own = os.fsencode(f"{layout.store}/{meta.info.path.base}")
    with disk_errors("putting an object together again"):
        stack: list[tuple[bytes, Node]] = [(b"", top(meta.manifest))]
        while stack:
            path, node = stack.pop()
            place = target + b"/" + path if path else target
            match node:
                case DirNode(digest):
                    os.mkdir(place, 0o755)
                    prefix = path + b"/" if path else b""
                    stack.extend((prefix + name, child) for name, child in decode_directory(known[digest]))
                case LinkNode(link):
                    os.symlink(link, place)
                case FileNode():
                    _find(place, node, [own + b"/" + path if path else own, Pool(layout).entry(node).encode()])
        parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = ingest(parent, b"object", Normalise(layout.owner))
        finally:
            os.close(parent)
    staged = Staged(meta, folder, b"object")
    if found.manifest.root != meta.info.root or wrong_places(staged.physical, meta):
        raise Damaged("an object that could not be put together again", found=str(meta.info.path))
    return staged


def _find(place: bytes, node: FileNode, candidates: list[bytes]) -> None:
    """Write the file from the first candidate that has its bytes."""
    for candidate in candidates:
        try:
            source = os.open(candidate, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if hash_file(source, node.size, place) != (node.size, node.digest):
                continue
            os.lseek(source, 0, os.SEEK_SET)
            _write(place, source, node.executable)
            return
        finally:
            os.close(source)
    raise Damaged("a file that is nowhere whole", found=node.digest.short)


def _write(place: bytes, source: int, executable: bool) -> None:
    out = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755 if executable else 0o644)
    try:
        while data := os.read(source, CHUNK):
            write_all(out, data)
    finally:
        os.close(out)

"""Replacing hashes in files and symlink targets, by path and offset, into new files.

Every component of a path is opened from the one above it without following symlinks. A stream is patched piece by
piece, so that memory does not grow with a file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from blake3 import blake3

from kiln.store.digest import BlobDigest
from kiln.store.disk import open_directory, write_all
from kiln.store.failpoint import failpoint
from kiln.store.ingest import CHUNK, finish_directory, finish_file, finish_link
from kiln.store.layout import Owner
from kiln.store.manifest import FileNode, LinkNode
from kiln.store.scan import Hit

_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def split(path: str) -> tuple[str, bytes]:
    """A path's folder and its last component."""
    folder, entry = os.path.split(path.rstrip("/"))
    return folder or ".", os.fsencode(entry)


class TreeAt:
    """A tree in which files are read and replaced by path. A context manager; raises OSError."""

    def __init__(self, source: str) -> None:
        self._folder, self._entry = split(source)

    def __enter__(self) -> TreeAt:
        self._fd = open_directory(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        """The folder that holds `path`, opened without following anything, and the entry's name there."""
        if not path:
            return os.dup(self._fd), self._entry
        fd = open_directory(self._entry, self._fd)
        *above, name = path.split(b"/")
        for component in above:
            inner = open_directory(component, fd)
            os.close(fd)
            fd = inner
        return fd, name

    def open(self, path: bytes) -> int:
        """A descriptor of a file."""
        fd, name = self._parent(path)
        try:
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        finally:
            os.close(fd)

    def preview(self, path: bytes, hits: Sequence[Hit], final: Mapping[bytes, bytes]) -> FileNode | LinkNode:
        """What would stand in the manifest; a symlink's target is changed as if it were a file's bytes."""
        fd, name = self._parent(path)
        try:
            return _digest(fd, name, hits, final, None)
        finally:
            os.close(fd)

    def write(
        self, path: bytes, hits: Sequence[Hit], final: Mapping[bytes, bytes], owner: Owner
    ) -> FileNode | LinkNode:
        """Put a changed file or symlink in the place of the old one."""
        fd, name = self._parent(path)
        draft = b".kiln-" + os.urandom(8).hex().encode()
        try:
            if path:
                os.fchmod(fd, 0o755)
            node = _digest(fd, name, hits, final, draft)
            match node:
                case LinkNode(target):
                    os.symlink(target, draft, dir_fd=fd)
                    finish_link(fd, draft, owner)
                case FileNode(_, _, executable):
                    out = os.open(draft, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=fd)
                    try:
                        finish_file(out, executable, owner)
                    finally:
                        os.close(out)
            os.rename(draft, name, src_dir_fd=fd, dst_dir_fd=fd)
            failpoint("rewrite:file-written")
            if path:
                finish_directory(fd, is_top=b"/" not in path)
        finally:
            os.close(fd)
        return node


def _digest(
    fd: int, name: bytes, hits: Sequence[Hit], final: Mapping[bytes, bytes], draft: bytes | None
) -> FileNode | LinkNode:
    """What a file or symlink is with its hashes replaced; also written to the file `draft` if one is named."""
    patches = [(hit.offset, final[hit.target]) for hit in hits]
    try:
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return LinkNode(b"".join(patched([os.readlink(name, dir_fd=fd)], patches)))
    try:
        facts = os.fstat(source)
        hasher = blake3()
        out = os.open(draft, _MAKE, 0o600, dir_fd=fd) if draft is not None else None
        try:
            for piece in patched(_pieces(source), patches):
                hasher.update(piece)
                if out is not None:
                    write_all(out, piece)
        finally:
            if out is not None:
                os.close(out)
        return FileNode(facts.st_size, BlobDigest(hasher.digest()), bool(facts.st_mode & 0o111))
    finally:
        os.close(source)


def _pieces(fd: int) -> Iterator[bytes]:
    while data := os.read(fd, CHUNK):
        yield data


def patched(pieces: Iterable[bytes], patches: Sequence[tuple[int, bytes]]) -> Iterator[bytes]:
    """A stream with some ranges overwritten. Patches are in the order of their offsets and do not overlap."""
    offset, first = 0, 0
    for piece in pieces:
        end = offset + len(piece)
        changed: bytearray | None = None
        for at in range(first, len(patches)):
            start, new = patches[at]
            if start >= end:
                break
            changed = changed or bytearray(piece)
            low, high = max(start, offset), min(start + len(new), end)
            changed[low - offset : high - offset] = new[low - start : high - start]
            first = at + 1 if high == start + len(new) else at
        yield bytes(changed) if changed is not None else piece
        offset = end

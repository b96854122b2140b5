"""An object put together from its record and its blobs: every byte is hashed before it stands under its name.

The record's meta proves the tree's shape, the id and the root (see `store/meta.py`). What is left to show is that
each file has the bytes that its manifest names:

    a blob comes, verified by its own digest    ──►  it is the file
    the file mentions its own object            ──►  zeros stand where meta says, they become the object's hash,
                                                     and what came out has the digest that the manifest names

So nothing has to be read again, and an object whose last file is there is the object, to the last bit of its id.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from blake3 import blake3

from kiln.store.bigcopy import copy_big
from kiln.store.commit import Staged
from kiln.store.digest import BlobDigest, blob_digest
from kiln.store.disk import open_directory, start_writing, write_all
from kiln.store.errors import Damaged
from kiln.store.ingest import MANY_THREADS, finish_directory, finish_file, finish_link, show_path
from kiln.store.layout import Owner
from kiln.store.manifest import ZEROS, DirNode, FileNode, LinkNode, Node, SelfPlace, decode_directory, top
from kiln.store.meta import ObjectMeta
from kiln.store.pool import open_parent

_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LONG_PATH = 3000
"""Bytes; a path beyond this is opened component by component."""


class Draft:
    """One object on its way: directories and symlinks stand, files come as their blobs do. Used by one thread."""

    def __init__(self, meta: ObjectMeta, folder: str, entry: str, owner: Owner) -> None:
        self.meta = meta
        self._folder = folder
        self._entry = entry.encode()
        self._top = os.fsencode(f"{folder}/{entry}")
        self._owner = owner
        self._own = meta.info.path.hash.encode()
        self._places = {place.path: place for place in meta.places}
        self._directories: list[bytes] = []
        self._files: dict[BlobDigest, list[tuple[bytes, FileNode]]] = {}
        self._lay_out()

    @property
    def missing(self) -> frozenset[BlobDigest]:
        """The blobs, modulo self-references, that have not come."""
        return frozenset(self._files)

    def fill(self, digest: BlobDigest, data: bytes) -> None:
        """A blob came whole; its digest has been checked. Raises Damaged, OSError."""
        for path, node in self._files.pop(digest):
            place = self._places.get(path)
            self._write(path, node, data if place is None else self._with_own_hash(place, node, data))

    def fill_from(self, digest: BlobDigest, file: str, *, take: bool) -> None:
        """A big blob lies in a file, whose digest has been checked; with `take` the file is moved away.

        Raises Damaged, OSError.
        """
        wanted = self._files.pop(digest)
        last = len(wanted) - 1
        for at, (path, node) in enumerate(wanted):
            place = self._places.get(path)
            if take and at == last:
                fd, name = self._parent(path)
                try:
                    os.rename(file, name, dst_dir_fd=fd)
                finally:
                    os.close(fd)
                self._finish_big(path, node, place)
            else:
                self._copy(path, node, place, file)

    def finish(self) -> Staged:
        """The object, all of whose blobs have come."""
        assert not self._files
        for path in reversed(self._directories):
            fd = self._open_directory(path)
            try:
                finish_directory(fd, is_top=not path)
            finally:
                os.close(fd)
        return Staged(self.meta, self._folder, self._entry)

    def _lay_out(self) -> None:
        """Directories, symlinks and empty files; what is left goes by the digest that its blob travels under."""
        known = self.meta.manifest.by_digest()
        stack: list[tuple[bytes, Node]] = [(b"", top(self.meta.manifest))]
        while stack:
            path, node = stack.pop()
            match node:
                case DirNode(digest):
                    self._make_directory(path)
                    prefix = path + b"/" if path else b""
                    stack.extend((prefix + name, child) for name, child in decode_directory(known[digest]))
                case FileNode(size, digest):
                    if size == 0:
                        self._write(path, node, b"")
                        continue
                    place = self._places.get(path)
                    travels = digest if place is None else _file_of(place).digest
                    self._files.setdefault(travels, []).append((path, node))
                case LinkNode(target):
                    self._link(path, target)

    def _make_directory(self, path: bytes) -> None:
        with _At(*self._where(path)) as (fd, name):
            os.mkdir(name, 0o755, dir_fd=fd)
        fd = self._open_directory(path)
        try:
            self._owner.take(fd)
        finally:
            os.close(fd)
        self._directories.append(path)

    def _link(self, path: bytes, target: bytes) -> None:
        place = self._places.get(path)
        if place is not None:
            match place.modulo:
                case LinkNode(zeroed):
                    patched = _patched(zeroed, place, self._own)
                case _:
                    patched = None
            if patched != target:
                raise _wrong_place(path)
        with _At(*self._where(path)) as (fd, name):
            os.symlink(target, name, dir_fd=fd)
            if fd is None:
                self._owner.take_at(None, os.fsdecode(name))
                os.utime(name, ns=(1_000_000_000, 1_000_000_000), follow_symlinks=False)
            else:
                finish_link(fd, name, self._owner)

    def _with_own_hash(self, place: SelfPlace, node: FileNode, data: bytes) -> bytes:
        patched = _patched(data, place, self._own)
        if patched is None or blob_digest(patched) != node.digest:
            raise _wrong_place(place.path)
        return patched

    def _write(self, path: bytes, node: FileNode, data: bytes) -> None:
        with _At(*self._where(path)) as (fd, name):
            out = os.open(name, _MAKE, 0o600, dir_fd=fd)
        try:
            write_all(out, data)
            finish_file(out, node.executable, self._owner)
        finally:
            os.close(out)

    def _copy(self, path: bytes, node: FileNode, place: SelfPlace | None, file: str) -> None:
        source = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            with _At(*self._where(path)) as (fd, name):
                out = os.open(name, _MAKE, 0o600, dir_fd=fd)
            try:
                copy_big(source, out)
            finally:
                os.close(out)
        finally:
            os.close(source)
        self._finish_big(path, node, place)

    def _finish_big(self, path: bytes, node: FileNode, place: SelfPlace | None) -> None:
        with _At(*self._where(path)) as (fd, name):
            out = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            if place is not None:
                self._patch_file(out, place, node)
            finish_file(out, node.executable, self._owner)
        finally:
            os.close(out)

    def _patch_file(self, fd: int, place: SelfPlace, node: FileNode) -> None:
        for offset in place.offsets:
            if os.pread(fd, len(ZEROS), offset) != ZEROS:
                raise _wrong_place(place.path)
            os.pwrite(fd, self._own, offset)
        if _digest_of(fd, node.size) != node.digest:
            raise _wrong_place(place.path)

    def _where(self, path: bytes) -> tuple[bytes, bytes]:
        return self._top, path

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        return open_parent(self._top, path)

    def _open_directory(self, path: bytes) -> int:
        with _At(*self._where(path)) as (fd, name):
            return open_directory(name, fd)


class _At:
    """Where a path of a draft is reached: by name where that is short, else from an open folder."""

    def __init__(self, top: bytes, path: bytes) -> None:
        self._fd: int | None = None
        if len(top) + len(path) < _LONG_PATH:
            self._name = top + b"/" + path if path else top
        else:
            self._fd, self._name = open_parent(top, path)

    def __enter__(self) -> tuple[int | None, bytes]:
        return self._fd, self._name

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)


def _file_of(place: SelfPlace) -> FileNode:
    if not isinstance(place.modulo, FileNode):
        raise _wrong_place(place.path)
    return place.modulo


def _patched(data: bytes, place: SelfPlace, own: bytes) -> bytes | None:
    """The data with the object's hash where zeros stand; None where no zeros do."""
    changed = bytearray(data)
    for offset in place.offsets:
        if changed[offset : offset + len(ZEROS)] != ZEROS:
            return None
        changed[offset : offset + len(ZEROS)] = own
    return bytes(changed)


def _wrong_place(path: bytes) -> Damaged:
    return Damaged("an object's mentions of itself are not where its id says", found=show_path(path))


def _digest_of(fd: int, size: int) -> BlobDigest:
    hasher = blake3(max_threads=blake3.AUTO) if size >= MANY_THREADS else blake3()
    for data in _pieces(fd):
        hasher.update(data)
    return BlobDigest(hasher.digest())


def _pieces(fd: int) -> Iterator[bytes]:
    offset = 0
    while data := os.pread(fd, MANY_THREADS, offset):
        yield data
        start_writing(fd, offset, len(data))
        offset += len(data)

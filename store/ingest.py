"""Reading a tree into a manifest, once, and normalising it on the way.

One walk serves four purposes, which differ only in what is done at each step (for the last two see `copying`):

    measure     read only: for verification, and to learn whether a source is in the store already
    normalise   in place: a builder's outputs, a fetched file, an unpacked tree, which nobody else may write
    copy        into a new tree: a source that stays where it is
    recall      the same source again, of which only what changed is read

Normalised means: mtime 1, files 0444 or 0555, directories 0555 (but the top stays 0755 until it has been
renamed: its owner could not rename it otherwise), no setuid, no extended attributes, one owner, no two names
for one file. Devices, sockets and fifos are refused. Names may be any bytes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import NamedTuple, Protocol

from blake3 import blake3

from kiln.store.digest import BlobDigest
from kiln.store.disk import write_all
from kiln.store.errors import Refused
from kiln.store.layout import Owner
from kiln.store.manifest import DirNode, Entry, FileNode, LinkNode, Manifest, ManifestBuilder, Node
from kiln.store.paths import HASH_CHARS
from kiln.store.tree import Event, Select, Step, chmod_at, make_enterable, walk

CHUNK = 1 << 20
MANY_THREADS = 8 << 20
"""Files of at least this size are hashed by several threads, in pieces of this size."""
MTIME_NS = 1_000_000_000
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Feed = Callable[[bytes, int, bytes], None]
"""`(path, offset, bytes)`: shown every piece of every file, and each symlink's target, in order."""


class CaseCollision(NamedTuple):
    """A warning: names in one directory that are one name where case or normal form is folded."""

    directory: bytes
    names: tuple[bytes, ...]


class Ingested(NamedTuple):
    """What a walk found. `size` is that of all files and symlink targets, in bytes."""

    manifest: Manifest
    node: Node
    size: int
    collisions: tuple[CaseCollision, ...]


class Visitor(Protocol):
    """What is done at each step; `file` and `link` return what stands in the manifest."""

    prepare: Callable[[int, bytes], None] | None

    def enter(self, event: Event) -> None: ...
    def file(self, event: Event) -> FileNode: ...
    def link(self, event: Event) -> LinkNode: ...
    def leave(self, event: Event) -> None: ...


def ingest(
    parent_fd: int,
    name: bytes,
    visitor: Visitor,
    *,
    select: Select | None = None,
    watch_name: Callable[[bytes, bytes], None] | None = None,
) -> Ingested:
    """Walk the tree once. Raises OSError and Refused (naming the path).

    `watch_name` is shown the path and name of every entry below the top whose name could hold a hash.
    """
    builder = ManifestBuilder()
    open_entries: list[list[Entry]] = [[]]
    collisions: list[CaseCollision] = []
    size = 0
    for event in walk(parent_fd, name, select=select, prepare=visitor.prepare):
        if watch_name is not None and event.path and len(event.name) >= HASH_CHARS and event.step != Step.LEAVE:
            watch_name(event.path, event.name)
        match event.step:
            case Step.ENTER:
                visitor.enter(event)
                open_entries.append([])
            case Step.FILE:
                node = _named(visitor.file, event)
                size += node.size
                open_entries[-1].append((event.name, node))
            case Step.LINK:
                link = visitor.link(event)
                size += len(link.target)
                open_entries[-1].append((event.name, link))
            case Step.LEAVE:
                entries = open_entries.pop()
                collisions.extend(_collisions(event.path, entries))
                visitor.leave(event)
                open_entries[-1].append((event.name, DirNode(builder.add(entries))))
            case Step.OTHER:
                raise _refused_kind(event)
    top = open_entries[0][0][1]
    return Ingested(builder.finish(top), top, size, tuple(collisions))


def _named(read: Callable[[Event], FileNode], event: Event) -> FileNode:
    """What is read of a file; an error names its whole path and not its last component."""
    try:
        return read(event)
    except OSError as error:
        error.filename = event.path or event.name
        raise


def _refused_kind(event: Event) -> Refused:
    mode = os.stat(event.name, dir_fd=event.fd, follow_symlinks=False).st_mode
    kinds = {stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
    return Refused(
        f"an object cannot hold a {kinds.get(stat.S_IFMT(mode), 'file of this kind')}",
        expected="directories, files and symlinks",
        found=show_path(event.path or event.name),
        help="remove it; from a source, `exclude` leaves it out",
    )


def show_path(path: bytes) -> str:
    """A path for people: quoted, what is not UTF-8 escaped, cut at 200 characters."""
    return repr(os.fsdecode(path))[:200]


def _collisions(directory: bytes, entries: list[Entry]) -> list[CaseCollision]:
    if len({name.lower() for name, _ in entries}) == len(entries) and all(name.isascii() for name, _ in entries):
        return []
    import unicodedata

    folded: dict[str, list[bytes]] = {}
    for name, _ in entries:
        key = unicodedata.normalize("NFC", os.fsdecode(name).casefold())
        folded.setdefault(key, []).append(name)
    return [CaseCollision(directory, tuple(names)) for names in folded.values() if len(names) > 1]


def open_regular(event: Event) -> tuple[int, os.stat_result]:
    """A descriptor of a file that is still one. O_NONBLOCK: a fifo put in its place must not stop us."""
    fd = os.open(event.name, _READ, dir_fd=event.fd)
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        os.close(fd)
        raise Refused("a file became something else while it was being read", found=show_path(event.path))
    return fd, facts


def hash_file(
    fd: int, size: int, path: bytes, feed: Feed | None = None, out: int | None = None
) -> tuple[int, BlobDigest]:
    """Read to the end: how many bytes, and their BLAKE3. Memory stays at one piece, whatever the size."""
    large = size >= MANY_THREADS
    hasher = blake3(max_threads=blake3.AUTO) if large else blake3()
    piece = MANY_THREADS if large else CHUNK
    offset = 0
    while data := os.read(fd, piece):
        hasher.update(data)
        if out is not None:
            write_all(out, data)
        if feed is not None:
            feed(path, offset, data)
        offset += len(data)
    return offset, BlobDigest(hasher.digest())


class Measure:
    """Read only. `feed` sees the bytes."""

    prepare: Callable[[int, bytes], None] | None = None

    def __init__(self, feed: Feed | None = None) -> None:
        self._feed = feed

    def enter(self, event: Event) -> None:
        pass

    def file(self, event: Event) -> FileNode:
        fd, facts = open_regular(event)
        try:
            size, digest = hash_file(fd, facts.st_size, event.path, self._feed)
        finally:
            os.close(fd)
        return FileNode(size, digest, bool(facts.st_mode & 0o111))

    def link(self, event: Event) -> LinkNode:
        return read_link(event, self._feed)

    def leave(self, event: Event) -> None:
        pass


class Normalise:
    """In place. The tree must be one that nobody else writes."""

    prepare: Callable[[int, bytes], None] | None

    def __init__(self, owner: Owner, feed: Feed | None = None) -> None:
        self._owner = owner
        self._feed = feed
        self.prepare = make_enterable

    def enter(self, event: Event) -> None:
        self._owner.take(event.fd)
        os.fchmod(event.fd, 0o755)

    def file(self, event: Event) -> FileNode:
        mode = os.stat(event.name, dir_fd=event.fd, follow_symlinks=False).st_mode
        if not mode & 0o400:
            chmod_at(event.fd, event.name, stat.S_IMODE(mode) | 0o400)
        fd, facts = open_regular(event)
        try:
            executable = bool(mode & 0o111)
            if facts.st_nlink > 1 or not drop_attributes(fd):
                size, digest = self._replace(event, fd, executable)
            else:
                size, digest = hash_file(fd, facts.st_size, event.path, self._feed)
                finish_file(fd, executable, self._owner)
        finally:
            os.close(fd)
        return FileNode(size, digest, executable)

    def _replace(self, event: Event, fd: int, executable: bool) -> tuple[int, BlobDigest]:
        """A new file in its place: another name of the same file could still change it."""
        draft = b".kiln-" + os.urandom(8).hex().encode()
        out = os.open(draft, _MAKE, 0o600, dir_fd=event.fd)
        try:
            found = hash_file(fd, os.fstat(fd).st_size, event.path, self._feed, out)
            finish_file(out, executable, self._owner)
        finally:
            os.close(out)
        os.rename(draft, event.name, src_dir_fd=event.fd, dst_dir_fd=event.fd)
        return found

    def link(self, event: Event) -> LinkNode:
        node = read_link(event, self._feed)
        finish_link(event.fd, event.name, self._owner)
        return node

    def leave(self, event: Event) -> None:
        drop_attributes(event.fd)
        finish_directory(event.fd, is_top=not event.path)


def read_link(event: Event, feed: Feed | None) -> LinkNode:
    """A symlink's node."""
    target = os.readlink(event.name, dir_fd=event.fd)
    if feed is not None:
        feed(event.path, 0, target)
    return LinkNode(target)


def finish_file(fd: int, executable: bool, owner: Owner) -> None:
    """Owner, mode and time of a file; chown first, since it clears bits of the mode."""
    owner.take(fd)
    os.fchmod(fd, 0o555 if executable else 0o444)
    os.utime(fd, ns=(MTIME_NS, MTIME_NS))


def finish_link(dir_fd: int, name: bytes, owner: Owner) -> None:
    """Owner and time of a symlink."""
    owner.take_at(dir_fd, name)
    os.utime(name, ns=(MTIME_NS, MTIME_NS), dir_fd=dir_fd, follow_symlinks=False)


def finish_directory(fd: int, *, is_top: bool) -> None:
    """Time and mode of a directory whose entries are all there."""
    os.utime(fd, ns=(MTIME_NS, MTIME_NS))
    os.fchmod(fd, 0o755 if is_top else 0o555)


def drop_attributes(fd: int) -> bool:
    """Remove every extended attribute; whether that was possible (a label of the system's may stay)."""
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return True
        raise
    for name in names:
        try:
            os.removexattr(fd, name)
        except OSError:
            if not name.startswith("security."):
                raise
            return False
    return True

"""Writes entries below one new directory, following no link.

Every directory is opened from its parent's descriptor with O_NOFOLLOW, every file made with O_EXCL: even if
the rules of `Layout` had a hole, or the file system folded names, nothing could be written elsewhere or over
another entry. Modes are set by descriptor, so that they do not depend on the umask: files 0644 or 0755,
directories 0755.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from kiln.interpreter.fetch.entries import (
    Directory,
    Entry,
    EntryPath,
    File,
    HardLink,
    Layout,
    Symlink,
    check_target,
    shown,
)
from kiln.interpreter.fetch.errors import CannotKeep, Collision, DamagedArchive, FetchError
from kiln.interpreter.fetch.streams import CHUNK, Budget

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TreeWriter:
    """Takes entries in order. `root` is an empty directory that nobody else writes."""

    def __init__(self, root: str, budget: Budget) -> None:
        self.layout = Layout()
        self._budget = budget
        self._open: list[tuple[bytes, int]] = [(b"", os.open(root, _DIRECTORY))]
        """The directories from the root to the one last written in, with their descriptors."""
        os.fchmod(self._open[0][1], 0o755)

    def __enter__(self) -> TreeWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_to(0)

    def add(self, entry: Entry) -> None:
        """Write one entry. Raises Escapes, Collision, TooLarge, DamagedArchive, CannotKeep."""
        try:
            match entry:
                case Directory(path):
                    self._directory(path)
                case File(path, executable, _, chunks):
                    self.layout.place(path, "file")
                    self._file(path, executable, chunks)
                case Symlink(path, target):
                    self.layout.place(path, "symlink")
                    os.symlink(check_target(path, target), path[-1], dir_fd=self._parent(path))
                case HardLink(path, target):
                    self._copy(path, target)
        except OSError as error:
            raise _os_error(entry.path, error) from None

    def _directory(self, path: EntryPath) -> None:
        if path and self.layout.place(path, "directory"):
            self._enter(path)

    def _file(self, path: EntryPath, executable: bool, chunks: Iterable[bytes]) -> None:
        fd = os.open(path[-1], _NEW_FILE, 0o600, dir_fd=self._parent(path))
        try:
            for chunk in chunks:
                self._budget.write(len(chunk))
                view = memoryview(chunk)
                while view:
                    view = view[os.write(fd, view) :]
            os.fchmod(fd, 0o755 if executable else 0o644)
        finally:
            os.close(fd)

    def _copy(self, path: EntryPath, target: EntryPath) -> None:
        """A hard link becomes a file of its own: an object never has two names for one inode."""
        kind = self.layout.kind(target)
        if kind in (None, "directory"):
            raise DamagedArchive(
                "a hard link to what is no earlier file of the archive",
                found=f"{shown(b'/'.join(path))} -> {shown(b'/'.join(target))}",
            )
        if kind == "symlink":
            self.add(Symlink(path, os.readlink(target[-1], dir_fd=self._parent(target))))
            return
        self.layout.place(path, "file")
        fd = os.open(target[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._parent(target))
        try:
            executable = bool(os.fstat(fd).st_mode & 0o100)
            self._file(path, executable, iter(lambda: os.read(fd, CHUNK), b""))
        finally:
            os.close(fd)

    def _parent(self, path: EntryPath) -> int:
        return self._enter(path[:-1])

    def _enter(self, path: EntryPath) -> int:
        """A descriptor of the directory, made where it is missing; valid until the next call."""
        shared = 0
        while shared < len(path) and shared + 1 < len(self._open) and self._open[shared + 1][0] == path[shared]:
            shared += 1
        self._close_to(shared + 1)
        for name in path[shared:]:
            self._open.append((name, _subdirectory(self._open[-1][1], name)))
        return self._open[-1][1]

    def _close_to(self, length: int) -> None:
        while len(self._open) > length:
            os.close(self._open.pop()[1])


def _subdirectory(parent: int, name: bytes) -> int:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    fd = os.open(name, _DIRECTORY, dir_fd=parent)
    os.fchmod(fd, 0o755)
    return fd


def _os_error(path: EntryPath, error: OSError) -> FetchError:
    name = shown(b"/".join(path))
    if error.errno in (errno.EEXIST, errno.ELOOP, errno.ENOTDIR):
        return Collision("an archive has names that this file system takes for one", found=name)
    if error.errno in (errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG):
        return Collision("an archive has a name that this file system cannot hold", found=name)
    return CannotKeep(
        "an archive cannot be unpacked here",
        found=f"{name}: {error.strerror}",
        help="free some space, or choose another store with --store",
    )

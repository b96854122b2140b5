"""Walking a tree with one open descriptor, however deep and however hostile it is.

Nothing is opened by a path of more than one component and no symlink is followed: a directory is entered with
openat and left through `..`, whose device and inode must be those it was entered from. So neither the depth of
a tree, nor the length of its paths, nor somebody who swaps a directory for a symlink meanwhile, matters.
"""

from __future__ import annotations

import enum
import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from kiln.store.disk import open_directory
from kiln.store.errors import Refused


class Step(enum.IntEnum):
    ENTER = 0
    FILE = 1
    LINK = 2
    OTHER = 3
    LEAVE = 4


class Event(NamedTuple):
    """One step of a walk.

    For ENTER and LEAVE, `fd` is the directory itself; for the others it is the one that holds `name`. `path`
    is relative to the walk's top (empty for the top), components joined by `/`. The descriptor is only good
    until the next event.
    """

    step: Step
    fd: int
    name: bytes
    path: bytes


Select = Callable[[bytes, bool], bool]
"""`(path, is a directory)` → whether a walk shows it; what a directory holds is never shown without it."""


class _Frame:
    __slots__ = ("identity", "name", "path", "waiting")

    def __init__(self, fd: int, name: bytes, path: bytes, waiting: list[tuple[bytes, Step]]) -> None:
        facts = os.fstat(fd)
        self.identity = (facts.st_dev, facts.st_ino)
        self.name = name
        self.path = path
        self.waiting = waiting


def walk(
    parent_fd: int,
    name: bytes,
    *,
    select: Select | None = None,
    prepare: Callable[[int, bytes], None] | None = None,
) -> Iterator[Event]:
    """Every entry below (and with) `name` in `parent_fd`, depth first, in bytewise order of names.

    `prepare` is called with a directory's parent and name before it is opened. Raises OSError, and Refused
    when a directory is moved while the walk is inside it.
    """
    kind = _kind(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode)
    if kind is not Step.ENTER:
        yield Event(kind, parent_fd, name, b"")
        return
    fd = _enter(parent_fd, name, b"", prepare)
    try:
        frame = _Frame(fd, name, b"", _listing(fd))
        above: list[_Frame] = []
        yield Event(Step.ENTER, fd, name, b"")
        while True:
            if frame.waiting:
                child, kind = frame.waiting.pop()
                path = frame.path + b"/" + child if frame.path else child
                if select is not None and not select(path, kind is Step.ENTER):
                    continue
                if kind is not Step.ENTER:
                    yield Event(kind, fd, child, path)
                    continue
                inner = _enter(fd, child, path, prepare)
                os.close(fd)
                fd = inner
                above.append(frame)
                frame = _Frame(fd, child, path, _listing(fd))
                yield Event(Step.ENTER, fd, child, path)
                continue
            yield Event(Step.LEAVE, fd, frame.name, frame.path)
            if not above:
                return
            frame = above.pop()
            outer = os.open(b"..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = outer
            facts = os.fstat(fd)
            if (facts.st_dev, facts.st_ino) != frame.identity:
                raise Refused("a directory was moved while it was being read", found=repr(frame.path[:200]))
    finally:
        os.close(fd)


def _enter(fd: int, name: bytes, path: bytes, prepare: Callable[[int, bytes], None] | None) -> int:
    try:
        if prepare is not None:
            prepare(fd, name)
        return open_directory(name, fd)
    except OSError as error:
        error.filename = path or name
        raise


def _listing(fd: int) -> list[tuple[bytes, Step]]:
    """Names and kinds, the last name first, so that popping gives them in order."""
    found = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_symlink():
                kind = Step.LINK
            elif entry.is_dir(follow_symlinks=False):
                kind = Step.ENTER
            elif entry.is_file(follow_symlinks=False):
                kind = Step.FILE
            else:
                kind = Step.OTHER
            found.append((os.fsencode(entry.name), kind))
    found.sort(reverse=True)
    return found


def _kind(mode: int) -> Step:
    if stat.S_ISDIR(mode):
        return Step.ENTER
    if stat.S_ISREG(mode):
        return Step.FILE
    if stat.S_ISLNK(mode):
        return Step.LINK
    return Step.OTHER


def chmod_at(fd: int, name: bytes, mode: int) -> None:
    """chmod without following a symlink, of something that this user may not be able to open.

    fchmodat2 is too new to rely on; the descriptor of an O_PATH open, named through /proc, does the same.
    """
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    try:
        if stat.S_ISLNK(os.fstat(handle).st_mode):
            raise Refused("a symlink has no mode", found=repr(name[:200]))
        os.chmod(f"/proc/self/fd/{handle}", mode)
    finally:
        os.close(handle)


def make_enterable(fd: int, name: bytes) -> None:
    """Give the owner every right on a directory, so that it can be read, emptied and renamed."""
    mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
        chmod_at(fd, name, stat.S_IMODE(mode) | 0o700)


def remove_tree(parent_fd: int, name: bytes) -> None:
    """Unlink a file or a whole tree, with whatever modes it has. What is gone already is no error.

    A directory into which somebody puts something meanwhile stays.
    """
    try:
        for event in walk(parent_fd, name, prepare=make_enterable):
            match event.step:
                case Step.ENTER:
                    pass
                case Step.LEAVE if event.path:
                    _ignore_missing(os.rmdir, b"../" + event.name, event.fd)
                case Step.LEAVE:
                    _ignore_missing(os.rmdir, name, parent_fd)
                case _:
                    _ignore_missing(os.unlink, event.name, event.fd)
    except FileNotFoundError:
        return


def _ignore_missing(remove: Callable[..., None], name: bytes, fd: int) -> None:
    try:
        remove(name, dir_fd=fd)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise

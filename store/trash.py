"""The trash: what leaves the store goes here by one rename, and is unlinked later."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from kiln.store.disk import disk_errors, exists_at, open_directory
from kiln.store.layout import Layout, open_layout
from kiln.store.locks import FileLock
from kiln.store.tree import make_enterable, remove_tree

_TRIES = 100
"""To make a folder that another process, which empties the trash, removes as soon as it sees it."""


def to_trash(layout: Layout, dir_fd: int, name: bytes) -> None:
    """Move an entry away; what is gone already is no error. Raises OSError.

    A directory must be writable by its owner to get another parent, so its mode is restored first.
    """
    target = name[:200] + b"." + os.urandom(8).hex().encode()
    trash_fd = open_directory(layout.trash)
    try:
        make_enterable(dir_fd, name)
        os.rename(name, target, src_dir_fd=dir_fd, dst_dir_fd=trash_fd)
    except FileNotFoundError:
        return
    finally:
        os.close(trash_fd)


class Bin:
    """A folder in the trash that takes many entries, at one or two system calls each.

    Somebody may empty the trash meanwhile, this folder with it: another takes its place.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._folders: dict[str, int] = {}
        self._fd = -1

    def __enter__(self) -> Bin:
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        for fd in (self._fd, *self._folders.values()):
            os.close(fd)
        with suppress(OSError):
            os.rmdir(self._path)

    def take(self, folder: str, name: str, *, is_tree: bool | None = False, suffix: str = "") -> bool:
        """Move an entry of one of the store's folders here; whether it was there. Raises OSError."""
        fd = self._folders.get(folder)
        if fd is None:
            fd = self._folders[folder] = open_directory(folder)
        while True:
            try:
                if is_tree is not False and os.geteuid() != 0:
                    make_enterable(fd, name.encode())
                os.rename(name, name + suffix, src_dir_fd=fd, dst_dir_fd=self._fd)
                return True
            except FileNotFoundError:
                if not exists_at(fd, name.encode()):
                    return False
            old = self._fd
            self._open()
            os.close(old)

    def _open(self) -> None:
        for tries in range(_TRIES):
            self._path = f"{self._layout.trash}/{os.urandom(8).hex()}"
            try:
                self._layout.make_folder(self._path, 0o700)
                self._fd = open_directory(self._path)
                return
            except FileNotFoundError:
                if tries == _TRIES - 1:
                    raise


def empty_trash(layout: Layout, seconds: float | None = None) -> int:
    """Unlink what lies in the trash, beginning nothing new after `seconds`; how many entries are left."""
    start = time.monotonic()
    with disk_errors("emptying the trash"):
        names = os.listdir(layout.trash)
        trash_fd = open_directory(layout.trash)
        try:
            for done, name in enumerate(names):
                if seconds is not None and time.monotonic() - start > seconds:
                    return len(names) - done
                remove_tree(trash_fd, os.fsencode(name))
        finally:
            os.close(trash_fd)
    return 0


def empty_in_background(layout: Layout) -> None:
    """Start a process of low priority that empties the trash and outlives this one; one at a time does it."""
    import subprocess
    import sys

    code = "import sys; sys.path[:] = sys.argv[2:]; from kiln.store.trash import sweep; sweep(sys.argv[1])"
    with suppress(OSError):  # Then the next to close the store does it.
        subprocess.Popen(
            [sys.executable, "-c", code, layout.root, *sys.path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )


def sweep(root: str) -> None:
    """What that process does."""
    layout = open_layout(root, create=False)
    os.nice(19)
    lock = FileLock(layout, f"{layout.locks}/trash")
    if lock.try_acquire():
        try:
            empty_trash(layout)
        finally:
            lock.release()

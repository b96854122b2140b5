"""The trash: what leaves the store goes here by one rename, and is unlinked later."""

from __future__ import annotations

import os
import time

from kiln.store.disk import disk_errors, open_directory
from kiln.store.layout import Layout
from kiln.store.tree import make_enterable, remove_tree


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

"""Paths of the store that running programs use, from /proc: their program, folders, open files and mapped files.

Only what this user may read is seen: a process of his own always, others' when he is root. That is enough for
programs that he started from the store (`kiln run`), which no pin keeps once kiln has become the program.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from kiln.store.layout import Layout
from kiln.store.paths import ALPHABET, STORE_DIR, StorePath

_LINKS = ("exe", "cwd", "root")


def paths_in_use(layout: Layout) -> set[StorePath]:
    """Store paths that a running program has open, under the physical folder or as /kiln/store."""
    pattern = re.compile(
        rb"(?:%b|%b)/([%b]{32}-[A-Za-z0-9_+=?.-]{1,200})"
        % (re.escape(os.fsencode(layout.store)), STORE_DIR.encode(), ALPHABET.encode())
    )
    found: set[bytes] = set()
    for process in os.listdir("/proc"):
        if process.isdecimal():
            for text in _texts(f"/proc/{process}"):
                found.update(pattern.findall(text))
    return {StorePath(name[:32].decode(), name[33:].decode()) for name in found}


def _texts(folder: str) -> Iterator[bytes]:
    for name in _LINKS:
        yield _link(f"{folder}/{name}")
    try:
        for name in os.listdir(f"{folder}/fd"):
            yield _link(f"{folder}/fd/{name}")
        with open(f"{folder}/maps", "rb") as file:
            yield file.read()
    except OSError:
        return


def _link(path: str) -> bytes:
    try:
        return os.readlink(os.fsencode(path))
    except OSError:
        return b""

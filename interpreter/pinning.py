"""Writing kiln.lock: what `kiln pin` does, without the command line.

    address ──which commit?──► fetch ──unpack──► tree in the store ──► pin ──► kiln.lock, rewritten whole

What takes time is done first; then the lock is read again, changed and replaced by a rename, under a lock on its
folder, so that two commands lose nothing of each other's.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from kiln.interpreter.fetch.config import FetchConfig
from kiln.interpreter.fetch.refs import find_commit, is_git, parse_git_address
from kiln.interpreter.lock import COPY_LIMIT, FILE, Copy, Lock, Pin, is_copy_name, is_copy_text, render
from kiln.interpreter.pinmistakes import report
from kiln.interpreter.remote import read_lock
from kiln.interpreter.trees import Trees
from kiln.lang.report import CompileError
from kiln.store.disk import open_directory

_T = TypeVar("_T")


class NotCopyable(Exception):
    """A file that a kiln.lock cannot hold; `problem` says why."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name
        self.problem = problem


def lock_path(folder: str) -> str:
    """The kiln.lock in force in an absolute folder; where there is none, the one to be made: at the top of the git
    work tree, or else in the folder."""
    top = folder
    here = folder
    while True:
        if os.path.lexists(os.path.join(here, FILE)):
            return os.path.join(here, FILE)
        if top == folder and os.path.lexists(os.path.join(here, ".git")):
            top = here
        above = os.path.dirname(here)
        if above == here:
            return os.path.join(top, FILE)
        here = above


def load_lock(path: str) -> Lock:
    """What the lock says; nothing, if it is not there. Raises CompileError."""
    found = read_lock(path)
    if found is None:
        return Lock()
    if found.lock is None:
        assert found.mistake is not None
        raise CompileError([report(found.mistake, None)])
    return found.lock


def edit_lock(path: str, change: Callable[[Lock], Lock]) -> Lock:
    """Read, change and replace; the file is left alone where nothing changes. Raises CompileError, OSError."""
    folder = os.path.dirname(path)
    fd = open_directory(folder)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        old = load_lock(path)
        new = change(old)
        if new != old or not os.path.lexists(path):
            _write(path, render(new))
        os.fsync(fd)
        return new
    finally:
        os.close(fd)


def _write(path: str, text: str) -> None:
    draft = f"{path}.{os.getpid()}"
    try:
        with open(draft, "x", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, os.path.realpath(path))
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(draft)
        raise


def with_module(lock: Lock, name: str, pin: Pin) -> Lock:
    return replace(lock, modules={**lock.modules, name: pin})


def with_copy(lock: Lock, name: str, copy: Copy) -> Lock:
    return replace(lock, copies={**lock.copies, name: copy})


def without(lock: Lock, name: str) -> Lock:
    """The lock without the module or the copy of this name."""
    return Lock(_without(lock.modules, name), _without(lock.copies, name))


def _without(entries: Mapping[str, _T], name: str) -> dict[str, _T]:
    return {key: value for key, value in entries.items() if key != name}


# ---- pins ---------------------------------------------------------------------------------------


def new_pin(trees: Trees, name: str, address: str, config: FetchConfig, *, strip: int | None = None) -> Pin:
    """Fetch what an address stands for now, and pin it. Raises FetchError, StoreError."""
    if not is_git(address):
        brought = trees.bring_first(name, address, git=False, strip=strip)
        return Pin(address, brought.tree, brought.file, brought.strip)
    git = parse_git_address(address)
    rev = find_commit(git, os.path.join(trees.store.new_temp("refs"), "repository"), config, os.environ)
    brought = trees.bring_first(name, git.at(rev), git=True, strip=0)
    return Pin(git.at(rev), brought.tree, ref=git.ref)


def newer_pin(trees: Trees, name: str, pin: Pin, config: FetchConfig) -> Pin:
    """What the same address stands for now; the pin itself for a commit that follows nothing.

    Raises FetchError, StoreError.
    """
    if not pin.is_git:
        return new_pin(trees, name, pin.address, config, strip=pin.strip)
    if pin.ref is None:
        return pin
    git = parse_git_address(pin.address)._replace(ref=pin.ref, rev=None)
    rev = find_commit(git, os.path.join(trees.store.new_temp("refs"), "repository"), config, os.environ)
    if git.at(rev) == pin.address:
        return pin
    brought = trees.bring_first(name, git.at(rev), git=True, strip=0)
    return Pin(git.at(rev), brought.tree, ref=pin.ref)


# ---- copies -------------------------------------------------------------------------------------


def copy_name(lock: str, file: str) -> str:
    """The name of a file's copy: its path from the lock's folder. Raises NotCopyable."""
    name = os.path.relpath(os.path.abspath(file), os.path.dirname(lock))
    if not is_copy_name(name):
        problem = "it lies outside the project" if name.startswith("..") else "a copy's name has no spaces"
        raise NotCopyable(file, problem)
    return name


def read_copy(lock: str, name: str) -> Copy:
    """The file of a copy as it is now. Raises NotCopyable, OSError."""
    with open(os.path.join(os.path.dirname(lock), name), "rb") as file:
        data = file.read(COPY_LIMIT + 1)
    if len(data) > COPY_LIMIT:
        raise NotCopyable(name, f"it has more than {COPY_LIMIT:,} bytes")
    text = data.decode("utf-8", "surrogateescape")
    if not is_copy_text(text):
        raise NotCopyable(name, "it is not text in UTF-8")
    return Copy(text)

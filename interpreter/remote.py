"""Remote modules: which tree an import's name leads to, and which module in it.

    name ──its own pin, or the locks' entry with the longest matching name──► pin ──Trees──► folder ──► file

`"toolbox"` is the tree's `main.kiln`, `"toolbox/sub/x"` its `sub/x.kiln`; where the lock has an entry `toolbox/sub`,
that is a tree of its own. With a pin of its own (`@`), an import's first part names the tree.

Which lock is asked follows from where the importing file lies:

    a file of the user's     the kiln.lock nearest above it
    a file of a remote tree  the kiln.lock nearest above the program's root file, then the one at the tree's top

The root's comes first, so that a project decides what stands for a name in all that it uses, and types, which are
nominal, are one. A tree's own lock is covered by the tree's digest.

What is read is recorded: every kiln.lock, and every place where one was looked for and was not.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from kiln.interpreter.fetch.errors import FetchError
from kiln.interpreter.lock import (
    COPY_LIMIT,
    FILE,
    Conflicted,
    Lock,
    LockFault,
    Pin,
    PinFault,
    is_module_name,
    parse_lock,
    parse_pin,
)
from kiln.interpreter.pinmistakes import (
    BadLock,
    BadPin,
    Escapes,
    LockUnreadable,
    NoModule,
    NotOpened,
    NoTrees,
    NotRemote,
    PinMistake,
    Pinned,
    Unpinned,
)
from kiln.interpreter.trees import build_files
from kiln.lang.report import Place
from kiln.store.digest import BlobDigest, blob_digest
from kiln.store.errors import StoreError

MAIN = "main"
_LOCK_LIMIT = 16 * COPY_LIMIT


class Opener(Protocol):
    """What brings trees: `trees.Trees`, or a test's double. Raises FetchError, StoreError."""

    def open(self, name: str, pin: Pin, keeper: str) -> str: ...


class RemoteTree(NamedTuple):
    """An open tree. `recorded` stands for its folder in what a program is made of."""

    name: str
    folder: str
    recorded: str


class RemoteModule(NamedTuple):
    """A module of a tree: its file, the name that messages show, and the name under which its digest is recorded."""

    tree: RemoteTree
    path: str
    shown: str
    recorded: str


class LockFile(NamedTuple):
    """A kiln.lock that was read. `shown` is its name in messages; `lock` is None where it can't be used."""

    path: str
    shown: str
    text: str
    lock: Lock | None
    mistake: PinMistake | None = None
    in_tree: bool = False

    @property
    def digest(self) -> BlobDigest:
        return blob_digest(self.text.encode("utf-8", "surrogateescape"))


class Remotes:
    """The remote side of loading one program; `root` is the absolute path of its root file."""

    def __init__(self, root: str, opener: Opener | None) -> None:
        self.locks: dict[str, LockFile] = {}
        """Every lock that was read, by its path."""
        self.absent: set[str] = set()
        """Where one was looked for in vain."""
        self._root = root
        self._opener = opener
        self._trees: dict[str, RemoteTree | PinMistake] = {}
        self._nearest: dict[str, LockFile | None] = {}

    # ---- locks --------------------------------------------------------------------------------

    def lock_of(self, folder: str, tree: RemoteTree | None) -> LockFile | None:
        """The lock whose copies a file in `folder` sees: the nearest, or that of its tree."""
        return self._nearest_lock(folder) if tree is None else self._read(os.path.join(tree.folder, FILE), tree)

    def root_lock(self) -> LockFile | None:
        """The lock nearest above the root file, if it was read."""
        return self._nearest.get(os.path.dirname(self._root))

    def _locks_for(self, folder: str, tree: RemoteTree | None) -> list[LockFile]:
        if tree is None:
            found = [self._nearest_lock(folder)]
        else:
            found = [self._nearest_lock(os.path.dirname(self._root)), self.lock_of(folder, tree)]
        return [lock for lock in found if lock is not None]

    def _nearest_lock(self, folder: str) -> LockFile | None:
        if folder not in self._nearest:
            found = self._read(os.path.join(folder, FILE), None)
            above = os.path.dirname(folder)
            self._nearest[folder] = self._nearest_lock(above) if found is None and above != folder else found
        return self._nearest[folder]

    def _read(self, path: str, tree: RemoteTree | None) -> LockFile | None:
        if path in self.locks:
            return self.locks[path]
        if path in self.absent:
            return None
        lock = read_lock(path, None if tree is None else tree.name)
        if lock is not None:
            self.locks[path] = lock._replace(in_tree=tree is not None)
        elif tree is None:
            self.absent.add(path)
        return self.locks.get(path)

    # ---- names --------------------------------------------------------------------------------

    def resolve(
        self, source: str, own: str | None, folder: str, tree: RemoteTree | None
    ) -> RemoteModule | PinMistake:
        """Where a remote name leads in a file of `folder`; `own` is the pin that the import carries."""
        if not is_module_name(source):
            return NotRemote(source)
        if own is not None:
            pin = parse_pin(own)
            if isinstance(pin, PinFault):
                return BadPin(pin)
            name, _, rest = source.partition("/")
            return self._module(source, Pinned(name, pin), rest)
        locks = self._locks_for(folder, tree)
        for lock in locks:
            if lock.mistake is not None:
                return lock.mistake
            assert lock.lock is not None
            named = _longest(source, lock.lock.modules)
            if named is not None:
                pinned = Pinned(named, lock.lock.modules[named], entry_place(lock, f"module {named} "))
                return self._module(source, pinned, source[len(named) + 1 :])
        known = [name for lock in locks if lock.lock is not None for name in lock.lock.modules]
        return Unpinned(source, tuple(lock.shown for lock in locks), tuple(dict.fromkeys(known)))

    def _module(self, source: str, pinned: Pinned, rest: str) -> RemoteModule | PinMistake:
        tree = self._open(pinned)
        if not isinstance(tree, RemoteTree):
            return tree
        sub = (rest or MAIN) + ".kiln"
        path = os.path.join(tree.folder, sub)
        if not os.path.isfile(path):
            return NoModule(source, sub, build_files(tree.folder), pinned)
        return module_in(tree, path) or Escapes(tree.name, source)

    def _open(self, pinned: Pinned) -> RemoteTree | PinMistake:
        name, pin = pinned.name, pinned.pin
        recorded = str(pin.tree)
        if recorded not in self._trees:
            if self._opener is None:
                return NoTrees(name)
            try:
                self._trees[recorded] = RemoteTree(name, self._opener.open(name, pin, self._keeper()), recorded)
            except (FetchError, StoreError) as error:
                self._trees[recorded] = NotOpened(name, error, pinned)
        return self._trees[recorded]

    def _keeper(self) -> str:
        lock = self.root_lock()
        return self._root if lock is None else lock.path


def module_in(tree: RemoteTree, path: str) -> RemoteModule | None:
    """The module at a path, if that is within the tree, whatever symlinks it goes through."""
    if not is_within(tree, path):
        return None
    inner = os.path.relpath(path, tree.folder)
    return RemoteModule(tree, path, f"{tree.name}:{inner}", f"{tree.recorded}/{inner}")


def is_within(tree: RemoteTree, path: str) -> bool:
    """Whether a path is in the tree as it is written, and as symlinks lead."""
    top = os.path.realpath(tree.folder)
    plain = os.path.normpath(path)
    inside = plain == tree.folder or plain.startswith(tree.folder + os.sep)
    real = os.path.realpath(plain)
    return inside and (real == top or real.startswith(top + os.sep))


def entry_place(lock: LockFile, start: str) -> Place | None:
    """The line of a lock that begins so."""
    at = lock.text.find("\n" + start)
    if at < 0:
        return None
    end = lock.text.find("\n", at + 1)
    return Place(lock.shown, lock.text, at + 1, len(lock.text) if end < 0 else end)


def read_lock(path: str, tree: str | None = None) -> LockFile | None:
    """A kiln.lock, with what is wrong with it; None if it is not there. `tree` is the remote tree that it is from."""
    shown = _shown(path) if tree is None else f"{tree}:{FILE}"
    try:
        with open(path, "rb") as file:
            data = file.read(_LOCK_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return LockFile(path, shown, "", None, LockUnreadable(shown, (error.strerror or str(error)).lower()))
    text = data.decode("utf-8", "surrogateescape")
    found = parse_lock(text)
    if isinstance(found, LockFault | Conflicted):
        return LockFile(path, shown, text, None, BadLock(found, _line(shown, text, found.line), tree))
    return LockFile(path, shown, text, found)


def _line(shown: str, text: str, number: int) -> Place:
    lines = text.split("\n")
    start = sum(len(line) + 1 for line in lines[: number - 1])
    return Place(shown, text, start, start + len(lines[number - 1]))


def _longest(source: str, names: Iterable[str]) -> str | None:
    """The longest name that the source is, or goes on from."""
    found = [name for name in names if source == name or source.startswith(name + "/")]
    return max(found, key=len, default=None)


def _shown(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("../..") else relative

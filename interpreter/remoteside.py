"""The loader's remote side: imports that lead to remote trees, what their files may name, and `std/lock`.

Imported when a program first has such an import; most programs have none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from kiln.interpreter.imports import LOCK_MODULE, Remote, is_library
from kiln.interpreter.lock import Lock
from kiln.interpreter.lockmodule import lock_module, lock_module_id
from kiln.interpreter.pinmistakes import Escapes, PinMistake, PinnedTwice, PinUnwanted, report
from kiln.interpreter.remote import Opener, RemoteModule, Remotes, RemoteTree, is_within, module_in
from kiln.lang.core import ModuleId
from kiln.lang.report import Place, Report
from kiln.lang.syntax import ast
from kiln.store.digest import BlobDigest


class RemoteSide:
    """For the loading of one program, whose root file is at the absolute path `root`."""

    def __init__(self, root: str, opener: Opener | None) -> None:
        self.modules: dict[ModuleId, RemoteModule] = {}
        """Every remote module that an import led to. Its id is the path of its file in the store."""
        self._remotes = Remotes(root, opener)
        self._copies: dict[ModuleId, Lock] = {}
        self._told: list[PinMistake] = []

    # ---- imports ------------------------------------------------------------------------------

    def lead(
        self, found: ModuleId | Remote, decl: ast.Import, importer: ModuleId, folder: str, place: Place
    ) -> ModuleId | tuple[Report, ...]:
        """Where an import leads whose source was `found` to mean this, or what is wrong with it."""
        tree = self._tree_of(importer)
        target: ModuleId | RemoteModule | PinMistake
        if isinstance(found, Remote):
            target = self._remotes.resolve(found.source, decl.pin, folder, tree)
        elif decl.pin is not None:
            target = PinUnwanted(decl.source)
        elif found == LOCK_MODULE:
            target = self._lock_module(folder, tree)
        elif tree is not None and not is_library(found):
            target = module_in(tree, found) or Escapes(tree.name, decl.source)
        else:
            target = found
        if isinstance(target, RemoteModule):
            self.modules.setdefault(target.path, target)
            return target.path
        return target if isinstance(target, str) else self._tell(target, place)

    def twice(self, source: str, place: Place) -> tuple[Report, ...]:
        """What is wrong with a source that leads to two modules in one file."""
        return self._tell(PinnedTwice(source), place)

    def _tree_of(self, module: ModuleId) -> RemoteTree | None:
        remote = self.modules.get(module)
        return None if remote is None else remote.tree

    def _lock_module(self, folder: str, tree: RemoteTree | None) -> ModuleId | PinMistake:
        """The `std/lock` of a file: one for each kiln.lock."""
        lock = self._remotes.lock_of(folder, tree)
        if lock is None:
            return LOCK_MODULE
        if lock.lock is None:
            assert lock.mistake is not None
            return lock.mistake
        id = lock_module_id(lock.digest)
        self._copies[id] = lock.lock
        return id

    def _tell(self, mistake: PinMistake, place: Place) -> tuple[Report, ...]:
        """A lock or a tree that is at fault is so for every import: it is told of once."""
        if any(mistake is told for told in self._told):
            return ()
        self._told.append(mistake)
        return (report(mistake, place),)

    # ---- files --------------------------------------------------------------------------------

    def text_of(self, module: ModuleId, text: str) -> str:
        """The text of a module: its file's, or `std/lock` with a lock's copies."""
        copies = self._copies.get(module)
        return text if copies is None else lock_module(text, copies)

    def escapes(self, module: ModuleId, syntax: ast.Module) -> tuple[Report, ...]:
        """A remote module's path literals that lead out of its tree."""
        remote = self.modules.get(module)
        if remote is None:
            return ()
        folder, reports = os.path.dirname(remote.path), []
        for chunk in syntax.chunks:
            for literal in path_literals(chunk.decl):
                if not is_within(remote.tree, os.path.join(folder, literal.text)):
                    start, end = chunk.start + literal.start, chunk.start + literal.end
                    place = Place(syntax.path, syntax.text, start, end)
                    reports.append(report(Escapes(remote.tree.name, literal.text), place))
        return tuple(reports)

    # ---- what was read ------------------------------------------------------------------------

    @property
    def locks(self) -> dict[str, BlobDigest]:
        """Every kiln.lock that was read outside remote trees, by its path."""
        return {lock.path: lock.digest for lock in self._remotes.locks.values() if not lock.in_tree}

    @property
    def absent(self) -> tuple[str, ...]:
        """Where one was looked for in vain, sorted."""
        return tuple(sorted(self._remotes.absent))

    @property
    def root_lock(self) -> BlobDigest | None:
        """The one nearest above the root file, if it was read."""
        lock = self._remotes.root_lock()
        return None if lock is None else lock.digest


def path_literals(decl: object) -> Iterator[ast.PathLit]:
    """The path literals in a declaration, which is named tuples all the way down."""
    pending = [decl]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.PathLit):
            yield node
        elif isinstance(node, tuple):
            pending.extend(reversed(node))

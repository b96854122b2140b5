"""Loading a program: a build file and everything that it imports, parsed and checked.

    read and parse, breadth first  ──►  order by imports  ──►  check, each after what it imports

What was parsed and checked before, and all that it was made from is unchanged, is taken from the cache
(`interpreter.caching`).

A module's id is `std/x` for the library's and the absolute path for a file; messages show the path as the user
wrote it. The prelude is an import of every other module. All reports of all modules are collected; a module that
imports one with mistakes is not checked, so that each mistake is reported where it is, and once.
This is the one part of evaluation that reads build files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from kiln import stdlib
from kiln.interpreter.caching.modules import Entry, ModuleCache
from kiln.interpreter.imports import (
    LOCK_MODULE,
    PRELUDE,
    SIZE_LIMIT,
    Cycle,
    ImportMistake,
    IsFolder,
    Missing,
    Remote,
    TooLarge,
    Unreadable,
    is_library,
    library_path,
    plain_library,
    report,
    resolve,
)
from kiln.interpreter.program import Program, SourceFile
from kiln.lang.check.interface import Interface
from kiln.lang.core import CoreModule, ModuleId
from kiln.lang.garbage import uncollected
from kiln.lang.report import CompileError, Place, Report
from kiln.lang.syntax import ast
from kiln.lang.syntax.parser import decode_source, parse_module
from kiln.store.digest import BlobDigest, blob_digest

if TYPE_CHECKING:
    from kiln.interpreter.caching.declarations import Declarations
    from kiln.interpreter.remote import Opener
    from kiln.interpreter.remoteside import RemoteSide


class _Import(NamedTuple):
    """An import that leads somewhere."""

    source: str
    place: Place
    target: ModuleId


class _Loaded(NamedTuple):
    """A module that was read and parsed."""

    module: ast.Module
    folder: str
    imports: tuple[_Import, ...]
    sound: bool
    """Whether nothing is wrong with it so far."""


class Loader:
    """Loads one program. `load` is the whole pipeline.

    `texts` stand in for files, by their absolute paths: what is in an editor, or typed. `trees` opens remote
    modules' trees; without it there are none.
    """

    def __init__(
        self, library: str | None = None, texts: Mapping[str, str] | None = None, trees: Opener | None = None
    ) -> None:
        self._trees = trees
        self._side: RemoteSide | None = None
        self._root = ""
        self._texts = texts or {}
        self.library = os.path.dirname(os.path.abspath(stdlib.__file__)) if library is None else library
        self.reports: list[Report] = []
        self.sources: dict[str, BlobDigest] = {}
        self._loaded: dict[ModuleId, _Loaded] = {}
        self._cache = ModuleCache()
        self._entries: dict[ModuleId, Entry] = {}
        self._memories: dict[ModuleId, Declarations | None] = {}
        self.checked: dict[ModuleId, tuple[str, ...]] = {}
        """The declarations that were checked, of each module in which any was looked at."""
        self._typed: set[ModuleId] = set()
        """Modules whose text stands in for a file: they come once, and are not kept."""

    def load(self, path: str, shown: str | None = None) -> Program:
        """The program of a build file, which messages call `shown`. Raises CompileError with every report."""
        with uncollected():
            return self._load(path, shown)

    def _load(self, path: str, shown: str | None) -> Program:
        root = os.path.abspath(path)
        self._root = root
        self._read(PRELUDE, None)
        self._read(root, None, shown=shown or path)
        self._read_imports()
        cores, interfaces = self._check(self._order())
        if self.reports:
            raise CompileError(self.reports)
        folders = {id: loaded.folder for id, loaded in self._loaded.items()}
        links = {id: {item.source: item.target for item in loaded.imports} for id, loaded in self._loaded.items()}
        side = self._side
        self.sources |= {} if side is None else side.locks
        sources = tuple(SourceFile(*item) for item in sorted(self.sources.items()))
        if side is None:
            return Program(root, cores, interfaces, folders, sources, links=links)
        return Program(root, cores, interfaces, folders, sources, side.absent, side.root_lock, links)

    # ---- reading ------------------------------------------------------------------------------

    def _read_imports(self) -> None:
        pending = list(self._loaded)
        while pending:
            id = pending.pop(0)
            loaded = self._loaded[id]
            imports: list[_Import] = []
            for chunk in loaded.module.chunks:
                if isinstance(chunk.decl, ast.Import):
                    found = self._resolve(id, loaded, chunk, chunk.decl)
                    if found is None:
                        self._unsound(id)
                        continue
                    if any(item.source == found.source and item.target != found.target for item in imports):
                        self.reports += self._remote_side().twice(found.source, found.place)
                        self._unsound(id)
                        continue
                    imports.append(found)
                    if found.target not in self._loaded and self._read(found.target, found.place):
                        pending.append(found.target)
            self._loaded[id] = self._loaded[id]._replace(imports=tuple(imports))

    def _resolve(self, id: ModuleId, loaded: _Loaded, chunk: ast.Chunk, decl: ast.Import) -> _Import | None:
        start, end = chunk.start + decl.source_start, chunk.start + decl.source_end
        place = Place(loaded.module.path, loaded.module.text, start, end)
        found = resolve(decl.source, id, loaded.folder, self.library)
        if not isinstance(found, str | Remote):
            self.reports.append(report(found, place))
            return None
        if isinstance(found, Remote) or decl.pin is not None or found == LOCK_MODULE or self._is_remote(id):
            led = self._remote_side().lead(found, decl, id, loaded.folder, place)
            if not isinstance(led, str):
                self.reports += led
                return None
            found = led
        return _Import(decl.source, place, found)

    def _remote_side(self) -> RemoteSide:
        if self._side is None:
            from kiln.interpreter.remoteside import RemoteSide

            self._side = RemoteSide(self._root, self._trees)
        return self._side

    def _is_remote(self, id: ModuleId) -> bool:
        return self._side is not None and id in self._side.modules

    def _read(self, id: ModuleId, place: Place | None, shown: str | None = None) -> bool:
        """Read and parse a module. What is wrong with it is reported, and whoever imports it is told no more."""
        remote = None if self._side is None else self._side.modules.get(id)
        if is_library(id):
            plain = plain_library(id)
            path, name, recorded = library_path(self.library, id), plain + ".kiln", plain + ".kiln"
        elif remote is not None:
            path, name, recorded = remote.path, remote.shown, remote.recorded
        else:
            path, name, recorded = id, shown or _shown(id), id
        module, reports = self._parse(path, name, recorded, place, id)
        if self._side is not None:
            reports += self._side.escapes(id, module)
        self.reports += reports
        self._loaded[id] = _Loaded(module, os.path.dirname(path), (), not reports)
        return recorded in self.sources

    def _parse(
        self, path: str, name: str, recorded: str, place: Place | None, id: ModuleId
    ) -> tuple[ast.Module, tuple[Report, ...]]:
        empty = ast.Module(name, "", None, ())
        data = self._texts[path].encode("utf-8", "surrogatepass") if path in self._texts else _bytes(path, name)
        if not isinstance(data, bytes):
            return empty, (report(data, place),)
        try:
            text = decode_source(name, data)
        except CompileError as error:
            return empty, error.reports
        self.sources[recorded] = blob_digest(data)
        text = text if self._side is None else self._side.text_of(id, text)
        if path in self._texts:
            self._typed.add(id)
            return parse_module(name, text)
        entry = self._cache.find(id, name, text)
        if entry is not None:
            self._entries[id] = entry
            if entry.syntax is not None:
                return entry.syntax, ()
        return self._read_anew(id, name, text, entry)

    def _read_anew(
        self, id: ModuleId, name: str, text: str, entry: Entry | None
    ) -> tuple[ast.Module, tuple[Report, ...]]:
        """Parse a module, without the declarations that are known if it is one that was kept before."""
        memory = self._memories[id] = self._cache.memory(id, text, entry)
        if memory is not None and entry is not None and not self._is_remote(id):
            module = memory.module(name)
            if module is not None:
                return module, ()
            self._memories[id] = self._cache.memory(id, text, None)
        return parse_module(name, text)

    def _unsound(self, id: ModuleId) -> None:
        self._loaded[id] = self._loaded[id]._replace(sound=False)

    # ---- order --------------------------------------------------------------------------------

    def _order(self) -> list[ModuleId]:
        """Imports before importers; a circle is reported once, and its modules are not checked."""
        order = [PRELUDE]
        done: dict[ModuleId, bool] = {PRELUDE: True}
        for root in list(self._loaded):
            if root in done:
                continue
            done[root] = False
            path = [(root, iter(self._loaded[root].imports))]
            while path:
                id, imports = path[-1]
                for item in imports:
                    if item.target not in done:
                        done[item.target] = False
                        path.append((item.target, iter(self._loaded[item.target].imports)))
                        break
                    if not done[item.target]:
                        self._cycle([step for step, _ in path], item)
                else:
                    done[id] = True
                    order.append(id)
                    path.pop()
        return order

    def _cycle(self, path: list[ModuleId], closing: _Import) -> None:
        members = path[path.index(closing.target) :]
        self.reports.append(report(Cycle(tuple(self._loaded[id].module.path for id in members)), closing.place))
        for id in members:
            self._unsound(id)

    # ---- checking -----------------------------------------------------------------------------

    def _check(self, order: list[ModuleId]) -> tuple[dict[ModuleId, CoreModule], dict[ModuleId, Interface]]:
        cores: dict[ModuleId, CoreModule] = {}
        interfaces: dict[ModuleId, Interface] = {}
        for id in order:
            loaded = self._loaded[id]
            if not loaded.sound or any(item.target not in interfaces for item in loaded.imports):
                continue
            imports = {item.source: interfaces[item.target] for item in loaded.imports}
            if id != PRELUDE and PRELUDE in interfaces:
                imports[PRELUDE] = interfaces[PRELUDE]
            core, interface, reports = self._checked(id, loaded.module, imports)
            self.reports += reports
            if not reports:
                cores[id], interfaces[id] = core, interface
        return cores, interfaces

    def _checked(
        self, id: ModuleId, module: ast.Module, imports: Mapping[str, Interface]
    ) -> tuple[CoreModule, Interface, tuple[Report, ...]]:
        """What checking makes of a module, or made of it before."""
        entry = self._entries.get(id)
        if entry is not None:
            found = self._cache.checked(entry, id, imports)
            if found is not None:
                return (*found, ())
            if entry.syntax is not None:  # only modules without a mistake have an entry
                module, _ = self._read_anew(id, module.path, module.text, entry)
        memory = self._memories.get(id)
        from kiln.lang.check.check import check_module  # dear to import, and not needed where nothing has changed

        checked = check_module(module, id, imports, memory)
        self.checked[id] = checked.fresh
        if not checked.reports and memory is not None:
            self._cache.keep(module, imports, checked.core, checked.interface, memory)
        return checked.core, checked.interface, checked.reports


def _bytes(path: str, name: str) -> bytes | ImportMistake:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            return Unreadable(name, "it is no regular file")  # a fifo would be waited for without end
        with open(path, "rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Missing(name)
    except IsADirectoryError:
        return IsFolder(name)
    except OSError as error:
        return Unreadable(name, (error.strerror or str(error)).lower())
    return data if len(data) <= SIZE_LIMIT else TooLarge(name)


def _shown(path: str) -> str:
    """A path for messages: relative to the working folder if it lies below it."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative

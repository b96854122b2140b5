"""Loading a program: a build file, everything that it imports, parsed and checked.

    read and parse, breadth first  ──►  order by imports  ──►  check, each after what it imports

A module's id is `std/x` for the library's and the absolute path for a file; messages show the path as the user
wrote it. The prelude is loaded first and is an import of every other module. All reports of all modules are
collected, and a module whose imports cannot be used is not checked, so that one mistake is reported once.
This is the only part of evaluation that reads files.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from kiln import stdlib
from kiln.interpreter.program import Program, SourceFile
from kiln.lang.check.check import check_module
from kiln.lang.check.interface import Interface
from kiln.lang.core import CoreModule, ModuleId
from kiln.lang.report import CompileError, Place, Report
from kiln.lang.syntax import ast
from kiln.lang.syntax.parser import parse_module
from kiln.store.digest import BlobDigest, blob_digest

PRELUDE: Final[ModuleId] = "std/prelude"
_LIMIT: Final = 64 << 20
"""Bytes of one build file; a larger one is no build file."""


class _Loaded(NamedTuple):
    """A module that was read and parsed."""

    module: ast.Module
    imports: tuple[tuple[ast.Chunk, ast.Import, ModuleId], ...]
    """Each import that could be resolved, with the declaration that holds it."""
    folder: str
    sound: bool
    """Whether it was read and parsed without a mistake."""


class Loader:
    """Loads one program. `load` is the whole pipeline."""

    def __init__(self, library: str | None = None) -> None:
        self.library = os.path.dirname(os.path.abspath(stdlib.__file__)) if library is None else library
        self.reports: list[Report] = []
        self.sources: dict[str, BlobDigest] = {}
        self._loaded: dict[ModuleId, _Loaded] = {}

    def load(self, path: str) -> Program:
        """The program of a build file. Raises CompileError with every report."""
        root = os.path.abspath(path)
        self._read(PRELUDE, None)
        if not self._read(root, None, shown=path):
            raise CompileError(self.reports)
        self._read_imports()
        cores, interfaces = self._check(self._order())
        if self.reports:
            raise CompileError(self.reports)
        return Program(
            root,
            cores,
            interfaces,
            {id: loaded.folder for id, loaded in self._loaded.items()},
            tuple(SourceFile(*item) for item in sorted(self.sources.items())),
        )

    # ---- reading ------------------------------------------------------------------------------

    def _read_imports(self) -> None:
        pending = list(self._loaded)
        while pending:
            id = pending.pop(0)
            loaded = self._loaded[id]
            imports: list[tuple[ast.Chunk, ast.Import, ModuleId]] = []
            for chunk in loaded.module.chunks:
                if not isinstance(chunk.decl, ast.Import):
                    continue
                found = self._resolve(id, loaded, chunk, chunk.decl)
                if found is None:
                    self._loaded[id] = loaded = loaded._replace(sound=False)
                    continue
                imports.append((chunk, chunk.decl, found))
                if found not in self._loaded and self._read(found, _source_place(loaded.module, chunk, chunk.decl)):
                    pending.append(found)
            self._loaded[id] = loaded._replace(imports=tuple(imports))

    def _resolve(self, importer: ModuleId, loaded: _Loaded, chunk: ast.Chunk, decl: ast.Import) -> ModuleId | None:
        source = decl.source
        place = _source_place(loaded.module, chunk, decl)
        if "\0" in source or not source:
            self._report("K0207", "an import names no module", place, "this is no name of a module")
            return None
        if source.startswith("std/"):
            return self._library_module(source, place)
        if source.startswith(("./", "../")):
            if importer.startswith("std/"):
                return self._report(
                    "K0207", "a library module imports a file", place, "only `std/…` can be imported here"
                )
            if not source.endswith(".kiln"):
                self._report(
                    "K0207",
                    f"`{source}` is no build file",
                    place,
                    "its name must end in .kiln",
                    help=f'write "{source}.kiln"',
                )
                return None
            return os.path.normpath(os.path.join(loaded.folder, source))
        if source.startswith("/") or source.endswith(".kiln"):
            written = f"./{source}" if not source.startswith("/") else "./lib.kiln"
            self._report(
                "K0207", f"`{source}` is not the name of a module", place,
                "a file is named relative to this one", help=f'begin with `./` or `../`: "{written}"',
            )  # fmt: skip
            return None
        self._report(
            "K0206", f"the remote module `{source}` cannot be loaded", place, "neither `std/…` nor a relative file",
            notes=("remote modules are pinned in kiln.lock, which this version of Kiln does not read",),
            help=f'copy the module beside this file and write "./{source.rsplit("/", 1)[-1]}.kiln"',
        )  # fmt: skip
        return None

    def _library_module(self, source: str, place: Place) -> ModuleId | None:
        parts = source.split("/")
        if any(not part or part.startswith(".") for part in parts) or not os.path.isfile(self._library_path(source)):
            names = self._library_names()
            self._report(
                "K0205", f"the library has no module `{source}`", place, "not found",
                notes=(f"it has {', '.join(names)}",), help=_nearest(source, names),
            )  # fmt: skip
            return None
        return source

    def _library_path(self, id: ModuleId) -> str:
        return os.path.join(self.library, *id.split("/")[1:]) + ".kiln"

    def _library_names(self) -> list[str]:
        found: list[str] = []
        for folder, _, files in os.walk(self.library):
            inner = os.path.relpath(folder, self.library)
            prefix = "std/" if inner == "." else f"std/{inner}/"
            found += [prefix + name[:-5] for name in files if name.endswith(".kiln")]
        return sorted(name for name in found if name != PRELUDE)

    def _read(self, id: ModuleId, place: Place | None, shown: str | None = None) -> bool:
        """Reads and parses a module; reports what is wrong and remembers it as unsound."""
        of_library = id.startswith("std/")
        path = self._library_path(id) if of_library else id
        name = id + ".kiln" if of_library else shown or _shown(path)
        text = self._text(path, id + ".kiln" if of_library else path, name, place)
        if text is None:
            module = ast.Module(name, "", None, ())
            self._loaded[id] = _Loaded(module, (), os.path.dirname(path), False)
            return False
        module, reports = parse_module(name, text)
        self.reports += reports
        self._loaded[id] = _Loaded(module, (), os.path.dirname(path), not reports)
        return True

    def _text(self, path: str, recorded: str, name: str, place: Place | None) -> str | None:
        try:
            with open(path, "rb") as file:
                data = file.read(_LIMIT + 1)
        except OSError as error:
            self._unreadable(error, name, place)
            return None
        if len(data) > _LIMIT:
            self._report(
                "K0208",
                f"{name} is larger than a build file can be",
                place,
                notes=(f"the limit is {_LIMIT:,} bytes",),
            )
            return None
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self._report(
                "K0208", f"{name} is not text in UTF-8", place,
                notes=(f"line {line} has the byte 0x{data[error.start]:02x} where none can stand",),
                help="save the file as UTF-8",
            )  # fmt: skip
            return None
        self.sources[recorded] = blob_digest(data)
        return text

    def _unreadable(self, error: OSError, name: str, place: Place | None) -> None:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            title, help = f"there is no file {name}", "check the path; it is relative to the file that imports it"
            if place is None:
                help = "check the path, or make a new project with `kiln init`"
        elif isinstance(error, IsADirectoryError):
            title, help = f"{name} is a folder", "name a build file in it, such as build.kiln"
        else:
            problem = (error.strerror or str(error)).lower()
            title, help = f"{name} cannot be read: {problem}", "check its permissions"
        self._report("K0208", title, place, "imported here" if place else "", help=help)

    def _report(
        self,
        code: str,
        title: str,
        place: Place | None,
        label: str = "",
        notes: tuple[str, ...] = (),
        help: str | None = None,
    ) -> None:
        self.reports.append(Report(code, title, place, label, notes, (), help))

    # ---- order --------------------------------------------------------------------------------

    def _order(self) -> list[ModuleId]:
        """Imports before importers; a cycle is reported, and its modules are marked unsound."""
        order: list[ModuleId] = [PRELUDE]
        state: dict[ModuleId, bool] = {PRELUDE: True}
        for root in self._loaded:
            if root in state:
                continue
            state[root] = False
            path = [(root, iter(self._loaded[root].imports))]
            while path:
                id, imports = path[-1]
                for chunk, decl, target in imports:
                    if target not in state:
                        state[target] = False
                        path.append((target, iter(self._loaded[target].imports)))
                        break
                    if not state[target]:
                        self._cycle([step for step, _ in path], target, chunk, decl)
                else:
                    state[id] = True
                    order.append(id)
                    path.pop()
        return order

    def _cycle(self, path: list[ModuleId], again: ModuleId, chunk: ast.Chunk, decl: ast.Import) -> None:
        members = path[path.index(again) :]
        names = [self._loaded[id].module.path for id in members]
        chain = [names[0], *(f"  imports {name}" for name in (*names[1:], names[0]))]
        place = _source_place(self._loaded[path[-1]].module, chunk, decl)
        what = f"{names[0]} imports itself" if len(names) == 1 else "these modules import each other"
        self._report(
            "K0204", what, place, "this import closes the circle", tuple(chain) if len(names) > 1 else (),
            "move what both need into a module of its own",
        )  # fmt: skip
        for id in members:
            self._loaded[id] = self._loaded[id]._replace(sound=False)

    # ---- checking -----------------------------------------------------------------------------

    def _check(self, order: list[ModuleId]) -> tuple[dict[ModuleId, CoreModule], dict[ModuleId, Interface]]:
        cores: dict[ModuleId, CoreModule] = {}
        interfaces: dict[ModuleId, Interface] = {}
        for id in order:
            loaded = self._loaded[id]
            needed = [target for _, _, target in loaded.imports]
            if not loaded.sound or any(target not in interfaces for target in needed):
                continue
            imports = {decl.source: interfaces[target] for _, decl, target in loaded.imports}
            if id != PRELUDE and PRELUDE in interfaces:
                imports[PRELUDE] = interfaces[PRELUDE]
            checked = check_module(loaded.module, id, imports)
            self.reports += checked.reports
            if checked.core is not None and not checked.reports:
                cores[id] = checked.core
                interfaces[id] = checked.interface
        return cores, interfaces


def _source_place(module: ast.Module, chunk: ast.Chunk, decl: ast.Import) -> Place:
    return Place(module.path, module.text, chunk.start + decl.source_start, chunk.start + decl.source_end)


def _shown(path: str) -> str:
    """A path for messages: relative to the working folder if it lies below it."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _nearest(name: str, names: list[str]) -> str | None:
    import difflib

    found = difflib.get_close_matches(name, names, 1)
    return f'did you mean "{found[0]}"?' if found else None

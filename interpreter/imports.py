"""Where imports lead, and what can be wrong with them.

    "std/c"                       the library's own file c.kiln, with the id std/c
    "./x.kiln", "../lib/y.kiln"   a file, relative to the one that imports it; its id is its absolute path
    anything else                 a remote module

Mistakes are values; `report` is the one place with their words.
"""

from __future__ import annotations

import difflib
import os
from typing import Final, NamedTuple, TypeAlias, assert_never

from kiln.lang.core import ModuleId
from kiln.lang.report import Place, Report

PRELUDE: Final[ModuleId] = "std/prelude"
LOCK_MODULE: Final[ModuleId] = "std/lock"
"""The library's module that is another one for each kiln.lock."""
SIZE_LIMIT: Final = 64 << 20
"""Bytes of one build file; what is larger is no build file."""


class UnknownLibrary(NamedTuple):
    source: str
    known: tuple[str, ...]


class Remote(NamedTuple):
    """No mistake: a name for `interpreter.remote` to follow."""

    source: str


class NotAModule(NamedTuple):
    source: str


class FileWithoutDot(NamedTuple):
    """`lib.kiln` or `/lib.kiln`, which lacks `./`."""

    source: str


class FileOfLibrary(NamedTuple):
    """A library's module that imports a file."""

    source: str


class NoExtension(NamedTuple):
    source: str


class Missing(NamedTuple):
    name: str


class IsFolder(NamedTuple):
    name: str


class Unreadable(NamedTuple):
    name: str
    problem: str


class TooLarge(NamedTuple):
    name: str


class Cycle(NamedTuple):
    """The files of the circle, in the order in which they import each other."""

    names: tuple[str, ...]


ImportMistake: TypeAlias = (
    UnknownLibrary | NotAModule | FileWithoutDot | FileOfLibrary | NoExtension
    | Missing | IsFolder | Unreadable | TooLarge | Cycle
)  # fmt: skip


def is_library(module: ModuleId) -> bool:
    return module.startswith("std/")


def library_path(library: str, module: ModuleId) -> str:
    """The file of a library's module; `library` is the library's folder."""
    return os.path.join(library, *plain_library(module).split("/")[1:]) + ".kiln"


def plain_library(module: ModuleId) -> ModuleId:
    """The id without what tells instances of `std/lock` apart."""
    return module.partition("@")[0]


def library_modules(library: str) -> tuple[ModuleId, ...]:
    """The library's modules that can be imported, sorted."""
    found: list[str] = []
    for folder, _, files in os.walk(library):
        inner = os.path.relpath(folder, library)
        prefix = "std/" if inner == "." else f"std/{inner}/"
        found += [prefix + name[: -len(".kiln")] for name in files if name.endswith(".kiln")]
    return tuple(sorted(name for name in found if name != PRELUDE))


def resolve(source: str, importer: ModuleId, folder: str, library: str) -> ModuleId | Remote | ImportMistake:
    """The module that `source` names in an import of `importer`, whose file lies in `folder`."""
    if not source or "\0" in source:
        return NotAModule(source)
    if is_library(source):
        parts = source.split("/")
        plain = all(part and not part.startswith(".") for part in parts)
        if plain and os.path.isfile(library_path(library, source)):
            return source
        return UnknownLibrary(source, library_modules(library))
    if not source.startswith(("./", "../")):
        return FileWithoutDot(source) if source.startswith("/") or source.endswith(".kiln") else Remote(source)
    if is_library(importer):
        return FileOfLibrary(source)
    if not source.endswith(".kiln"):
        return NoExtension(source)
    return os.path.normpath(os.path.join(folder, source))


def report(mistake: ImportMistake, place: Place | None) -> Report:
    """The report of a mistake at an import, or about the file that a command names (`place` None)."""
    match mistake:
        case UnknownLibrary(source, known):
            near = difflib.get_close_matches(source, known, 1)
            return Report(
                "K0205", f"the library has no module `{source}`", place, "not found",
                (f"it has {', '.join(known)}",), (), f'did you mean "{near[0]}"?' if near else None,
            )  # fmt: skip
        case NotAModule():
            return Report("K0207", "this is not the name of a module", place, "names nothing", (), (), _EXAMPLES)
        case FileWithoutDot(source):
            help = f'write "./{source}"' if not source.startswith("/") else "begin with `./` or `../`"
            return Report(
                "K0207", f"`{source}` is not the name of a module", place,
                "a file is named relative to this one", (), (), help,
            )  # fmt: skip
        case FileOfLibrary(source):
            return Report("K0207", f"a library module imports the file `{source}`", place, "only `std/…` can be here")
        case NoExtension(source):
            return Report(
                "K0207", f"`{source}` is no build file", place, "its name must end in .kiln", (), (),
                f'write "{source}.kiln"',
            )  # fmt: skip
        case Cycle(names):
            return _cycle(names, place)
        case _:
            return _unreadable(mistake, place)


_EXAMPLES: Final = 'a module is named like "std/c" or "./lib.kiln"'


def _cycle(names: tuple[str, ...], place: Place | None) -> Report:
    alone = len(names) == 1
    chain = () if alone else (names[0], *(f"  imports {name}" for name in (*names[1:], names[0])))
    title = f"{names[0]} imports itself" if alone else "these modules import each other"
    help = "take the import out" if alone else "move what both need into a module of its own"
    return Report("K0204", title, place, "this import closes the circle", chain, (), help)


def _unreadable(mistake: Missing | IsFolder | Unreadable | TooLarge, place: Place | None) -> Report:
    notes: tuple[str, ...] = ()
    match mistake:
        case Missing(name):
            title = f"there is no file {name}"
            help = "check the path, which is relative to the file that imports it"
            if place is None:
                help = "check the path, or make a new project with `kiln init`"
        case IsFolder(name):
            title, help = f"{name} is a folder", "name a build file in it, such as main.kiln"
        case Unreadable(name, problem):
            title, help = f"{name} cannot be read: {problem}", "check its permissions"
        case TooLarge(name):
            title, help = f"{name} is larger than a build file can be", "read large data as a source of a build"
            notes = (f"the limit is {SIZE_LIMIT:,} bytes",)
        case _:
            assert_never(mistake)
    return Report("K0208", title, place, "imported here" if place is not None else "", notes, (), help)

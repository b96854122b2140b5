"""Modules as commands name them: a build file, or one of the library's (`std/list`, or its file).

A library's module is no program of its own, so it is loaded as what a module of one line imports.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from kiln import stdlib
from kiln.interpreter.imports import PRELUDE, is_library, library_modules
from kiln.interpreter.modules import Loader
from kiln.interpreter.program import Program
from kiln.lang.core import ModuleId

if TYPE_CHECKING:
    from kiln.interpreter.remote import Opener

LIBRARY: Final = os.path.dirname(os.path.abspath(stdlib.__file__))


def open_module(name: str, trees: Opener | None = None) -> tuple[Program, ModuleId]:
    """The program around a module, and the module's id in it; remote ones come from `trees`. Raises CompileError."""
    module = library_name(name)
    if module is None:
        program = Loader(trees=trees).load(name)
        return program, program.root
    root = os.path.abspath("the library")
    return Loader(texts={root: f'import "{module}" as it;\n'}).load(root, name), module


def library_name(name: str) -> ModuleId | None:
    """The library's module that a name, or the path of a file, stands for."""
    if is_library(name) and not os.path.exists(name):
        return name
    path = os.path.realpath(name)
    folder = os.path.realpath(LIBRARY)
    if path.startswith(folder + os.sep) and path.endswith(".kiln"):
        return "std/" + os.path.relpath(path, folder).removesuffix(".kiln")
    return None


def library_names() -> tuple[ModuleId, ...]:
    """Every module of the library, the prelude first."""
    return (PRELUDE, *library_modules(LIBRARY))

"""Functions of the library as Python calls them, through the evaluator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kiln.interpreter.derivation import SourceObject
from kiln.interpreter.evaluate.evaluator import Evaluator
from kiln.interpreter.evaluate.packages import Selection
from kiln.interpreter.modules import Loader

ROOT = "/nowhere/library.kiln"


class NoSources:
    """A host for programs that have no source."""

    def add_source(self, path: str, name: str, selection: Selection) -> SourceObject:
        raise AssertionError(path)

    def add_source_file(self, path: str, name: str) -> SourceObject:
        raise AssertionError(path)


def evaluator(text: str) -> Evaluator:
    """The evaluator of a module with this text. Raises CompileError."""
    return Evaluator(Loader(texts={ROOT: text}).load(ROOT), NoSources())


def functions(imports: str, typed: dict[str, str]) -> dict[str, Callable[..., Any]]:
    """Expressions by name, `expression: type` each, as Python functions of positional arguments."""
    lets = [f"let f{place}: {type} = {name};" for place, (name, type) in enumerate(typed.items())]
    program = evaluator("\n".join([imports, *lets, ""]))
    return {name: program.value(ROOT, f"f{place}") for place, name in enumerate(typed)}

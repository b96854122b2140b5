"""A project's run, with a cache and without one, in a form that can be compared."""

from __future__ import annotations

import os
from collections.abc import Mapping

from blake3 import blake3

from kiln.interpreter.caching.interfaces import TYPES
from kiln.interpreter.derivation import SourceObject
from kiln.interpreter.evaluate.evaluator import Evaluator
from kiln.interpreter.evaluate.trace import EvaluationError
from kiln.interpreter.modules import Loader
from kiln.interpreter.program import Program
from kiln.lang.core import CoreLet
from kiln.lang.report import CompileError, render
from kiln.store.digest import ObjectId

ROOT = "app.kiln"


class Sources:
    """A host that has a store's digests, and no store."""

    def add_source(self, path, name, selection):
        files = [(file, self.add_source_file(os.path.join(path, file), file).id) for file in sorted(os.listdir(path))]
        return SourceObject(ObjectId(blake3(repr((files, selection)).encode()).digest()), name)

    def add_source_file(self, path, name):
        with open(path, "rb") as file:
            return SourceObject(ObjectId(blake3(file.read()).digest()), name)


def write(files: Mapping[str, str]) -> None:
    for name, text in files.items():
        with open(name, "w", encoding="utf-8", newline="") as file:
            file.write(text)


def load() -> Program:
    return Loader().load(ROOT)


def run() -> object:
    """All that a run shows: reports, or each module as it was checked and each value as it came out."""
    try:
        program = load()
    except CompileError as error:
        return [render(report) for report in error.reports]
    evaluator = Evaluator(program, Sources())
    names = [decl.name for decl in program.modules[program.root].decls if isinstance(decl, CoreLet)]
    values = [(_value(evaluator, name), _targets(evaluator, name)) for name in names]
    evaluator.keep()
    shown = {id: (_core(core), _interface(program, id)) for id, core in program.modules.items()}
    return shown, values, sorted(evaluator.graph.items()), evaluator.sources


def uncached() -> object:
    os.environ["KILN_NO_CACHE"] = "1"
    try:
        return run()
    finally:
        del os.environ["KILN_NO_CACHE"]


def _core(core):
    return (core.id, core.path, core.text, core.imports, tuple(core.decls), core.exports, core.types, core.kinds)


def _interface(program, id):
    """Everything, with places: bytes are equal for equal trees."""
    i = program.interfaces[id]
    held = TYPES.pack((dict(i.values), dict(i.types), dict(i.infos), i.private, i.doc), stable=True)
    return i.module, i.path, held, dict(i.sources)


def _targets(evaluator, name):
    try:
        return evaluator.targets(evaluator.value(evaluator.program.root, name), name)
    except EvaluationError as error:
        return render(error.report)


def _value(evaluator, name):
    try:
        value = evaluator.value(evaluator.program.root, name)
        return evaluator.show(value)
    except EvaluationError as error:
        return render(error.report)

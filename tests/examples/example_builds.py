"""The library's and the examples' modules, evaluated without a store: what these tests share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import assert_never

from kiln.interpreter.derivation import (
    BuildStep,
    Derivation,
    DrvOutput,
    FetchStep,
    InputRef,
    OutputRef,
    Part,
    Program,
    SourceObject,
)
from kiln.interpreter.evaluate.evaluator import Evaluator
from kiln.interpreter.evaluate.packages import Selection
from kiln.interpreter.modules import Loader
from kiln.interpreter.selecting import selector
from kiln.lang.core import CoreLet
from kiln.store.digest import ObjectId

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
EXAMPLES = os.path.join(ROOT, "examples")


class ContentHost:
    """Identifies a source by the names and the bytes that it takes, as a store does."""

    def add_source(self, path: str, name: str, selection: Selection) -> SourceObject:
        content = hashlib.sha256()
        for file in sorted(_taken(path, selection)):
            content.update(file.encode() + b"\0" + _digest(os.path.join(path, file)))
        return SourceObject(ObjectId(content.digest()), name)

    def add_source_file(self, path: str, name: str) -> SourceObject:
        return SourceObject(ObjectId(_digest(path)), name)


def _taken(folder: str, selection: Selection) -> Iterator[str]:
    select = selector(folder, selection)
    for parent, _, names in os.walk(folder):
        for name in names:
            relative = os.path.relpath(os.path.join(parent, name), folder)
            if select is None or select(os.fsencode(relative), False):
                yield relative


def _digest(path: str) -> bytes:
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).digest()


def load(path: str) -> Evaluator:
    """Raises CompileError."""
    return Evaluator(Loader().load(path), ContentHost())


def exported(evaluator: Evaluator) -> dict[str, Derivation]:
    """The derivation of each thing to build in the root module, by the name of its `let`, all instantiated."""
    root = evaluator.program.root
    found: dict[str, Derivation] = {}
    for decl in evaluator.program.modules[root].decls:
        if isinstance(decl, CoreLet) and evaluator.program.modules[root].kinds.get(decl.name) in ("drv", "out"):
            item = evaluator.targets(evaluator.value(root, decl.name), decl.name)[0].item
            assert isinstance(item, DrvOutput), "an example builds something, and is no source"
            step = evaluator.graph[item.drv]
            assert isinstance(step, BuildStep)
            found[decl.name] = step.derivation
    return found


def described(evaluator: Evaluator, derivation: Derivation) -> str:
    """`name (outputs) < inputs`, all sorted."""
    outputs = " ".join(str(spec.name) for spec in derivation.outputs)
    inputs = " ".join(sorted(_input_name(evaluator, item) for item in derivation.inputs))
    return f"{derivation.name} ({outputs}) < {inputs}"


def _input_name(evaluator: Evaluator, item: DrvOutput | SourceObject) -> str:
    if isinstance(item, SourceObject):
        return item.name
    step = evaluator.graph[item.drv]
    if isinstance(step, FetchStep):
        return step.fixed.name
    return step.derivation.output_name(item.output)


def script(derivation: Derivation) -> str:
    """What the shell runs; an input is `@in3`, an output `@out0`."""
    assert isinstance(derivation.builder, Program)
    return "".join(_shown(part) for part in derivation.builder.args[-1])


def _shown(part: Part) -> str:
    match part:
        case str():
            return part
        case InputRef(place):
            return f"@in{place}"
        case OutputRef(place):
            return f"@out{place}"
        case _:
            assert_never(part)

"""The digests of what examples and generated graphs derive: run in a process of its own, for test_same_everywhere.py.

    python -m tests.soundness.digests FOLDER ORDER

evaluates each build file below FOLDER, asking for what is buildable in it in the ORDER `forward`, `backward` or a
number, which is a seed; prints a line for each let, `FILE#name DIGEST…`, sorted, and one for the whole graph.
"""

from __future__ import annotations

import glob
import os
import random
import sys

from kiln.interpreter.derivation import SourceObject
from kiln.interpreter.evaluate.evaluator import EvaluationError, Evaluator
from kiln.interpreter.evaluate.packages import Selection
from kiln.interpreter.modules import Loader
from kiln.lang.core import CoreLet
from kiln.store.digest import Domain, ObjectId, digest_of


class Content:
    """A host whose sources are what they hold, wherever they lie."""

    def add_source(self, path: str, name: str, selection: Selection) -> SourceObject:
        files = sorted(glob.glob("**", root_dir=path, recursive=True, include_hidden=True))
        held = [(file, self._bytes(os.path.join(path, file))) for file in files]
        return self._object((name, held, selection), name)

    def add_source_file(self, path: str, name: str) -> SourceObject:
        return self._object((name, self._bytes(path)), name)

    @staticmethod
    def _bytes(path: str) -> bytes:
        if os.path.isdir(path):
            return b""
        with open(path, "rb") as file:
            return file.read()

    @staticmethod
    def _object(held: object, name: str) -> SourceObject:
        return SourceObject(ObjectId(digest_of(Domain.OBJECT, repr(held).encode())), name)


def ordered(names: list[str], order: str) -> list[str]:
    match order:
        case "forward":
            return names
        case "backward":
            return names[::-1]
        case _:
            shuffled = list(names)
            random.Random(order).shuffle(shuffled)
            return shuffled


def digests(path: str, shown: str, order: str) -> list[str]:
    """The lines of one build file."""
    program = Loader().load(path)
    evaluator = Evaluator(program, Content())
    names = [decl.name for decl in program.modules[program.root].decls if isinstance(decl, CoreLet)]
    lines: list[str] = []
    for name in ordered(names, order):
        try:
            targets = evaluator.targets(evaluator.value(program.root, name), name)
        except EvaluationError as error:
            lines.append(f"{shown}#{name} {error.report.code}")
            continue
        found = [
            str(item.id if isinstance(item := target.item, SourceObject) else f"{item.drv}!{item.output}")
            + (f"/{target.sub}" if target.sub else "")
            for target in targets
        ]
        lines.append(f"{shown}#{name} {' '.join(found)}")
    steps = sorted(str(drv) for drv in evaluator.graph)
    return [*sorted(lines), f"{shown} {len(steps)} steps {' '.join(steps)}"]


def main(folder: str, order: str) -> None:
    paths = sorted(glob.glob("**/*.kiln", root_dir=folder, recursive=True))
    lines = {shown: digests(os.path.join(folder, shown), shown, order) for shown in ordered(paths, order)}
    for shown in paths:
        print(*lines[shown], sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

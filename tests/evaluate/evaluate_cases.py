"""Programs from text: what the tests of evaluation share."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from kiln.interpreter.derivation import SourceObject
from kiln.interpreter.evaluate.evaluator import Evaluator
from kiln.interpreter.evaluate.packages import Selection
from kiln.interpreter.modules import Loader
from kiln.lang.report import CompileError, render
from kiln.store.digest import Domain, ObjectId, digest_of

_WANTED = re.compile(r"(?m)^(?:pub )?let (\w+)(?:(?!^(?:pub )?let ).)*?# (=>|error:) ([^\n]*)$", re.DOTALL)


class Wanted(NamedTuple):
    name: str
    kind: str
    text: str


class RecordingHost:
    """A host without a store: a source's object is a digest of what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Selection | None]] = []

    def add_source(self, path: str, name: str, selection: Selection) -> SourceObject:
        if not os.path.isdir(path):
            raise NotADirectoryError(20, "Not a directory", path)
        return self._add(path, name, selection)

    def add_source_file(self, path: str, name: str) -> SourceObject:
        os.stat(path)
        return self._add(path, name, None)

    def _add(self, path: str, name: str, selection: Selection | None) -> SourceObject:
        self.asked.append((path, name, selection))
        seed = repr((os.path.basename(path), name, selection)).encode()
        return SourceObject(ObjectId(digest_of(Domain.OBJECT, seed)), name)


def evaluator(folder: str, text: str, name: str = "case.kiln") -> tuple[Evaluator, str]:
    """The evaluator of a build file with this text, and the id of its module."""
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    try:
        program = Loader().load(path)
    except CompileError as error:
        raise AssertionError("\n\n".join(["the program does not compile", *map(render, error.reports)])) from None
    return Evaluator(program, RecordingHost()), program.root


def chunks(text: str) -> list[str]:
    return [chunk.strip("\n") + "\n" for chunk in re.split(r"(?m)^---$\n?", text)]


def wanted(chunk: str) -> list[Wanted]:
    """`let name = …;  # => value` and `# error: code words`, at the end of a declaration."""
    return [Wanted(*found.groups()) for found in _WANTED.finditer(chunk)]

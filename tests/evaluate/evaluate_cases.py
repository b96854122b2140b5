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
        program = Loader().load(os.path.relpath(path))
    except CompileError as error:
        raise AssertionError("\n\n".join(["the program does not compile", *map(render, error.reports)])) from None
    return Evaluator(program, RecordingHost()), program.root


def chunks(text: str) -> list[str]:
    return [chunk.strip("\n") + "\n" for chunk in re.split(r"(?m)^---$\n?", text)]


def wanted(chunk: str) -> list[Wanted]:
    """`let name = …;  # => value` and `# error: code words`, at the end of a declaration."""
    return [Wanted(*found.groups()) for found in _WANTED.finditer(chunk)]


# ---- golden cases: `====`, a program, `----`, what it says ---------------------------------------

UPDATE = os.environ.get("KILN_UPDATE_GOLDEN") == "1"


class Golden(NamedTuple):
    path: str
    place: int
    program: str
    expected: str


def golden_cases(path: str) -> list[Golden]:
    with open(path, encoding="utf-8") as file:
        parts = re.split(r"(?m)^====\n", file.read())[1:]
    halves = [part.split("----\n", 1) for part in parts]
    return [Golden(path, place, program, expected) for place, (program, expected) in enumerate(halves)]


def check_golden(case: Golden, found: str) -> None:
    """Compare, or with KILN_UPDATE_GOLDEN=1 rewrite the case in its file."""
    if not UPDATE:
        assert found + "\n" == case.expected
        return
    with open(case.path, encoding="utf-8") as file:
        parts = re.split(r"(?m)^====\n", file.read())
    parts[case.place + 1] = f"{case.program}----\n{found}\n"
    with open(case.path, "w", encoding="utf-8") as file:
        file.write("====\n".join(parts))

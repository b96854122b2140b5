"""Text that is typed behind a module's declarations: an expression (`kiln eval --expr`), or what a session reads.

An expression becomes one more declaration, `let it = …;`, so that it is parsed, checked and compiled as everything is,
and sees what is private there too. A place in what was typed is moved back to it as it was typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Self

from kiln.interpreter.evaluate.evaluator import EvaluationError, Evaluator
from kiln.interpreter.evaluate.host import Host
from kiln.interpreter.modules import Loader
from kiln.interpreter.program import Program
from kiln.lang.report import CompileError, Place, Report


class Typed:
    """What was typed, and the module's whole text with it: between `head` and `tail`, behind what was there."""

    def __init__(self, around: str, text: str, *, head: str = "", tail: str = "") -> None:
        before = f"{around.rstrip()}\n\n{head}".lstrip("\n")
        self.text = text
        self.offset = len(before)
        self.whole = f"{before}{text}{tail}\n"

    def load(self, module: str, shown: str) -> Program:
        """The program of the module with this in it; `module` is its absolute path. Raises CompileError."""
        with self.told():
            return Loader(texts={module: self.whole}).load(module, shown)

    @contextmanager
    def told(self) -> Iterator[None]:
        """What is raised inside speaks of places in what was typed."""
        try:
            yield
        except EvaluationError as error:
            raise EvaluationError(self._relocated(error.report), error.trace) from None
        except CompileError as error:
            raise CompileError([self._relocated(report) for report in error.reports]) from None

    def _relocated(self, report: Report) -> Report:
        place = None if report.place is None else self._moved(report.place)
        others = tuple([(self._moved(other), label) for other, label in report.others])
        return replace(report, place=place, others=others)

    def _moved(self, place: Place) -> Place:
        if place.text != self.whole or place.end < self.offset:
            return place
        start, end = (min(max(at - self.offset, 0), len(self.text)) for at in (place.start, place.end))
        return Place("what you typed", self.text, start, end)


class Expression:
    """An expression, checked. Its value is computed when it is asked for; `show` and `json` raise EvaluationError."""

    def __init__(self, typed: Typed, program: Program, name: str, host: Host) -> None:
        self._typed = typed
        self._evaluator = Evaluator(program, host)
        self._root = program.root
        self._name = name
        self.type = program.modules[program.root].types[name]

    @classmethod
    def check(cls, text: str, around: str, module: str, shown: str, host: Host) -> Self:
        """The expression `text` among the declarations `around` of a module. Raises CompileError."""
        name = _free_name(around)
        typed = Typed(around, text, head=f"let {name} =\n  ", tail="\n  ;")
        return cls(typed, typed.load(module, shown), name, host)

    def show(self) -> str:
        """Its value in Kiln's syntax, on one line."""
        with self._typed.told():
            return self._evaluator.show(self._evaluator.value(self._root, self._name))

    def json(self) -> str:
        """Its value as a JSON document, on one line."""
        with self._typed.told():
            return self._evaluator.json(self._evaluator.value(self._root, self._name))


def _free_name(around: str) -> str:
    """A name that no declaration has."""
    name = "it"
    while re.search(rf"\b{name}\b", around):
        name += "_"
    return name

"""Text that is typed behind a module's declarations: an expression (`kiln eval --expr`), or what a session reads.

An expression becomes one more declaration, `let it = …;`, so that it is parsed, checked and compiled as everything
is, and sees what is private there too. A place in that declaration is moved back to what was typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from kiln.interpreter.evaluate.evaluator import EvaluationError, Evaluator
from kiln.interpreter.evaluate.host import Host
from kiln.interpreter.modules import Loader
from kiln.interpreter.program import Program
from kiln.interpreter.remote import Opener
from kiln.lang.report import CompileError, Place, Report

if TYPE_CHECKING:
    from kiln.interpreter.evaluate.budget import Budget

_SHOWN: Final = "what you typed"


class Around(NamedTuple):
    """The module that something is typed into: its absolute path, what messages call it, and its world."""

    module: str
    shown: str
    host: Host
    trees: Opener | None = None
    budget: Budget | None = None


class Typed:
    """What was typed, and the module's whole text with it: between `head` and `tail`, behind what was there."""

    def __init__(self, before: str, text: str, *, head: str = "", tail: str = "", name: str = "") -> None:
        """`name` is that of the declaration around it, where the text is no declaration of its own."""
        self._hidden = f"in `{name}` at "
        before = f"{before.rstrip()}\n\n{head}".lstrip("\n")
        self.text = text
        self._begin = len(before) - len(head)
        self.offset = len(before)
        self.whole = f"{before}{text}{tail}\n"

    def load(self, around: Around) -> Program:
        """The program of the module with this in it. Raises CompileError."""
        with self.told():
            return Loader(texts={around.module: self.whole}, trees=around.trees).load(around.module, around.shown)

    @contextmanager
    def told(self) -> Iterator[None]:
        """What is raised inside speaks of places in what was typed."""
        try:
            yield
        except EvaluationError as error:
            raise EvaluationError(self.relocated(error.report), error.trace) from None
        except CompileError as error:
            raise CompileError([self.relocated(report) for report in error.reports]) from None

    def relocated(self, report: Report) -> Report:
        """The report with its places in what was typed, where they lie in it or in what stands around it."""
        place = None if report.place is None else self._moved(report.place)
        others = tuple([(self._moved(other), label) for other, label in report.others])
        notes = tuple([note for note in report.notes if not note.startswith(self._hidden)])
        moved = replace(report, place=place, others=others, notes=notes)
        if report.place is None or place is report.place:
            return moved
        if report.place.end <= self.offset:
            return _unknown(moved) if report.code == "K0316" else moved
        behind = report.place.start >= self.offset + len(self.text)
        return replace(moved, title=report.title.replace("found `;`", "found the end")) if behind else moved

    def _moved(self, place: Place) -> Place:
        if place.text != self.whole or place.start < self._begin:
            return place
        if place.end <= self.offset:
            return Place(_SHOWN, self.text, 0, len(self.text))
        start, end = (min(max(at - self.offset, 0), len(self.text)) for at in (place.start, place.end))
        return Place(_SHOWN, self.text, start, end)


class Expression:
    """An expression, checked. Its value is computed when it is asked for; `show` and `json` raise EvaluationError."""

    def __init__(self, typed: Typed, program: Program, name: str, around: Around) -> None:
        self._typed = typed
        self._evaluator = Evaluator(program, around.host, around.budget)
        self._root = program.root
        self._name = name
        self.type = program.modules[program.root].types[name]

    @classmethod
    def check(cls, text: str, declared: str, around: Around) -> Self:
        """The expression `text` behind a module's declarations. Raises CompileError."""
        name = _free_name(declared)
        typed = Typed(declared, text, head=f"let {name} =\n  ", tail="\n  ;", name=name)
        return cls(typed, typed.load(around), name, around)

    def show(self) -> str:
        """Its value in Kiln's syntax, on one line."""
        with self._typed.told():
            return self._evaluator.show(self._evaluator.value(self._root, self._name))

    def json(self) -> str:
        """Its value as a JSON document, on one line."""
        with self._typed.told():
            return self._evaluator.json(self._evaluator.value(self._root, self._name))


def _unknown(report: Report) -> Report:
    """A type that no use decides, told of an expression instead of the binding around it."""
    title, help = "the type of this expression isn't known", "write its type: `(expression: Type)`"
    return replace(report, title=title, help=help)


def _free_name(declared: str) -> str:
    """A name that no declaration has."""
    name = "it"
    while re.search(rf"\b{name}\b", declared):
        name += "_"
    return name

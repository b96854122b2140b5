"""What every test of soundness asks of a program: that it is refused in good words, or that it runs.

`judge` takes a file's bytes or text the whole way of `kiln eval` in one process, with the library checked once, and
says what it came to. A *fault* is what no input may bring about: an exception that is no report, a report that is
unfit to be shown, or an error of evaluation that the specification does not allow to a well-typed program.
"""

from __future__ import annotations

import functools
import os
import re
import traceback
from collections.abc import Mapping
from typing import NamedTuple

from kiln import stdlib
from kiln.interpreter.derivation import SourceObject
from kiln.interpreter.evaluate.budget import Budget
from kiln.interpreter.evaluate.evaluator import EvaluationError, Evaluator
from kiln.interpreter.evaluate.packages import Selection
from kiln.interpreter.imports import PRELUDE, library_modules
from kiln.interpreter.program import Program
from kiln.lang.check.check import Checked, check_module
from kiln.lang.check.interface import Interface
from kiln.lang.core import CoreLet, CoreModule
from kiln.lang.report import CompileError, Report, render
from kiln.lang.syntax import ast
from kiln.lang.syntax.parser import decode_source, parse_module
from kiln.store.digest import Domain, ObjectId, digest_of

ROOT = "/soundness/case.kiln"
SHOWN = "case.kiln"
SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sources")
"""Where a program's paths start from: `./src` is a folder there, and `./f` a file."""
LIBRARY = os.path.dirname(os.path.abspath(stdlib.__file__))

ALLOWED = frozenset(
    {"K0401", "K0402", "K0403", "K0404", "K0405", "K0406", "K0407", "K0408", "K0409", "K0410", "K0413"}
    | {"K0415", "K0416", "K0417", "K0502", "K0418"}
)
"""The errors that docs/spec/language.md allows to a well-typed program."""

_STEPS = 1_000_000
_SECONDS = 60.0

_LEAK = re.compile(
    r"\bTVar\b|\bNone(?:Type)\b|Traceback|\bobject at 0x|<class |<function |\bRowMap\b|\bBound\(|\bCon\(name"
    r"|dataclass|\bKeyError\b|\bAttributeError\b|\bTypeError\b|\bAssertionError\b|\bIndexError\b|\bRecursionError\b|\.py\b"
)
"""What stands in a message only if Python got into it."""


class NoSources:
    """A host whose every source is there, and holds what its name says."""

    def add_source(self, path: str, name: str, selection: Selection) -> SourceObject:
        return self._object(repr((name, selection)), name)

    def add_source_file(self, path: str, name: str) -> SourceObject:
        return self._object(name, name)

    @staticmethod
    def _object(seed: str, name: str) -> SourceObject:
        return SourceObject(ObjectId(digest_of(Domain.OBJECT, seed.encode())), name)


class Library(NamedTuple):
    """The standard modules, checked."""

    cores: Mapping[str, CoreModule]
    interfaces: Mapping[str, Interface]


class Verdict(NamedTuple):
    """What a program came to. `codes` are those of its reports; `ran` says that it was evaluated."""

    fault: str | None
    codes: tuple[str, ...] = ()
    ran: bool = False


@functools.cache
def library() -> Library:
    """Every module of the library but kiln.lock's, in the order of their imports."""
    cores: dict[str, CoreModule] = {}
    interfaces: dict[str, Interface] = {}
    waiting = [PRELUDE, *[name for name in library_modules(LIBRARY) if name != PRELUDE]]
    while waiting:
        name = waiting.pop(0)
        with open(os.path.join(LIBRARY, name.removeprefix("std/") + ".kiln"), encoding="utf-8") as file:
            module, reports = parse_module(f"{name}.kiln", file.read())
        if any(source not in interfaces for source in imported(module)):
            waiting.append(name)
            continue
        checked = check_module(module, name, interfaces)
        assert not reports and not checked.reports, name
        cores[name], interfaces[name] = checked.core, checked.interface
    return Library(cores, interfaces)


def imported(module: ast.Module) -> list[str]:
    return [chunk.decl.source for chunk in module.chunks if isinstance(chunk.decl, ast.Import)]


@functools.cache
def codes() -> frozenset[str]:
    from kiln.commands.explain import all_codes

    return frozenset(all_codes())


def check(text: str) -> tuple[Checked, tuple[Report, ...]]:
    """The program's core, and every report of the parser and the checker."""
    module, reports = parse_module(SHOWN, text)
    checked = check_module(module, ROOT, library().interfaces)
    return checked, reports + checked.reports


def judge(source: str | bytes, *, run: bool = True, seconds: float = _SECONDS) -> Verdict:
    """Take the program as far as it goes: its values are shown, what can be built is derived, its tests are run.

    Steps bound what is endless at one place, however busy the machine is; seconds are for what counts none.
    """
    try:
        return _judge(source, run, seconds)
    except Exception as error:
        where = "".join(traceback.format_exception(error)[-4:])
        return Verdict(f"{type(error).__name__}: {error}\n{where}")


def _judge(source: str | bytes, run: bool, seconds: float) -> Verdict:
    try:
        text = decode_source(SHOWN, source) if isinstance(source, bytes) else source
    except CompileError as error:
        return _refused(error.reports, None)
    checked, reports = check(text)
    if reports:
        return _refused(reports, text)
    return _ran(checked, text, seconds) if run else Verdict(None)


def _refused(reports: tuple[Report, ...], text: str | None) -> Verdict:
    fault = next((found for report in reports if (found := unfit(report, text))), None)
    return Verdict(fault, tuple(report.code for report in reports))


def _ran(checked: Checked, text: str, seconds: float) -> Verdict:
    known = library()
    cores = {**known.cores, ROOT: checked.core}
    folders = dict.fromkeys(known.cores, LIBRARY) | {ROOT: SOURCES}
    program = Program(ROOT, cores, {**known.interfaces, ROOT: checked.interface}, folders, ())
    evaluator = Evaluator(program, NoSources(), Budget(seconds, 512, _STEPS))
    ended: list[str] = []
    for decl in checked.core.decls:
        if isinstance(decl, CoreLet):
            report = _value(evaluator, decl.name)
            if report is None:
                continue
            ended.append(report.code)
            fault = unfit(report, text) or (None if report.code in ALLOWED else f"not allowed: {render(report)}")
            if fault or report.code == "K0418":
                return Verdict(fault, tuple(ended), True)
    for verdict in evaluator.run_tests(ROOT):
        if verdict.report is not None:
            ended.append(verdict.report.code)
            fault = unfit(verdict.report, text)
            if fault or verdict.report.code not in ALLOWED | {"K0414"}:
                return Verdict(fault or f"not allowed: {render(verdict.report)}", tuple(ended), True)
    return Verdict(None, tuple(ended), True)


def _value(evaluator: Evaluator, name: str) -> Report | None:
    """What ended the evaluation of a let, of its text, or of what it builds."""
    try:
        value = evaluator.value(ROOT, name)
        evaluator.show(value)
        try:
            evaluator.targets(value, name)
        except EvaluationError as error:
            if error.report.code != "K0411":
                raise
    except EvaluationError as error:
        return error.report
    return None


def unfit(report: Report, text: str | None) -> str | None:
    """Why a report can't be shown to anyone, or None."""
    shown = render(report)
    said = "\n".join(
        [report.title, report.label, *report.notes, report.help or "", *[label for _, label in report.others]]
    )
    if report.code not in codes():
        return f"`kiln explain` does not know {report.code}\n{shown}"
    if not report.title.strip():
        return f"no title\n{shown}"
    if not (report.label or report.help or report.notes):
        return f"neither label nor help\n{shown}"
    if report.place is None:
        return f"no place\n{shown}"
    for place in (report.place, *[place for place, _ in report.others]):
        if not 0 <= place.start <= place.end <= len(place.text):
            return f"a place outside its file: {place.start} to {place.end} of {len(place.text)}\n{shown}"
    if text is not None and report.place.text != text:
        return f"a main place that is not in the program\n{shown}"
    leak = _LEAK.search(said)
    if leak is not None and leak.group() not in (text or ""):
        return f"Python in the message: {leak.group()}\n{shown}"
    return None

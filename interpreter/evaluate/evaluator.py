"""The evaluator: values of a program, what they build, and the graph of derivations.

    program --units.Linker--> Python functions --run on demand--> values --derive.Resolver--> graph

Everything that runs Kiln code goes through `Evaluator._run`, which gives it a deep stack and turns what goes wrong
into an EvaluationError.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import difflib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from kiln.interpreter.answers import Target, is_off
from kiln.interpreter.caching.core import StoredDecls
from kiln.interpreter.derivation import BuildStep, DrvOutput, Graph, SourceObject
from kiln.interpreter.evaluate import show
from kiln.interpreter.evaluate.attestations import Attestation, KeySigner, SubjectOf
from kiln.interpreter.evaluate.deep import run_deep
from kiln.interpreter.evaluate.derive import Resolver
from kiln.interpreter.evaluate.host import Host
from kiln.interpreter.evaluate.mistakes import (
    BudgetSpent,
    Failure,
    Mistake,
    NotBuildable,
    TestFailed,
    UnknownAttribute,
    wording,
)
from kiln.interpreter.evaluate.packages import Buildable, Site
from kiln.interpreter.evaluate.room import bounded_memory
from kiln.interpreter.evaluate.sets import SetValue, member
from kiln.interpreter.evaluate.trace import (
    EvaluationError,
    evaluation_error,
    mistake_of,
    place,
    without_place,
)
from kiln.interpreter.evaluate.units import Linker, Spot
from kiln.interpreter.evaluate.values import OutValue, Record, SecretHandle, Value
from kiln.interpreter.program import Program
from kiln.lang.core import CoreFn, CoreLet, CoreModule, CoreSet, CoreTest, ModuleId
from kiln.lang.report import Report
from kiln.store.digest import DrvDigest
from kiln.store.paths import OutputName

if TYPE_CHECKING:
    from kiln.interpreter.caching.values import Values
    from kiln.interpreter.evaluate.budget import Budget, Meter

_T = TypeVar("_T")


class Verdict(NamedTuple):
    """What a `test` came to; `report` says why it did not pass."""

    module: ModuleId
    title: str
    report: Report | None

    @property
    def passed(self) -> bool:
        return self.report is None


class Evaluator:
    """Evaluates one program. Values are remembered, so that nothing is computed twice.

    A `budget` is for all that is asked, and for each test anew (K0418).
    """

    def __init__(self, program: Program, host: Host, budget: Budget | None = None) -> None:
        self.program = program
        self._host = host
        self._lines: dict[ModuleId, list[int]] = {}
        self._meter = None if budget is None else _meter(budget)
        self._begin()

    def _begin(self) -> None:
        """Remember nothing."""
        steps = None if self._meter is None else self._meter.steps
        self._linker = Linker(self.program.modules, self.program.folders, steps)
        self._values = None if self._meter is not None else _values(self.program, self._linker)
        self._resolver = Resolver(self._host, self._place_of, self._values)

    def keep(self) -> None:
        """Keep what lets came to, for the next time; nothing, where there is no room for it."""
        values = self._values
        if values is not None:
            with contextlib.suppress(RecursionError, MemoryError):
                run_deep(lambda: values.keep(self.graph))

    @property
    def computed(self) -> Sequence[str]:
        """The lets that were computed, in the order in which they were begun: `module NUL name`."""
        return () if self._values is None else self._values.computed

    # ---- values -------------------------------------------------------------------------------

    def value(self, module: ModuleId, name: str) -> Value:
        """The value of a top-level `let`. Raises EvaluationError."""
        return self._run(lambda: self._let(module, name))

    def select(self, module: ModuleId, path: Sequence[str]) -> Value:
        """The value at `path`: a top-level let, then members, fields or outputs; of no path, the default target.

        Raises EvaluationError.
        """

        def find() -> Value:
            names = list(path) or [self._default_name(module)]
            value = self._let(module, names[0])
            for depth, label in enumerate(names[1:], 1):
                value = self._inside(value, label, ".".join(names[:depth]))
            return value

        return self._run(find)

    def default_name(self, module: ModuleId) -> str:
        """What is built where nothing is named: the let `default`, or else the only pub let that can be built."""
        return self._run(lambda: self._default_name(module))

    def _let(self, module: ModuleId, name: str) -> Value:
        core = self.program.modules[module]
        decl = self._linker.declaration(module, name)
        if isinstance(decl, CoreLet):
            return self._linker.read(self._linker.let(module, name).id)
        if isinstance(decl, CoreFn | CoreSet):
            kind = "set" if isinstance(decl, CoreSet) else "function"
            hint = f"`{name}` in {core.path} is a {kind}: it needs arguments, and a `let` of its result can be named"
            raise Failure(NotBuildable(hint, tuple(_lets(core))))
        raise Failure(_unknown(name, core.path, _lets(core)))

    def _default_name(self, module: ModuleId) -> str:
        core = self.program.modules[module]
        if "default" in _lets(core):
            return "default"
        buildable = [name for name, kind in core.kinds.items() if kind in ("drv", "out")]
        if len(buildable) == 1:
            return buildable[0]
        choices = buildable or [name for name, kind in core.kinds.items() if kind == "set"]
        what = "has more than one thing to build" if buildable else "has no `default` and nothing else to build"
        raise Failure(NotBuildable(f"{core.path} {what}", tuple(choices)))

    def _inside(self, value: Value, label: str, where: str) -> Value:
        match value:
            case Record():
                if label in value.labels:
                    return getattr(value, label + "_")
                raise Failure(_unknown(label, f"`{where}`", value.labels))
            case SetValue():
                labels = value.labels()
                if label in labels:
                    return member(value, label + "_")
                raise Failure(_unknown(label, f"`{where}`", labels))
            case Buildable():
                outputs = self._outputs(value)
                if label in outputs:
                    return getattr(value, label + "_")
                raise Failure(_unknown(label, f"`{where}`", outputs))
            case Attestation() if label == "as_file":
                return value.as_file_
            case dict():
                if label in value:
                    return value[label]
                raise Failure(_unknown(label, f"`{where}`", sorted(value)))
            case _:
                raise Failure(_unknown(label, f"`{where}`", ()))

    def show(self, value: Value) -> str:
        """The value in Kiln's syntax, on one line; lazy parts stay as they are."""
        return self._run(lambda: show.show(value))

    def json(self, value: Value) -> str:
        """The value as a JSON document on one line."""
        return self._run(lambda: show.json_text(value))

    # ---- builds -------------------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        """Every step that was needed for what was asked so far."""
        return self._resolver.graph

    @property
    def sources(self) -> Sequence[str]:
        """The absolute paths of the user's folders and files that were added, sorted."""
        return sorted(self._resolver.source_paths)

    def targets(self, value: Value, label: str = "") -> list[Target]:
        """What is to be built for a value: a package's every output (`out` first), or all that it holds.

        Raises EvaluationError, also for a value that holds nothing to build.
        """

        def find() -> list[Target]:
            found = list(self._targets(value, label))
            if not found:
                name = f"`{label}`" if label else "this value"
                raise Failure(NotBuildable(f"{name} is nothing that can be built: it {_nature(value)}", ()))
            return found

        try:
            return self._run(find)
        except EvaluationError as error:
            raise self._placed(error, label) from None

    def _placed(self, error: EvaluationError, label: str) -> EvaluationError:
        """The same at the let that the label names, where it has no place of its own."""
        report, module = error.report, self.program.root
        named = label.partition(".")[0].partition("[")[0]
        decl = self._linker.declaration(module, named) if named else None
        if report.place is not None or not isinstance(decl, CoreLet):
            return error
        unit = self._linker.let(module, named)
        return EvaluationError(
            dataclasses.replace(report, place=place(Spot(unit, decl.start + decl.body.at))), error.trace
        )

    def _targets(self, value: Value, label: str) -> Iterator[Target]:
        match value:
            case OutValue(owner=owner, output=output, sub=sub):
                origin = self._resolver.origin(owner)
                yield Target(label, _item(origin, OutputName(output)), sub)
            case Buildable():
                origin = self._resolver.origin(value)
                for output in self._outputs(value):
                    named = label if output == "out" else _joined(label, output)
                    yield Target(named, _item(origin, OutputName(output)))
            case Attestation():
                yield from self._targets(value.as_file_, label)
            case tuple():
                for index, item in enumerate(value):
                    yield from self._targets(item, f"{label}[{index}]")
            case Record():
                for name, item in value.items():
                    yield from self._targets(item, _joined(label, name))
            case dict():
                for name in sorted(value):
                    yield from self._targets(value[name], _joined(label, name))
            case SetValue():
                for name in value.labels():
                    yield from self._targets(member(value, name + "_"), _joined(label, name))
            case _:
                return

    def _outputs(self, value: Buildable) -> list[str]:
        origin = self._resolver.origin(value)
        step = None if isinstance(origin, SourceObject) else self.graph[origin]
        if not isinstance(step, BuildStep):
            return ["out"]
        names = [str(spec.name) for spec in step.derivation.outputs]
        return sorted(names, key=lambda name: (name != "out", name))

    def _place_of(self, site: Site) -> tuple[str, int, int] | None:
        """(file, line, column) of a line of generated code."""
        spot = self._linker.spot(site)
        if spot is None:
            return None
        module = spot.unit.module
        starts = self._lines.get(module.id)
        if starts is None:
            lengths = [len(line) + 1 for line in module.text.split("\n")]
            starts = self._lines[module.id] = list(itertools.accumulate(lengths, initial=0))
        line = bisect.bisect_right(starts, spot.offset)
        return module.path, line, spot.offset - starts[line - 1] + 1

    # ---- tests --------------------------------------------------------------------------------

    def run_tests(self, module: ModuleId, chosen: Callable[[str], bool] | None = None) -> list[Verdict]:
        """The tests of a module, in its order, or those whose titles are chosen. One that fails raises nothing."""
        results: list[Verdict] = []
        for index, decl in enumerate(self.program.modules[module].decls):
            if isinstance(decl, CoreTest) and (chosen is None or chosen(decl.title)):
                results.append(Verdict(module, decl.title, self._test(module, index, decl)))
        return results

    def _test(self, module: ModuleId, index: int, decl: CoreTest) -> Report | None:
        unit = self._linker.test(module, index)
        if self._meter is not None:
            self._meter.renew()
        try:
            passed, left, right = self._run(lambda: self._linker.link(unit)())
            if passed:
                return None
            sides = (None, None) if left is None else (self.show(left), self.show(right))
        except EvaluationError as error:
            return error.report
        text = wording(TestFailed(decl.title, *sides))
        where = place(Spot(unit, decl.start + decl.body.at))
        return Report(text.code, text.title, where, text.label, text.notes, (), text.help)

    # ---- running ------------------------------------------------------------------------------

    def _run(self, work: Callable[[], _T]) -> _T:
        return run_deep(lambda: self._guarded(work))

    def _guarded(self, work: Callable[[], _T]) -> _T:
        try:
            if self._meter is not None:
                return self._meter.run(work)
            with bounded_memory():
                return work()
        except EvaluationError:
            raise
        except Exception as error:
            mistake = mistake_of(error)
            self._linker.running.clear()
            if mistake is None:
                raise
            failed = _error(error, mistake, self._linker)
            if isinstance(mistake, BudgetSpent):
                self._begin()
        raise failed


def _values(program: Program, linker: Linker) -> Values | None:
    """None where nothing is kept: what is typed is not, and a budget counts what is computed."""
    if is_off():
        return None
    from kiln.interpreter.caching.values import Values

    values = Values(program.modules, program.folders, linker)
    if not values.usable:
        return None
    linker.use(values)
    return values


def _meter(budget: Budget) -> Meter:
    from kiln.interpreter.evaluate.budget import Meter

    return Meter(budget)


def _error(error: Exception, mistake: Mistake, linker: Linker) -> EvaluationError:
    if error.__traceback__ is None:
        return EvaluationError(without_place(wording(mistake)))
    return evaluation_error(error, mistake, linker)


def _item(origin: DrvDigest | SourceObject, output: OutputName) -> DrvOutput | SourceObject:
    return origin if isinstance(origin, SourceObject) else DrvOutput(origin, output)


def _joined(label: str, name: str) -> str:
    return f"{label}.{name}" if label else name


def _lets(core: CoreModule) -> list[str]:
    if isinstance(core.decls, StoredDecls):
        return core.decls.lets()
    return [decl.name for decl in core.decls if isinstance(decl, CoreLet)]


def _unknown(name: str, where: str, choices: Sequence[str]) -> UnknownAttribute:
    nearest = difflib.get_close_matches(name, choices, 1)
    return UnknownAttribute(name, where, nearest[0] if nearest else None, tuple(choices))


def _nature(value: Any) -> str:
    match value:
        case bool():
            return "is a Bool"
        case int():
            return "is an Int"
        case str():
            return "is a Str"
        case tuple() | dict() | Record() | SetValue():
            return "holds no package or output"
        case _ if callable(value):
            return "is a function"
        case SubjectOf():
            return "is the subject of an attestation"
        case SecretHandle() | KeySigner():
            return "is the name of a secret"
        case _:
            return "is plain data"


__all__ = ["EvaluationError", "Evaluator", "Target", "Verdict"]

"""What a build that failed is told as: how it ended, where its log and its tree are, and what to do next."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kiln.interpreter.derivation import USUAL_LIMITS, Derivation
from kiln.interpreter.errors import BuildFailed, LimitReached, OutputKindWrong, OutputMissing, OutputRefused
from kiln.interpreter.kept import keep, label_of
from kiln.interpreter.sandbox.spec import SandboxSpec
from kiln.interpreter.sandbox.watch import Exceeded
from kiln.store.errors import StoreError
from kiln.store.paths import OutputName

if TYPE_CHECKING:
    from kiln.interpreter.making import Making
    from kiln.interpreter.sandbox.result import SandboxResult
    from kiln.interpreter.workshop import Workshop

_LIMITS = {
    "time": ("ran for longer than it may", "seconds"),
    "silence": ("wrote nothing for longer than it may", "seconds"),
    "log": ("wrote more log than it may", "bytes"),
    "memory": ("took more memory than it may", "bytes"),
    "processes": ("started more processes than it may", "processes and threads"),
    "disk": ("took more of the disk than it may", "bytes"),
}


class BuildLog(Protocol):
    """What an error shows of a log: its file, its last lines, the first line that looks like an error."""

    @property
    def path(self) -> str: ...
    @property
    def tail(self) -> Sequence[bytes]: ...
    @property
    def suspect(self) -> bytes | None: ...


class _Failure(NamedTuple):
    making: Making
    drv: Derivation
    log: BuildLog
    end: str
    kept: str | None

    @property
    def help(self) -> str:
        label = label_of(self.drv)
        return f"kiln log {label}" + (f"; kiln debug {label}" if self.kept else "")

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"log       {self.log.path}", f"tree kept {self.kept or _why_not(self.drv)}")


def judge(
    workshop: Workshop, making: Making, drv: Derivation, spec: SandboxSpec, result: SandboxResult, log: BuildLog
) -> None:
    """Return if the build made what it should; else keep its tree. Raises BuildFailed and its like."""
    wrong = None if not result.ok else _wrong_kind(drv, result)
    if result.ok and wrong is None:
        return
    end = how_it_ended(result)
    failure = _Failure(making, drv, log, end, keep(workshop, drv, spec, end))
    if result.exceeded is not None:
        raise _limit_reached(failure, result.exceeded)
    if result.status != "ok":
        raise BuildFailed(
            f"the build of {drv.name} failed",
            log=log.path, kept=failure.kept or _why_not(drv), tail=tuple(log.tail), suspect=log.suspect,
            found=end, place=making.place, help=failure.help,
        )  # fmt: skip
    raise wrong(failure) if wrong is not None else _not_as_declared(failure, result)


def refused(
    workshop: Workshop, making: Making, drv: Derivation, spec: SandboxSpec, error: StoreError, log: BuildLog
) -> OutputRefused:
    """The error for outputs that the store does not take. Their tree is kept; what was read of it has other modes."""
    kept = keep(workshop, drv, spec, f"outputs refused: {error.message}")
    failure = _Failure(making, drv, log, "", kept)
    changed = ("the modes of what was read of its outputs are the store's already",) if kept else ()
    return OutputRefused(
        error.code,
        f"the outputs of {drv.name} cannot be stored: {error.message}",
        place=making.place,
        expected=error.expected,
        found=error.found,
        notes=(*failure.notes, *changed),
        help="; ".join(filter(None, (error.help, failure.help))),
    )


def log_is_full(making: Making, drv: Derivation, error: OSError, path: str) -> OutputRefused:
    """The error for a build whose log the disk had no room for: it was ended."""
    return OutputRefused(
        "K0707",
        f"the log of {drv.name} cannot be written: {error.strerror}",
        place=making.place,
        found=path,
        help="free some space and run the command again; nothing was lost",
    )


def how_it_ended(result: SandboxResult) -> str:
    """A few words."""
    match result.status:
        case "ok":
            return "ended well"
        case "exit":
            return f"exit code {result.code}"
        case "signal":
            return f"killed by signal {result.code}"
        case "limit":
            return f"limit {result.exceeded.limit}" if result.exceeded is not None else "a limit"


def _limit_reached(failure: _Failure, exceeded: Exceeded) -> LimitReached:
    text, unit = _LIMITS[exceeded.limit]
    value: int = getattr(failure.making.limits, exceeded.limit)
    raised = f"limits = {{ {exceeded.limit} = {2 * value} }} in its recipe gives it more, and rebuilds nothing else"
    if exceeded.limit == "processes" and value == USUAL_LIMITS.processes:
        raised = "no build may have more; is this a build that forks without end?"
    return LimitReached(
        f"{failure.drv.name} {text}: {value} {unit}",
        log=failure.log.path, kept=failure.kept or _why_not(failure.drv), tail=tuple(failure.log.tail),
        suspect=failure.log.suspect, place=failure.making.place,
        found=f"{exceeded.found} {unit}", help=f"{raised}; {failure.help}",
    )  # fmt: skip


def _not_as_declared(failure: _Failure, result: SandboxResult) -> OutputMissing:
    drv, making = failure.drv, failure.making
    if result.missing:
        return OutputMissing(
            f"{drv.name} ended well and made no output `{result.missing[0]}`",
            place=making.place,
            expected=str(drv.scratch_path(result.missing[0])),
            found="the outputs made: " + (", ".join(sorted(result.outputs)) or "none"),
            notes=failure.notes,
            help=f"the script has to make %{{b.{result.missing[0]}}}; {failure.help}",
        )
    return OutputMissing(
        f"{drv.name} wrote to /kiln/store beside its outputs",
        place=making.place,
        expected="its outputs alone: " + ", ".join(sorted(result.outputs)),
        found=result.undeclared[0] if not drv.secrets else "something else, whose name may hold a secret",
        notes=failure.notes,
        help=f"write to the outputs, or to the build's own folder; {failure.help}",
    )


class _WrongKind(NamedTuple):
    name: OutputName
    kind: str
    found: str

    def __call__(self, failure: _Failure) -> OutputKindWrong:
        return OutputKindWrong(
            f"the output `{self.name}` of {failure.drv.name} is of another kind than it was declared",
            place=failure.making.place,
            expected="a folder" if self.kind == "tree" else "a regular file",
            found=self.found,
            notes=failure.notes,
            help=failure.help,
        )


def _wrong_kind(drv: Derivation, result: SandboxResult) -> _WrongKind | None:
    for item in drv.outputs:
        path = result.outputs[item.name]
        is_tree = os.path.isdir(path) and not os.path.islink(path)
        is_file = os.path.isfile(path) and not os.path.islink(path)
        if not (is_tree if item.kind == "tree" else is_file):
            found = "a folder" if is_tree else "a file" if is_file else "a link or something else"
            return _WrongKind(item.name, item.kind, found)
    return None


def _why_not(drv: Derivation) -> str:
    return "nowhere: the build was given secrets" if drv.secrets else "nowhere: the disk is nearly full"

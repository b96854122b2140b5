"""From a Python exception to a report with a trace of Kiln frames.

The main place is the innermost one outside the library, because that is the line that its author can change; the
trace shows the way from there inwards and outwards, innermost first, repeats collapsed.
"""

from __future__ import annotations

import re
from types import TracebackType
from typing import Final, NamedTuple

from kiln.interpreter.evaluate.deep import DIGITS, LIMIT
from kiln.interpreter.evaluate.mistakes import (
    DivisionByZero,
    Failure,
    HiddenPackage,
    Mistake,
    OutOfMemory,
    TooDeep,
    TooLarge,
    Wording,
    wording,
)
from kiln.interpreter.evaluate.packages import DIRECT_FRAMES, Buildable, Drv, Pkg, title
from kiln.interpreter.evaluate.units import Linker, Spot
from kiln.interpreter.imports import is_library
from kiln.lang.report import CompileError, Place, Report

_TOKEN = re.compile(
    r"""[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|\d+|"[^"\n]*"?|`[^`\n]*`?|[=!<>]=|&&|\|\||\+\+|\|>|.""", re.DOTALL
)
_SHOWN: Final = 14
_PERIODS: Final = (1, 2, 3, 4)


class EvaluationError(CompileError):
    """An evaluation that ended in a mistake; `trace` holds its Kiln frames, innermost first."""

    def __init__(self, report: Report, trace: tuple[Spot, ...] = ()) -> None:
        super().__init__((report,))
        self.report = report
        self.trace = trace


class Repeated(NamedTuple):
    """Frames that follow each other `times` times."""

    spots: tuple[Spot, ...]
    times: int


def mistake_of(error: BaseException) -> Mistake | None:
    """The mistake that a Python exception stands for, or None for a bug in Kiln."""
    match error:
        case Failure(mistake=mistake):
            return mistake
        case RecursionError():
            return TooDeep(LIMIT)
        case ZeroDivisionError():
            return DivisionByZero()
        case MemoryError() | OverflowError():
            return OutOfMemory()
        case ValueError() if "integer string conversion" in str(error):
            return TooLarge("a number as text", f"{DIGITS:,} digits")
        case _:
            return None


def evaluation_error(error: BaseException, mistake: Mistake, linker: Linker) -> EvaluationError:
    """The error with its report."""
    spots = spots_of(error.__traceback__, linker)
    owner = getattr(error, "owner", None)
    made = linker.spot(owner.site) if isinstance(owner, Buildable) and owner.site is not None else None
    main = next((spot for spot in spots if not is_library(spot.unit.module.id)), None) or made
    if main is None and spots:
        main = spots[0]
    text = wording(mistake)
    label = text.label if main is None or not spots or spots[0] is main else "called here"
    notes = [*text.notes]
    if isinstance(owner, Drv | Pkg):
        where = f", made at {position(made)}" if made is not None and made is not main else ""
        notes.append(f"while deriving {title(owner)}{where}")
    hiding = linker.spot(mistake.made) if isinstance(mistake, HiddenPackage) else None
    if hiding is not None:
        notes.append(f"captured by the function at {position(hiding)}")
    notes += trace_lines(spots)
    report = Report(
        text.code, text.title, place(main) if main is not None else None, label, tuple(notes), (), text.help
    )
    return EvaluationError(report, tuple(spots))


def spots_of(trace: TracebackType | None, linker: Linker) -> list[Spot]:
    """The Kiln frames of a traceback, innermost first."""
    found: list[Spot] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if code in DIRECT_FRAMES:
            unit = trace.tb_frame.f_locals["unit"]
            found.append(Spot(unit, unit.start + trace.tb_frame.f_locals["at"]))
        elif code.co_filename.startswith("<"):
            spot = linker.spot((code.co_filename, _line(trace)))
            if spot is not None:
                found.append(spot)
        trace = trace.tb_next
    found.reverse()
    # A function that is called as a value has a frame of its own around its body's, and was called there once.
    return [spot for place, spot in enumerate(found) if place == 0 or spot.unit.key[0] != "wrap"]


def _line(trace: TracebackType) -> int:
    """The line that ran. A loop's jump back has none, and a budget may end there: the one before it in the code.

    Python says None for no line, and early ones of 3.11 say -1.
    """
    line: int | None = trace.tb_lineno
    if line is not None and line > 0:
        return line
    code = trace.tb_frame.f_code
    before = [line for start, _, line in code.co_lines() if line is not None and start <= trace.tb_lasti]
    return before[-1] if before else code.co_firstlineno


def trace_lines(spots: list[Spot]) -> list[str]:
    """The trace as lines for people; none if there is one frame alone, which the place shows."""
    if len(spots) < 2:
        return []
    rows: list[str] = []
    for group in collapse(spots):
        for spot in group.spots:
            rows.append(f"in {spot.unit.title} at {position(spot)}")
        if group.times > 1:
            which = "this" if len(group.spots) == 1 else f"these {len(group.spots)}"
            rows.append(f"  … {which} {_about(group.times)} times in all")
    if len(rows) > _SHOWN:
        left_out = len(rows) - _SHOWN + 1
        rows = [*rows[: _SHOWN - 5], f"… {left_out:,} more …", *rows[-4:]]
    return rows


def _about(times: int) -> str:
    """The number, with two digits that count if it is large: how deep a stack goes differs by a few."""
    unit = 10 ** max(0, len(str(times)) - 2)
    return f"{times:,}" if times < 1000 else f"some {round(times / unit) * unit:,}"


def collapse(spots: list[Spot]) -> list[Repeated]:
    """Repeats of one to four frames in a row, each as one."""
    keys = [(spot.unit.id, spot.offset) for spot in spots]
    groups: list[Repeated] = []
    at = 0
    while at < len(spots):
        size, times = 1, 1
        for period in _PERIODS:
            count = 1
            block = keys[at : at + period]
            while keys[at + count * period : at + (count + 1) * period] == block:
                count += 1
            if count > 1 and len(block) == period:
                size, times = period, count
                break
        groups.append(Repeated(tuple(spots[at : at + size]), times))
        at += size * times
    return groups


def place(spot: Spot) -> Place:
    """The token that the spot points at."""
    module = spot.unit.module
    found = _TOKEN.match(module.text, spot.offset)
    return Place(module.path, module.text, spot.offset, found.end() if found else spot.offset)


def position(spot: Spot) -> str:
    """`file:line:column`."""
    line, column = place(spot).position()
    return f"{spot.unit.module.path}:{line}:{column}"


def without_place(text: Wording) -> Report:
    return Report(text.code, text.title, None, text.label, text.notes, (), text.help)

"""Every failure that a user can meet, as one message of one form and one exit code.

    error[K0501]: the download does not match its declared hash
      --> deps.kiln:14:12
      expected blake3:ab12…
      found    blake3:77c0…
    help: …

Each folder has one root of exceptions; this is the one place that knows them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kiln.console import Console, Stop, escape
from kiln.exits import Exit, exit_of


@dataclass(frozen=True, slots=True)
class Problem:
    """One failure. `text` is a rendered report, where the language made one."""

    code: str
    message: str
    exit: Exit
    place: str | None = None
    expected: str | None = None
    found: str | None = None
    notes: tuple[str, ...] = ()
    help: str | None = None
    text: str | None = None


def problems_of(error: BaseException, *, colour: bool = False) -> tuple[Problem, ...]:
    """The failures that an exception carries; empty for what is a bug in Kiln."""
    if isinstance(error, Stop):
        return (Problem(error.code, error.message, error.exit, None, error.expected, error.found, (), error.help),)
    reports = getattr(error, "reports", None)
    if reports is not None:
        return tuple(_from_report(report, colour) for report in reports)
    if isinstance(error, OSError):
        return (_from_os(error),)
    code = getattr(error, "code", None)
    if isinstance(code, str) and hasattr(error, "message"):
        return (_from_facts(error, code),)
    return ()


def _from_report(report: Any, colour: bool) -> Problem:
    from kiln.lang.report import render

    return Problem(report.code, report.title, exit_of(report.code), help=report.help, text=render(report, colour))


def _from_facts(error: Any, code: str) -> Problem:
    notes = tuple(getattr(error, "notes", ()))
    suspect, tail = getattr(error, "suspect", None), getattr(error, "tail", ())
    if suspect is not None:
        notes += ("first error: " + suspect.decode("utf-8", "surrogateescape"),)
    if tail:
        notes += ("the last lines of its log:",)
        notes += tuple("  | " + line.decode("utf-8", "surrogateescape") for line in tail)
    if getattr(error, "log", None):
        notes += (f"log       {error.log}", f"tree kept {error.kept}")
    return Problem(
        code,
        error.message,
        exit_of(code),
        getattr(error, "place", None),
        getattr(error, "expected", None),
        getattr(error, "found", None),
        notes,
        getattr(error, "help", None),
    )


def _from_os(error: OSError) -> Problem:
    import errno

    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOENT and not error.filename and not _in_a_folder():
        return Problem(
            "K0807",
            "the working folder has been removed",
            Exit.MACHINE,
            help="cd into one that is there, or name it: kiln -C DIR …",
        )
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return Problem(
        "K0707" if full else "K0807",
        f"{where}{error.strerror or error}",
        Exit.MACHINE,
        help="free some space and run the command again; nothing was lost" if full else None,
    )


def _in_a_folder() -> bool:
    import os

    try:
        os.getcwd()
    except OSError:
        return False
    return True


def show_problem(console: Console, problem: Problem) -> None:
    """Print one failure to stderr."""
    if problem.text is not None:
        console.tell(problem.text.rstrip("\n"))
        return
    console.tell(
        f"{console.paint(f'error[{problem.code}]', 'red')}: {console.paint(escape(problem.message), 'bold')}"
    )
    if problem.place:
        console.tell(f"  --> {escape(problem.place)}")
    if problem.expected:
        console.tell(f"  expected  {escape(problem.expected)}")
    if problem.found:
        console.tell(f"  found     {escape(problem.found)}")
    for note in problem.notes:
        console.tell(f"  {escape(note)}")
    if problem.help:
        console.tell(f"{console.paint('help', 'blue')}: {escape(problem.help)}")


def problem_json(problem: Problem) -> dict[str, Any]:
    """The `error` of a JSON document."""
    fields = {
        "code": problem.code,
        "message": problem.message,
        "place": problem.place,
        "expected": problem.expected,
        "found": problem.found,
        "notes": list(problem.notes),
        "help": problem.help,
        "text": problem.text,
    }
    return {key: value for key, value in fields.items() if value}

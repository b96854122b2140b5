"""`kiln fmt [FILE...]`: build files in the one style, in place; `-` formats stdin to stdout.

A file is replaced whole or not at all, and only if its text changes. One that does not parse is left alone and its
mistakes are shown; the others are formatted all the same. `--check` and `--diff` write nothing and end in K0907 if a
file would change: the first names such files on stdout, the second shows how they would change.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
from dataclasses import dataclass, field

from kiln.buildfiles import build_files
from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.problems import Problem, problem_json, problems_of, show_problem


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="build files, or `-` for stdin; by default every *.kiln below here"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--check", action="store_true", help="write nothing; name the files that would change")
    which.add_argument("--diff", action="store_true", help="write nothing; show what would change")


@dataclass(slots=True)
class _Outcome:
    files: list[str]
    changed: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def run(args: argparse.Namespace, context: Context) -> int:
    files = args.files if "-" in args.files else build_files(args.files)
    if "-" in files and len(files) > 1:
        raise Stop("K0900", "kiln fmt: `-` stands alone", expected="stdin, or files", help="kiln fmt --help")
    outcome = _Outcome(files)
    for file in files:
        try:
            _format(file, args, context, outcome)
        except Exception as error:
            found = problems_of(error, colour=context.console.colour)
            if not found:
                raise
            outcome.problems += found
            for problem in found:
                show_problem(context.console, problem)
    return _end(outcome, writes=not (args.check or args.diff), context=context)


def _format(file: str, args: argparse.Namespace, context: Context, outcome: _Outcome) -> None:
    """Format one file, and do with the result what was asked for."""
    from kiln.lang.format.source import format_source
    from kiln.lang.syntax.parser import decode_source

    shown = "stdin" if file == "-" else file
    data = sys.stdin.buffer.read() if file == "-" else _read(file)
    made = format_source(shown, decode_source(shown, data))
    if made.encode() != data:
        outcome.changed.append(file)
    if args.diff:
        _show_difference(shown, data, made, context)
    elif args.check:
        if made.encode() != data:
            context.console.result(escape(shown))
    elif file == "-":
        if not context.console.json:
            context.console.write_bytes(made.encode())
    elif made.encode() != data:
        _replace(file, made.encode())


def _read(file: str) -> bytes:
    try:
        with open(file, "rb") as opened:
            return opened.read()
    except FileNotFoundError:
        raise Stop("K0903", f"there is no file {file}", expected="a build file") from None


def _show_difference(shown: str, data: bytes, made: str, context: Context) -> None:
    import difflib

    before = data.decode("utf-8").splitlines(keepends=True)
    name = escape(shown)
    lines = difflib.unified_diff(before, made.splitlines(keepends=True), name, f"{name} (formatted)")
    for line in lines:
        ended = line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        if not context.console.json:
            context.console.write(ended)


def _replace(file: str, data: bytes) -> None:
    """Put a file's new content in its place at once, with the mode of the old; a link stays a link."""
    import tempfile

    place = os.path.realpath(file)
    mode = stat.S_IMODE(os.stat(place).st_mode)
    descriptor, draft = tempfile.mkstemp(prefix=".kiln-fmt-", dir=os.path.dirname(place))
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fchmod(opened.fileno(), mode)
            os.fsync(opened.fileno())
        os.replace(draft, place)
    except BaseException:
        os.unlink(draft)
        raise


def _end(outcome: _Outcome, *, writes: bool, context: Context) -> int:
    """Sum up: a message, the JSON document, the exit code."""
    count = len(outcome.changed)
    if count and not writes:
        what = "1 file is" if count == 1 else f"{count} files are"
        stop = Stop("K0907", f"{what} not formatted", help="kiln fmt " + _named(outcome.changed))
        outcome.problems += problems_of(stop)
        show_problem(context.console, outcome.problems[-1])
    shown = [problem_json(problem) for problem in outcome.problems]
    data = {"files": outcome.files, "changed": outcome.changed, "problems": shown}
    context.console.document("fmt", data, error=shown[0] if shown else None)
    if outcome.problems:
        return outcome.problems[0].exit
    if outcome.files != ["-"]:
        total = len(outcome.files)
        unchanged = f"{total} build {'file' if total == 1 else 'files'}"
        context.console.say(f"{unchanged}: {count} changed" if count else f"{unchanged}: nothing to change")
    return Exit.OK


def _named(files: list[str]) -> str:
    """The files as arguments of a command, where they are few."""
    import shlex

    return shlex.join(files) if 0 < len(files) <= 4 and files != ["-"] else ""

"""`kiln check [FILE...]`: parse and type-check, and run no evaluation."""

from __future__ import annotations

import argparse
import os

from kiln.console import Stop
from kiln.context import Context
from kiln.exits import Exit
from kiln.problems import Problem, problem_json, problems_of, show_problem


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", metavar="FILE", help="build files; by default every *.kiln below here")


def run(args: argparse.Namespace, context: Context) -> int:
    from kiln.interpreter.modules import Loader
    from kiln.lang.report import CompileError

    files = args.files or _build_files()
    if not files:
        raise Stop("K0903", "there is no build file here", expected="a file that ends in .kiln", help="kiln init")
    problems: list[Problem] = []
    for file in files:
        try:
            Loader().load(file)
        except CompileError as error:
            for problem in problems_of(error, colour=context.console.colour):
                if problem not in problems:
                    problems.append(problem)
                    show_problem(context.console, problem)
    shown = [problem_json(problem) for problem in problems]
    context.console.document("check", {"files": files, "problems": shown}, error=shown[0] if shown else None)
    if problems:
        return problems[0].exit
    context.console.say(f"{len(files)} build {'file' if len(files) == 1 else 'files'}: no mistakes")
    return Exit.OK


def _build_files() -> list[str]:
    found: list[str] = []
    for folder, folders, names in os.walk("."):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not name.startswith("result"))
        found += [os.path.relpath(os.path.join(folder, name)) for name in sorted(names) if name.endswith(".kiln")]
    return found

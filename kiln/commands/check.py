"""`kiln check [FILE...]`: parse and type-check, and run no evaluation."""

from __future__ import annotations

import argparse

from kiln.buildfiles import build_files
from kiln.context import Context
from kiln.exits import Exit
from kiln.problems import Problem, problem_json, problems_of, show_problem


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", metavar="FILE", help="build files; by default every *.kiln below here")
    parser.add_argument("--offline", action="store_true", help="fetch no remote module")


def run(args: argparse.Namespace, context: Context) -> int:
    from kiln.interpreter.opening import open_module
    from kiln.lang.report import CompileError

    files = build_files(args.files)
    problems: list[Problem] = []
    for file in files:
        try:
            open_module(file, context.trees())
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

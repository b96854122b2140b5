"""`kiln test [FILE|std...] [--only TITLE]`: run the `test` items of build files, or of the library; build nothing."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from kiln.budgets import budget_option
from kiln.buildfiles import build_files
from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.latehost import LateHost
from kiln.problems import Problem, problem_json, problems_of, show_problem

if TYPE_CHECKING:
    from kiln.interpreter.evaluate.evaluator import Verdict


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="build files, std/MODULE or std; by default every *.kiln below here"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TITLE",
        help="run the tests whose titles have this in them, or match it with * and ?; may be given several times",
    )
    parser.add_argument("--offline", action="store_true", help="fetch no remote module")
    budget_option(parser, "a test")


def run(args: argparse.Namespace, context: Context) -> int:
    from kiln.lang.report import CompileError

    files = build_files(args.files)
    tests: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for file in files:
        try:
            for verdict in _verdicts(file, args.only, context):
                tests.append(_tell(file, verdict, context))
                problems += [] if verdict.report is None else [_problem(verdict, context)]
        except CompileError as error:
            found = problems_of(error, colour=context.console.colour)
            problems += [problem for problem in found if problem not in problems]
            for problem in found:
                show_problem(context.console, problem)
    if args.only and not tests and not problems:
        raise Stop(
            "K0903",
            "no test has such a title",
            expected="a part of a test's title, or a pattern with * and ?",
            found=", ".join(args.only),
        )
    _sum_up(tests, problems, files, context)
    return problems[0].exit if problems else Exit.OK


def _verdicts(file: str, only: list[str], context: Context) -> list[Verdict]:
    from kiln.interpreter.evaluate.evaluator import Evaluator
    from kiln.interpreter.opening import open_module

    program, module = open_module(file, context.trees())
    chosen = None if not only else lambda title: any(_is_meant(title, pattern) for pattern in only)
    return Evaluator(program, LateHost(context), context.budget).run_tests(module, chosen)


def _is_meant(title: str, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    title, pattern = title.lower(), pattern.lower()
    return pattern in title or fnmatchcase(title, pattern)


def _problem(verdict: Verdict, context: Context) -> Problem:
    from kiln.lang.report import CompileError

    assert verdict.report is not None
    return problems_of(CompileError([verdict.report]), colour=context.console.colour)[0]


def _tell(file: str, verdict: Verdict, context: Context) -> dict[str, Any]:
    """Print one test's line, and what is wrong with it; the line of the JSON document."""
    console = context.console
    mark = console.paint("✔", "green") if verdict.passed else console.paint("✘", "red")
    console.result(f"{mark} {escape(file)}: {escape(verdict.title)}")
    told = {"file": file, "test": verdict.title, "passed": verdict.passed}
    if verdict.report is None:
        return told
    problem = _problem(verdict, context)
    show_problem(console, problem)
    return {**told, "error": problem_json(problem)}


def _sum_up(tests: list[dict[str, Any]], problems: list[Problem], files: list[str], context: Context) -> None:
    failed = sum(not test["passed"] for test in tests)
    count = f"{len(tests)} {'test' if len(tests) == 1 else 'tests'}"
    broken = len(problems) - failed
    data = {"files": files, "tests": tests, "passed": len(tests) - failed, "failed": failed}
    context.console.document("test", data, error=problem_json(problems[0]) if problems else None)
    if broken:
        context.console.say(f"{count}: {len(tests) - failed} passed, {failed} failed; some files have mistakes")
    else:
        context.console.say(f"{count}: {failed} failed" if failed else f"{count}: all passed")

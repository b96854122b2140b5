"""`kiln eval [FILE[#attribute]] [--expr EXPRESSION] [--type]`: what a value is; builds nothing.

An expression sees what FILE declares and imports, private things too; without FILE, the prelude alone.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from kiln.budgets import budget_option
from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.latehost import LateHost

if TYPE_CHECKING:
    from kiln.interpreter.expression import Around


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", metavar="FILE[#attribute]")
    parser.add_argument("--expr", metavar="EXPRESSION", help="the value of this, among what FILE declares")
    parser.add_argument("--type", action="store_true", help="its type instead of its value")
    parser.add_argument("--offline", action="store_true", help="fetch no remote module")
    budget_option(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    from kiln.interpreter.asking import Request, open_program

    if args.expr is not None:
        return _expression(args.expr, args.target, args.type, context)
    if args.target is None:
        raise Stop(
            "K0900", "kiln eval: there is nothing to evaluate", expected="FILE[#attribute], or --expr EXPRESSION"
        )
    request = Request.parse(args.target)
    if args.type and len(request.path) > 1:
        return _expression(request.attribute, request.file, True, context)
    evaluator, module = open_program(request, context.store(), context.trees(), context.budget)
    core = evaluator.program.modules[module]
    if args.type:
        types = core.types if not request.path else {request.path[0]: _type(core.types, request.attribute)}
        for name, shown in types.items():
            context.console.result(shown if request.path else f"{name}: {shown}")
        context.console.document("eval", {"types": dict(types)})
        return Exit.OK
    if not request.path and not _has_default(evaluator, module):
        for name, shown in core.exports.items():
            context.console.result(f"{name}: {shown}")
        if not core.exports:
            context.console.say(f"nothing in {request.file} is pub; {request.file}#NAME shows a `let` all the same")
        context.console.document("eval", {"exports": dict(core.exports)})
        return Exit.OK
    value = evaluator.select(module, request.path)
    context.console.result(escape(evaluator.show(value)))
    if context.console.json:
        context.console.document_of("eval", evaluator.json(value))
    return Exit.OK


def _expression(text: str, file: str | None, only_type: bool, context: Context) -> int:
    from kiln.interpreter.expression import Expression

    expression = Expression.check(text, *_around(file, context))
    if only_type:
        context.console.result(expression.type)
        context.console.document("eval", {"type": expression.type})
        return Exit.OK
    context.console.result(escape(expression.show()))
    if context.console.json:
        context.console.document_of("eval", expression.json())
    return Exit.OK


def _around(file: str | None, context: Context) -> tuple[str, Around]:
    """What an expression stands behind: a file's text, which must be without mistakes, or nothing."""
    from kiln.interpreter.expression import Around
    from kiln.interpreter.modules import Loader

    if file is None:
        folder = os.path.abspath("<expression>")
        return "", Around(folder, "expression", LateHost(context), context.trees(), context.budget)
    if "#" in file:
        raise Stop("K0900", "kiln eval: --expr stands behind a whole file", help="name the file without an attribute")
    program = Loader(trees=context.trees()).load(file)
    text = program.modules[program.root].text
    return text, Around(os.path.abspath(file), file, LateHost(context), context.trees(), context.budget)


def _has_default(evaluator: object, module: str) -> bool:
    from kiln.interpreter.evaluate.evaluator import EvaluationError, Evaluator

    assert isinstance(evaluator, Evaluator)
    try:
        evaluator.default_name(module)
    except EvaluationError:
        return False
    return True


def _type(types: dict[str, str], attribute: str) -> str:
    if attribute not in types:
        raise Stop(
            "K0903",
            f"there is no top-level `{attribute}`",
            expected="one of " + ", ".join(types),
            help="--type tells of top-level names",
        )
    return types[attribute]

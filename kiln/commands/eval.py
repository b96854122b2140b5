"""`kiln eval FILE[#attribute] [--type]`: what a build file's value is; builds nothing."""

from __future__ import annotations

import argparse
import json

from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="FILE[#attribute]")
    parser.add_argument("--type", action="store_true", help="its type instead of its value")
    parser.add_argument("--offline", action="store_true", help="fetch no remote module")


def run(args: argparse.Namespace, context: Context) -> int:
    from kiln.interpreter.asking import Request, open_program

    request = Request.parse(args.target)
    evaluator, module = open_program(request, context.store(), context.trees())
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
        context.console.document("eval", {"exports": dict(core.exports)})
        return Exit.OK
    value = evaluator.select(module, request.path)
    context.console.result(escape(evaluator.show(value)))
    if context.console.json:
        context.console.document("eval", json.loads(evaluator.json(value)))
    return Exit.OK


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

"""`kiln run TARGET [-- ARGS]`: realise a target and become its program, with `/kiln/store` in sight."""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn

from kiln.commands.realise import jobs
from kiln.console import Console, Stop
from kiln.context import Context
from kiln.interpreter.answers import Target
from kiln.interpreter.asking import Request, recall_all
from kiln.interpreter.derivation import SourceObject
from kiln.paths import cache_root


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="FILE[#attribute]")
    parser.add_argument("-j", dest="jobs", type=jobs, metavar="N", help="builds at once; by default one a core")
    parser.add_argument("--program", metavar="NAME", help="which of several under bin/")
    parser.epilog = "What follows -- goes to the program."
    parser.set_defaults(trace=None, offline=False, keep_going=False)


def run(args: argparse.Namespace, context: Context) -> int:
    from kiln.commands.making import make_requests

    requests = [Request.parse(args.target)]
    asked, plan = recall_all(requests, context.ledger(), cache_root()) or make_requests(requests, args, context)
    target = _runnable(asked.wanted)
    item = target.item if isinstance(target.item, SourceObject) else plan.pins[target.item]
    store = context.store()
    physical = store.physical(item.path) + (f"/{target.sub}" if target.sub else "")
    program = _program(physical, args.program, item.name, target)
    logical = f"{item.path}{program[len(store.physical(item.path)) :]}"
    store_dir = store.store_dir
    context.close()
    _become(store_dir, logical, args.passed)


_AGAIN = """
import sys
end = 2 + int(sys.argv[1])
words, sys.path[:] = sys.argv[end:], sys.argv[2:end]
from kiln.commands.run import resume
resume(words)
"""


def _become(store_dir: str, program: str, args: list[str]) -> NoReturn:
    """Become the program, with `/kiln/store` in sight. Raises NoView and OSError.

    The kernel gives a user namespace only to a process of one thread (unshare(2)), and fetching leaves one behind:
    then a fresh interpreter, which this process becomes, does it.
    """
    from kiln.interpreter.view import enter_view, exec_program

    if len(os.listdir("/proc/self/task")) > 1:
        words = [str(len(sys.path)), *sys.path, store_dir, program, *args]
        os.execv(sys.executable, [sys.executable, "-c", _AGAIN, *words])
    enter_view(store_dir)
    exec_program(program, args)


def resume(words: list[str]) -> NoReturn:
    """What the fresh interpreter does."""
    from kiln.__main__ import guarded

    sys.exit(guarded(lambda: _become(words[0], words[1], words[2:]), Console(command="run")))


def _runnable(targets: list[Target]) -> Target:
    """The output `out` of several."""
    first = [target for target in targets if isinstance(target.item, SourceObject) or target.item.output == "out"]
    return (first or targets)[0]


def _program(physical: str, wanted: str | None, name: str, target: Target) -> str:
    if os.path.isfile(physical) and os.access(physical, os.X_OK):
        return physical
    folder = os.path.join(physical, "bin")
    found = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    programs = [item for item in found if os.access(os.path.join(folder, item), os.X_OK)]
    chosen = [item for item in programs if item == wanted] if wanted else programs
    if not wanted and len(programs) > 1:
        stem = name.partition("-")[0]
        chosen = [item for item in programs if item in (target.label.rpartition(".")[2], stem)]
    if len(chosen) != 1:
        raise Stop(
            "K0905",
            f"{target.label} has {'no such program' if wanted else 'no one program to run'}",
            expected="a program under bin/",
            found=", ".join(programs) or "none",
            help=f"kiln run {target.label} --program {programs[0]}" if programs else None,
        )
    return os.path.join(folder, chosen[0])

"""`kiln debug [TARGET|last] [-- CMD]`: the sandbox of a build that failed, entered by hand.

The sandbox is the build's own: the same operations, inputs, environment and identity, and the kept tree, in which
what is changed stays changed. Only the program is another, and no time is limited.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time

from kiln.builds import find_kept
from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.interpreter.kept import Kept, hold, release
from kiln.interpreter.sandbox.engines import OWN, make_engine
from kiln.interpreter.sandbox.enter import Entered, find_shell, missing_inputs, spec_to_enter
from kiln.interpreter.sandbox.helper import Engine
from kiln.interpreter.sandbox.plan import plan_sandbox, show_plan
from kiln.interpreter.sandbox.run import build_identity
from kiln.interpreter.sandbox.spec import Identity, SandboxSpec


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", nargs="?", default="last", metavar="TARGET", help="the build that failed last by default"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--again", action="store_true", help="run the builder again, in the tree as it is now")
    what.add_argument("--print", dest="show", action="store_true", help="print how the sandbox is made, and end")
    parser.epilog = "What follows -- runs in there instead of a shell."


def run(args: argparse.Namespace, context: Context) -> int:
    store = context.store()
    kept = find_kept(args.target, context)
    identity = build_identity(store.store_dir)
    if args.show:
        lines = show_plan(plan_sandbox(kept.spec, identity))
        if kept.engine != OWN:
            lines.insert(0, f"engine   {kept.engine}, which does these by its own means")
        for line in lines:
            context.console.result(escape(line))
        context.console.document("debug", {"name": kept.name, "end": kept.end, "tree": kept.folder, "plan": lines})
        return Exit.OK
    _check_inputs(kept)
    argv = kept.spec.argv if args.again else _program(kept, args.passed)
    engine = make_engine(kept.engine)
    held = hold(kept)
    try:
        context.console.say(_greeting(kept))
        spec = spec_to_enter(kept.spec, argv)
        context.close()
        status = (_in_terminal if _all_terminals() else _in_streams)(spec, identity, engine)
    finally:
        release(kept, held)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _greeting(kept: Kept) -> str:
    ago = max(0, int(time.time()) - kept.time)
    when = f"{ago} s ago" if ago < 120 else f"{ago // 60} min ago" if ago < 7200 else f"{ago // 3600} h ago"
    return f"the sandbox of {escape(kept.name)} ({kept.end}, {when}); /build is {escape(kept.folder)}/build"


def _check_inputs(kept: Kept) -> None:
    missing = missing_inputs(kept.spec)
    if missing:
        raise Stop(
            "K0909",
            f"the sandbox of {kept.name} can't be made again: its inputs are no longer in the store",
            found=f"{len(missing)} missing, {missing[0]} among them",
            help="kiln realise its target again brings them back",
        )


def _program(kept: Kept, words: list[str]) -> tuple[str, ...]:
    """What runs in there: a shell; or a command, which a shell looks for where it is no path."""
    if words and "/" in words[0]:
        return tuple(words)
    shell = find_shell(kept.spec)
    if shell is None:
        builder = shlex.quote(kept.spec.argv[0])
        raise Stop(
            "K0909",
            f"no input of {kept.name} has a shell",
            expected="bin/sh, bin/bash or bin/busybox in an input",
            help=f"name a program by its path: kiln debug {os.path.basename(kept.folder)} -- {builder} …; or --again",
        )
    return (*shell, "-c", 'exec "$@"', "kiln", *words) if words else shell


def _all_terminals() -> bool:
    return all(os.isatty(stream) for stream in (0, 1, 2))


def _in_terminal(spec: SandboxSpec, identity: Identity, engine: Engine | None) -> int:
    from kiln.terminal import Terminal

    with Terminal() as terminal, Entered(spec, identity, (terminal.inner,) * 3, engine) as entered:
        return terminal.serve(entered)


def _in_streams(spec: SandboxSpec, identity: Identity, engine: Engine | None) -> int:
    sys.stdout.flush()
    with Entered(spec, identity, (0, 1, 2), engine) as entered:
        return entered.wait()

"""`kiln doctor`: what this machine can do, and whether the store is sound."""

from __future__ import annotations

import argparse
import os
import sys

from kiln.console import escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.interpreter.sandbox.errors import SandboxError
from kiln.interpreter.sandbox.result import SandboxResult
from kiln.store.store import Store


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--contents", action="store_true", help="read and hash every object, too")


def run(args: argparse.Namespace, context: Context) -> int:
    from kiln import __version__
    from kiln.interpreter.sandbox.machine import check_machine

    console = context.console
    console.result(
        f"kiln      {__version__}, Python {sys.version.split()[0]}, {os.uname().sysname} {os.uname().release}"
    )
    findings = check_machine()
    blocking = [finding for finding in findings if finding.blocking]
    for finding in findings:
        console.result(f"{'✘' if finding.blocking else '·'} {finding.name}: {finding.found}")
        console.result(f"  remedy: {finding.remedy}")
    store = context.store()
    trial = None if blocking else _try(store)
    if isinstance(trial, SandboxResult):
        console.result("✔ sandbox  a build that does nothing ran; in force: " + ", ".join(sorted(trial.enforced)))
        for lack in trial.degraded:
            console.result(f"· degraded: {lack}")
    elif trial is not None:
        console.result(f"✘ sandbox  {trial.message}")
        console.result(f"  found: {trial.found}  remedy: {trial.help}")
    problems = store.check(contents=args.contents)
    console.result(f"store     {store.root}, {len(store.all_objects())} objects, {len(store.roots())} roots")
    if store.recovered is not None:
        console.result(f"· recovery: {store.recovered}")
    for problem in problems:
        console.result(f"✘ {problem}")
    if not problems:
        console.result("✔ store    every object and record is whole")
    console.result(f"key       {context.keys().public_keys[0].keyid}")
    _show_caches(context)
    console.document(
        "doctor",
        {
            "version": __version__,
            "machine": [finding._asdict() for finding in findings],
            "store": {"root": store.root, "problems": [str(problem) for problem in problems]},
        },
    )
    return Exit.MACHINE if blocking or problems or isinstance(trial, SandboxError) else Exit.OK


def _show_caches(context: Context) -> None:
    """The caches in use, and whether it is known what they showed before; none is asked."""
    caches = context.caches().caches
    for item in caches:
        context.console.result(f"cache     {escape(item.line)}")
    if caches and context.memory().is_new:
        context.console.result("· caches: nothing was seen of them yet, so a rollback before today goes unnoticed")


def _try(store: Store) -> SandboxResult | SandboxError:
    """Reading a machine's switches proves little: run a program in a sandbox."""
    from kiln.interpreter.sandbox.run import build_identity
    from kiln.interpreter.sandbox.trial import try_sandbox

    try:
        folder = store.new_temp("trial")
        os.chmod(folder, 0o755)
        return try_sandbox(folder, build_identity(store.store_dir))
    except SandboxError as error:
        return error

"""`kiln log [TARGET|last]`: what a builder wrote."""

from __future__ import annotations

import argparse
import os

from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.naming import Named, find


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", default="last", metavar="TARGET", help="the newest build's by default")
    parser.add_argument("--raw", action="store_true", help="the bytes as they came, control characters and all")


def run(args: argparse.Namespace, context: Context) -> int:
    from kiln.interpreter.sandbox.logs import read_log

    path = _last(context) if args.target == "last" else _of(args.target, context)
    if args.raw:
        context.console.write_bytes(read_log(path))
        return Exit.OK
    text = read_log(path).decode("utf-8", "surrogateescape")
    if not text:
        context.console.say("the builder wrote nothing")
    for line in text.removesuffix("\n").split("\n") if text else ():
        context.console.result(escape(line))
    context.console.document("log", {"log": path, "text": text.encode("utf-8", "replace").decode()})
    return Exit.OK


def _last(context: Context) -> str:
    folder = os.path.join(context.store().root, "logs")
    with os.scandir(folder) as entries:
        logs = [(entry.stat().st_mtime_ns, entry.path) for entry in entries if entry.name.endswith(".log.zst")]
    if not logs:
        raise Stop("K0903", "nothing has been built in this store", help="kiln realise FILE")
    return max(logs)[1]


def _of(target: str, context: Context) -> str:
    for named in find(target, context):
        resolved = _resolved(named, context)
        path = os.path.join(context.store().root, "logs", f"{resolved}.log.zst")
        if resolved and os.path.exists(path):
            return path
    raise Stop("K0903", f"there is no log of {target}", help="only what was built here has one; kiln show TARGET")


def _resolved(named: Named, context: Context) -> str | None:
    """The resolved derivation that a log is kept under: as it was built, or as it would be, where that failed."""
    from kiln.interpreter.derivation import BuildStep
    from kiln.store.provenance.verify import verify_envelope

    if named.envelope is not None:
        verified = verify_envelope(context.store().envelope(named.envelope), context.policy())
        return verified.provenance.recipe.digest.hex()
    if isinstance(named.step, BuildStep):
        resolved = context.ledger().would_resolve(named.step.derivation)
        return resolved.hex() if resolved is not None else None
    return None

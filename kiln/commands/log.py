"""`kiln log [TARGET|last]`: what a builder wrote."""

from __future__ import annotations

import argparse
import os

from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.naming import find


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
        resolved = _resolved(named.drv, named.envelope, context)
        path = os.path.join(context.store().root, "logs", f"{resolved}.log.zst")
        if resolved and os.path.exists(path):
            return path
    raise Stop("K0903", f"there is no log of {target}", help="only what was built here has one; kiln show TARGET")


def _resolved(drv: object, envelope: object, context: Context) -> str | None:
    from kiln.store.digest import DrvDigest, EnvelopeDigest
    from kiln.store.provenance.verify import verify_envelope

    if isinstance(envelope, EnvelopeDigest):
        return verify_envelope(context.store().envelope(envelope), context.policy()).provenance.recipe.digest.hex()
    resolved = context.ledger().resolved_of(drv) if isinstance(drv, DrvDigest) else None
    return resolved.hex() if resolved is not None else None

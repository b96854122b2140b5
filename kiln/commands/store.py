"""`kiln store verify|ls|rebuild-index`: the store's own upkeep."""

from __future__ import annotations

import argparse

from kiln.context import Context
from kiln.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser("verify", help="every invariant of the store; reads and hashes every object")
    verify.add_argument("--quick", action="store_true", help="the records alone, not the objects' bytes")
    actions.add_parser("ls", help="every object: its path, its size in bytes")
    actions.add_parser("rebuild-index", help="make the index again from the small files beside the objects")


def run(args: argparse.Namespace, context: Context) -> int:
    match args.action:
        case "verify":
            return _verify(context, quick=args.quick)
        case "ls":
            return _list(context)
        case _:
            return _rebuild(context)


def _verify(context: Context, *, quick: bool) -> int:
    store = context.store()
    problems = [str(problem) for problem in store.check(contents=not quick)]
    for problem in problems:
        context.console.result(f"✘ {problem}")
    context.console.say(f"{len(store.all_objects())} objects, {len(problems)} problems")
    context.console.document("store-verify", {"problems": problems})
    return Exit.MACHINE if problems else Exit.OK


def _list(context: Context) -> int:
    infos = sorted(context.store().all_objects(), key=lambda info: (info.name, info.id))
    for info in infos:
        context.console.result(f"{info.path}  {info.size}")
    rows = [{"path": str(info.path), "object": str(info.id), "size": info.size} for info in infos]
    context.console.document("store-ls", {"objects": rows})
    return Exit.OK


def _rebuild(context: Context) -> int:
    from kiln.store.store import Store

    rebuilt = Store.rebuild_index(context.store_root)
    context.console.say(f"the index was made again: {rebuilt}")
    context.console.document("store-rebuild-index", {"rebuilt": str(rebuilt)})
    return Exit.OK

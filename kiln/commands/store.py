"""`kiln store …`: the store's own upkeep."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from kiln.commands import storerepair, storeroots, storeuse
from kiln.commands.sizes import count, days, size
from kiln.context import Context
from kiln.exits import Exit

if TYPE_CHECKING:
    from kiln.store.collect import Collected


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser("verify", help="every invariant of the store; reads and hashes every object")
    verify.add_argument("--quick", action="store_true", help="the records alone, not the objects' bytes")
    actions.add_parser("ls", help="every object: its path, its size in bytes")
    actions.add_parser("rebuild-index", help="make the index again from the small files beside the objects")
    storerepair.arguments(actions.add_parser("repair", help="make damaged objects whole again, or take them out"))
    gc = actions.add_parser("gc", help="remove what nobody holds; builds go on meanwhile")
    gc.add_argument("--max-freed", type=size, metavar="SIZE", help="stop when that much is free: 500M, 20G")
    gc.add_argument("--older-than", type=days, metavar="DAYS", help="only what nobody wanted for so many days")
    gc.add_argument(
        "--keep-last", type=count, default=0, metavar="N", help="also keep the last N that each link showed before"
    )
    gc.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
    gc.add_argument("--evidence", action="store_true", help="also the envelopes about what is gone")
    storeuse.arguments(actions.add_parser("du", help="what holds what alive, and what it costs"))
    storeroots.arguments(actions.add_parser("root", help="objects kept under a name"))


def run(args: argparse.Namespace, context: Context) -> int:
    commands: dict[str, Callable[[argparse.Namespace, Context], int]] = {
        "verify": _verify,
        "ls": _list,
        "rebuild-index": _rebuild,
        "gc": _collect,
        "repair": storerepair.run,
        "du": storeuse.run,
        "root": storeroots.run,
    }
    return commands[args.action](args, context)


def _verify(args: argparse.Namespace, context: Context) -> int:
    store = context.store()
    problems = [str(problem) for problem in store.check(contents=not args.quick)]
    for problem in problems:
        context.console.result(f"✘ {problem}")
    context.console.say(f"{len(store.all_objects())} objects, {len(problems)} problems")
    context.console.document("store-verify", {"problems": problems})
    return Exit.MACHINE if problems else Exit.OK


def _list(args: argparse.Namespace, context: Context) -> int:
    infos = sorted(context.store().all_objects(), key=lambda info: (info.name, info.id))
    for info in infos:
        context.console.result(f"{info.path}  {info.size}")
    rows = [{"path": str(info.path), "object": str(info.id), "size": info.size} for info in infos]
    context.console.document("store-ls", {"objects": rows})
    return Exit.OK


def _rebuild(args: argparse.Namespace, context: Context) -> int:
    from kiln.store.store import Store

    rebuilt = Store.rebuild_index(context.store_root)
    context.console.say(f"the index was made again: {rebuilt}")
    context.console.document("store-rebuild-index", {"rebuilt": str(rebuilt)})
    return Exit.OK


def _collect(args: argparse.Namespace, context: Context) -> int:
    from kiln.store.collect import Policy

    policy = Policy(args.max_freed, args.older_than, args.keep_last, args.dry_run)
    store = context.store()
    collected = store.collect(policy)
    swept = store.sweep_rest(evidence=args.evidence, dry_run=args.dry_run)
    store.leave_trash()
    for info in collected.objects if args.dry_run or context.console.verbose else ():
        context.console.result(f"{info.path}  {info.size}")
    context.console.say(_summary(collected, args.dry_run) + "".join(f", {text}" for text in swept.texts()))
    document = {
        "objects": [str(info.path) for info in collected.objects],
        "freed": collected.freed,
        "alive": collected.alive,
        "dryRun": args.dry_run,
        **swept._asdict(),
    }
    context.console.document("store-gc", document)
    return Exit.OK


def _summary(collected: Collected, dry_run: bool) -> str:
    from kiln.commands.sizes import show_size

    would = "would be freed" if dry_run else "freed"
    return f"{len(collected.objects)} objects, {show_size(collected.freed)} {would}; {collected.alive} kept"

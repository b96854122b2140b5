"""`kiln store du [TARGET]`: what holds what alive, and what it costs."""

from __future__ import annotations

import argparse
import os

from kiln.commands.sizes import show_size
from kiln.console import Stop
from kiln.context import Context
from kiln.exits import Exit
from kiln.store.errors import BadName
from kiln.store.info import ObjectInfo
from kiln.store.paths import StorePath
from kiln.store.store import Store


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", metavar="TARGET", help="a store path, a link to one, or a name")


def run(args: argparse.Namespace, context: Context) -> int:
    return _all(context) if args.target is None else _one(args.target, context)


def _all(context: Context) -> int:
    usage = context.store().usage()
    for share in usage.shares:
        cost = f"{show_size(share.closure):>10}  {show_size(share.alone):>10} alone"
        context.console.result(f"{cost}  {share.holder.name} → {usage.infos[share.holder.object].path}")
    dead = f"{usage.dead_objects} objects, {show_size(usage.dead_size)} held by nobody: kiln store gc frees them"
    context.console.say(f"{usage.objects} objects, {show_size(usage.size)}; {dead}")
    rows = [
        {
            "holder": share.holder.name,
            "path": str(usage.infos[share.holder.object].path),
            "closure": share.closure,
            "alone": share.alone,
        }
        for share in usage.shares
    ]
    document = {"objects": usage.objects, "size": usage.size, "deadSize": usage.dead_size, "holders": rows}
    context.console.document("store-du", document)
    return Exit.OK


def _one(text: str, context: Context) -> int:
    store = context.store()
    info = find_object(store, text)
    usage = store.usage()
    whole = usage.closure_size(info.id)
    context.console.result(f"{info.path}  {show_size(info.size)}, with what it needs {show_size(whole)}")
    ways = usage.why(info.id)
    for holder, way in ways:
        context.console.result("  held by " + " → ".join([holder.name, *(item.path.base for item in way)]))
    if not ways:
        context.console.result("  held by nobody: kiln store gc removes it")
    rows = [{"holder": holder.name, "way": [str(item.path) for item in way]} for holder, way in ways]
    document = {"path": str(info.path), "size": info.size, "closure": whole, "held": rows}
    context.console.document("store-du", document)
    return Exit.OK


def find_object(store: Store, text: str) -> ObjectInfo:
    """An object by its store path, a link to it, or its name if no other has it. Raises Stop."""
    place = os.path.realpath(text) if os.path.lexists(text) else text
    inside = place.removeprefix(store.store_dir + "/")
    try:
        found = store.by_path(StorePath.parse(inside.split("/")[0] if inside != place else inside))
    except BadName:
        found = None
    if found is not None:
        return found
    named = [info for info in store.all_objects() if text in (info.name, str(info.path))]
    if len(named) != 1:
        raise Stop(
            "K0702" if not named else "K0905",
            f"{'several objects have' if named else 'no object of this store has'} the path or name {text}",
            found=", ".join(str(info.path) for info in named[:5]) or None,
            help="kiln store ls shows every object",
        )
    return named[0]

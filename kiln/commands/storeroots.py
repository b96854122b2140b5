"""`kiln store root add|remove|ls`: objects that are kept under a name."""

from __future__ import annotations

import argparse
import os

from kiln.commands.storeuse import find_object
from kiln.console import Stop
from kiln.context import Context
from kiln.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="root_action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="keep an object under a name")
    add.add_argument("name", metavar="NAME")
    add.add_argument("target", metavar="TARGET", help="a store path, a link to one, or a name")
    remove = actions.add_parser("remove", help="let go of it; kiln store gc may then remove it")
    remove.add_argument("name", metavar="NAME", help="the name, or the path of a result link")
    actions.add_parser("ls", help="every link and name that keeps an object")


def run(args: argparse.Namespace, context: Context) -> int:
    match args.root_action:
        case "add":
            return _add(args, context)
        case "remove":
            return _remove(args, context)
        case _:
            return _list(context)


def _add(args: argparse.Namespace, context: Context) -> int:
    store = context.store()
    info = find_object(store, args.target)
    store.add_named_root(args.name, info.id)
    context.console.say(f"{args.name} keeps {info.path}")
    context.console.document("store-root", {"name": args.name, "path": str(info.path)})
    return Exit.OK


def _remove(args: argparse.Namespace, context: Context) -> int:
    from kiln.store.roots import named_link

    store = context.store()
    is_path = "/" in args.name or os.path.islink(args.name)
    link = os.path.abspath(args.name) if is_path else named_link(store.layout, args.name)
    if not store.remove_root(link):
        raise Stop("K0702", f"nothing is kept under {args.name}", help="kiln store root ls shows what is")
    context.console.say(f"{args.name} keeps nothing any more")
    context.console.document("store-root", {"removed": args.name})
    return Exit.OK


def _list(context: Context) -> int:
    from kiln.store.roots import named_link

    store = context.store()
    prefix = named_link(store.layout, "x")[:-1]
    rows = []
    for root in sorted(store.roots()):
        info = store.info(root.object)
        if info is not None:
            rows.append({"name": root.link.removeprefix(prefix), "path": str(info.path)})
    for row in rows:
        context.console.result(f"{row['name']} → {row['path']}")
    context.console.document("store-root", {"roots": rows})
    return Exit.OK

"""`kiln pin add|update|remove|list|copy`: what kiln.lock says of remote modules and of other lock files."""

from __future__ import annotations

import argparse
import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit

if TYPE_CHECKING:
    from kiln.interpreter.fetch.config import FetchConfig
    from kiln.interpreter.lock import Copy, Lock, Pin


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="pin a remote module: its address, and the digest of its tree")
    add.add_argument("name", metavar="NAME", help="what an import begins with")
    add.add_argument("address", metavar="ADDRESS", help="git+https://…[?ref=…|?rev=…], https://….tar.gz, file:///…")
    add.add_argument("--strip", type=int, metavar="N", help="leading folders of an archive that are dropped")
    add.add_argument("--inline", action="store_true", help="write no lock: print an import that carries the pin")
    update = actions.add_parser("update", help="pin what refs, addresses and copied files are now")
    update.add_argument("names", nargs="*", metavar="NAME", help="by default, all")
    remove = actions.add_parser("remove", help="take modules or copies out")
    remove.add_argument("names", nargs="+", metavar="NAME")
    copy = actions.add_parser("copy", help="copy lock files of other ecosystems, for std/lock to read")
    copy.add_argument("files", nargs="+", metavar="FILE")
    actions.add_parser("list", help="show what is pinned")


def run(args: argparse.Namespace, context: Context) -> int:
    from kiln.interpreter.pinning import NotCopyable, lock_path

    lock = lock_path(os.getcwd())
    try:
        match args.action:
            case "add":
                return _add(args, lock, context)
            case "update":
                return _update(args.names, lock, context)
            case "remove":
                return _remove(args.names, lock, context)
            case "copy":
                return _copy(args.files, lock, context)
            case _:
                return _list(lock, context)
    except NotCopyable as error:
        raise Stop("K0906", f"{error.name} can't be copied: {error.problem}", expected="a text file") from None


def _add(args: argparse.Namespace, lock: str, context: Context) -> int:
    from kiln.interpreter.lock import is_module_name, render_pin
    from kiln.interpreter.pinning import edit_lock, load_lock, new_pin, with_module

    if not is_module_name(args.name):
        expected = "parts of letters, digits, `.`, `_`, `-`, joined by `/`; not std, and no .kiln at the end"
        raise Stop("K0906", f"`{args.name}` is no name for a remote module", expected=expected)
    if args.strip is not None and not 0 <= args.strip < 100:
        raise Stop("K0900", "--strip takes 0 to 99")
    old = load_lock(lock).modules.get(args.name)
    trees = context.trees().trees()
    pin = new_pin(trees, args.name, args.address, _config(context), strip=args.strip)
    module = _look_inside(args.name, pin, trees.folder(pin.tree), context)
    words = render_pin(pin)
    if args.inline:
        context.console.result(f'import "{module}" @ "{words}" as {_alias(module)};')
    else:
        new = edit_lock(lock, lambda found: with_module(found, args.name, pin))
        trees.keep(pin.tree, lock)
        _release(old, new, lock, context)
        context.console.result(f"{args.name} {words}")
        context.console.say(f'pinned in {_near(lock)}: import "{module}" as {_alias(module)};')
    context.console.document("pin", {"lock": lock, "modules": [_module_row(args.name, pin, True)]})
    return Exit.OK


def _update(names: list[str], lock: str, context: Context) -> int:
    from kiln.interpreter.pinning import edit_lock, load_lock, newer_pin, read_copy, with_copy, with_module

    old = load_lock(lock)
    wanted = _known(names, old, lock) if names else [*old.modules, *old.copies]
    changes: list[tuple[str, str]] = []
    for name in sorted(wanted):
        if name in old.modules:
            trees = context.trees().trees()
            pin = newer_pin(trees, name, old.modules[name], _config(context))
            if pin != old.modules[name]:
                _look_inside(name, pin, trees.folder(pin.tree), context)
                new = edit_lock(lock, lambda found, name=name, pin=pin: with_module(found, name, pin))  # type: ignore[misc]
                trees.keep(pin.tree, lock)
                _release(old.modules[name], new, lock, context)
                changes.append((name, f"{_version(old.modules[name])} → {_version(pin)}"))
        if name in old.copies:
            if not names and not os.path.exists(_beside(lock, name)):
                context.console.warn(f"{name} is not there any more: its copy is left as it is")
                continue
            copy = read_copy(lock, name)
            if copy != old.copies[name]:
                edit_lock(lock, lambda found, name=name, copy=copy: with_copy(found, name, copy))  # type: ignore[misc]
                changes.append((name, f"{old.copies[name].digest.short} → {copy.digest.short}"))
    for name, change in changes:
        context.console.result(f"{name} {change}")
    context.console.say(f"{len(changes)} of {len(wanted)} changed")
    rows = [{"name": name, "change": change} for name, change in changes]
    context.console.document("pin", {"lock": lock, "changed": rows})
    return Exit.OK


def _remove(names: list[str], lock: str, context: Context) -> int:
    from kiln.interpreter.pinning import edit_lock, load_lock, without

    old = load_lock(lock)
    for name in _known(names, old, lock):
        new = edit_lock(lock, lambda found, name=name: without(found, name))  # type: ignore[misc]
        _release(old.modules.get(name), new, lock, context)
        context.console.say(f"took {escape(name)} out of {_near(lock)}")
    context.console.document("pin", {"lock": lock, "removed": names})
    return Exit.OK


def _copy(files: list[str], lock: str, context: Context) -> int:
    from kiln.interpreter.pinning import copy_name, edit_lock, read_copy, with_copy

    rows = []
    for file in files:
        name = copy_name(lock, file)
        copy = read_copy(lock, name)
        edit_lock(lock, lambda found, name=name, copy=copy: with_copy(found, name, copy))  # type: ignore[misc]
        rows.append(_copy_row(name, copy, lock))
        context.console.result(f"{escape(name)} {copy.digest}")
    context.console.say(f'copied into {_near(lock)}: import "std/lock" as lock; lock.lock_file("{rows[0]["name"]}")')
    context.console.document("pin", {"lock": lock, "copies": rows})
    return Exit.OK


def _list(lock: str, context: Context) -> int:
    from kiln.interpreter.lock import render_pin
    from kiln.interpreter.pinning import load_lock

    found = load_lock(lock)
    trees = context.trees().trees() if found.modules else None
    modules = [
        _module_row(name, pin, trees is not None and trees.has(pin.tree)) for name, pin in found.modules.items()
    ]
    copies = [_copy_row(name, copy, lock) for name, copy in found.copies.items()]
    for row in sorted(modules, key=lambda row: str(row["name"])):
        here = "" if row["here"] else "  (not fetched yet)"
        context.console.result(f"{row['name']} {render_pin(found.modules[row['name']])}{here}")
    for row in sorted(copies, key=lambda row: str(row["name"])):
        context.console.result(f"{row['name']} copy {row['digest']}  ({row['state']})")
    if not modules and not copies:
        context.console.say(f"{_near(lock)} pins nothing" if os.path.exists(lock) else "there is no kiln.lock here")
    context.console.document("pin", {"lock": lock, "modules": modules, "copies": copies})
    return Exit.OK


def _release(old: Pin | None, new: Lock, lock: str, context: Context) -> None:
    """Keep the tree of an entry no longer that was replaced or removed, unless another has it."""
    if old is not None and all(pin.tree != old.tree for pin in new.modules.values()):
        context.trees().trees().release(old.tree, lock)


def _known(names: list[str], lock: Lock, path: str) -> list[str]:
    known = [*lock.modules, *lock.copies]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise Stop(
                "K0906",
                f"{_near(path)} has no entry `{name}`",
                expected="one of " + ", ".join(sorted(known)) if known else "an entry",
                help=f"did you mean `{near[0]}`?" if near else "kiln pin list",
            )
    return list(dict.fromkeys(names))


def _look_inside(name: str, pin: Pin, folder: str, context: Context) -> str:
    """What to import. A tree without a build file is no module; one without main.kiln has none of its bare name."""
    from kiln.interpreter.remote import MAIN
    from kiln.interpreter.trees import build_files

    found = build_files(folder)
    if not found:
        raise Stop("K0222", f"{pin.address} holds no build file", expected="main.kiln, or others below its top")
    if f"{MAIN}.kiln" in found:
        return name
    first = f"{name}/{found[0].removesuffix('.kiln')}"
    context.console.warn(f'{name} has no main.kiln at its top: import one of its modules, "{first}"')
    return first


def _module_row(name: str, pin: Pin, here: bool) -> dict[str, Any]:
    return {
        "name": name,
        "address": pin.address,
        "ref": pin.ref,
        "strip": pin.strip,
        "file": None if pin.file is None else str(pin.file),
        "tree": str(pin.tree),
        "here": here,
    }


def _copy_row(name: str, copy: Copy, lock: str) -> dict[str, Any]:
    from kiln.interpreter.pinning import NotCopyable, read_copy

    try:
        state = "as the file" if read_copy(lock, name) == copy else "the file has changed: kiln pin update"
    except (OSError, NotCopyable):
        state = "the file is not there"
    return {"name": name, "digest": str(copy.digest), "size": len(copy.text.encode()), "state": state}


def _config(context: Context) -> FetchConfig:
    from kiln.interpreter.fetch.config import load_config

    return load_config(os.environ, offline=context.offline)


def _version(pin: Pin) -> str:
    """What a person tells two pins apart by."""
    return pin.address.rpartition("rev=")[2][:12] if pin.is_git else pin.tree.short


def _alias(name: str) -> str:
    """A name for an import: the last part's letters, digits and underscores."""
    plain = "".join(char if char.isascii() and char.isalnum() else "_" for char in name.rpartition("/")[2].lower())
    return plain if plain[:1].isalpha() else f"m{plain}"


def _beside(lock: str, name: str) -> str:
    return os.path.join(os.path.dirname(lock), name)


def _near(path: str) -> str:
    return escape(os.path.relpath(path))

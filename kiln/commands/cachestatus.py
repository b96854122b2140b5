"""`kiln cache status [TARGET …]`: what each cache is like, what of a target is there, and what would move.

Nothing is written, here or there, but the memory of heads. What would move is what a push would send, counted as a
push counts it; targets are not built for it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from kiln.commands.cachelook import Looked, Shown, look
from kiln.commands.cachepush import find_cache, identity_of, open_upstream
from kiln.commands.sizes import show_size
from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.naming import find_made
from kiln.store.cache.backend import Backend
from kiln.store.cache.believed import Believed
from kiln.store.cache.errors import CacheError
from kiln.store.cache.push import Options, push
from kiln.store.cache.reader import CacheReader
from kiln.store.cache.selection import Selection, Wanted, select_targets
from kiln.store.cache.settings import Setting, open_setting
from kiln.store.digest import ObjectId
from kiln.store.errors import StoreError
from kiln.store.info import ObjectInfo


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="FILE[#attribute], a store path, a link to one")
    parser.add_argument(
        "--cache", action="append", default=[], metavar="CACHE", help="by name or address; without it, all you use"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    used = context.caches()
    settings = [find_cache(context, name) for name in args.cache] or list(used.caches)
    if not settings:
        raise Stop("K0903", "no cache is used here", help="kiln cache use URL, or --cache ADDRESS")
    found = [(named.label, info) for text in args.targets for named, info in find_made(text, context)]
    closure = context.store().closure([info.id for _, info in found])
    selection = _selection(found, context)
    rows, code = [], Exit.OK
    for setting in settings:
        try:
            with closing(open_setting(setting, lone=used.is_lone(setting))) as backend:
                rows.append(_one(setting, backend, found, closure, selection, context))
        except CacheError as error:
            context.console.result(f"✘ {escape(setting.name):<14}{escape(setting.url)}")
            context.console.result(f"  {escape(error.message)}: {escape(error.found or error.code)}")
            rows.append({"name": setting.name, "url": setting.url, "error": error.code, "message": error.message})
            code = Exit.NETWORK
    context.console.document("cache-status", {"caches": rows})
    return code


def _selection(found: Sequence[tuple[str, ObjectInfo]], context: Context) -> Selection | None:
    if not found:
        return None
    return select_targets(context.store(), [Wanted(info.id, label) for label, info in found])


def _one(
    setting: Setting,
    backend: Backend,
    found: Sequence[tuple[str, ObjectInfo]],
    closure: Sequence[ObjectInfo],
    selection: Selection | None,
    context: Context,
) -> dict[str, Any]:
    policy, memory = context.policy(), context.memory()
    looked = look(backend, policy, memory)
    _show_cache(setting, looked, context)
    row: dict[str, Any] = {
        "name": setting.name,
        "url": setting.url,
        "card": looked.name,
        "latency": looked.latency,
        "uploaders": [_uploader_json(shown, setting, context) for shown in looked.uploaders],
    }
    if selection is not None:
        believed = Believed(policy, memory)
        there = CacheReader(backend, believed, warn=context.console.warn).objects([info.id for info in closure])
        believed.save()
        row["targets"] = _show_targets(found, there, closure, context)
        row["wouldMove"] = _would_move(backend, selection, context)
    return row


def _show_cache(setting: Setting, looked: Looked, context: Context) -> None:
    policy, console = context.policy(), context.console
    latency = "" if looked.latency is None else f", answers in {looked.latency * 1000:.0f} ms"
    size = sum(entry.size for shown in looked.uploaders if shown.head for entry in shown.head.segments)
    console.result(f"✔ {escape(setting.name):<14}{escape(setting.url)}{latency}, index {show_size(size)}")
    for shown in looked.uploaders:
        console.result(f"  {escape(shown.name):<14}{shown.key.short}  {escape(shown.state(policy, setting.name))}")
        if shown.head is not None and shown.problem is None:
            console.result(f"  {'':<14}{_ages(shown.head.made, shown.head.expires)}")


def _ages(made: int, expires: int) -> str:
    now = time.time()
    return f"head of {_span(now - made)} ago, expires in {_span(expires - now)}"


def _span(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return "less than a minute"


def _show_targets(
    found: Sequence[tuple[str, ObjectInfo]],
    there: dict[ObjectId, Any],
    closure: Sequence[ObjectInfo],
    context: Context,
) -> dict[str, Any]:
    """How much of what the targets need is there, by trusted uploaders' word."""
    lacking = [info for info in closure if info.id not in there]
    for label, info in found:
        context.console.result(f"  {'there' if info.id in there else 'not there':<14}{escape(label)}  {info.path}")
    context.console.result(
        f"  {'':<14}{len(closure) - len(lacking)} of {len(closure)} objects of the closure are there; "
        f"the others take {show_size(sum(info.size for info in lacking))} here"
    )
    return {
        "there": [str(info.path) for _, info in found if info.id in there],
        "objects": len(closure),
        "lacking": len(lacking),
        "lackingBytes": sum(info.size for info in lacking),
    }


def _would_move(backend: Backend, selection: Selection, context: Context) -> dict[str, Any] | None:
    """What a push by this builder would send; None where it could not push."""
    try:
        identity = identity_of(context, None)
        upstream = open_upstream(context, backend, identity)
        pushed = push(context.store(), upstream, identity, selection, Options(dry_run=True))
    except StoreError as error:
        context.console.result(f"  {'':<14}can't be pushed: {escape(error.message)}")
        return None
    context.console.result(f"  {'':<14}a push would send {show_size(pushed.sent)} in {pushed.files} files")
    return {"bytes": pushed.sent, "files": pushed.files}


def _uploader_json(shown: Shown, setting: Setting, context: Context) -> dict[str, Any]:
    head = shown.head
    return {
        "name": shown.name,
        "key": str(shown.key),
        "keyid": shown.key.keyid,
        "trusted": shown.counts(context.policy(), setting.name),
        "version": None if head is None else head.version,
        "made": None if head is None else head.made,
        "expires": None if head is None else head.expires,
        "problem": None if shown.problem is None else shown.problem.code,
    }

"""`kiln cache gc [CACHE]`: what a cache keeps, and what goes from it.

With `--older-than`, `--keep-last` or `--keep` the tables of this builder's own head are thinned out, target by
target; a target stays if any of them says so. Then files that no head names are removed, whoever brought them, once
they are older than the grace period.
"""

from __future__ import annotations

import argparse
import time

from kiln.commands.cachepush import find_cache, identity_of, open_for_upload, open_upstream
from kiln.commands.sizes import count, days, show_size
from kiln.commands.storeuse import find_object
from kiln.console import escape
from kiln.context import Context
from kiln.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cache", nargs="?", metavar="CACHE", help="a name of `kiln cache list`, a folder, an address")
    parser.add_argument("--older-than", type=days, metavar="DAYS", help="drop targets pushed longer ago than that")
    parser.add_argument("--keep-last", type=count, metavar="N", help="keep the last N targets of each name")
    parser.add_argument("--keep", action="append", metavar="OBJECT", help="keep this target: a path, a link, a name")
    parser.add_argument(
        "--grace", type=grace, default=1.0, metavar="DAYS", help="how old a useless file is (1; to 3)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")


def grace(text: str) -> float:
    """Days, at most as many as heads go on naming what was in force. Raises ValueError."""
    from kiln.store.cache.head import RETIRED_FOR

    number = days(text)
    if number * 86400 > RETIRED_FOR:
        raise ValueError(text)
    return number


def run(args: argparse.Namespace, context: Context) -> int:
    from kiln.store.cache.sweep import Retention, retain, sweep

    setting = find_cache(context, args.cache)
    backend = open_for_upload(setting)
    try:
        identity = identity_of(context, None)
        upstream = open_upstream(context, backend, identity)
        kept = None if args.keep is None else frozenset(find_object(context.store(), text).id for text in args.keep)
        age = None if args.older_than is None else int(args.older_than * 86400)
        retained = retain(upstream, identity, Retention(age, args.keep_last, kept), dry_run=args.dry_run)
        swept = sweep(backend, grace=int(args.grace * 86400), dry_run=args.dry_run)
    finally:
        backend.close()
    console = context.console
    for _, label in retained.dropped if args.dry_run or console.verbose else ():
        console.result(f"target  {escape(label)}")
    for entry in swept.removed if args.dry_run or console.verbose else ():
        console.result(f"file    {entry.path}  {entry.size}")
    would = "would be freed" if args.dry_run else "freed"
    targets = f"{len(retained.dropped)} targets dropped, {len(retained.kept)} kept; " if retained.rows_before else ""
    files = f"{len(swept.removed)} files, {show_size(swept.freed)} {would}"
    young = f"; {swept.young} more wait for the grace period" if swept.young else ""
    console.say(f"✔ {escape(setting.name)}: {targets}{files}; {show_size(swept.alive_size)} stay{young}")
    console.document(
        "cache-gc",
        {
            "cache": setting.name,
            "dryRun": args.dry_run,
            "dropped": [{"object": str(item), "label": label} for item, label in retained.dropped],
            "kept": len(retained.kept),
            "removed": [entry.path for entry in swept.removed],
            "freed": swept.freed,
            "waiting": swept.young,
            "alive": swept.alive,
            "aliveSize": swept.alive_size,
            "at": int(time.time()),
        },
    )
    return Exit.OK

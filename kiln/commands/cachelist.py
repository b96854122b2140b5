"""`kiln cache list`: the caches that you use, in the order in which they are asked. Nothing is asked."""

from __future__ import annotations

import argparse

from kiln.console import escape
from kiln.context import Context
from kiln.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace, context: Context) -> int:
    settings = context.caches()
    for item in settings.caches:
        context.console.result(f"{escape(item.line)}")
    if not settings.caches:
        context.console.say("no cache is used here: kiln cache use URL")
    rows = [
        {
            "name": item.name,
            "url": item.url,
            "push": item.push,
            "required": item.required,
            "patience": item.patience,
        }
        for item in settings.caches
    ]
    context.console.document("cache-list", {"source": settings.source, "caches": rows})
    return Exit.OK

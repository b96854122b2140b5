"""`kiln cache remove NAME`: use a cache no longer. What came from it stays, and so do the keys that are trusted."""

from __future__ import annotations

import argparse

from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.store.cache.settings import VARIABLE, Setting, open_setting, parse_settings, read_settings, without_line
from kiln.store.provenance.trust import load_trusted
from kiln.store.textfile import editing, replace


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="as `kiln cache list` shows it, or its address")


def run(args: argparse.Namespace, context: Context) -> int:
    removed = _remove(args.name, context)
    memory = context.memory()
    memory.forget(open_setting(removed).url)  # as it was remembered: in the backend's own spelling
    console = context.console
    console.say(f"✔ {escape(removed.name)} is used no longer: {escape(removed.url)}")
    for key in load_trusted(context.trust_file()):
        if key.caches == frozenset({removed.name}):
            console.say(f"  a key is still trusted for it: kiln trust remove {key.name}")
    console.document("cache-remove", {"name": removed.name, "url": removed.url})
    return Exit.OK


def _remove(name: str, context: Context) -> Setting:
    path = context.caches_file()
    if context.caches().source == VARIABLE:
        raise Stop("K0659", f"the caches are those of {VARIABLE}", help=f"change {VARIABLE}, or unset it")
    with editing(path):
        text = read_settings(path) or ""
        found = next((item for item in parse_settings(text, path) if name in (item.name, item.url)), None)
        if found is None:
            raise Stop("K0903", f"no cache is called {escape(name)}", help="kiln cache list")
        replace(path, without_line(text, found.name))
    return found

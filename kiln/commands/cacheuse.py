"""`kiln cache use URL`: take what is built elsewhere from a cache.

The cache's card is read, and the head of each of its uploaders; their keys are shown in full. Whose key is not
trusted yet is asked for: it decides what runs here. A script says `--yes` and names each key with `--key`; it never
trusts what the cache itself shows. Then the key's line is written (`cache=` this one), and the cache's.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from typing import NamedTuple

from kiln.commands.cachelook import Looked, Shown, look, remember
from kiln.console import Console, Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.store.cache.settings import (
    VARIABLE,
    Setting,
    Settings,
    check_address,
    name_of,
    open_setting,
    parse_line,
    parse_settings,
    plain_address,
    read_settings,
    with_line,
)
from kiln.store.provenance.keys import PublicKey
from kiln.store.provenance.trust import Policy, TrustedKey, date_today, load_trusted_file
from kiln.store.provenance.trustedit import adding, change, updating
from kiln.store.textfile import editing
from kiln.store.textfile import replace as write_text


class _Wanted(NamedTuple):
    """What was asked for: the line to write, and the keys that were named."""

    setting: Setting
    keys: tuple[PublicKey, ...]
    yes: bool


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="a folder, https://host/path, s3://bucket/path, …")
    parser.add_argument("--name", metavar="NAME", help="what it is called here; by default what its card says")
    parser.add_argument("--yes", action="store_true", help="ask nothing; the keys to trust are named by --key")
    parser.add_argument(
        "--key", action="append", default=[], metavar="KEY", help="an uploader's key, the whole of it"
    )
    parser.add_argument("--operator", metavar="NAME", help="who runs the builders of these keys (`kiln trust`)")
    parser.add_argument("--push", action="store_true", help="push to it what is built here, after each build")
    parser.add_argument("--required", action="store_true", help="make it an error when it can't be reached")
    parser.add_argument("--patience", metavar="SECONDS", help="the most that one request may wait")


def run(args: argparse.Namespace, context: Context) -> int:
    settings, console = context.caches(), context.console
    if settings.source == VARIABLE:
        raise Stop("K0659", f"the caches are those of {VARIABLE}", help=f"add a line to {VARIABLE}, or unset it")
    setting = _setting(args, settings)
    backend = open_setting(setting, pushing=setting.push, lone=settings.is_lone(setting))
    try:
        looked = look(backend, context.policy(), context.memory())
    finally:
        backend.close()
    setting = _named(setting, args.name, looked, settings)
    wanted = _Wanted(setting, tuple(PublicKey.parse(text) for text in args.key), args.yes)
    policy = context.policy()
    trusted = _choose(looked, wanted, policy, console)
    if looked.uploaders and not trusted and not any(shown.counts(policy, setting.name) for shown in looked.uploaders):
        raise Stop("K0669", "no key of this cache is trusted, so nothing would be taken from it: nothing was written")
    for shown in trusted:
        _trust(shown, setting.name, args.operator, context)
    _write(setting, context)
    remember(looked, backend, context.policy(), setting.name, context.memory())
    if console.json:
        console.document("cache-use", _document(setting, looked, trusted))
    console.say(f"✔ {escape(setting.name)} is used from now on: {escape(setting.url)}")
    return Exit.OK


def _setting(args: argparse.Namespace, settings: Settings) -> Setting:
    url = plain_address(args.url)
    url = url if "://" in url else os.path.abspath(os.path.expanduser(url))
    check_address(url, "kiln cache use")
    options = [
        *(["push=after-build"] if args.push else []),
        *(["required"] if args.required else []),
        *([f"patience={args.patience}"] if args.patience is not None else []),
    ]
    if "://" not in url and url.split() != [url]:
        from urllib.parse import quote

        url = "file://" + quote(url)
    return parse_line([args.name or name_of(url, settings.caches), url, *options], "kiln cache use")


def _named(setting: Setting, given: str | None, looked: Looked, settings: Settings) -> Setting:
    """The name that was given, else the card's; a cache that is used already keeps its own."""
    known = settings.find(setting.url)
    name = given or (known.name if known is not None else looked.name)
    other = next((item for item in settings.caches if item.name == name and item.url != setting.url), None)
    if other is not None:
        raise Stop(
            "K0659",
            f"another cache is called {escape(name)} here",
            found=other.url,
            help=f"kiln cache use {setting.url} --name ANOTHER",
        )
    return parse_line([name, *setting.line.split()[1:]], "kiln cache use")


def _choose(looked: Looked, wanted: _Wanted, policy: Policy, console: Console) -> list[Shown]:
    """Show the keys; those that are to be trusted from now on. Raises Stop where that can't be found out."""
    name = wanted.setting.name
    console.say(f"{escape(wanted.setting.url)} calls itself {escape(looked.name)}; who uploads to it:")
    for shown in looked.uploaders:
        console.say(f"  {escape(shown.name):<16}{shown.key}")
        console.say(f"  {'':<16}key id {shown.key.keyid}")
        console.say(f"  {'':<16}{shown.state(policy, name)}")
    for key in wanted.keys:
        if not any(shown.key == key for shown in looked.uploaders):
            raise Stop(
                "K0669",
                f"nobody with the key {key} uploads to this cache",
                found=", ".join(str(shown.key) for shown in looked.uploaders) or "no uploader",
                expected=str(key),
                help="compare the keys with whoever keeps the cache; nothing was written",
            )
    new = [shown for shown in looked.uploaders if not shown.counts(policy, name) and not shown.is_barred(policy)]
    named = [shown for shown in new if shown.key in wanted.keys]
    if wanted.yes or named or not new:
        if new and not named and not any(shown.counts(policy, name) for shown in looked.uploaders):
            raise _unconfirmed(wanted.setting, new)
        return named
    if console.json or not sys.stdin.isatty():
        if any(shown.counts(policy, name) for shown in looked.uploaders):
            return []  # somebody's word counts already; the others are left out, as they were shown
        raise _unconfirmed(wanted.setting, new)
    return [shown for shown in new if _ask(shown, name, console)]


def _unconfirmed(setting: Setting, new: list[Shown]) -> Stop:
    keys = " ".join(f"--key {shown.key}" for shown in new)
    return Stop(
        "K0669",
        "the cache's keys are not trusted yet, and nobody is there to be asked",
        expected="each key compared with whoever holds it, and named",
        found=", ".join(f'{shown.key} "{escape(shown.name)}"' for shown in new),
        help=f"kiln cache use {setting.url} --name {setting.name} --yes {keys}",
    )


def _ask(shown: Shown, cache: str, console: Console) -> bool:
    console.tell(f"Compare this key with its holder, over a way that you trust:  {shown.key}")
    console.tell(f'Take what "{escape(shown.name)}" builds from the cache {escape(cache)}, and run it here? [y/N]')
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _trust(shown: Shown, cache: str, operator: str | None, context: Context) -> None:
    """Write the key's line, or add the cache to it."""
    path = context.trust_file()
    keys = load_trusted_file(path).keys
    line = next((item for item in keys if item.key == shown.key), None)
    if line is None:
        taken = {item.name for item in keys}
        name = next(item for item in shown.names() if item not in taken)
        made = TrustedKey(shown.key, name, added=date_today(), caches=frozenset({cache}), operator=operator)
        change(path, adding(made))
    elif line.caches is not None and cache not in line.caches:
        change(path, updating(line.keyid, lambda key: replace(key, caches=(key.caches or frozenset()) | {cache})))
    context.console.say(f"✔ trusted for {escape(cache)}: {shown.key}")


def _write(setting: Setting, context: Context) -> None:
    path = context.caches_file()
    with editing(path):
        made = with_line(read_settings(path), setting)
        parse_settings(made, path)
        write_text(path, made)


def _document(setting: Setting, looked: Looked, trusted: list[Shown]) -> dict[str, object]:
    return {
        "name": setting.name,
        "url": setting.url,
        "card": looked.name,
        "uploaders": [
            {"name": shown.name, "key": str(shown.key), "keyid": shown.key.keyid, "version": shown.version}
            for shown in looked.uploaders
        ],
        "trusted": [str(shown.key) for shown in trusted],
    }

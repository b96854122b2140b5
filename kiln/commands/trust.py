"""`kiln trust list|add|remove`: whose word counts here, beside this builder's own.

The keys stand in a text file, `trusted-keys` in Kiln's configuration folder, whose format is given in
`store/provenance/trust.py`; it can be edited by hand.
"""

from __future__ import annotations

import argparse
import os
import time

from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.store.provenance.keys import PublicKey
from kiln.store.provenance.trust import OWN, TrustedKey, format_trusted, load_trusted, parse_trusted


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="the keys that are trusted here")
    add = actions.add_parser("add", help="trust a key; `kiln key show` prints it on the builder")
    add.add_argument("name", metavar="NAME", help="what it is called here")
    add.add_argument("key", metavar="KEY", help="ed25519:…, the whole of it, or a PEM file")
    remove = actions.add_parser("remove", help="trust a key no longer")
    remove.add_argument("name", metavar="NAME|KEYID")


def run(args: argparse.Namespace, context: Context) -> int:
    path = context.trust_file()
    keys = load_trusted(path)
    if args.action == "add":
        keys = _added(keys, args.name, args.key, path)
        _write(path, keys)
    elif args.action == "remove":
        keys = _removed(keys, args.name)
        _write(path, keys)
    own = context.keys().public_keys[0]
    rows = [(OWN, own), *((item.name, item.key) for item in keys)]
    if args.action == "list":
        for name, key in rows:
            context.console.result(f"{escape(name):<16}{key}  {key.keyid}")
    context.console.document(
        "trust", {"keys": [{"name": name, "key": str(key), "keyid": key.keyid} for name, key in rows]}
    )
    return Exit.OK


def _added(keys: tuple[TrustedKey, ...], name: str, key: str, path: str) -> tuple[TrustedKey, ...]:
    """The keys with one more, if the file that they make can be read again: a name and a key stand once."""
    added = TrustedKey(_read_key(key), name, added=time.strftime("%Y-%m-%d", time.gmtime()))
    made = parse_trusted(format_trusted([*keys, added]), path)
    if made != (*keys, added):
        raise Stop("K0606", "not a name for a key", expected="letters, digits and . _ @ -, at most 64", found=name)
    return made


def _read_key(text: str) -> PublicKey:
    if os.path.isfile(text):
        with open(text, encoding="ascii", errors="replace") as file:
            return PublicKey.from_pem(file.read())
    return PublicKey.parse(text)


def _removed(keys: tuple[TrustedKey, ...], name: str) -> tuple[TrustedKey, ...]:
    kept = tuple(item for item in keys if name not in (item.name, item.key.keyid, str(item.key)))
    if len(kept) == len(keys):
        raise Stop("K0903", f"no key is called {escape(name)}", help="kiln trust list")
    return kept


def _write(path: str, keys: tuple[TrustedKey, ...]) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    draft = f"{path}.{os.getpid()}"
    with open(draft, "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o644)  # whatever the umask: a file that a group may write decides nothing
        file.write(format_trusted(keys))
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)

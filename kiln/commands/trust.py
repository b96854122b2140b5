"""`kiln trust …`: whose word counts here, beside this builder's own.

The keys stand in a text file, `trusted-keys` in Kiln's configuration folder, whose format is given in
`store/provenance/trust.py`; it can be edited by hand, and what is changed here leaves the rest of it as it is.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import Any

from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.store.provenance.keys import PublicKey
from kiln.store.provenance.succession import MAX_BYTES, Revocation, Rotation, read_succession
from kiln.store.provenance.trust import (
    EVERYTHING,
    MAX_THRESHOLD,
    OWN,
    USUAL,
    Scope,
    Standing,
    TrustedKey,
    date_today,
    load_trusted_file,
)
from kiln.store.provenance.trustedit import (
    Edit,
    adding,
    change,
    check_date,
    find_key,
    removing,
    succeeding,
    updating,
    with_threshold,
)


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the keys that are trusted here, and what for")
    listing.add_argument("--holds", action="store_true", help="what was taken from caches, and stands on whose word")
    add = actions.add_parser("add", help="trust a key; `kiln key show` prints it on the builder")
    add.add_argument("name", metavar="NAME", help="what it is called here")
    add.add_argument("key", metavar="KEY", help="ed25519:…, the whole of it, or a PEM file")
    add.add_argument("--for", dest="scopes", metavar="SCOPE,…", help=", ".join(scope.value for scope in Scope))
    add.add_argument("--cache", metavar="NAME,…", help="take its word from these caches alone")
    add.add_argument("--operator", metavar="NAME", help="who runs the builder: two keys of one count once")
    add.add_argument("--expires", metavar="DATE", help="the last day on which its word counts")
    remove = actions.add_parser("remove", help="trust a key no longer, and forget it")
    remove.add_argument("name", metavar="NAME|KEYID")
    revoke = actions.add_parser("revoke", help="trust a key no longer, nor any that took its place, and remember it")
    revoke.add_argument("name", metavar="NAME|KEY|FILE", help="FILE: a revocation that the key itself has signed")
    renew = actions.add_parser("renew", help="set the last day on which a key's word counts")
    renew.add_argument("name", metavar="NAME|KEYID")
    renew.add_argument("date", metavar="DATE", help="YYYY-MM-DD, or `never`")
    rotate = actions.add_parser("rotate", help="trust another key in a key's place")
    rotate.add_argument("name", metavar="NAME|KEYID")
    rotate.add_argument("key", metavar="KEY|FILE", help="the new key, or the rotation that both keys have signed")
    threshold = actions.add_parser("threshold", help="how many keys of as many operators must agree on what is taken")
    threshold.add_argument("number", type=int, metavar="K", help=f"1 to {MAX_THRESHOLD}")


def run(args: argparse.Namespace, context: Context) -> int:
    if args.action == "list" and args.holds:
        from kiln.commands.trustholds import show_holds

        return show_holds(context)
    if args.action != "list":
        change(context.trust_file(), _edit(args, context))
    if args.action == "threshold":
        _tell_operators(context)
    _show(args.action == "list", context)
    return Exit.OK


def _tell_operators(context: Context) -> None:
    """Whom a threshold counts, where nobody has said who runs a builder."""
    file = load_trusted_file(context.trust_file())
    alone = [escape(item.name) for item in file.keys if item.operator is None and item.succeeds is None]
    if file.threshold > 1 and alone:
        context.console.say(
            f"keys without operator= count as operators of their own: {', '.join(alone)}. Two that one person holds "
            f"are two, unless their lines in {escape(context.trust_file())} say operator=NAME"
        )


def _edit(args: argparse.Namespace, context: Context) -> Edit:
    today = date_today()
    match args.action:
        case "add":
            return adding(_new_key(args, today))
        case "remove":
            return removing(args.name)
        case "renew":
            date = None if args.date == "never" else check_date(args.date)
            return updating(args.name, lambda key: replace(key, expires=date))
        case "rotate":
            return succeeding(args.name, _successor(args.name, args.key, context), today)
        case "threshold":
            if not 1 <= args.number <= MAX_THRESHOLD:
                raise Stop("K0900", "not a threshold", expected=f"1 to {MAX_THRESHOLD}", found=str(args.number))
            return with_threshold(args.number)
        case _:
            return _revoking(args.name, today, context)


def _new_key(args: argparse.Namespace, today: str) -> TrustedKey:
    return TrustedKey(
        key=read_key(args.key),
        name=args.name,
        scopes=USUAL if args.scopes is None else _scopes(args.scopes),
        added=today,
        caches=None if args.cache is None else frozenset(args.cache.split(",")),
        operator=args.operator,
        expires=None if args.expires is None else check_date(args.expires),
    )


def _scopes(text: str) -> frozenset[Scope]:
    try:
        return frozenset(Scope(word) for word in text.split(","))
    except ValueError:
        known = ", ".join(scope.value for scope in Scope)
        raise Stop("K0900", "not what a key can be trusted for", expected=known, found=text) from None


def read_key(text: str) -> PublicKey:
    """A key as a user gives it: its text, or a PEM file. Raises BadKey, OSError."""
    if os.path.isfile(text):
        with open(text, encoding="ascii", errors="replace") as file:
            return PublicKey.from_pem(file.read(MAX_BYTES))
    return PublicKey.parse(text)


def _read_file(path: str) -> Rotation | Revocation | None:
    """A rotation or a revocation in a file, whose signatures are good; None for what is no file."""
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return read_succession(file.read(MAX_BYTES + 1))


def _successor(name: str, text: str, context: Context) -> PublicKey:
    """The new key: the user's word for it, or a rotation of the very key that is named."""
    if not os.path.isfile(text) or text.endswith(".pem"):
        return read_key(text)
    found, old = _read_file(text), find_key(load_trusted_file(context.trust_file()), name)
    if not isinstance(found, Rotation) or found.old != old.key:
        raise Stop(
            "K0660",
            f"{escape(text)} is not a rotation of {escape(old.name)}",
            expected=f"one of {old.key}",
            found=f"one of {found.old}" if isinstance(found, Rotation) else "a revocation",
        )
    return found.new


def _revoking(text: str, today: str, context: Context) -> Edit:
    found = _read_file(text)
    if isinstance(found, Rotation):
        raise Stop(
            "K0660", f"{escape(text)} is a rotation", expected="a revocation", help="kiln trust rotate NAME FILE"
        )
    if isinstance(found, Revocation):
        return _revoking_key(found.key, found.made[:10])
    return updating(text, lambda key: replace(key, revoked=key.revoked or today))


def _revoking_key(key: PublicKey, day: str) -> Edit:
    """Revoke a key that may have no line yet: it is given one, so that no rotation brings it back."""

    def edit(text: str, found: Any) -> str:
        if any(item.key == key for item in found.keys):
            return updating(key.keyid, lambda item: replace(item, revoked=item.revoked or day))(text, found)
        return adding(TrustedKey(key, f"revoked-{key.keyid[:16]}", revoked=day))(text, found)

    return edit


def _show(listing: bool, context: Context) -> None:
    """Every key, also those that took another's place since and stand in no line."""
    file = load_trusted_file(context.trust_file())
    own = context.keys().public_keys[0]
    policy = context.policy()
    lines = {item.key.keyid for item in file.keys}
    heirs = [item for keyid, item in policy.by_id.items() if keyid not in lines and keyid not in policy.own]
    current = {**policy.barred, **policy.by_id}
    # What a key said of itself counts more than its line.
    items = [TrustedKey(own, OWN, EVERYTHING), *(current.get(item.key.keyid, item) for item in file.keys), *heirs]
    for item in items if listing else ():
        context.console.result("  ".join([f"{escape(item.name):<16}{item.key}", item.key.keyid, *_notes(item)]))
    if listing and file.threshold > 1:
        context.console.say(f"{file.threshold} keys of as many operators must agree on what is taken from a cache")
    rows = [_json(item) for item in items]
    context.console.document("trust", {"threshold": file.threshold, "keys": rows})


def _notes(item: TrustedKey) -> list[str]:
    standing = item.standing(date_today())
    notes = {
        "for=": None
        if item.scopes in (USUAL, EVERYTHING)
        else ",".join(sorted(scope.value for scope in item.scopes)),
        "cache=": None if item.caches is None else ",".join(sorted(item.caches)),
        "operator=": item.operator,
        "expired " if standing is Standing.EXPIRED else "expires ": item.expires,
        "revoked ": item.revoked,
        "in the place of ": None if item.succeeds is None else item.succeeds[:8] + "…",
    }
    return [name + value for name, value in notes.items() if value is not None]


def _json(item: TrustedKey) -> dict[str, Any]:
    fields = {
        "name": item.name,
        "key": str(item.key),
        "keyid": item.key.keyid,
        "for": sorted(scope.value for scope in item.scopes),
        "caches": None if item.caches is None else sorted(item.caches),
        "operator": item.run_by,
        "added": item.added,
        "expires": item.expires,
        "revoked": item.revoked,
        "succeeds": item.succeeds,
        "standing": item.standing(date_today()).value,
    }
    return {key: value for key, value in fields.items() if value is not None}

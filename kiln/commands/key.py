"""`kiln key …`: the key that signs what is built here, the keys that come after it, and a key for a secret."""

from __future__ import annotations

import argparse
import os
import time

from kiln.console import Stop
from kiln.context import Context


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="print the public key; the first use makes one")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--pem", action="store_true", help="as PEM (SubjectPublicKeyInfo), for other people's tools")
    form.add_argument("--trust", action="store_true", help="as a line for a trusted-keys file")
    actions.add_parser("new", help="print a new secret key, to keep as a secret")
    actions.add_parser("rotate", help="sign with a new key from now on, and say so with both")
    revoke = actions.add_parser("revoke", help="say with a retired key that its word counts no longer")
    revoke.add_argument("keyid", metavar="KEYID")
    revoke.add_argument("--reason", default="", metavar="TEXT", help="for people; everybody can read it")


def run(args: argparse.Namespace, context: Context) -> int:
    actions = {"show": _show, "new": _new, "rotate": _rotate, "revoke": _revoke}
    return actions[args.action](args, context)


def _show(args: argparse.Namespace, context: Context) -> int:
    ring = context.keys()
    key = ring.public_keys[0]
    if args.pem:
        context.console.result(key.pem.rstrip("\n"))
    elif args.trust:
        context.console.result(f"{key.keyid} {key} {_host_name()}")
    else:
        context.console.result(f"{key}")
        context.console.say(f"key id {key.keyid}")
    context.console.document("key", {"keyid": key.keyid, "key": str(key), "pem": key.pem})
    return 0


def _new(args: argparse.Namespace, context: Context) -> int:
    """A key that signs for `key(secret(…))`: its file goes to stdout, and nowhere else."""
    from kiln.store.provenance.keyfile import KeyRing, format_keys

    ring = KeyRing.generate(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    key = ring.public_keys[0]
    text = format_keys(ring)
    context.console.result(text.rstrip("\n"))
    context.console.say(f"public key {key}")
    context.console.document("key", {"keyid": key.keyid, "key": str(key), "pem": key.pem, "secret": text})
    return 0


def _rotate(args: argparse.Namespace, context: Context) -> int:
    """The rotation's envelope goes to stdout: whoever can't be told by a cache's card is sent it."""
    from kiln.store.provenance.keychange import rotate

    changed = rotate(context.key_file())
    key, old = changed.ring.public_keys[:2]
    for envelope in changed.signed:
        context.console.result(envelope.decode("ascii").rstrip("\n"))
    context.console.say(f"✔ signs from now on: {key}")
    context.console.say(f"  {old.short} is retired: what it signed goes on counting")
    context.console.say("  the next push tells those who read a cache; others: kiln trust rotate NAME FILE")
    context.console.document(
        "key-rotate",
        {
            "keyid": key.keyid,
            "key": str(key),
            "old": old.keyid,
            "rotations": [envelope.decode("ascii") for envelope in changed.signed],
        },
    )
    return 0


def _revoke(args: argparse.Namespace, context: Context) -> int:
    from kiln.store.provenance.keychange import revoke
    from kiln.store.provenance.succession import MAX_REASON, Revocation, read_succession

    if len(args.reason) > MAX_REASON or not args.reason.isprintable():
        raise Stop("K0900", "a reason is one line", expected=f"at most {MAX_REASON} printable characters")
    envelope = revoke(context.key_file(), args.keyid, args.reason)
    found, memory = read_succession(envelope), context.memory()
    memory.learn(context.policy(), [], [found] if isinstance(found, Revocation) else [])
    memory.save()
    context.console.result(envelope.decode("ascii").rstrip("\n"))
    context.console.say(
        f"✔ revoked {args.keyid}: what it signed counts no longer, here and, after the next push, there"
    )
    context.console.document("key-revoke", {"keyid": args.keyid, "revocation": envelope.decode("ascii")})
    return 0


def _host_name() -> str:
    name = "".join(char for char in os.uname().nodename if char.isascii() and (char.isalnum() or char in "._-"))
    return name[:64].lstrip("._-") or "builder"

"""`kiln key show`: the public half of the key that signs what is built here; `kiln key new`: a key for a secret."""

from __future__ import annotations

import argparse
import os
import time

from kiln.context import Context


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=("show", "new"),
        metavar="ACTION",
        help="show: print the public key, the first use makes one; new: print a new secret key, to keep as a secret",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--pem", action="store_true", help="as PEM (SubjectPublicKeyInfo), for other people's tools")
    form.add_argument("--trust", action="store_true", help="as a line for a trusted-keys file")


def run(args: argparse.Namespace, context: Context) -> int:
    if args.action == "new":
        return _new(context)
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


def _new(context: Context) -> int:
    """A key that signs for `key(secret(…))`: its file goes to stdout, and nowhere else."""
    from kiln.store.provenance.keyfile import KeyRing, format_keys

    ring = KeyRing.generate(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    key = ring.public_keys[0]
    text = format_keys(ring)
    context.console.result(text.rstrip("\n"))
    context.console.say(f"public key {key}")
    context.console.document("key", {"keyid": key.keyid, "key": str(key), "pem": key.pem, "secret": text})
    return 0


def _host_name() -> str:
    name = "".join(char for char in os.uname().nodename if char.isascii() and (char.isalnum() or char in "._-"))
    return name[:64].lstrip("._-") or "builder"

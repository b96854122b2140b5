"""`kiln cache serve [FOLDER]` and `kiln cache token NAME`: a cache over HTTP, and who may upload to it.

Without a folder the user's own store is served: what is built is pushed into the store's folder `served` by another
process, which signs; the one that answers requests never opens a key (both are the same user's).
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.serve.limits import Limits
from kiln.serve.tokens import BadTokenFile, Token, format_tokens, is_date, new_token, parse_tokens
from kiln.store.provenance.trust import Policy, load_policy

if TYPE_CHECKING:
    from kiln.serve.app import Serving

_ADDRESS = "127.0.0.1:8417"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="the cache; without it, the own store is served")
    parser.add_argument("--listen", default=_ADDRESS, metavar="ADDRESS", help=f"HOST:PORT or unix:PATH ({_ADDRESS})")
    parser.add_argument("--tokens", metavar="FILE", help="who may upload; without it nobody may")
    parser.add_argument("--require-token", action="store_true", help="reading needs a token, too")
    parser.add_argument("--trust", metavar="FILE", help="whose signatures uploads need (the user's trusted keys)")
    parser.add_argument("--max-file", type=int, metavar="BYTES", help="the largest file that an upload may hold")
    parser.add_argument("--max-upload", type=int, metavar="BYTES", help="the largest upload")
    parser.add_argument(
        "--max-waiting", type=int, metavar="BYTES", help="the most of one token that no head names yet"
    )
    parser.add_argument("--max-connections", type=int, metavar="N", help="connections at once")
    parser.add_argument(
        "--max-per-client", type=int, metavar="N", help="of them from one address (64, and any from this machine)"
    )


def token_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="whose it is")
    parser.add_argument("--tokens", required=True, metavar="FILE", help="the server's file of tokens; made if needed")
    parser.add_argument("--read", action="store_true", help="it may read, and not upload")
    parser.add_argument("--expires", metavar="DATE", help="the last day on which it is valid: YYYY-MM-DD")


def run(args: argparse.Namespace, context: Context) -> int:
    try:
        from kiln.serve.server import Address, BadAddress, open_socket, serve, shown
    except ModuleNotFoundError as error:
        raise Stop(
            "K0680", f"serving needs {error.name}, which is not installed", help="pip install 'kiln-build[serve]'"
        ) from None
    serving = _serving(args, context)
    try:
        listening = open_socket(Address.parse(args.listen))
    except BadAddress as error:
        raise Stop("K0680", escape(str(error)), help="choose another with --listen HOST:PORT") from None
    with listening, _publishing(args, context, serving):

        def started() -> None:
            context.console.result(shown(listening))
            sys.stdout.flush()
            context.console.say(
                f"serving {escape(serving.folder)}; uploads: {'by token' if serving.admit else 'none'}"
            )

        serve(serving, listening, started)
    return Exit.OK


def _serving(args: argparse.Namespace, context: Context) -> Serving:
    from kiln.serve.admission import Admitter
    from kiln.serve.app import Serving
    from kiln.serve.quarantine import InUse
    from kiln.serve.tokens import TokenFile

    folder = os.path.abspath(args.folder) if args.folder else _own_folder(context)
    if not os.path.isdir(folder):
        raise Stop("K0680", f"no such folder: {escape(folder)}", help="kiln cache push TARGET --to FOLDER makes one")
    if args.require_token and args.tokens is None:
        raise Stop("K0902", "--require-token needs --tokens FILE", help="kiln cache token NAME --read --tokens FILE")
    if args.tokens is not None and not args.folder:
        raise Stop("K0902", "nothing can be uploaded into a store", help="serve a folder: kiln cache serve FOLDER")
    usual = Limits()
    limits = Limits(
        file=args.max_file or usual.file,
        session=args.max_upload or usual.session,
        token=args.max_waiting or usual.token,
        connections=args.max_connections or usual.connections,
        per_client=args.max_per_client or usual.per_client,
        local_too=args.max_per_client is not None,
    )
    trust = args.trust or context.trust_file()

    def policy() -> Policy:
        return load_policy(trust)

    policy()  # a file that does not parse is told now
    stopping = threading.Event()
    admit = Admitter(folder, policy, limits.verify, stopping) if args.tokens is not None else None
    reading = not args.require_token
    try:
        return Serving(folder, TokenFile(args.tokens), limits, admit, open_to_read=reading, stopping=stopping)
    except InUse as error:
        raise Stop("K0680", f"{escape(folder)}: {error}", help="one server writes a folder; stop the other") from None
    except BadTokenFile as error:
        raise Stop("K0681", escape(str(error)), help="kiln cache token NAME --tokens FILE adds one") from None
    except OSError as error:
        raise Stop("K0680", f"{escape(folder)} can't be written: {os.strerror(error.errno or 0)}") from None


def _own_folder(context: Context) -> str:
    folder = os.path.join(context.store().root, "served")
    os.makedirs(folder, mode=0o755, exist_ok=True)
    return folder


@contextmanager
def _publishing(args: argparse.Namespace, context: Context, serving: Serving) -> Iterator[None]:
    """While the own store is served, what is built goes into the folder."""
    if args.folder:
        yield
        return
    from kiln.serve.publisher import Publisher

    def tell(trouble: str) -> None:
        serving.trouble = trouble
        if trouble:
            context.console.warn(trouble)

    words = ["--store", context.store_root, "cache", "push", "--all", "--watch", "--to", serving.folder]
    publisher = Publisher(words, tell)
    publisher.start()
    try:
        yield
    finally:
        publisher.stop()


def run_token(args: argparse.Namespace, context: Context) -> int:
    """Make a token, print it once, and keep its hash."""
    if args.expires is not None and not is_date(args.expires):
        raise Stop("K0902", "not a date", expected="YYYY-MM-DD", found=args.expires)
    secret, digest = new_token()
    token = Token("read" if args.read else "write", digest, args.name, args.expires)
    try:
        _append(args.tokens, token)
    except BadTokenFile as error:
        raise Stop("K0681", escape(str(error)), help="choose another name, or remove the line") from None
    context.console.result(secret)
    context.console.say(f"{escape(args.name)} may {token.right}; give it in KILN_CACHE_TOKEN, it is not shown again")
    context.console.document("cache.token", {"name": token.name, "right": token.right, "token": secret})
    return Exit.OK


def _append(path: str, token: Token) -> None:
    """Write the file anew with one more line, whole or not at all. Raises BadTokenFile."""
    try:
        with open(path, encoding="ascii") as file:
            text = file.read()
    except FileNotFoundError:
        text = "# right  SHA-256 of the token  name  [expires=DATE]\n"
    text = text if text.endswith("\n") or not text else f"{text}\n"
    made = text + format_tokens([token])
    parse_tokens(made, path)
    draft = f"{path}.{os.getpid()}.new"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)

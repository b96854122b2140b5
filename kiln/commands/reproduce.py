"""`kiln reproduce TARGET|FILE`: build again from provenance alone, in a fresh store, and compare every output.

FILE is what `kiln show TARGET --provenance --closure` writes. Exit code 0 for MATCH, 7 for a difference, 8 where
nothing could be compared.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from kiln.commands.realise import jobs
from kiln.console import Console, Stop, escape
from kiln.context import Context, make_store
from kiln.exits import Exit
from kiln.interpreter.reproduce import Replayed, Reproduction, reproduce
from kiln.scratch import scratch_store
from kiln.store.errors import StoreError
from kiln.store.provenance.closure import Closure, read_closure, write_closure
from kiln.store.provenance.keys import PublicKey
from kiln.store.provenance.trust import Policy, TrustedKey
from kiln.store.provenance.verdict import Word
from kiln.store.store import Store


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET|FILE", help="a target, or a file of envelopes (- for stdin)")
    parser.add_argument("-j", dest="jobs", type=jobs, metavar="N", help="builds at once; by default one a core")
    parser.add_argument("--into", metavar="PATH", help="the fresh store; by default one that is thrown away")
    parser.add_argument(
        "--from",
        dest="lenders",
        action="append",
        default=[],
        metavar="PATH",
        help="a store that inputs may be copied from by digest, beside your own",
    )
    parser.add_argument("--no-lender", action="store_true", help="don't look for inputs in your own store")
    parser.add_argument("--key", metavar="KEY", help="the key that must have signed: ed25519:… or a PEM file")
    parser.add_argument("--verdict", metavar="FILE", help="write the signed verdict here")
    parser.add_argument(
        "--sandbox-engine", choices=("own", "bubblewrap"), help="what makes sandboxes; nothing falls back to another"
    )
    parser.add_argument("--offline", action="store_true", help="fetch nothing")


def run(args: argparse.Namespace, context: Context) -> int:
    policy = context.policy() if args.key is None else _policy_of(args.key)
    closure = _closure(args.target, policy, context)
    with ExitStack() as stack:
        into = args.into or scratch_store(stack)
        if os.path.isdir(into) and os.listdir(into):
            raise Stop("K0904", f"{into} is not empty", expected="a place for a fresh store")
        store = stack.enter_context(make_store(into))
        lenders = [stack.enter_context(lender) for lender in _lenders(args, context)]
        workshop = context.workshop(context.progress(), jobs=args.jobs, offline=args.offline, store=store)
        found = reproduce(workshop, closure, lenders)
        context.end_progress()
        if args.verdict:
            with open(args.verdict, "wb") as file:
                file.write(found.envelope)
        return _tell(found, context)


def _policy_of(key: str) -> Policy:
    """That one key, whoever else is trusted here."""
    if os.path.isfile(key):
        with open(key, encoding="ascii", errors="replace") as file:
            return Policy.of([TrustedKey(PublicKey.from_pem(file.read()), "the key given")])
    return Policy.of([TrustedKey(PublicKey.parse(key), "the key given")])


def _closure(target: str, policy: Policy, context: Context) -> Closure:
    """From a file of envelopes, from stdin, or from the store for a target that is there."""
    if target == "-":
        return read_closure(sys.stdin.buffer, policy)
    if os.path.isfile(target) and not target.endswith(".kiln") and not os.path.islink(target):
        with open(target, "rb") as file:
            return read_closure(file, policy)
    from kiln.naming import find_made

    store = context.store()
    named = find_made(target, context)[0][0]
    if named.envelope is None:
        raise Stop("K0903", f"{target} is a source of your own: there is nothing to reproduce")
    return read_closure(io.BytesIO(b"".join(write_closure(named.envelope, store.envelope))), policy)


def _lenders(args: argparse.Namespace, context: Context) -> Sequence[Store]:
    roots = [*([] if args.no_lender else [context.store_root]), *args.lenders]
    stores: list[Store] = []
    for root in roots:
        try:
            stores.append(Store.open(root, create=False))
        except StoreError:
            if root in args.lenders:
                raise
    return stores


def _tell(found: Reproduction, context: Context) -> int:
    console, verdict = context.console, found.verdict
    for item in verdict.outputs:
        console.result(f"{verdict.word.value} {item.name}")
    if found.differs is not None:
        _explain(found.differs, console)
    if found.failure is not None:
        from kiln.problems import problems_of, show_problem

        for problem in problems_of(found.failure, colour=console.colour):
            show_problem(console, problem)
    console.document(
        "reproduce",
        {
            "verdict": verdict.word.value,
            "reason": verdict.reason,
            "envelope": str(verdict.envelope),
            "outputs": [
                {
                    "name": item.name,
                    "expected": dict(item.expected.values),
                    "found": dict(item.found.values) if item.found is not None else None,
                }
                for item in verdict.outputs
            ],
        },
    )
    if verdict.word is Word.MATCH and found.differs is None:
        return Exit.OK
    return Exit.NOT_REPRODUCIBLE if found.differs is not None else Exit.INCONCLUSIVE


def _explain(differs: Replayed, console: Console) -> None:
    names = {item.name for item in differs.differing}
    console.tell(f"✘ {escape(differs.name)}: {len(names)} of {len(differs.facts.outputs)} outputs differs")
    for item in differs.facts.outputs:
        found = differs.found.get(item.name)
        if item.name not in names:
            console.tell(f"  {item.name}  identical")
        else:
            shown = found.values.get("sha256", "?")[:16] if found is not None else "nothing"
            console.tell(f"  {item.name}  expected sha256 {item.digests.values['sha256'][:16]}…  found {shown}…")
    console.tell("help: build it again into a store that is kept, and compare: kiln reproduce --into PATH")

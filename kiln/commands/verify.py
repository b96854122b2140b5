"""`kiln verify TARGET`: hashes, signatures and provenance of a target and all it was built from; offline.

Every object of the run-time closure is read and hashed. Every envelope of the build's closure is verified, and for
what is in this store every digest that its statement names is computed again.
"""

from __future__ import annotations

import argparse
import io

from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.interpreter.recipe import decode_recipe
from kiln.naming import Named, find_made
from kiln.store.digest import DrvDigest
from kiln.store.info import ObjectInfo
from kiln.store.provenance.closure import read_closure, write_closure
from kiln.store.provenance.facts import Output
from kiln.store.provenance.resolution import Commit, Resolution
from kiln.store.provenance.statement import Content, DigestSet
from kiln.store.provenance.verify import Expected, check_build, verify_envelope
from kiln.store.standings import standings


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET")


def run(args: argparse.Namespace, context: Context) -> int:
    found = find_made(args.target, context)
    objects = _verify_objects([info for _, info in found], context)
    envelopes = 0
    for named, _ in {named.envelope: (named, info) for named, info in found}.values():
        if named.envelope is not None:
            envelopes += _verify_evidence(named, context)
    console = context.console
    for drv in dict.fromkeys(named.drv for named, _ in found if named.drv is not None):
        _verify_standing(drv, context)
    for named, info in found:
        console.result(f"verified {info.path}")
        if named.envelope is None:
            console.say(f"{escape(named.label)} is a source of your own: it has no provenance")
    console.say(f"✔ {objects} objects hashed, {envelopes} envelopes verified")
    paths = [str(info.path) for _, info in found]
    console.document("verify", {"verified": paths, "objects": objects, "envelopes": envelopes})
    return Exit.OK


def _verify_objects(infos: list[ObjectInfo], context: Context) -> int:
    store = context.store()
    closure = store.closure(info.id for info in infos)
    for info in closure:
        problems = store.verify(info.id)
        if problems:
            raise Stop(
                "K0703",
                f"{info.path} is damaged: {problems[0]}",
                help="move the store's copy away and realise it again, or take it from a cache",
            )
    return len(closure)


def _verify_evidence(named: Named, context: Context) -> int:
    assert named.envelope is not None
    store = context.store()
    lines = b"".join(write_closure(named.envelope, store.envelope))
    closure = read_closure(io.BytesIO(lines), context.policy(), named.envelope)
    for verified in closure.bottom_up():
        facts = verified.provenance
        subjects = {str(item.path): digests for item in facts.outputs if (digests := _computed(item, context))}
        check_build(
            verified,
            Expected(
                resolved=facts.recipe.digest,
                subjects=subjects,
                below=closure.statements,
                decode=decode_recipe,
            ),
        )
    return len(closure.statements)


def _verify_standing(drv: DrvDigest, context: Context) -> None:
    """The newest statement of which commit and file a derivation stands for."""
    store = context.store()
    for envelope in standings(store.layout, drv)[:1]:
        said = verify_envelope(store.envelope(envelope), context.policy()).said
        if not isinstance(said, Resolution) or said.unresolved != drv:
            raise Stop(
                "K0604", "a statement of what a derivation stands for is about another one", found=str(envelope)
            )
        commit = said.source.commit if isinstance(said.source, Commit) else "a tree that is not clean"
        context.console.say(f"{escape(said.file)}#{escape(said.attribute)} at {commit}")


def _computed(item: Output, context: Context) -> DigestSet | None:
    """The digests of an output as it lies in this store; None where it doesn't."""
    store = context.store()
    info = store.info(item.object_id)
    if info is None:
        return None
    sha256, plain = store.tree_sha256(info)
    return DigestSet.of(Content(sha256, type(item.content.blake3)(plain)), object_id=info.id, root=info.root)

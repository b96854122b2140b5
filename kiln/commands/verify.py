"""`kiln verify TARGET`: hashes, signatures and provenance of a target and all it was built from; offline.

Every object of the run-time closure is read and hashed, and each has to be named by a verified statement: as what
was made, or as a source of the user's own. Every envelope of the build's closure is verified, and for what is in this
store every digest that its statement names is computed again; how many outputs are not here is said.
"""

from __future__ import annotations

import argparse
import io
from typing import NamedTuple

from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.interpreter.recipe import decode_recipe
from kiln.naming import Named, find_made
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.info import ObjectInfo
from kiln.store.provenance.closure import read_closure, write_closure
from kiln.store.provenance.facts import Output, Provenance
from kiln.store.provenance.resolution import Commit, Resolution
from kiln.store.provenance.statement import Content, DigestSet
from kiln.store.provenance.verify import Expected, check_build, verify_envelope
from kiln.store.standings import standings


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET")


class _Checked(NamedTuple):
    """What the evidence of a target covers: envelopes, and outputs that they name and the store doesn't have."""

    envelopes: int
    absent: int


def run(args: argparse.Namespace, context: Context) -> int:
    found = find_made(args.target, context)
    objects = _verify_objects([info for _, info in found], context)
    envelopes = absent = 0
    groups: dict[EnvelopeDigest, list[tuple[Named, ObjectInfo]]] = {}
    for named, info in found:
        if named.envelope is not None:
            groups.setdefault(named.envelope, []).append((named, info))
    for envelope, group in groups.items():
        checked = _verify_evidence(envelope, group, context)
        envelopes, absent = envelopes + checked.envelopes, absent + checked.absent
    console = context.console
    for named, info in found:
        console.result(f"verified {info.path}")
        if named.envelope is None:
            console.tell(
                f"{escape(named.label)} has no provenance: it is a source of your own, or nobody has signed it"
            )
    console.say(f"✔ {objects} objects hashed, {envelopes} envelopes verified")
    if absent:
        console.say(f"  {absent} outputs that they name are not in this store: their bytes were not looked at")
    paths = [str(info.path) for _, info in found]
    unsigned = [str(info.path) for named, info in found if named.envelope is None]
    console.document(
        "verify",
        {"verified": paths, "objects": objects, "envelopes": envelopes, "absent": absent, "unsigned": unsigned},
    )
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


def _verify_evidence(envelope: EnvelopeDigest, found: list[tuple[Named, ObjectInfo]], context: Context) -> _Checked:
    """Verify the closure of an envelope, and that it is about these targets and all that they refer to."""
    store = context.store()
    lines = b"".join(write_closure(envelope, store.envelope))
    closure = read_closure(io.BytesIO(lines), context.policy(), envelope)
    named: set[ObjectId] = set()
    absent = 0
    for verified in closure.bottom_up():
        facts = verified.provenance
        subjects = {str(item.path): digests for item in facts.outputs if (digests := _computed(item, context))}
        absent += len(facts.outputs) - len(subjects)
        named.update(output.object_id for output in facts.outputs)
        named.update(dependency.object_id for dependency in facts.dependencies)
        check_build(
            verified,
            Expected(
                resolved=facts.recipe.digest,
                subjects=subjects,
                below=closure.statements,
                decode=decode_recipe,
            ),
        )
    _check_about(closure.statements[envelope].provenance, found, context)
    _check_named(named, [info for _, info in found], context)
    return _Checked(len(closure.statements), absent)


def _check_about(facts: Provenance, found: list[tuple[Named, ObjectInfo]], context: Context) -> None:
    """Which envelope is about a target is what the store's index says: the envelope has to say so itself."""
    made = {item.object_id for item in facts.outputs}
    for named, info in found:
        if info.id not in made:
            raise Stop(
                "K0609",
                f"the envelope that the store has for {info.path} is about something else",
                expected=str(info.path),
                found=", ".join(str(item.path) for item in facts.outputs),
                help="kiln store rebuild-index makes the index again from the records",
            )
        if named.drv is not None:
            _verify_standing(named.drv, facts.recipe.digest, context)


def _check_named(named: set[ObjectId], infos: list[ObjectInfo], context: Context) -> None:
    """Whatever a target refers to was made by something that is verified, or was an input of it."""
    for info in context.store().closure(info.id for info in infos):
        if info.id not in named:
            raise Stop(
                "K0609",
                f"{info.path} is among what the target refers to, and no statement names it",
                help="realise the target again in a fresh store, and compare",
            )


def _verify_standing(drv: DrvDigest, resolved: ResolvedDigest, context: Context) -> None:
    """The newest statement of which commit and file a derivation stands for; those kept have to be about it."""
    store = context.store()
    kept = [verify_envelope(store.envelope(item), context.policy()).said for item in standings(store.layout, drv)]
    for said in kept:
        if not isinstance(said, Resolution) or said.unresolved != drv:
            raise Stop("K0607", "a statement of what a derivation stands for is about another one", found=str(drv))
    about = [said for said in kept if isinstance(said, Resolution) and said.resolved == resolved]
    if kept and not about:
        raise Stop(
            "K0611",
            "no statement says that this build is what the derivation stands for",
            expected=str(resolved),
            found=", ".join(str(said.resolved) for said in kept if isinstance(said, Resolution)),
            help="realise the target again: kiln realise FILE#attribute",
        )
    for said in about[:1]:
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

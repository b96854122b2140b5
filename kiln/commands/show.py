"""`kiln show TARGET`: where it is, what it is made from, and on whose word.

`--provenance` prints the DSSE envelope of the target's build, so that other people's tools need nothing of ours; with
`--closure` those of everything it was built from follow, as JSON lines, which `kiln reproduce` takes. `--resolution`
prints the envelope above it: which commit, file and attribute the build stands for.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.naming import Named, find, find_made
from kiln.store.digest import EnvelopeDigest, ObjectId


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--provenance", action="store_true", help="the signed envelope of its build")
    what.add_argument("--resolution", action="store_true", help="the signed envelope of what it stands for")
    what.add_argument("--derivation", action="store_true", help="what is to be built, as JSON")
    parser.add_argument("--closure", action="store_true", help="with --provenance: of all it was built from")


def run(args: argparse.Namespace, context: Context) -> int:
    if args.closure and not args.provenance:
        raise Stop("K0900", "--closure goes with --provenance", help="kiln show TARGET --provenance --closure")
    if args.provenance:
        return _provenance(args, context)
    if args.resolution:
        return _resolution(args, context)
    if args.derivation:
        return _derivation(args, context)
    rows = [_row(named, context) for named in find(args.target, context)]
    for row in rows:
        context.console.result("\n".join(f"{key:<11}{escape(str(value))}" for key, value in row.items() if value))
    context.console.document("show", {"targets": rows})
    return Exit.OK


def _provenance(args: argparse.Namespace, context: Context) -> int:
    from kiln.store.provenance.closure import write_closure

    envelopes = list(dict.fromkeys(_envelope(named) for named, _ in find_made(args.target, context)))
    if len(envelopes) > 1:
        raise Stop("K0903", f"{args.target} is more than one build", help="name one: FILE#attribute")
    store = context.store()
    if args.closure:
        for line in write_closure(envelopes[0], store.envelope):
            context.console.write_bytes(line)
        return Exit.OK
    context.console.write_bytes(store.envelope(envelopes[0]))
    return Exit.OK


def _resolution(args: argparse.Namespace, context: Context) -> int:
    from kiln.store.standings import standings

    store = context.store()
    found = find(args.target, context)
    for named in found:
        kept = standings(store.layout, named.drv) if named.drv is not None else []
        if kept:
            context.console.write_bytes(store.envelope(kept[0]))
            return Exit.OK
    raise Stop(
        "K0903",
        f"nothing says what {args.target} stands for",
        expected="a target that was realised here, as FILE#attribute",
        help=f"kiln realise {args.target}",
    )


def _envelope(named: Named) -> EnvelopeDigest:
    if named.envelope is None:
        raise Stop("K0903", f"{named.label} is a source of your own: nothing was built, nobody has signed it")
    return named.envelope


def _derivation(args: argparse.Namespace, context: Context) -> int:
    from kiln.interpreter.derivation import FetchStep
    from kiln.interpreter.recipe import derivation_json, fixed_json

    shown: dict[str, Any] = {}
    for named in find(args.target, context):
        match named.step:
            case None:
                raise Stop("K0903", f"{named.label}: its derivation is not known", help="name it as FILE#attribute")
            case FetchStep(fixed=fixed, sources=sources):
                shown[str(named.step.digest)] = {**fixed_json(fixed), "sources": list(sources)}
            case step:
                shown[str(step.digest)] = derivation_json(step.derivation)
    context.console.write(json.dumps(shown, indent=2, ensure_ascii=True) + "\n")
    return Exit.OK


def _row(named: Named, context: Context) -> dict[str, Any]:
    store = context.store()
    row: dict[str, Any] = {"target": named.label}
    if named.drv is not None:
        row["derivation"] = str(named.drv)
    if named.info is None:
        return {**row, "state": "not realised here"}
    row["path"] = str(named.info.path)
    row["physical"] = store.physical(named.info.path)
    row["object"] = str(named.info.id)
    row["size"] = f"{named.info.size} bytes"
    row["references"] = ", ".join(str(info.path) for item in named.info.references if (info := store.info(item)))
    if named.envelope is not None:
        row["envelope"] = str(named.envelope)
        row["taken from"] = _sources(named.info.id, context)
        row["signed by"] = _signers(named.envelope, context)
    return row


def _sources(object_id: ObjectId, context: Context) -> str:
    """The caches that an object was taken from; empty for what was built here."""
    found = {item.source for item in context.store().producers(object_id) if item.source is not None}
    return ", ".join(f"{source.name} ({source.url})" for source in sorted(found))


def _signers(envelope: EnvelopeDigest, context: Context) -> str:
    from kiln.store.provenance.verify import verify_envelope

    verified = verify_envelope(context.store().envelope(envelope), context.policy())
    return ", ".join(f"{signer.name} {signer.key.short}" for signer in verified.signers)

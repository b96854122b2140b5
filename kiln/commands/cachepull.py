"""`kiln cache pull TARGET…`: take targets from caches, and make nothing; with the evidence of how they were built.

What comes is admitted by the same policy as in a build. With the envelopes of everything that went into the targets,
`kiln verify` accepts them here and `kiln reproduce` can build them again; `--no-evidence` leaves these out.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from kiln.console import Stop
from kiln.context import Context
from kiln.exits import Exit

if TYPE_CHECKING:
    from kiln.interpreter.asking import Asked
    from kiln.interpreter.plan import Plan
    from kiln.interpreter.pulling import Evidence
    from kiln.interpreter.workshop import Workshop


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="FILE[#attribute]")
    parser.add_argument("--from", dest="source", metavar="CACHE", help="from this cache alone: its name or address")
    parser.add_argument("--no-evidence", action="store_true", help="without the envelopes of the build closure")


def run(args: argparse.Namespace, context: Context) -> int:
    from kiln.commands.making import raise_first
    from kiln.interpreter.asking import Request, ask
    from kiln.interpreter.derivation import DrvOutput
    from kiln.interpreter.realise import Failed, realise

    began = time.monotonic()
    workshop = context.workshop(context.progress())
    workshop.open_caches = context.cache_opener(workshop.store, context.console.warn, args.source)
    if workshop.open_caches is None:
        raise Stop("K0905", "you use no cache", help="kiln cache use ADDRESS, or --from ADDRESS")
    asked = ask([Request.parse(text) for text in args.targets], context.store(), context.trees(), context.budget)
    wanted = [target.item for target in asked.wanted if isinstance(target.item, DrvOutput)]
    try:
        plan, tally = realise(workshop, asked.graph, wanted, take_only=True)
    except Failed as failed:
        raise_first(context, failed)
    evidence = None if args.no_evidence else _evidence(workshop, asked, plan)
    context.end_progress()
    taken = tally.verdicts.get("cached", 0)
    _tell(context, taken, evidence, time.monotonic() - began)
    rows = [_row(workshop, plan, target.label, target.item) for target in asked.wanted]
    for row in rows:
        context.console.result(row["physical"])
    context.console.document("cache-pull", {"results": rows, "taken": taken, **_facts(evidence)})
    return Exit.OK


def _evidence(workshop: Workshop, asked: Asked, plan: Plan) -> Evidence:
    """Whatever is below the targets, of those that are here already, too."""
    from kiln.interpreter.derivation import DrvOutput
    from kiln.interpreter.pulling import pull_evidence

    assert workshop.open_caches is not None
    items = [target.item for target in asked.wanted if isinstance(target.item, DrvOutput)]
    found = [workshop.ledger.evidence(item, plan.pins[item].id) for item in items]
    tops = [envelope for envelope in found if envelope is not None]
    objects = [plan.pins[item].id for item in items]
    drvs = list(dict.fromkeys(item.drv for item in items))
    return pull_evidence(workshop.store, workshop.open_caches(), workshop.policy, tops, objects, drvs)


def _row(workshop: Workshop, plan: Plan, label: str, item: object) -> dict[str, str]:
    from kiln.interpreter.derivation import DrvOutput, SourceObject

    made = plan.pins[item] if isinstance(item, DrvOutput) else item
    assert isinstance(made, SourceObject)
    physical = workshop.store.physical(made.path)
    return {"target": label, "path": str(made.path), "physical": physical, "object": str(made.id)}


def _tell(context: Context, taken: int, evidence: Evidence | None, seconds: float) -> None:
    brought = "" if evidence is None else f", {evidence.brought} envelopes brought"
    there = "all is here already" if not taken else f"{taken} taken"
    context.console.say(f"✔ {there}{brought} ({seconds:.1f}s)")
    if evidence is not None and evidence.missing:
        context.console.warn(
            f"{len(evidence.missing)} envelopes are in no cache that you use: kiln verify will miss them; whoever "
            "pushed has them, and sends them with: kiln cache push TARGET"
        )


def _facts(evidence: Evidence | None) -> dict[str, object]:
    if evidence is None:
        return {"envelopes": 0, "missing": [], "standings": 0}
    missing = sorted(map(str, evidence.missing))
    return {"envelopes": evidence.brought, "missing": missing, "standings": evidence.standings}

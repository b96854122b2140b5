"""What has to be done for a set of targets: which derivations are taken as they are, which are to be run.

The plan goes down from the targets, a level at a time, one bulk question a level:

1. A derivation is **taken** when the store knows a resolution of it whose outputs it holds and whose pins agree
   with the plan's own. Its inputs are not looked at: the plan only notes what they were (its pins).
2. A derivation that can't be taken is **pending**; its inputs are demanded in turn.

Invariant: a plan pins exactly one object for each (derivation, output), so that a closure never mixes two results
of one derivation. A resolution that pins another object than the plan is not taken.

A pending derivation may still turn out to be there when its inputs are known (early cutoff); that is decided
when it is run, by its resolved digest. Planning does no I/O of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from kiln.interpreter.derivation import BuildStep, DrvOutput, FetchStep, Graph, SourceObject
from kiln.store.digest import DrvDigest
from kiln.store.paths import OutputName


class Known(NamedTuple):
    """One way in which a derivation was realised before, and what of it the store holds now."""

    pins: Mapping[DrvOutput, SourceObject]
    outputs: Mapping[OutputName, SourceObject]


class Knowledge(Protocol):
    """What the planner asks of the stores it may take from; answers are trusted and present."""

    def known(self, drvs: Collection[DrvDigest]) -> Mapping[DrvDigest, Sequence[Known]]:
        """For each derivation, the ways it was realised, the preferred one first."""
        ...

    def present(self, item: SourceObject) -> bool: ...


@dataclass(slots=True)
class Plan:
    """`pins` grows while the plan is carried out; guarded by the scheduler's lock."""

    pins: dict[DrvOutput, SourceObject] = field(default_factory=dict)
    taken: set[DrvDigest] = field(default_factory=set)
    pinned_by: dict[DrvOutput, set[DrvDigest]] = field(default_factory=dict)
    todo: tuple[DrvDigest, ...] = ()
    """Inputs before what needs them."""


def drv_inputs(graph: Graph, drv: DrvDigest) -> list[DrvOutput]:
    """The outputs of other derivations that this one takes."""
    match graph[drv]:
        case BuildStep(derivation=made):
            return [item for item in made.inputs if isinstance(item, DrvOutput)]
        case FetchStep():
            return []


def make_plan(
    graph: Graph,
    targets: Iterable[DrvOutput],
    knowledge: Knowledge,
    distrust: Collection[DrvDigest] = (),
) -> Plan:
    """Plan the targets. Derivations in `distrust` are run, whatever is known of them."""
    plan = Plan()
    pending: dict[DrvDigest, None] = {}
    level = dict.fromkeys(targets)
    while level:
        asked = [item for item in level if not _settled(plan, pending, knowledge, item)]
        known = knowledge.known({item.drv for item in asked if item.drv not in distrust})
        level = {}
        for item in asked:
            if item.drv in pending or _take(plan, item, known.get(item.drv, ())):
                continue
            pending[item.drv] = None
            level.update(dict.fromkeys(drv_inputs(graph, item.drv)))
    plan.todo = in_order(graph, pending)
    return plan


def take_all(targets: Iterable[DrvOutput], knowledge: Knowledge) -> Plan | None:
    """The plan of targets that can all be taken as they are; no graph is needed for it. None if one can't be."""
    plan = Plan()
    wanted = list(dict.fromkeys(targets))
    known = knowledge.known({item.drv for item in wanted})
    for item in wanted:
        if not (_settled(plan, (), knowledge, item) or _take(plan, item, known.get(item.drv, ()))):
            return None
    return plan


def _settled(plan: Plan, pending: Collection[DrvDigest], knowledge: Knowledge, item: DrvOutput) -> bool:
    pinned = plan.pins.get(item)
    return item.drv in pending or (pinned is not None and knowledge.present(pinned))


def _take(plan: Plan, item: DrvOutput, ways: Sequence[Known]) -> bool:
    for way in ways:
        mine = {DrvOutput(item.drv, output): made for output, made in way.outputs.items()}
        claims = {**way.pins, **mine}
        if item in mine and all(plan.pins.get(key, made) == made for key, made in claims.items()):
            plan.pins.update(claims)
            plan.taken.add(item.drv)
            for key in way.pins:
                plan.pinned_by.setdefault(key, set()).add(item.drv)
            return True
    return False


def in_order(graph: Graph, members: Collection[DrvDigest]) -> tuple[DrvDigest, ...]:
    """The members with inputs before what needs them, else in the order in which they are given.

    Iterative, so that depth costs no stack.
    """
    order: list[DrvDigest] = []
    seen: set[DrvDigest] = set()
    for root in members:
        stack: list[tuple[DrvDigest, bool]] = [(root, False)]
        while stack:
            drv, ready = stack.pop()
            if ready:
                order.append(drv)
            elif drv not in seen:
                seen.add(drv)
                stack.append((drv, True))
                stack.extend((item.drv, False) for item in drv_inputs(graph, drv) if item.drv in members)
    return tuple(order)


def closure(graph: Graph, targets: Iterable[DrvDigest]) -> tuple[DrvDigest, ...]:
    """The targets and everything they are built from, inputs first."""
    members: dict[DrvDigest, None] = {}
    stack = list(targets)
    while stack:
        drv = stack.pop()
        if drv not in members:
            members[drv] = None
            stack.extend(item.drv for item in drv_inputs(graph, drv))
    return in_order(graph, members)

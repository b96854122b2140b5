"""What has to be done for a set of targets: which derivations are taken as they are, which are to be run.

The plan goes down from the targets, a level at a time, one bulk question a level:

1. A derivation is **taken** when the store knows a resolution of it whose outputs it holds and whose pins agree
   with the plan's own. Its inputs are not looked at: the plan only notes what they were (its pins).
2. Of what the store does not have, the caches are asked: first for what is demanded right now, which is all there
   is to ask if they have the targets, then for all that lies below, at once. What they **offer** is taken likewise.
3. A derivation that can't be taken is **pending**; its inputs are demanded in turn.

Invariant: a plan pins exactly one object for each (derivation, output), so that a closure never mixes two results
of one derivation. A resolution that pins another object than the plan is not taken. Pins are one level deep: where
claims give several objects for one output, `clash` looks into the closures of what was taken.

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


class Offers(Protocol):
    """What the planner asks of caches. What they answer satisfies the policy, and they can bring all of it."""

    def known(self, drvs: Collection[DrvDigest], below: Iterable[DrvDigest]) -> Mapping[DrvDigest, Sequence[Known]]:
        """Like `Knowledge.known`. `below` is what will be asked for next, if these can't be taken."""
        ...

    def bring(self, item: SourceObject) -> None:
        """It was taken: it and all it refers to will be there when it is needed."""
        ...

    def brings(self, item: SourceObject) -> bool:
        """Whether it comes along with what was taken."""
        ...


@dataclass(slots=True)
class Plan:
    """`pins` grows while the plan is carried out; guarded by the scheduler's lock."""

    pins: dict[DrvOutput, SourceObject] = field(default_factory=dict)
    taken: set[DrvDigest] = field(default_factory=set)
    pinned_by: dict[DrvOutput, set[DrvDigest]] = field(default_factory=dict)
    offered: dict[DrvOutput, SourceObject] = field(default_factory=dict)
    """What caches have to bring."""
    held: dict[DrvOutput, SourceObject] = field(default_factory=dict)
    """What was taken from one's own store because something demanded it."""
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
    offers: Offers | None = None,
) -> Plan:
    """Plan the targets. Derivations in `distrust` are run, whatever is known of them."""
    plan = Plan()
    pending: dict[DrvDigest, None] = {}
    level = dict.fromkeys(targets)
    while level:
        left = [item for item in level if not _settled(plan, pending, knowledge, offers, item)]
        known = knowledge.known({item.drv for item in left if item.drv not in distrust})
        left = _untaken(plan, left, known, plan.held)
        if offers is not None and any(item.drv not in distrust for item in left):
            left = _ask_caches(graph, plan, left, offers, distrust, first=not pending)
        level = {}
        for item in left:
            # What was taken on this level may have brought it along.
            if not _settled(plan, pending, knowledge, offers, item):
                pending[item.drv] = None
                level.update(dict.fromkeys(drv_inputs(graph, item.drv)))
    plan.todo = in_order(graph, pending)
    return plan


def take_all(targets: Iterable[DrvOutput], knowledge: Knowledge) -> Plan | None:
    """The plan of targets that can all be taken as they are; no graph is needed for it. None if one can't be."""
    plan = Plan()
    wanted = list(dict.fromkeys(targets))
    known = knowledge.known({item.drv for item in wanted})
    return plan if not _untaken(plan, wanted, known, plan.held) else None


def _settled(
    plan: Plan, pending: Collection[DrvDigest], knowledge: Knowledge, offers: Offers | None, item: DrvOutput
) -> bool:
    if item.drv in pending:
        return True
    pinned = plan.pins.get(item)
    if pinned is None:
        return False
    return (offers is not None and offers.brings(pinned)) or knowledge.present(pinned)


def _ask_caches(
    graph: Graph,
    plan: Plan,
    left: Sequence[DrvOutput],
    offers: Offers,
    distrust: Collection[DrvDigest],
    *,
    first: bool,
) -> list[DrvOutput]:
    """What the caches do not offer either. The first question is for the targets alone."""
    drvs = {item.drv for item in left if item.drv not in distrust}
    known = offers.known(drvs, () if first else closure(graph, drvs))
    before = len(plan.offered)
    rest = _untaken(plan, left, known, plan.offered)
    for made in list(plan.offered.values())[before:]:
        offers.bring(made)
    return rest


def _untaken(
    plan: Plan,
    items: Iterable[DrvOutput],
    known: Mapping[DrvDigest, Sequence[Known]],
    taken: dict[DrvOutput, SourceObject],
) -> list[DrvOutput]:
    """Take what can be taken, and note it in `taken`; what is left. Of a derivation all or nothing is left."""
    left: list[DrvOutput] = []
    drvs: set[DrvDigest] = set()
    for item in items:
        if item.drv in drvs or not _take(plan, item, known.get(item.drv, ())):
            left.append(item)
            drvs.add(item.drv)
        else:
            taken[item] = plan.pins[item]
    return left


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

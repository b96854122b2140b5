"""Builds: a whole graph of trivial ones, and what is left to do when all is built."""

from __future__ import annotations

from bench.inputs import graph_nodes
from bench.peers.own import Kiln
from bench.results import Measure
from bench.session import Session

_GOALS = {1000: 1.0, 10_000: 6.0}
"""How many times faster a no-op is meant to be, by the graph's size."""


_MEMBER = 25
"""Microseconds that a build may cost more for each member of its closure."""
_PEAK = 200


def run(session: Session) -> None:
    for count in session.sizes.builds:
        _build(session, count, mention=False)
        _build(session, count, mention=True)
    _members(session, session.sizes.many)
    for count in session.sizes.built:
        _no_op(session, count)


def _build(session: Session, count: int, *, mention: bool) -> None:
    """From nothing: evaluation, derivations, sandboxes, signatures, two at once."""
    for peer in session.turns(slow=True):
        peer.fresh()
        session.time(peer, _building(count, mention=mention, goal=4), peer.build(count, mention=mention))


def _building(count: int, *, mention: bool, goal: float | None = None) -> Measure:
    kind = "outputs that refer to each other" if mention else "outputs that refer to nothing"
    return Measure(f"build all, {kind}", f"{count:,}", goal=goal, unit="builds", amount=count, peak=_PEAK)


def _members(session: Session, count: int) -> None:
    """What a member of a build's closure costs: the two graphs differ in nothing else. Kiln's alone, once each."""
    members = closure_members(count)
    for peer in session.peers:
        if not isinstance(peer, Kiln):
            continue
        took: dict[bool, float] = {}
        for mention in (False, True):
            peer.fresh()
            took[mention] = session.time(
                peer, _building(count, mention=mention), peer.build(count, mention=mention)
            ).wall
        session.results.note(
            f"{count:,} builds, {took[False] / count * 1e3:.2f} ms each where outputs refer to nothing"
        )
        average = f"{members / count:,.0f} on average"
        text = f"what a member of its closure ({average}) costs each of {count:,} builds"
        session.results.verdict(text, (took[True] - took[False]) / members * 1e6, _MEMBER, "µs")


def closure_members(count: int) -> int:
    """The members of all closures of the graph, added up: of outputs that refer to each other."""
    numbers: dict[str, int] = {}
    closures: dict[str, int] = {}
    total = 0
    for place, node in enumerate(graph_nodes(count)):
        numbers[node.name] = place
        closure = 0
        for need in node.needs:
            closure |= closures[need] | 1 << numbers[need]
        closures[node.name] = closure
        total += closure.bit_count()
    return total


def _no_op(session: Session, count: int) -> None:
    size = f"{count:,}"
    known = Measure("no-op", size, goal=_GOALS.get(count), peak=_PEAK)
    forgotten = Measure("no-op, the answer forgotten", size)
    for peer in session.peers:
        peer.fresh()
        peer.populate(count)
        peer.forget()
    for peer in session.turns():
        command = peer.build(count)
        peer.forget()
        session.time(peer, forgotten, command)
        session.time(peer, known, command)

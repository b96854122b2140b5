"""Builds: a whole graph of trivial ones, and what is left to do when all is built."""

from __future__ import annotations

from bench.results import Measure
from bench.session import Session

_GOALS = {1000: 1.0, 10_000: 6.0}
"""How many times faster a no-op is meant to be, by the graph's size."""


def run(session: Session) -> None:
    for count in session.sizes.builds:
        _build(session, count, mention=False)
        _build(session, count, mention=True)
    for count in session.sizes.built:
        _no_op(session, count)


def _build(session: Session, count: int, *, mention: bool) -> None:
    """From nothing: evaluation, derivations, sandboxes, signatures, two at once."""
    kind = "outputs that refer to each other" if mention else "outputs that refer to nothing"
    what = Measure(f"build all, {kind}", f"{count:,}", goal=4, unit="builds", amount=count)
    for peer in session.turns(slow=True):
        peer.fresh()
        session.time(peer, what, peer.build(count, mention=mention))


def _no_op(session: Session, count: int) -> None:
    size = f"{count:,}"
    known = Measure("no-op", size, goal=_GOALS.get(count))
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

"""A graph of derivations, written out as declarations: evaluated and hashed, with nothing built."""

from __future__ import annotations

from bench.results import Measure
from bench.session import Session
from bench.timing import Failed

_MANY = 1000


def run(session: Session) -> None:
    for count in session.sizes.graphs:
        _graph(session, count)


def _graph(session: Session, count: int) -> None:
    """Into an empty store; with nothing changed; with what was remembered of the code alone.

    A peer that remembers nothing of code would only do the first again: its first run is taken for both.
    """
    size = f"{count:,}"
    cold = Measure("graph, empty store, nothing cached", size, goal=3, unit="drv", amount=count)
    code = Measure("graph, empty store, code cached", size, goal=7, unit="drv", amount=count)
    again = Measure("graph again, nothing changed", size, goal=6, unit="drv", amount=count)
    for peer in session.turns(slow=count > _MANY):
        peer.fresh()
        command = peer.instantiate(count)
        first = session.time(peer, cold, command)
        second = session.time(peer, again, command)
        if peer.caches_code:
            peer.forget()
            session.time(peer, code, command)
        else:
            session.results.add(code, peer.name, first)
        if first.out.split() != second.out.split():
            raise Failed(f"{peer.name}: the same graph, and another derivation")

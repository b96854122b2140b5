"""A graph of derivations, written out as declarations: evaluated and hashed, with nothing built."""

from __future__ import annotations

from bench.inputs import START
from bench.results import Measure
from bench.session import Session
from bench.timing import Failed, measure

_MANY = 10_000
_PEAK = 200
"""MiB that the graph of 10,000 may take."""


def run(session: Session) -> None:
    for count in session.sizes.graphs:
        _graph(session, count)


def _graph(session: Session, count: int) -> None:
    """Into an empty store; with nothing changed; with what was remembered of the code alone; less each peer's start.

    A peer that remembers nothing of code would only do the first again: its first run is taken for both. The store
    is emptied for each, the caches beside it are not.
    """
    size = f"{count:,}"
    peak = _PEAK if count == _MANY else None
    cold = Measure("graph, empty store, nothing cached", size, goal=3, unit="drv", amount=count, peak=peak)
    code = Measure("graph, empty store, code cached", size, goal=7, unit="drv", amount=count, peak=peak)
    again = Measure("graph again, nothing changed", size, goal=6, unit="drv", amount=count, peak=peak)
    for peer in session.turns(slow=count > _MANY):
        peer.fresh()
        start = session.time(peer, Measure(START.name), peer.program(START))
        command = peer.instantiate(count)
        first = measure(command, session.patience)
        session.results.add(cold, peer.name, first.less(start))
        second = measure(command, session.patience)
        session.results.add(again, peer.name, second.less(start))
        if peer.caches_code:
            peer.forget()
            peer.empty_store()
            session.results.add(code, peer.name, measure(command, session.patience).less(start))
        else:
            session.results.add(code, peer.name, first.less(start))
        if first.out.split() != second.out.split():
            raise Failed(f"{peer.name}: the same graph, and another derivation")

"""What an object costs while the store grows: registered, built, verified, collected; Kiln alone.

The cost is meant to be flat from 1,000 objects to 100,000. `bench.plot` draws it.
"""

from __future__ import annotations

from bench.peers.own import Kiln
from bench.results import Measure
from bench.session import Session

NAMES = ("register", "build more", "verify", "collect")
PREFIX = "an object, "
_FLAT = 2.0
"""How many times the cost of the smallest store that of the largest may be: the machine's noise is as large."""


def run(session: Session) -> None:
    for count in session.sizes.scales:
        for peer in session.peers:
            if isinstance(peer, Kiln):
                _store_of(session, peer, count)
    _flat(session)


def _store_of(session: Session, peer: Kiln, count: int) -> None:
    """A store is filled; some more are built in it; all is read; what nothing needs is removed, which is all."""
    more = session.sizes.added
    peer.fresh()
    session.time(peer, _measure("register", count, count), peer.populating(count))
    session.time(peer, _measure("build more", count, more), peer.build(more, mention=False))
    session.time(peer, _measure("verify", count, count), peer.verify())
    session.time(peer, _measure("collect", count, count), peer.collect())


def _measure(name: str, count: int, amount: int) -> Measure:
    return Measure(PREFIX + name, f"{count:,}", unit="objects", amount=amount)


def _flat(session: Session) -> None:
    few, many = session.sizes.scales[0], session.sizes.scales[-1]
    for name in NAMES:
        cost = [
            session.results.per(
                PREFIX + name, f"{count:,}", Kiln.name, session.sizes.added if name == "build more" else count
            )
            for count in (few, many)
        ]
        if cost[0] is not None and cost[1] is not None:
            text = f"{name}, an object with {many:,} in the store over one with {few:,}"
            session.results.verdict(text, cost[1] / cost[0], _FLAT, "times")

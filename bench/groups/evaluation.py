"""Evaluation without caches: small programs, each peer's start subtracted, and a long file, cold and unchanged."""

from __future__ import annotations

from bench.inputs import PROGRAMS, START, Program
from bench.peers.peer import Peer
from bench.results import Measure
from bench.session import Session, size_name
from bench.timing import Failed, measure

_COLD, _UNCHANGED = 8.0, 0.040
"""Seconds that a file of 2 MB may take."""


def run(session: Session) -> None:
    for peer in session.peers:
        peer.fresh()
    for program in PROGRAMS:
        for peer in session.turns():
            _program(session, peer, program)
    _long_file(session)


def _program(session: Session, peer: Peer, program: Program) -> None:
    start = session.time(peer, Measure(START.name), peer.program(START))
    whole = measure(peer.program(program), session.patience)
    if whole.out.strip() != program.value:
        raise Failed(f"{peer.name}, {program.name}: {whole.out.strip()!r}, not {program.value!r}")
    session.results.add(Measure(f"{program.name}, less start", goal=program.goal), peer.name, whole.less(start))


def _long_file(session: Session) -> None:
    size = size_name(session.sizes.long)
    for peer in session.turns():
        peer.fresh()
        command = peer.check_long(session.sizes.long)
        start = session.time(peer, Measure(START.name), peer.program(START))
        session.time(peer, Measure("parse and check, cold", size, most=_COLD), command)
        again = session.time(peer, Measure("parse and check, unchanged", size), command)
        less = Measure("parse and check, unchanged, less start", size, most=_UNCHANGED)
        session.results.add(less, peer.name, again.less(start))

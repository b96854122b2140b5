"""The binary cache: one large object and many small ones, pushed into a folder and fetched from a web server.

A fetch is into an empty store, over HTTP from loopback, with signatures checked; both peers read from the same
server (`bench.drivers.web`). Then one byte of the large object changes, and it is pushed and fetched again by who has
the old one. Last, the server answers 40 ms late.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.peers.peer import Peer
from bench.results import Measure
from bench.session import Session, size_name
from bench.timing import Failed

_HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_DELAY = 40
_MIB = 1 << 20


def run(session: Session) -> None:
    for peer in session.turns(slow=True):
        _big(session, peer)
    for peer in session.turns(slow=True):
        _small(session, peer)


def _big(session: Session, peer: Peer) -> None:
    size, megabytes = size_name(session.sizes.big), session.sizes.big / 1e6
    folder = _empty(session, peer)
    peer.fresh()
    old, new = peer.make_big(session.sizes.big)
    session.time(peer, Measure("push", size, goal=5, unit="MB", amount=megabytes), peer.push(old, folder))
    before = _bytes_in(folder)
    session.time(peer, Measure("push, one byte changed", size, goal=10), peer.push(new, folder))
    moved = _bytes_in(folder) - before
    session.results.note(f"{peer.name}: one byte of {size} changed: {moved / _MIB:.1f} MiB pushed (goal: 6)")
    peer.fresh()
    with _server(folder, 0) as url:
        session.time(peer, Measure("fetch", size, goal=2.5, unit="MB", amount=megabytes), peer.fetch(old, url))
        session.time(peer, Measure("fetch, one byte changed", size, goal=10), peer.fetch(new, url))


def _small(session: Session, peer: Peer) -> None:
    count = session.sizes.shared
    size = f"{count:,}"
    folder = _empty(session, peer)
    peer.fresh()
    peer.populate(count)
    graph = peer.graph(count)
    session.time(
        peer, Measure("push small objects", size, goal=1, unit="objects", amount=count), peer.push(graph, folder)
    )
    for delay in (0, _DELAY):
        peer.fresh()
        words = f"fetch small objects{f', {delay} ms away' if delay else ''}"
        with _server(folder, delay) as url:
            session.time(peer, Measure(words, size, goal=4, unit="objects", amount=count), peer.fetch(graph, url))


def _empty(session: Session, peer: Peer) -> str:
    folder = os.path.join(session.work.path, f"cache-{peer.name}")
    session.work.throw_away(folder)
    os.makedirs(folder)
    return folder


def _bytes_in(folder: str) -> int:
    return sum(os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(folder) for name in names)


@contextmanager
def _server(folder: str, delay: int) -> Iterator[str]:
    words = [sys.executable, "-m", "bench.drivers.web", folder, str(delay)]
    with subprocess.Popen(words, cwd=_HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        port = server.stdout.readline().strip()
        if not port:
            raise Failed("the web server did not start")
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stdin.close()

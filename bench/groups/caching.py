"""The binary cache: one large object and many small ones, pushed into a folder and fetched from a web server.

A fetch is into an empty store, over HTTP from loopback, with signatures checked; both peers read from the same
server (`bench.drivers.web`). Then one byte of the large object changes, and it is pushed and fetched again by who has
the old one. Small objects are fetched through a line of 40 ms, too (`bench.drivers.line`); and so is a target that
stands on a deep graph and refers to nothing of it, with every record there, and with one missing far below.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.peers.own import Kiln
from bench.peers.peer import Peer
from bench.results import Measure
from bench.session import Session, size_name
from bench.timing import Failed
from bench.timing import run as run_command

_HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_DELAY = 40
_MIB = 1 << 20
_PEAK = 300
_MOVED = 6.0
"""MiB that may move after one byte of the large object changed."""
_LATE = 1.0
"""Seconds that the line may cost a fetch of `_COMPARED` objects."""
_COMPARED = 1000
_DEEP = 1.5
"""Seconds for a target of the deep graph through the line."""
_LINEAR = 1.5
"""How many times the cost an object of the smaller closure that of the largest may be."""


def run(session: Session) -> None:
    for peer in session.turns(slow=True):
        _big(session, peer)
    for count in session.sizes.shared:
        for peer in session.turns(slow=True):
            if count <= _COMPARED or isinstance(peer, Kiln):
                _small(session, peer, count)
    _follows(session)
    for peer in session.peers:
        if isinstance(peer, Kiln):
            _deep(session, peer)


def _big(session: Session, peer: Peer) -> None:
    size, megabytes = size_name(session.sizes.big), session.sizes.big / 1e6
    folder = _empty(session, peer)
    peer.fresh()
    old, new = peer.make_big(session.sizes.big)
    push = Measure("push", size, goal=5, unit="MB", amount=megabytes, peak=_PEAK)
    session.time(peer, push, peer.push(old, folder))
    before = _bytes_in(folder)
    session.time(peer, Measure("push, one byte changed", size, goal=10, peak=_PEAK), peer.push(new, folder))
    _moved(session, peer, "pushed", _bytes_in(folder) - before)
    peer.fresh()
    with _server(folder) as server:
        fetch = Measure("fetch", size, goal=2.5, unit="MB", amount=megabytes, peak=_PEAK)
        session.time(peer, fetch, peer.fetch(old, server.url))
    with _server(folder) as server:
        session.time(peer, Measure("fetch, one byte changed", size, goal=10, peak=_PEAK), peer.fetch(new, server.url))
    _moved(session, peer, "fetched", server.sent)


def _moved(session: Session, peer: Peer, how: str, moved: int) -> None:
    text = f"{peer.name}: one byte of {size_name(session.sizes.big)} changed, {how}"
    session.results.verdict(text, moved / _MIB, _MOVED, "MiB")


def _small(session: Session, peer: Peer, count: int) -> None:
    size = f"{count:,}"
    folder = _empty(session, peer)
    peer.fresh()
    peer.populate(count)
    graph = peer.graph(count)
    push = Measure("push small objects", size, goal=1, unit="objects", amount=count, peak=_PEAK)
    session.time(peer, push, peer.push(graph, folder))
    for delay in (0, _DELAY):
        _fresh_but_evaluated(peer, count)
        with _server(folder, delay) as server:
            what = Measure(_fetching(delay), size, goal=4, unit="objects", amount=count, peak=_PEAK)
            session.time(peer, what, peer.fetch(graph, server.url))


def _fetching(delay: int) -> str:
    return f"fetch small objects{f', {delay} ms away' if delay else ''}"


def _fresh_but_evaluated(peer: Peer, count: int) -> None:
    """An empty store. Kiln's question is evaluated before; Nix is asked for a path, and evaluates nothing."""
    peer.fresh()
    if isinstance(peer, Kiln):
        run_command(peer.instantiate(count))


def _follows(session: Session) -> None:
    """What follows from the small objects: the line's cost, and that a closure's is linear."""
    results, counts = session.results, session.sizes.shared
    near = results.median(_fetching(0), f"{_COMPARED:,}", Kiln.name)
    far = results.median(_fetching(_DELAY), f"{_COMPARED:,}", Kiln.name)
    if near is not None and far is not None:
        results.verdict(f"{_DELAY} ms there and back cost a fetch of {_COMPARED:,} objects", far - near, _LATE, "s")
    if len(counts) < 2:
        return
    few, many = counts[-2], counts[-1]
    for name in ("push small objects", _fetching(0), _fetching(_DELAY)):
        one, other = (results.per(name, f"{count:,}", Kiln.name, count) for count in (few, many))
        if one is not None and other is not None:
            results.verdict(f"{name}: an object of {many:,} over one of {few:,}", other / one, _LINEAR, "times")


def _deep(session: Session, peer: Kiln) -> None:
    """A target of a deep graph, from a cache to which everything was pushed."""
    count = session.sizes.deep
    graph = peer.graph(count, mention=False)
    for without, words in (("", "every record there"), ("n25", "a record far below missing")):
        folder = _empty(session, peer)
        peer.fresh()
        run_command(peer.populating(count, mention=False, without=without))
        run_command(peer.push_all(folder))
        what = Measure(
            f"fetch a target of a deep graph, {_DELAY} ms away, {words}", f"{count:,}", most=_DEEP, peak=_PEAK
        )
        for _ in range(session.sizes.runs):
            peer.empty_store()
            with _server(folder, _DELAY) as server:
                session.time(peer, what, peer.fetch(graph, server.url))


def _empty(session: Session, peer: Peer) -> str:
    folder = os.path.join(session.work.path, f"cache-{peer.name}")
    session.work.throw_away(folder)
    os.makedirs(folder)
    return folder


def _bytes_in(folder: str) -> int:
    return sum(os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(folder) for name in names)


class _Served:
    """A server's address; when it has ended, the bytes that it sent."""

    def __init__(self, port: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.sent = 0


@contextmanager
def _server(folder: str, delay: int = 0) -> Iterator[_Served]:
    with _driver("web", folder) as web:
        if delay:
            with _driver("line", _port(web), str(delay)) as line:
                yield _Served(_port(line))
            return
        served = _Served(_port(web))
        yield served
        served.sent = _sent(web)


@contextmanager
def _driver(name: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """One of `bench.drivers`, until the block ends."""
    command = [sys.executable, "-m", f"bench.drivers.{name}", *words]
    with subprocess.Popen(command, cwd=_HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdin is not None
        try:
            yield driver
        finally:
            driver.stdin.close()


def _port(driver: subprocess.Popen[str]) -> str:
    assert driver.stdout is not None
    port = driver.stdout.readline().strip()
    if not port:
        raise Failed("a server did not start")
    return port


def _sent(web: subprocess.Popen[str]) -> int:
    assert web.stdin is not None and web.stdout is not None
    web.stdin.close()
    return int(web.stdout.readline())

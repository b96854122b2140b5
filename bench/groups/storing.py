"""The store: adding, adding again, verifying, a closure; and how long a sandbox takes to start."""

from __future__ import annotations

import json

from bench.inputs import random_file, random_tree
from bench.peers.own import Kiln
from bench.results import Measure
from bench.session import Session, size_name
from bench.timing import Failed, Run, measure

_FILE_BYTES = 4096
_NOBODY = "65534"
_LAUNCHES = ((50, 0.008), (200, 0.012))
"""Inputs, and the seconds that a launch with them may take."""
_PEAK = 200


def run(session: Session) -> None:
    _big_file(session)
    _tree(session, memory=False)
    if session.memory is not None:
        _tree(session, memory=True)
    if session.sizes.built:
        _closure(session, max(session.sizes.built))
    _collect(session, session.sizes.dead)
    for inputs, goal in _LAUNCHES:
        _launch(session, inputs, goal)


def _big_file(session: Session) -> None:
    bytes_, size = session.sizes.big, size_name(session.sizes.big)
    path = session.inputs("big", lambda place: random_file(place, bytes_))
    megabytes = bytes_ / 1e6
    for peer in session.turns(slow=True):
        peer.fresh()
        command = peer.add_file(path)
        session.time(peer, Measure("add a file", size, goal=4, unit="MB", amount=megabytes, peak=_PEAK), command)
        session.time(peer, Measure("add a file again, unchanged", size, goal=30, peak=_PEAK), command)
        session.time(
            peer, Measure("verify a file", size, goal=5, unit="MB", amount=megabytes, peak=_PEAK), peer.verify()
        )


def _tree(session: Session, *, memory: bool) -> None:
    count = session.sizes.files
    size, where = f"{count:,}", "tmpfs" if memory else "disk"
    path = session.inputs("tree", lambda place: random_tree(place, count, _FILE_BYTES), memory=memory)
    for peer in session.turns(slow=True):
        peer.fresh(memory=memory)
        command = peer.add_tree(path)
        goal = 1 if memory else 1.5
        session.time(
            peer,
            Measure(f"add small files, {where}", size, goal=goal, unit="files", amount=count, peak=_PEAK),
            command,
        )
        session.time(peer, Measure(f"add small files again, {where}", size, goal=10, peak=_PEAK), command)
        session.time(peer, Measure(f"verify small files, {where}", size, goal=1, peak=_PEAK), peer.verify())


def _closure(session: Session, count: int) -> None:
    what = Measure("query a closure", f"{count:,}", goal=3, unit="paths", amount=count, peak=_PEAK)
    commands = {}
    for peer in session.peers:
        peer.fresh()
        peer.populate(count)
        commands[peer.name] = peer.closure(count)
    for peer in session.turns():
        listed = session.time(peer, what, commands[peer.name]).out
        if len(listed.split()) < count:
            raise Failed(f"{peer.name}: a closure of {count} with members missing")


def _collect(session: Session, count: int) -> None:
    """Until the command returns: what was removed from the store may still be unlinked behind it."""
    what = Measure("collect, all dead", f"{count:,}", goal=8, unit="objects", amount=count, peak=_PEAK)
    for peer in session.turns(slow=True):
        peer.dead(count)
        session.time(peer, what, peer.collect())


def _launch(session: Session, inputs: int, most: float) -> None:
    """Kiln's alone: no peer has a command for it. Each launch counts as a run."""
    what = Measure("sandbox launch, unprivileged", f"{inputs} inputs", most=most)
    for peer in session.peers:
        if isinstance(peer, Kiln):
            session.launches += 1
            folder = session.work.folder(f"launch-{session.launches}")
            words = (folder, str(inputs), str(session.sizes.launches), _NOBODY, session.busybox)
            whole = measure(peer.driver("launch", *words), session.patience)
            for seconds in json.loads(whole.out):
                session.results.add(what, peer.name, Run(seconds, 0.0, whole.peak, whole.others))

"""Processes of this machine, as /proc shows them: what a command started, and whether all of it is gone."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

_PATIENCE = 30.0


class Process(NamedTuple):
    """`started` tells a process from a later one that got its number."""

    pid: int
    started: str


def descendants(pid: int) -> set[Process]:
    """Everything below a process, at this moment."""
    found: set[Process] = set()
    stack = [pid]
    while stack:
        for child in _children(stack.pop()):
            started = _started(child)
            if started is not None and Process(child, started) not in found:
                found.add(Process(child, started))
                stack.append(child)
    return found


def with_word(word: str) -> set[int]:
    """Processes whose command line or environment holds a word; this process and its parents don't count."""
    found: set[int] = set()
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            for file in ("cmdline", "environ"):
                try:
                    with open(f"/proc/{name}/{file}", "rb") as stream:
                        if word.encode() in stream.read():
                            found.add(int(name))
                except OSError:
                    continue
    return found


def wait_until_gone(processes: set[Process]) -> set[Process]:
    """Those that are there still when patience ends; none, as soon as all are gone."""
    end = time.monotonic() + _PATIENCE
    left = processes
    while left and time.monotonic() < end:
        left = {process for process in left if _started(process.pid) == process.started}
        time.sleep(0.02)
    return left


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child)
            for task in os.listdir(f"/proc/{pid}/task")
            for child in open(f"/proc/{pid}/task/{task}/children", encoding="ascii").read().split()
        ]
    except OSError:
        return []


def _started(pid: int) -> str | None:
    """Its starting time in ticks; None for one that is gone, or that only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()

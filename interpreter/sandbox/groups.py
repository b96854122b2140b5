"""Control groups for builds, where this user may make them (cgroup v2, Documentation/admin-guide/cgroup-v2.rst).

    <base>/kiln-<process>-<number>/     memory.max, memory.swap.max, pids.max; made for one build, removed after it

`base` is the folder that KILN_CGROUP names, or this process's own group, or the one above: the first that this user
may write to and whose `cgroup.subtree_control` passes memory and pids on. systemd gives a user's session such a group
(`app.slice`); elsewhere `systemd-run --user --scope -p Delegate=yes` does. Kiln changes nothing about groups that
it did not make, so what is not passed on stays so. The older cgroup v1 is never given to ordinary users, and is not
used.

A build joins before it leaves its namespaces, so that /proc/self/cgroup shows `/` to it. Where no group can be had,
process 1 measures alone (see `watch.py`).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from kiln.interpreter.derivation import MOST_PROCESSES, Limits
from kiln.interpreter.sandbox.watch import Exceeded

_NEEDED = frozenset(("memory", "pids"))
_PREFIX = "kiln-"
_OWN_PROCESSES = 16
"""What watches over a build is in its group, too, and the fence stands a little above what process 1 allows."""
_PATIENCE = 0.2
_numbers = itertools.count()


def find_base(root: str = "/", environment: Mapping[str, str] = os.environ) -> str | None:
    """The folder in which groups for builds can be made, or None. `root` is where /proc and /sys are looked for."""
    named = environment.get("KILN_CGROUP")
    candidates = [named] if named else _own_groups(root)
    return next((path for path in candidates if _passes_on(path)), None)


def wants_group(limits: Limits) -> bool:
    """Whether a group would hold anything that the fixed rlimits of every build don't."""
    return limits.memory > 0 or limits.processes < MOST_PROCESSES


@contextmanager
def group_for(limits: Limits, base: str | None) -> Iterator[str | None]:
    """A group that holds these limits, while the block runs; None where there is none, or none is wanted."""
    if base is None or not wants_group(limits):
        yield None
        return
    path = os.path.join(base, f"{_PREFIX}{os.getpid()}-{next(_numbers)}")
    try:
        _make(path, limits)
    except OSError:
        _remove(path)
        yield None
        return
    try:
        yield path
    finally:
        _remove(path)


def exceeded(group: str | None, limits: Limits) -> Exceeded | None:
    """What the kernel refused to the builds of a group. Asked before the group is gone."""
    if group is None:
        return None
    if _event(f"{group}/memory.events", "oom_kill") > 0:
        return Exceeded("memory", limits.memory)
    if _event(f"{group}/pids.events", "max") > 0:
        return Exceeded("processes", limits.processes)
    return None


def _own_groups(root: str) -> list[str]:
    mount = _mount_point(root)
    line = next((line for line in _lines(os.path.join(root, "proc/self/cgroup")) if line.startswith("0::/")), None)
    if mount is None or line is None:
        return []
    own = os.path.normpath(f"{mount}/{line[3:]}")
    return [own] if own == mount else [own, os.path.dirname(own)]


def _mount_point(root: str) -> str | None:
    for line in _lines(os.path.join(root, "proc/self/mounts")):
        fields = line.split(" ")
        if len(fields) > 2 and fields[2] == "cgroup2":
            return os.path.normpath(os.path.join(root, fields[1].lstrip("/")))
    return None


def _passes_on(path: str) -> bool:
    passed = " ".join(_lines(f"{path}/cgroup.subtree_control")).split()
    return set(passed) >= _NEEDED and os.access(path, os.W_OK) and os.access(f"{path}/cgroup.procs", os.W_OK)


def _make(path: str, limits: Limits) -> None:
    os.mkdir(path, 0o755)
    _write(f"{path}/pids.max", limits.processes + _OWN_PROCESSES)
    if limits.memory:
        _write(f"{path}/memory.max", limits.memory)
        # Without swap's controller there is no such file, and no swap to limit.
        with contextlib.suppress(FileNotFoundError):
            _write(f"{path}/memory.swap.max", 0)


def _remove(path: str) -> None:
    """The build's last process, which waits for the others, may take a moment to end."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                return
            time.sleep(0.005)
        else:
            return


def _event(path: str, name: str) -> int:
    fields = dict(line.split(" ", 1) for line in _lines(path) if " " in line)
    return int(fields.get(name, "0"))


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _write(path: str, value: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)

"""Whoever dies takes along what is below: no process of a build outlives Kiln, its launcher or its watcher."""

from __future__ import annotations

import os
import select
import signal
import threading

import pytest
import static_elf
from sandbox_room import Room

from kiln.interpreter.sandbox.errors import HelperDied
from kiln.interpreter.sandbox.helper import Launcher

pytestmark = pytest.mark.needs_namespaces


def test_a_killed_kiln_leaves_no_process(room):
    program = room.add_file("program", static_elf.spins())
    spec = room.spec((str(program),))
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            room._launcher = Launcher()
            os.write(writing, str(room._launcher.pid).encode())
            room.run_spec(spec)
        finally:
            os._exit(1)
    os.close(writing)
    launcher = int(os.read(reading, 16))
    os.close(reading)
    tree = _wait_for_tree(launcher)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    _wait_until_dead({launcher, *tree})


@pytest.mark.parametrize("depth", [0, 1, 2], ids=["the launcher", "the watcher", "process 1"])
def test_a_killed_ancestor_takes_the_build_along(room, depth):
    program = room.add_file("program", static_elf.spins())
    spec = room.spec((str(program),))
    with Launcher() as launcher:
        room._launcher = launcher
        caught: list[object] = []
        beside = threading.Thread(target=_catch, args=(room, spec, caught))
        beside.start()
        _wait_for_tree(launcher.pid)
        line = [launcher.pid, *_line(launcher.pid)]
        os.kill(line[depth], signal.SIGKILL)
        beside.join()
        _wait_until_dead(set(line[depth:]) - {launcher.pid})
    if depth == 2:
        assert (caught[0].result.status, caught[0].result.code) == ("signal", signal.SIGKILL)
    else:
        assert isinstance(caught[0], HelperDied)


def test_closing_the_launcher_ends_its_builds(room):
    """What Kiln's main thread does after Ctrl-C, while others follow their builds."""
    spec = room.spec((str(room.add_file("program", static_elf.spins())),))
    launcher = Launcher()
    room._launcher = launcher
    caught: list[object] = []
    beside = threading.Thread(target=_catch, args=(room, spec, caught))
    beside.start()
    tree = _wait_for_tree(launcher.pid)
    launcher.close()
    beside.join()
    _wait_until_dead(tree)
    assert isinstance(caught[0], HelperDied)


def test_an_exception_in_the_logs_reader_kills_the_build(room):
    class Full(Exception):
        pass

    def log(data: bytes) -> None:
        raise Full

    from kiln.interpreter.sandbox.run import build_identity, run_sandbox

    program = room.add_file("program", static_elf.repeats(static_elf.Call(1, (1, b"x", 1))))
    with Launcher() as launcher:
        with pytest.raises(Full):
            run_sandbox(room.spec((str(program),)), build_identity(room.store), log=log, engine=launcher)
        assert _line(launcher.pid) == []


def test_a_launcher_that_is_gone_is_an_error(room):
    program = room.add_file("program", static_elf.exits(0))
    with Launcher() as launcher:
        room._launcher = launcher
        os.kill(launcher.pid, signal.SIGKILL)
        os.waitid(os.P_PID, launcher.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(HelperDied):
            room.run(str(program))


def test_sandboxes_run_beside_each_other(room):
    """Eight at once by one launcher, each with its own result."""
    specs = [room.spec((str(room.add_file(f"program{code}", static_elf.exits(code))),)) for code in range(8)]
    results: dict[int, object] = {}

    def run(code: int) -> None:
        results[code] = room.run_spec(specs[code]).result.code

    threads = [threading.Thread(target=run, args=(code,)) for code in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {code: code for code in range(8)}


def _catch(room: Room, spec, caught: list[object]) -> None:
    try:
        caught.append(room.run_spec(spec))
    except Exception as error:
        caught.append(error)


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _line(launcher: int) -> list[int]:
    """The processes of the one sandbox from its watcher down to the builder; none if none runs."""
    for watcher in _children(launcher):
        first = _children(watcher)
        if first:
            return [watcher, first[0], *_children(first[0])[:1]]
    return []


def _wait_for_tree(launcher: int) -> set[int]:
    """Wait until a builder runs; every process below the launcher."""
    while len(_line(launcher)) < 3 or not _runs_builder(_line(launcher)[2]):
        select.select([], [], [], 0.01)
    found, rest = set(), [launcher]
    while rest:
        children = _children(rest.pop())
        found |= set(children)
        rest += children
    return found


def _runs_builder(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read() != "init\n"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait_until_dead(pids: set[int]) -> None:
    """Wait for ever, and so until the test's own time limit, if one doesn't die."""
    for pid in pids:
        while _lives(pid):
            select.select([], [], [], 0.01)


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False

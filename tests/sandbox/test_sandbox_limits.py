"""The limits of a build: each ends it, whatever it does against that."""

from __future__ import annotations

import errno
import threading

import pytest
import static_elf

from kiln.interpreter.derivation import Limits
from kiln.interpreter.sandbox.run import build_identity, run_sandbox

pytestmark = pytest.mark.needs_namespaces


def limits(time=60, silence=60, log=1 << 20):
    return Limits(time, silence, log)


def test_a_build_that_runs_too_long(room):
    program = room.add_file("program", static_elf.spins())
    assert room.run(str(program), limits=limits(time=1)).result.status == "timeout"


def test_a_build_that_writes_and_runs_too_long(shell):
    ran = shell("while true; do echo .; sleep 0.1; done", limits=limits(time=1, silence=1))
    assert ran.result.status == "timeout" and ran.text.startswith(".\n")


def test_a_build_that_is_silent(shell):
    ran = shell("echo begun; sleep 50", limits=limits(silence=1))
    assert ran.result.status == "silence" and ran.text == "begun\n"


def test_a_build_that_ignores_being_asked_to_end(shell):
    ran = shell("trap '' TERM INT HUP QUIT; echo deaf; while true; do sleep 1; done", limits=limits(silence=1))
    assert ran.result.status == "silence" and ran.text == "deaf\n"


def test_a_flood_is_cut(shell):
    ran = shell("yes flood", limits=limits(log=100_000))
    assert ran.result.status == "log-limit"
    assert len(ran.log) == 100_000 < ran.result.log_size


def test_a_log_of_just_the_limit_passes(shell):
    ran = shell("head -c 100000 /dev/zero", limits=limits(log=100_000))
    assert (ran.result.status, ran.result.log_size, len(ran.log)) == ("ok", 100_000, 100_000)


def test_processes_without_end_are_refused_and_end(room):
    program = room.add_file("program", static_elf.fills_up())
    ran = room.run(str(program), limits=limits(silence=1))
    assert ran.result.status == "silence"
    assert static_elf.results(ran.log) == [-errno.EAGAIN]


def test_one_builds_processes_do_not_use_up_anothers(room):
    """The kernel counts them for each user namespace: while one build has all it may have, another can fork."""
    room.add_busybox()
    program = room.add_file("program", static_elf.fills_up())
    full, beside = threading.Event(), []

    def log(data: bytes) -> None:
        if data and not full.is_set():
            full.set()
            beside.append(room.shell("for number in 1 2 3; do (sleep 0; echo $number); done"))

    spec = room.spec((str(program),), limits=limits(silence=1))
    result = run_sandbox(spec, build_identity(room.store), log=log)
    assert result.status == "silence"
    assert beside[0].result.status == "ok" and beside[0].text.split() == ["1", "2", "3"]

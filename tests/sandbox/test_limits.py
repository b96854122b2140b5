"""The limits of a build: each ends it, whatever it does against that."""

from __future__ import annotations

import pytest
import static_elf

from kiln.interpreter.derivation import Limits

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


def test_a_fork_bomb_is_contained_and_ends(room):
    """fork in a loop, in every process of it: the kernel refuses more than the sandbox's own number."""
    program = room.add_file("program", static_elf.repeats(static_elf.Call(57)))
    assert room.run(str(program), limits=limits(time=3)).result.status == "timeout"


def test_the_bomb_does_not_use_up_anothers_processes(room):
    """The number is the user namespace's own: as many again can be had beside it."""
    import threading

    bomb = room.add_file("bomb", static_elf.repeats(static_elf.Call(57)))
    spec = room.spec((str(bomb),), limits=limits(time=4))
    beside = threading.Thread(target=room.run_spec, args=(spec,))
    beside.start()
    room.add_busybox()
    ran = room.shell("sleep 1; for number in 1 2 3 4 5 6 7 8 9; do (sleep 0; echo $number); done")
    beside.join()
    assert ran.result.status == "ok" and ran.text.split() == list("123456789")

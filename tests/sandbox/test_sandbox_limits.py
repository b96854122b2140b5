"""The limits of a build: each ends it, whatever it does against that."""

from __future__ import annotations

import errno
import struct
import threading

import pytest
import static_elf

from kiln.interpreter.derivation import Limits
from kiln.interpreter.sandbox.run import build_identity, run_sandbox

pytestmark = pytest.mark.needs_namespaces


def limits(time=60, silence=60, log=1 << 20, **others):
    return Limits(time, silence, log, **others)


def limit_of(ran):
    """The limit that ended a build."""
    assert ran.result.status == "limit", ran
    return ran.result.exceeded.limit


def test_a_build_that_runs_too_long(room):
    program = room.add_file("program", static_elf.spins())
    assert limit_of(room.run(str(program), limits=limits(time=1))) == "time"


def test_a_build_that_writes_and_runs_too_long(shell):
    ran = shell("while true; do echo .; sleep 0.1; done", limits=limits(time=1, silence=1))
    assert limit_of(ran) == "time" and ran.text.startswith(".\n")


def test_a_build_that_is_silent(shell):
    ran = shell("echo begun; sleep 50", limits=limits(silence=1))
    assert limit_of(ran) == "silence" and ran.text == "begun\n"


def test_a_build_that_ignores_being_asked_to_end(shell):
    ran = shell("trap '' TERM INT HUP QUIT; echo deaf; while true; do sleep 1; done", limits=limits(silence=1))
    assert limit_of(ran) == "silence" and ran.text == "deaf\n"


def test_a_flood_is_cut(shell):
    ran = shell("yes flood", limits=limits(log=100_000))
    assert limit_of(ran) == "log"
    assert len(ran.log) == 100_000 < ran.result.log_size


def test_a_log_of_just_the_limit_passes(shell):
    ran = shell("head -c 100000 /dev/zero", limits=limits(log=100_000))
    assert (ran.result.status, ran.result.log_size, len(ran.log)) == ("ok", 100_000, 100_000)


def test_processes_without_end_are_refused_and_end(room):
    program = room.add_file("program", static_elf.fills_up())
    ran = room.run(str(program))
    assert limit_of(ran) == "processes" and ran.result.exceeded.found >= 4000
    assert static_elf.results(ran.log) in ([], [-errno.EAGAIN])


def test_one_builds_processes_do_not_use_up_anothers(room):
    """The kernel counts them for each user namespace: while one build has all it may have, another can fork."""
    room.add_busybox()
    program = room.add_file("program", static_elf.fills_up())
    full, beside = threading.Event(), []

    def log(data: bytes) -> None:
        if data and not full.is_set():
            full.set()
            beside.append(room.shell("for number in 1 2 3; do (sleep 0; echo $number); done"))

    result = run_sandbox(room.spec((str(program),)), build_identity(room.store), log=log)
    assert result.exceeded.limit == "processes"
    assert beside[0].result.status == "ok" and beside[0].text.split() == ["1", "2", "3"]


def test_few_processes(shell):
    ran = shell("for n in 1 2 3 4 5 6 7 8 9; do sleep 50 & done; wait", limits=limits(processes=8))
    assert limit_of(ran) == "processes" and 8 <= ran.result.exceeded.found <= 11


def test_memory_of_one_process(shell):
    # dd takes a buffer of its block's size.
    ran = shell("dd if=/dev/zero of=/dev/null bs=100M count=1000000", limits=limits(memory=50_000_000))
    assert limit_of(ran) == "memory" and ran.result.exceeded.found > 50_000_000
    assert "memory_group" in ran.result.enforced


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
def test_memory_that_files_take(shell, place):
    script = f"for n in 1 2 3 4 5 6; do head -c 10000000 /dev/zero > {place}/$n; done; sleep 50"
    assert limit_of(shell(script, limits=limits(memory=50_000_000))) == "memory"


SLEEP = static_elf.Call(35, (struct.pack("<qq", 30, 0), 0))
LARGE = 120_000_000
_SHARED = 0x8001  # MAP_SHARED | MAP_POPULATE
HIDDEN = {
    "a memfd": (static_elf.Call(319, (b"x", 0)), static_elf.Call(285, (3, 0, 0, LARGE))),
    "a shared mapping": (static_elf.Call(9, (0, LARGE, 3, _SHARED | 0x20, 2**64 - 1, 0)),),
    "a memfd that is mapped and closed": (
        static_elf.Call(319, (b"x", 0)),
        static_elf.Call(77, (3, LARGE)),
        static_elf.Call(9, (0, LARGE, 3, _SHARED, 3, 0)),
        static_elf.Call(3, (3,)),
    ),
    "a System V segment that nobody has mapped any more": (
        static_elf.Call(2, (b"/dev/zero", 0)),
        static_elf.Call(29, (0, LARGE, 0o1600)),
        static_elf.Call(30, (0, 0x10000000, 0)),
        static_elf.Call(0, (3, 0x10000000, LARGE)),
        static_elf.Call(67, (0x10000000,)),
    ),
}


@pytest.mark.parametrize("taken", HIDDEN)
def test_memory_that_is_shared(room, taken):
    program = room.add_file("program", static_elf.calls(*HIDDEN[taken], SLEEP))
    ran = room.run(str(program), limits=limits(memory=50_000_000))
    assert limit_of(ran) == "memory" and ran.result.exceeded.found > 50_000_000


def test_shared_memory_is_counted_once(shell):
    """Forked shells share what their parent has: five times 20 MB are not 100."""
    script = """
    text=$(head -c 20000000 /dev/zero | tr '\\0' x)
    for n in 1 2 3 4 5; do (sleep 0.6; true) & done
    wait; echo ${#text}
    """
    ran = shell(script, limits=limits(memory=95_000_000))
    assert ran.result.status == "ok" and ran.text == "20000000\n"


DISK = {
    "in its folder": "head -c 50000000 /dev/zero > file",
    "in an output": "mkdir $out; head -c 50000000 /dev/zero > $out/file",
    "in many files": "for n in $(seq 1 3000); do head -c 20000 /dev/zero > $n; done",
    "in a file that was removed": "exec 3> file; rm file; head -c 50000000 /dev/zero >&3",
    "behind a closed door": "mkdir -p a/b; head -c 50000000 /dev/zero > a/b/file; chmod 0 a/b a",
}


@pytest.mark.parametrize("script", DISK.values(), ids=DISK)
def test_disk(shell, script):
    ran = shell(f"{script}; sleep 50", limits=limits(disk=20_000_000))
    assert limit_of(ran) == "disk" and ran.result.exceeded.found > 20_000_000


def test_inputs_and_links_are_no_use_of_the_disk(room, shell):
    tree = room.add_tree("large", {"file": bytes(1) * 5_000_000})
    script = f"cat {tree}/file > copy; for n in 1 2 3 4 5; do ln copy $n; done; sleep 0.5; echo done"
    ran = shell(script, limits=limits(disk=9_000_000))
    assert ran.result.status == "ok" and ran.text == "done\n"

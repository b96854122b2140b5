"""One process, measured: wall time, processor time, peak memory, and how busy the machine was with other things.

Peak memory is that of the largest process among the command and those that it waited for, as the kernel counts it
(getrusage(2), ru_maxrss); a process starts with its parent's peak, so ours is reset first (proc(5), clear_refs).
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

QUIET = 0.25
"""How many processors others may keep busy in a run that counts as quiet."""
PATIENCE = 5.0
"""Seconds to wait for a quiet moment before a run."""
_TICK = 1 / os.sysconf("SC_CLK_TCK")
_TOLD = 3
"""How many of the last lines of stderr a failure shows."""


class Failed(Exception):
    """A measured command ended with an error, or a peer gave another answer than was expected."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is run: its words, its whole environment, its folder, what it reads."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str = "/"
    stdin: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Times in seconds, peak in MiB; `others` is in processors, on average over the run."""

    wall: float
    cpu: float
    peak: float
    others: float
    out: str = field(default="", repr=False)

    def less(self, start: Run) -> Run:
        """The same run without the time that the peer takes to start, measured just before."""
        return replace(
            self, wall=self.wall - start.wall, cpu=self.cpu - start.cpu, others=max(self.others, start.others)
        )

    @property
    def quiet(self) -> bool:
        return self.others <= QUIET


def measure(command: Command, patience: float = PATIENCE) -> Run:
    """Run a command to its end. Raises Failed with the end of what it wrote to stderr."""
    os.sync()
    wait_for_quiet(patience)
    _forget_peak()
    given, out, err = _memory(command.stdin), _memory(), _memory()
    try:
        busy, began = _busy_seconds(), time.perf_counter()
        process = _start(command, given, out, err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        others = _busy_seconds() - busy - usage.ru_utime - usage.ru_stime - _TICK
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            words, told = " ".join(command.argv[:6]), _text(err).split("\n")
            last = " / ".join([line.strip() for line in told if line.strip()][-_TOLD:])
            raise Failed(f"{words}: exit code {process.returncode}: {last}")
        return Run(
            wall,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss / 1024,
            max(0.0, others) / max(wall, 0.01),
            _text(out),
        )
    finally:
        for descriptor in (given, out, err):
            os.close(descriptor)


def run(command: Command) -> str:
    """Run a command that is not measured; what it wrote to stdout. Raises Failed."""
    return measure(command, patience=0).out


def wait_for_quiet(patience: float) -> None:
    """Return when others leave the machine alone, or when patience ends."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        before = _busy_seconds()
        time.sleep(0.1)
        if _busy_seconds() - before <= QUIET * 0.1:
            return


def _memory(text: str = "") -> int:
    """A file in memory that holds the text, at its beginning."""
    descriptor = os.memfd_create("bench")
    with open(descriptor, "w", encoding="utf-8", closefd=False) as file:
        file.write(text)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _start(command: Command, given: int, out: int, err: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command.argv, env=dict(command.env), cwd=command.cwd, stdin=given, stdout=out, stderr=err
        )
    except OSError as error:
        raise Failed(f"{command.argv[0]}: {error.strerror}") from error


def _text(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb", closefd=False) as file:
        return file.read().decode("utf-8", "replace")


def _busy_seconds() -> float:
    """Processor seconds used so far on the whole machine: the first line of /proc/stat, without idle and iowait."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) * _TICK


def _forget_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass  # a kernel without it: small commands' peaks then show ours

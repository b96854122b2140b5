"""Inside a sandbox's process namespace: process 1, which mounts, starts the builder and reaps; and the builder.

Process 1 stays until the builder ends, then exits, and with it the kernel kills whatever the builder left behind.
It dies itself when the launcher's process for this sandbox dies. It can't be seen, traced or signalled by the
builder: it isn't dumpable, /proc hides it, and the kernel drops signals to a namespace's first process that it
has no handler for.

Stand-alone: imported by the launcher under `python -I -S`.
"""

from __future__ import annotations

import _socket
import os
import resource
import select
import signal
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from kiln.interpreter.sandbox import syscalls, wire
from kiln.interpreter.sandbox.execute import Workshop
from kiln.interpreter.sandbox.operations import Builder, Operation, Plan, ResourceLimit

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_FACTS = {
    "cgroup": "cgroup_namespace",
    "ipc": "ipc_namespace",
    "mnt": "mount_namespace",
    "net": "network_namespace",
    "pid": "pid_namespace",
    "time": "time_namespace",
    "user": "user_namespace",
    "uts": "uts_namespace",
}
_EXEC_FAILED = 127
_UNLIMITED = resource.RLIM_INFINITY


class StepFailed(Exception):
    """An operation that the kernel refused."""

    def __init__(self, step: str, error: OSError) -> None:
        super().__init__(step)
        self.step = step
        self.error = error


def failure_message(step: str, error: Exception) -> dict[str, object]:
    """What Kiln is told of a failed step."""
    if isinstance(error, StepFailed):
        return failure_message(error.step, error.error)
    call, subject, number = repr(error), "", 0
    if isinstance(error, OSError):
        call, subject, number = str(error.strerror), str(error.filename or ""), error.errno or 0
    return {"failed": {"step": step, "call": call, "subject": subject, "errno": number}}


def namespaces_of(process: str) -> dict[str, str]:
    """The identity of each namespace of a process, by its name in /proc/<process>/ns."""
    return {name: os.readlink(f"/proc/{process}/ns/{name}") for name in NAMESPACES}


class Surroundings(NamedTuple):
    """What process 1 inherits: the channel to Kiln, the log's pipe, the filter, and the launcher's namespaces."""

    report: _socket.socket
    log: int
    program: bytes
    outside: dict[str, str]


def run_init(plan: Plan, shop: Workshop, around: Surroundings, alive: int) -> NoReturn:
    """Be process 1. `alive` is the reading end of a pipe that the launcher's process holds open."""
    try:
        _die_with_launcher(alive)
        syscalls.set_name("init")
        os.umask(0)
        perform(shop, plan.inside)
        # Neither traceable nor visible; the builder's own exec makes the builder so again.
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        builder = os.fork()
        if builder == 0:
            _run_builder(plan.builder, around)
        os.close(around.log)
        syscalls.set_capabilities(0)
        wire.send(around.report, {"exited": _reap_until(builder)})
    except Exception as error:
        wire.send(around.report, failure_message("process 1", error))
    finally:
        os._exit(0)


def perform(shop: Workshop, operations: Iterable[Operation]) -> None:
    """Perform operations in order. Raises StepFailed."""
    for operation in operations:
        try:
            shop.perform(operation)
        except OSError as error:
            raise StepFailed(type(operation).__name__, error) from error


def _die_with_launcher(alive: int) -> None:
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    # The launcher may have died before that; its process id can't be seen from here, its pipe can.
    waiting = select.poll()
    waiting.register(alive, 0)
    if waiting.poll(0):
        os._exit(1)


def _reap_until(builder: int) -> int:
    """Reap every child, also those that the builder's descendants left; the builder's wait status."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == builder:
            return status


def _run_builder(builder: Builder, around: Surroundings) -> NoReturn:
    step = "builder"
    try:
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
        _set_streams(around.log)
        degraded = _set_limits(builder)
        os.umask(builder.umask)
        os.chdir(builder.cwd)
        syscalls.personality(builder.personality)
        syscalls.empty_bounding_set()
        syscalls.set_capabilities(0)
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        syscalls.install_filter(around.program, syscalls.SECCOMP_FILTER_FLAG_SPEC_ALLOW)
        wire.send(around.report, {"ready": _facts(around.outside), "degraded": degraded})
        step = "Exec"
        os.execve(builder.argv[0], builder.argv, dict(builder.env))
    except Exception as error:
        wire.send(around.report, failure_message(step, error))
    finally:
        os._exit(_EXEC_FAILED)


def _set_streams(log: int) -> None:
    """A session of its own, nothing to read, both outputs to the log; every other descriptor ends at the exec."""
    os.setsid()
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    syscalls.close_on_exec_from(3)


def _set_limits(builder: Builder) -> list[str]:
    """Set the fixed limits; what this user may not have is lowered to what he may, and named."""
    _write_score(builder.out_of_memory)
    degraded = []
    for limit in builder.limits:
        soft, hard = _allowed(limit)
        if (soft, hard) != (limit.soft, limit.hard) and limit.hard != _UNLIMITED:
            degraded.append(f"rlimit {limit.resource}: {hard} instead of {limit.hard}")
        resource.setrlimit(limit.resource, (soft, hard))
    return degraded


def _allowed(limit: ResourceLimit) -> tuple[int, int]:
    """The limit itself, or the machine's where that is lower: a hard limit can only be lowered."""
    _, ceiling = resource.getrlimit(limit.resource)
    if ceiling == _UNLIMITED:
        return limit.soft, limit.hard
    hard = ceiling if limit.hard == _UNLIMITED else min(limit.hard, ceiling)
    return (hard if limit.soft == _UNLIMITED else min(limit.soft, hard)), hard


def _write_score(score: int) -> None:
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    os.write(descriptor, str(score).encode())
    os.close(descriptor)


def _facts(outside: dict[str, str]) -> dict[str, bool]:
    """What is in force for this very process, as the kernel tells it."""
    facts = {_FACTS[name]: found != outside[name] for name, found in namespaces_of("self").items()}
    lines = _read("/proc/self/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    capabilities = {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    facts["seccomp"] = status["Seccomp"] == "2"
    facts["no_new_privileges"] = status["NoNewPrivs"] == "1"
    facts["no_capabilities"] = capabilities == {0}
    facts["fixed_addresses"] = _read("/proc/self/personality").strip() == "00040000"
    facts["root_read_only"] = bool(os.statvfs("/").f_flag & os.ST_RDONLY)
    return facts


def _read(path: str) -> str:
    # Not open(): it would look for an encoding's module, and Python's library is no longer there.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1 << 16).decode()
    finally:
        os.close(descriptor)

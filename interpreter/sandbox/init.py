"""Inside a sandbox's process namespace: process 1, which mounts, starts the builder and reaps; and the builder.

Process 1 stays until the builder ends, then exits, and with it the kernel kills whatever the builder left behind.
It dies itself when the launcher's process for this sandbox dies. It can't be seen, traced or signalled by the
builder: it isn't dumpable, /proc hides it, and the kernel drops signals to a namespace's first process that it
has no handler for.

Stand-alone: imported by the launcher under `python -I -S`.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import resource
import select
import signal
import time
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from kiln.interpreter.sandbox import syscalls, wire, world
from kiln.interpreter.sandbox.answers import answer
from kiln.interpreter.sandbox.execute import Workshop
from kiln.interpreter.sandbox.operations import Builder, Operation, Plan, ResourceLimit
from kiln.interpreter.sandbox.watch import Exceeded, Watcher

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
_TIOCSCTTY = 0x540E
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


class Filters(NamedTuple):
    """The system call filter, once with the calls that process 1 answers, once where a listener is refused."""

    asking: bytes
    plain: bytes


class Surroundings(NamedTuple):
    """What process 1 inherits: the channel to Kiln, the log's pipe or the builder's three streams, the filters, and
    the launcher's namespaces.
    """

    report: _socket.socket
    streams: tuple[int, ...]
    filters: Filters
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
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        wake = _wake_on_children()
        builder = os.fork()
        if builder == 0:
            ours.close()
            _run_builder(plan.builder, around, theirs)
        theirs.close()
        close_all(around.streams)
        # To answer a call, its caller's memory is written to; to measure what a build holds, its folders are read.
        syscalls.set_capabilities(1 << syscalls.CAP_SYS_PTRACE | 1 << syscalls.CAP_DAC_READ_SEARCH)
        ended = _serve(builder, wake, ours, Watcher(plan.watch))
        wire.send(around.report, {"exited": ended} if type(ended) is int else {"exceeded": ended})
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


def _wake_on_children() -> int:
    """A descriptor that can be read when a child has ended."""
    wake, waker = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return wake


def _serve(builder: int, wake: int, filters: _socket.socket, watcher: Watcher) -> int | Exceeded:
    """Reap children, answer calls and look at limits until the end: the builder's status, or what was too much."""
    look_at = time.monotonic() + watcher.pause
    listener: int | None = None
    events = select.poll()
    events.register(wake, select.POLLIN)
    events.register(filters.fileno(), select.POLLIN)
    while True:
        ready = dict(events.poll(max(0.0, look_at - time.monotonic()) * 1000))
        if wake in ready:
            os.read(wake, 4096)
        status = _reap(builder)
        if status is not None:
            return status
        if time.monotonic() >= look_at:
            exceeded = watcher.look()
            if exceeded is not None:
                return exceeded
            look_at = time.monotonic() + watcher.pause
        if filters.fileno() in ready:
            events.unregister(filters.fileno())
            listener = _receive_listener(filters)
            if listener is not None:
                events.register(listener, select.POLLIN)
        if listener is not None and listener in ready:
            if ready[listener] & select.POLLIN:
                answer(listener)
            else:
                events.unregister(listener)


def _reap(builder: int) -> int | None:
    """Reap every child that has ended, also those that the builder's descendants left; the builder's wait status."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == builder:
            return status
        if pid == 0:
            return None


def _receive_listener(filters: _socket.socket) -> int | None:
    _, ancillary, _, _ = filters.recvmsg(1, _socket.CMSG_SPACE(4))
    filters.close()
    for _, _, data in ancillary:
        return int.from_bytes(data[:4], "little")
    return None


def _run_builder(builder: Builder, around: Surroundings, filters: _socket.socket) -> NoReturn:
    step = "builder"
    try:
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
        _set_streams(around.streams)
        degraded = set_limits(builder)
        os.umask(builder.umask)
        os.chdir(builder.cwd)
        syscalls.personality(builder.personality)
        syscalls.empty_bounding_set()
        syscalls.set_capabilities(0)
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        degraded += _install_filter(around.filters, filters)
        wire.send(around.report, {"ready": _facts(around.outside), "degraded": degraded})
        step = "Exec"
        os.execve(builder.argv[0], builder.argv, dict(builder.env))
    except Exception as error:
        wire.send(around.report, failure_message(step, error))
    finally:
        os._exit(_EXEC_FAILED)


def _install_filter(programs: Filters, filters: _socket.socket) -> list[str]:
    """Install the filter and hand its listener to process 1; what is missing where there can be no listener."""
    flags = syscalls.SECCOMP_FILTER_FLAG_SPEC_ALLOW
    try:
        listener = syscalls.install_filter(programs.asking, flags | syscalls.SECCOMP_FILTER_FLAG_NEW_LISTENER)
    except OSError as error:
        # EBUSY: Kiln itself runs under a filter that has a listener, as in some containers.
        if error.errno != errno.EBUSY:
            raise
        syscalls.install_filter(programs.plain, flags)
        return ["the kernel's release, the memory's size and the number of processors are the host's"]
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, listener.to_bytes(4, "little"))
    filters.sendmsg([b"1"], [rights])
    return []


def close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _set_streams(streams: tuple[int, ...]) -> None:
    """A session of its own, nothing to read, both outputs to the log; every other descriptor ends at the exec."""
    os.setsid()
    if len(streams) == 1:
        streams = (os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), *streams, *streams)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    if os.isatty(0):
        fcntl.ioctl(0, _TIOCSCTTY, 0)
    syscalls.close_on_exec_from(3)


def set_limits(builder: Builder) -> list[str]:
    """Set the fixed limits and the score; what this user may not have is lowered to what he may, and named."""
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
    uname = os.uname()
    return facts_of("self", outside) | {
        "host_hidden": (uname.nodename, uname.release) == (world.HOST, world.RELEASE),
        "root_read_only": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
    }


def facts_of(process: str, outside: dict[str, str]) -> dict[str, bool]:
    """What the kernel says to be in force for a process; `outside` are the namespaces of who is not confined."""
    facts = {_FACTS[name]: found != outside[name] for name, found in namespaces_of(process).items()}
    lines = read_file(f"/proc/{process}/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    capabilities = {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    facts["seccomp"] = status["Seccomp"] == "2"
    facts["no_new_privileges"] = status["NoNewPrivs"] == "1"
    facts["no_capabilities"] = capabilities == {0}
    facts["fixed_addresses"] = read_file(f"/proc/{process}/personality").strip() == "00040000"
    return facts


def read_file(path: str) -> str:
    """A short file of the kernel's."""
    # Not open(): it would look for an encoding's module, and Python's library is no longer there.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1 << 16).decode()
    finally:
        os.close(descriptor)

"""The launcher: a small warm process that forks one process for each sandbox.

Kiln starts it once, as `python -I -S -c "… main()"`, with one end of a socket pair as its standard input; it holds
none of Kiln's threads, locks, descriptors or databases, so forking it is safe and takes well under a millisecond. One
fork always stands by, so that a request finds it ready. A request is one byte with descriptors: the sandbox's own
channel (see `wire.py`), and the writing end of its log's pipe, or the builder's three streams.

    Kiln ── launcher ──fork── one process a sandbox ──fork── process 1 ──fork── the builder
              │ control             │ waits, kills               │ mounts, reaps
              └ ends with Kiln      └ ends with its channel      └ ends with its parent

Whoever dies takes along what is below: the launcher ends when its control socket closes; a sandbox's process when
its channel closes (it kills process 1 first) or the launcher dies; process 1, and with it the whole process
namespace, when that process dies. A sandbox's process reports `ended` only after process 1 was reaped, and the
kernel lets process 1 be reaped only when no other process of the namespace is left.

Stand-alone: standard library only, nothing of Kiln's outside this folder.
"""

from __future__ import annotations

import _socket
import gc
import os
import select
import signal
import time
from typing import NoReturn

from kiln.interpreter.sandbox import seccomp, syscalls, wire
from kiln.interpreter.sandbox.execute import Workshop
from kiln.interpreter.sandbox.init import (
    Filters,
    Surroundings,
    close_all,
    failure_message,
    namespaces_of,
    perform,
    run_init,
)
from kiln.interpreter.sandbox.operations import Builder, Plan, decode_plan, encode_plan
from kiln.interpreter.sandbox.watch import Watch

_DESCRIPTORS = 4
_ANY_PLAN = encode_plan(Plan((), (), Builder(("",), (), "", 0, (), 0, 0), Watch(1, 0, 0)))


def main() -> NoReturn:
    """Serve the control socket on descriptor 0 until it closes."""
    control = _take_control()
    filters = Filters(seccomp.build_filter(ask=True), seccomp.build_filter(ask=False))
    outside = namespaces_of("self")
    # Builders inherit this: Python ignores SIGPIPE, and whoever started it may have ignored or blocked others.
    syscalls.reset_signals()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # Children that nobody waits for: the kernel reaps them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # What is here now is shared by every fork; the collector must not touch, and so copy, its pages.
    gc.disable()
    gc.freeze()
    while True:
        waiting, taken = os.pipe()
        launcher = os.getpid()
        if os.fork() == 0:
            os.close(waiting)
            _stand_by(control, taken, launcher, filters, outside)
        os.close(taken)
        _until_taken(waiting, control)
        os.close(waiting)


def _stand_by(
    control: _socket.socket, taken: int, launcher: int, filters: Filters, outside: dict[str, str]
) -> NoReturn:
    """Wait for a request, let the launcher fork the next process to wait, and serve the request."""
    _die_with(launcher)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # What this touches is copied now, and not while a build waits.
    decode_plan(_ANY_PLAN)
    request, descriptors = _receive(control)
    if not request:
        os._exit(0)
    os.close(taken)
    control.close()
    channel = _socket.socket(fileno=descriptors[0])
    _run_sandbox(channel, Surroundings(channel, tuple(descriptors[1:]), filters, outside), launcher)


def _until_taken(waiting: int, control: _socket.socket) -> None:
    """Return when the process that stands by has a request, or is gone; end when Kiln is gone."""
    events = select.poll()
    events.register(waiting, 0)
    events.register(control.fileno(), 0)
    if control.fileno() in {descriptor for descriptor, _ in events.poll()}:
        os._exit(0)


def _take_control() -> _socket.socket:
    """The control socket, moved away from descriptor 0, which must not be free: a later open() would get it."""
    control = _socket.socket(fileno=os.dup(0))
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.close(nothing)
    return control


def _receive(control: _socket.socket) -> tuple[bytes, list[int]]:
    request, ancillary, _, _ = control.recvmsg(1, _socket.CMSG_SPACE(4 * _DESCRIPTORS))
    descriptors: list[int] = []
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            whole = len(data) - len(data) % 4
            descriptors += (int.from_bytes(data[at : at + 4], "little") for at in range(0, whole, 4))
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return request, descriptors


def _run_sandbox(channel: _socket.socket, around: Surroundings, launcher: int) -> NoReturn:
    """One sandbox, from its plan to its end."""
    try:
        data = wire.receive_bytes(channel)
        if data is not None:
            _launch(decode_plan(data), channel, around, launcher)
    except Exception as error:
        wire.send(channel, failure_message("launch", error))
        wire.send(channel, {"ended": None})
    finally:
        os._exit(0)


def _launch(plan: Plan, channel: _socket.socket, around: Surroundings, launcher: int) -> None:
    shop = Workshop()
    began = time.monotonic()
    perform(shop, plan.enter)
    # A change of user forgets the signal that comes with the parent's death.
    _die_with(launcher)
    alive, held = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(held)
        run_init(plan, shop, around, alive)
    close_all(around.streams)
    _wait_or_kill(first, channel)
    _, _, usage = os.wait4(first, 0)
    wire.send(
        channel,
        {
            "ended": {
                "cpu": usage.ru_utime + usage.ru_stime,
                "wall": time.monotonic() - began,
                "maxrss": usage.ru_maxrss * 1024,
            }
        },
    )


def _wait_or_kill(first: int, channel: _socket.socket) -> None:
    """Return when process 1 has ended; kill it when Kiln says anything or goes away."""
    process = os.pidfd_open(first)
    waiting = select.poll()
    waiting.register(process, select.POLLIN)
    waiting.register(channel.fileno(), select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in waiting.poll()}
        if channel.fileno() in ready:
            signal.pidfd_send_signal(process, signal.SIGKILL)
            waiting.unregister(channel.fileno())
        if process in ready:
            os.close(process)
            return


def _die_with(launcher: int) -> None:
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:
        os._exit(1)

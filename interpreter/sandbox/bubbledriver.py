"""The process that runs bubblewrap for one sandbox, and tells Kiln of it as our own launcher does (see `wire.py`).

    Kiln ── this ──fork── bubblewrap ──fork── its process 1 ──fork── the starter, which becomes the builder
      channel on descriptor 3

It becomes the user who builds, sets what a build inherits (limits, umask, personality, score), and executes
bubblewrap. What is in force is read from the kernel, of the very process that becomes the builder, while the starter
waits in it. `ended` is sent when process 1 of the namespace is gone, and so everything in it.

bubblewrap's own messages go to a pipe of their own until the builder starts: they say why it could not.

Stand-alone: standard library only.
"""

from __future__ import annotations

import _socket
import fcntl
import json
import os
import select
import signal
import time
from typing import Any, NoReturn

from kiln.interpreter.sandbox import seccomp, syscalls, wire
from kiln.interpreter.sandbox.init import facts_of, failure_message, namespaces_of, read_file, set_limits
from kiln.interpreter.sandbox.operations import Builder, ResourceLimit
from kiln.interpreter.sandbox.starter import STATUS, starter

_CHANNEL = 3
_FIRST = 210
"""Descriptors that bubblewrap is given by number begin here, above the starter's."""


def main() -> NoReturn:
    """Serve the one request on descriptor 3."""
    channel = _socket.socket(fileno=os.dup(_CHANNEL))
    os.close(_CHANNEL)
    syscalls.reset_signals()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        data = wire.receive_bytes(channel)
        if data is not None:
            _Run(channel, json.loads(data)).run()
    except Exception as error:
        wire.send(channel, failure_message("Bubblewrap", error))
        wire.send(channel, {"ended": None})
    finally:
        os._exit(0)


class _Run:
    """One sandbox. Descriptors: 0 to 2 are the builder's streams until bubblewrap has its own."""

    def __init__(self, channel: _socket.socket, request: dict[str, Any]) -> None:
        self._channel = channel
        self._request = request
        argv, env, cwd, umask, limits, personality, score = request["builder"]
        self._builder = Builder(
            tuple(argv),
            tuple((name, value) for name, value in env),
            cwd,
            umask,
            tuple(ResourceLimit(*limit) for limit in limits),
            personality,
            score,
        )
        self._degraded: list[str] = request["degraded"]

    def run(self) -> None:
        began = time.monotonic()
        self._step_down()
        outside = namespaces_of("self")
        go_read, self._go = os.pipe()
        self._said, said = os.pipe()
        self._here, here = os.pipe()
        self._told, told = os.pipe()
        self._degraded += set_limits(self._builder)
        bwrap = os.fork()
        if bwrap == 0:
            self._become_bubblewrap(go_read, said, here, told)
        for descriptor in (go_read, said, here, told, 0, 1, 2):
            os.close(descriptor)
        first = self._start(bwrap, outside)
        _, status, usage = os.wait4(bwrap, 0)
        if first is not None:
            _until_gone(first)
        if not self._failed_to_execute():
            wire.send(self._channel, {"exited": status})
        used = {
            "cpu": usage.ru_utime + usage.ru_stime,
            "wall": time.monotonic() - began,
            "maxrss": usage.ru_maxrss << 10,
        }
        wire.send(self._channel, {"ended": used})

    def _step_down(self) -> None:
        group = self._request["group"]
        if group is not None:
            descriptor = os.open(f"{group}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            os.write(descriptor, b"0")
            os.close(descriptor)
        if self._request["identity"] is not None:
            user, group = self._request["identity"]
            os.setgroups([])
            os.setresgid(group, group, group)
            os.setresuid(user, user, user)
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)

    def _become_bubblewrap(self, go: int, said: int, here: int, told: int) -> NoReturn:
        try:
            # When this process is killed, bubblewrap is, and so what it started (--die-with-parent).
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
            contents = [content.encode("utf-8", "surrogateescape") for content in self._request["files"]]
            files = [_memory_file(content) for content in contents]
            words = [str(files[word]) if isinstance(word, int) else word for word in self._request["arguments"]]
            program = _memory_file(starter())
            rules = _memory_file(seccomp.build_filter(ask=False))
            words += ["--seccomp", str(rules), "--json-status-fd", str(_keep(told))]
            os.dup2(go, 0)
            os.dup2(said, 2)
            os.dup2(here, STATUS)
            os.umask(self._builder.umask)
            syscalls.personality(self._builder.personality)
            # By a descriptor they may be of any length.
            arguments = _memory_file(b"".join(os.fsencode(word) + b"\0" for word in words))
            command = ["--", f"/proc/self/fd/{program}", *self._builder.argv]
            os.execve(self._request["program"], ["bwrap", "--args", str(arguments), *command], {})
        except OSError as error:
            os.write(said, f"{error}".encode())
        finally:
            os._exit(127)

    def _start(self, bwrap: int, outside: dict[str, str]) -> int | None:
        """Wait for the starter, say what is in force, and let it go; the descriptor of the namespace's process 1.

        None where bubblewrap ended instead, which is told.
        """
        waiting = select.poll()
        waiting.register(self._here, select.POLLIN)
        waiting.register(self._channel.fileno(), select.POLLIN)
        ready = {descriptor for descriptor, _ in waiting.poll()}
        if self._channel.fileno() in ready:
            os.kill(bwrap, signal.SIGKILL)
        if not os.read(self._here, 1):
            message = os.read(self._said, 4096).decode("utf-8", "replace").strip() or "bwrap ended at once"
            wire.send(self._channel, failure_message("Bubblewrap", OSError(0, message, self._request["program"])))
            return None
        told = json.loads(os.read(self._told, 4096).splitlines()[0])
        first = os.pidfd_open(told["child-pid"])
        process = _only_child(told["child-pid"])
        facts = facts_of(process, outside) | {"bubblewrap": True}
        wire.send(self._channel, {"ready": facts, "degraded": self._degraded})
        os.write(self._go, b"1")
        self._until_end(bwrap, first)
        return first

    def _until_end(self, bwrap: int, first: int) -> None:
        """Return when process 1 has ended; kill everything when Kiln says anything or goes away."""
        waiting = select.poll()
        waiting.register(first, select.POLLIN)
        waiting.register(self._channel.fileno(), select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in waiting.poll()}
            if self._channel.fileno() in ready:
                os.kill(bwrap, signal.SIGKILL)
                waiting.unregister(self._channel.fileno())
            if first in ready:
                return

    def _failed_to_execute(self) -> bool:
        """Whether the starter said why it could not become the builder, which is told."""
        number = os.read(self._here, 4)
        if len(number) < 4:
            return False
        error = OSError(int.from_bytes(number, "little"), "execve", self._builder.argv[0])
        wire.send(self._channel, failure_message("Exec", error))
        return True


def _memory_file(content: bytes) -> int:
    """A descriptor to read `content` from, which the next program inherits."""
    made = os.memfd_create("kiln", 0)
    os.write(made, content)
    os.lseek(made, 0, os.SEEK_SET)
    kept = _keep(made)
    os.close(made)
    return kept


def _keep(descriptor: int) -> int:
    """A copy above what the starter uses, which the next program inherits."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, _FIRST)


def _until_gone(process: int) -> None:
    waiting = select.poll()
    waiting.register(process, select.POLLIN)
    waiting.poll()


def _only_child(process: int) -> str:
    return read_file(f"/proc/{process}/task/{process}/children").split()[0]

"""Kiln's side of the launcher: start it, hand it sandboxes, end it.

The launcher is executed, never forked, so that it is small and inherits no lock of a thread. One launcher serves
any number of sandboxes at once, and any number of threads.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from types import TracebackType
from typing import Protocol, Self
from weakref import WeakSet

import kiln
from kiln.interpreter.sandbox.errors import HelperDied
from kiln.interpreter.sandbox.operations import Plan, encode_plan

_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from kiln.interpreter.sandbox.launcher import main; main()"


class Engine(Protocol):
    """What runs sandboxes: takes a plan in an encoding of its own, and tells of one as `wire.py` says."""

    lends_mount_points: bool
    """Whether a directory with mount points of an earlier build is of use."""

    def encode(self, plan: Plan) -> bytes: ...

    def open(self, *streams: int) -> socket.socket: ...


class Launcher:
    """A running launcher. Close it, or let its `with` block end, to kill what it still runs.

    `python` is any Python of at least 3.11 and `folder` what it imports `kiln` from; unless given, those of this
    process. Raises HelperDied.
    """

    lends_mount_points = True

    def __init__(self, python: str | None = None, folder: str | None = None) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with theirs:
            self.pid = _spawn(theirs.fileno(), python or sys.executable, folder or own_folder())
        self._control = ours

    def encode(self, plan: Plan) -> bytes:
        """What a sandbox's process is told."""
        return encode_plan(plan)

    def open(self, *streams: int) -> socket.socket:
        """A channel to a new sandbox. Its builder's output goes to the one descriptor, and it has nothing to read; or
        its three streams are these three, and a terminal among them is its own. Raises HelperDied.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            with theirs:
                socket.send_fds(self._control, [b"1"], [theirs.fileno(), *streams])
        except OSError as error:
            ours.close()
            raise HelperDied("the launcher of sandboxes is gone", found=str(error)) from error
        return ours

    def close(self) -> None:
        """End the launcher, and so every sandbox that it runs; from any thread. Waits for the launcher alone."""
        self._control.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_shared: Launcher | None = None
_others: WeakSet[socket.socket] = WeakSet()
_guard = threading.Lock()


def shared_launcher() -> Launcher:
    """This process's launcher, started on first use; it ends with this process."""
    global _shared
    with _guard:
        if _shared is None:
            _shared = Launcher()
        return _shared


def known(channel: socket.socket) -> socket.socket:
    """A channel to a sandbox of another engine, which `kill_sandboxes` is to end, too."""
    with _guard:
        _others.add(channel)
    return channel


def kill_sandboxes() -> None:
    """Kill every sandbox that this process runs, as after Ctrl-C; who follows one gets HelperDied."""
    global _shared
    with _guard:
        launcher, _shared = _shared, None
        for channel in _others:
            with contextlib.suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)
    if launcher is not None:
        launcher.close()


def own_folder() -> str:
    """What a process of ours imports `kiln` from."""
    return os.path.dirname(os.path.abspath(next(iter(kiln.__path__))))


def _spawn(control: int, python: str, folder: str) -> int:
    try:
        return os.posix_spawn(
            python,
            [python, "-I", "-S", "-c", _BOOT, folder],
            {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, control, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            ],
            # Ctrl-C on a terminal goes to Kiln alone, which then ends its sandboxes in order.
            setsid=True,
        )
    except OSError as error:
        raise HelperDied("the launcher of sandboxes can't be started", found=f"{python}: {error.strerror}") from error

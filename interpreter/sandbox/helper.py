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
from typing import Self

import kiln
from kiln.interpreter.sandbox.errors import HelperDied

_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from kiln.interpreter.sandbox.launcher import main; main()"


class Launcher:
    """A running launcher. Close it, or let its `with` block end, to kill what it still runs."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with theirs:
            self._pid = _spawn(theirs.fileno())
        self._control = ours

    def open(self, log: int) -> socket.socket:
        """A channel to a new sandbox whose output goes to the descriptor `log`. Raises HelperDied."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            with theirs:
                socket.send_fds(self._control, [b"1"], [theirs.fileno(), log])
        except OSError as error:
            ours.close()
            raise HelperDied("the launcher of sandboxes is gone", found=str(error)) from error
        return ours

    def close(self) -> None:
        """End the launcher and every sandbox that it runs; wait until it has ended."""
        self._control.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_shared: Launcher | None = None
_guard = threading.Lock()


def shared_launcher() -> Launcher:
    """This process's launcher, started on first use; it ends with this process."""
    global _shared
    with _guard:
        if _shared is None:
            _shared = Launcher()
        return _shared


def _spawn(control: int) -> int:
    root = os.path.dirname(os.path.abspath(next(iter(kiln.__path__))))
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", "-c", _BOOT, root],
        {},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, control, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        ],
        # Ctrl-C on a terminal goes to Kiln alone, which then ends its sandboxes in order.
        setsid=True,
    )

"""Entering a sandbox by hand: the same operations as a build's, with the user's own streams and another program.

Nobody follows a log here and no limit of time holds. Where the streams are a terminal, it has to be one of its own (a
pseudo-terminal): it becomes the controlling terminal of what runs in there.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from kiln.interpreter.derivation import MOST_PROCESSES, Limits
from kiln.interpreter.sandbox import wire
from kiln.interpreter.sandbox.diagnose import explain_failure
from kiln.interpreter.sandbox.errors import HelperDied
from kiln.interpreter.sandbox.helper import Engine, shared_launcher
from kiln.interpreter.sandbox.machine import check_machine
from kiln.interpreter.sandbox.plan import plan_sandbox
from kiln.interpreter.sandbox.spec import Identity, SandboxSpec

SHELLS = ("bash", "dash", "ash", "sh", "zsh", "busybox")


def spec_to_enter(spec: SandboxSpec, argv: Sequence[str]) -> SandboxSpec:
    """The same sandbox for another program, held by no limit but that of processes."""
    return replace(spec, argv=tuple(argv), limits=Limits(processes=MOST_PROCESSES))


def missing_inputs(spec: SandboxSpec) -> list[str]:
    """Store paths that the sandbox would show and that are no longer there."""
    return [str(path) for physical, path in spec.inputs if not os.path.lexists(physical)]


def find_shell(spec: SandboxSpec) -> tuple[str, ...] | None:
    """The arguments that start a shell which the sandbox holds: the builder's own, a link's, or an input's."""
    if os.path.basename(spec.argv[0]) in SHELLS:
        return _shell(spec.argv[0])
    if any(link == "/bin/sh" for link, _ in spec.links):
        return ("/bin/sh",)
    for name in SHELLS:
        for physical, path in spec.inputs:
            found = f"{physical}/bin/{name}"
            # A link may lead into another input, which has no path of this name out here.
            if os.path.islink(found) or os.access(found, os.X_OK):
                return _shell(f"{path}/bin/{name}")
    return None


def _shell(path: str) -> tuple[str, ...]:
    return (path, "sh") if os.path.basename(path) == "busybox" else (path,)


class Entered:
    """A sandbox that runs. `fileno` can be waited for; leaving the `with` block kills what still runs in it."""

    def __init__(
        self, spec: SandboxSpec, identity: Identity, streams: tuple[int, int, int], engine: Engine | None = None
    ) -> None:
        self._spec = spec
        self._messages: dict[str, Any] = {}
        runs = engine or shared_launcher()
        plan = runs.encode(plan_sandbox(spec, identity))
        self._channel = runs.open(*streams)
        wire.send_bytes(self._channel, plan)

    def fileno(self) -> int:
        return self._channel.fileno()

    def read(self) -> int | None:
        """Take the message that is there; the program's wait status once no process is left. Raises SandboxError."""
        message = wire.receive(self._channel)
        if message is None:
            raise HelperDied("the process that watches over this sandbox was killed")
        self._messages |= message
        if "ended" not in self._messages:
            return None
        if "failed" in self._messages:
            raise explain_failure(self._messages["failed"], self._spec, check_machine())
        return int(self._messages.get("exited", 9))

    def wait(self) -> int:
        """The program's wait status, when no process is left. Raises SandboxError."""
        while (status := self.read()) is None:
            pass
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
            while "ended" not in self._messages and (message := wire.receive(self._channel)) is not None:
                self._messages |= message
        self._channel.close()

"""Running one build in a sandbox: plan it, launch it, follow its log, hold its limits, collect its outputs.

    spec ──plan──► operations ──launcher──► builder ──► log, end ──collect──► SandboxResult

The calling thread follows one sandbox. Root needs a store that another user owns: that owner is who builds
(`build_identity`), and the build's directories are handed over to him first.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kiln.interpreter.sandbox import wire
from kiln.interpreter.sandbox.collect import Collected, collect
from kiln.interpreter.sandbox.diagnose import explain_failure
from kiln.interpreter.sandbox.errors import HelperDied, SandboxError, StoreOwnedByRoot
from kiln.interpreter.sandbox.groups import exceeded, find_base, group_for
from kiln.interpreter.sandbox.helper import Engine, shared_launcher
from kiln.interpreter.sandbox.machine import check_machine, is_lone_root
from kiln.interpreter.sandbox.mountpoints import Lent, MountPoints
from kiln.interpreter.sandbox.plan import plan_sandbox
from kiln.interpreter.sandbox.result import SandboxResult, Status, Usage
from kiln.interpreter.sandbox.spec import Identity, SandboxSpec
from kiln.interpreter.sandbox.watch import Exceeded

_CHUNK = 1 << 16
_PAUSE = 0.5
"""Seconds without output after which `log` gets an empty piece."""
_KILL_PATIENCE = 60.0
"""Seconds that a killed sandbox may take to end: the kernel frees its memory first."""


def build_identity(store_dir: str) -> Identity:
    """Who builds for the store whose objects lie in `store_dir`: its owner. Raises StoreOwnedByRoot."""
    found = os.stat(store_dir)
    lone = is_lone_root()
    if found.st_uid == 0 and not lone:
        raise StoreOwnedByRoot(
            "builds never run as root, and root owns this store",
            found=f"{store_dir} belongs to user 0",
            expected="a store that an unprivileged user id owns",
            help=f"chown -R <a user id for builds> {store_dir}",
        )
    if os.geteuid() == 0 and not lone:
        return Identity(found.st_uid, found.st_gid, as_root=True)
    return Identity(os.geteuid(), os.getegid(), as_root=False)


def run_sandbox(
    spec: SandboxSpec,
    identity: Identity,
    *,
    log: Callable[[bytes], None],
    engine: Engine | None = None,
    mount_points: MountPoints | None = None,
) -> SandboxResult:
    """Run a build and return when no process of it is left.

    `engine` is this process's shared launcher unless given; `mount_points` saves most of what large closures cost.
    `log` gets the builder's output in pieces as it comes, from the calling thread, and an empty piece when it
    pauses, which is the time to flush. Raises SandboxError when the
    sandbox can't be made; a builder that fails or runs into a limit is a result.
    """
    owner = (identity.uid, identity.gid) if identity.as_root else None
    _hand_over(spec, owner)
    if mount_points is None or (engine is not None and not engine.lends_mount_points):
        following = _follow(spec, identity, log, engine)
        return following.result(collect(spec, Lent(spec.out_dir)))
    bases = frozenset(path.base for _, path in spec.inputs)
    lent = mount_points.lend(bases, owner)
    following = _follow(replace(spec, out_dir=lent.path), identity, log, engine)
    collected = collect(spec, lent)
    mount_points.give_back(lent, bases)
    return following.result(collected)


def _follow(spec: SandboxSpec, identity: Identity, log: Callable[[bytes], None], engine: Engine | None) -> _Following:
    """From the plan to the sandbox's end. Raises SandboxError."""
    with group_for(spec.limits, groups_base()) as group:
        return _follow_in(spec, identity, group, log, engine)


@functools.cache
def groups_base() -> str | None:
    """Where this process makes control groups for builds, if it may anywhere."""
    return find_base()


def _follow_in(
    spec: SandboxSpec,
    identity: Identity,
    group: str | None,
    log: Callable[[bytes], None],
    engine: Engine | None,
) -> _Following:
    runs = engine or shared_launcher()
    plan = runs.encode(plan_sandbox(spec, identity, group))
    reading, writing = os.pipe()
    try:
        try:
            channel = runs.open(writing)
        finally:
            os.close(writing)
        with channel:
            following = _Following(spec, channel, reading, log, group)
            following.run(plan)
            # A builder may have coped with what the kernel refused it, and then ended well.
            if following.verdict()[0] in ("exit", "signal"):
                following.limit = exceeded(group, spec.limits)
    finally:
        os.close(reading)
    return following


def _hand_over(spec: SandboxSpec, owner: tuple[int, int] | None) -> None:
    """The folders that a builder sees: its own, and of the same mode whatever umask they were made under."""
    for folder, mode in ((spec.build_dir, 0o755), (spec.out_dir, 0o755), (spec.tmp_dir, 0o1777)):
        if folder is not None:
            os.chmod(folder, mode)
            if owner is not None:
                os.chown(folder, *owner)


class _Following:
    """One sandbox that runs: its log and its messages until its end."""

    def __init__(
        self,
        spec: SandboxSpec,
        channel: socket.socket,
        reading: int,
        log: Callable[[bytes], None],
        group: str | None,
    ) -> None:
        self._spec = spec
        self._group = group
        self._channel = channel
        self._reading = reading
        self._log = log
        self._size = 0
        self._unflushed = False
        self._began = self._heard = time.monotonic()
        self.limit: Exceeded | None = None
        self._killed_at: float | None = None
        self._messages: dict[str, Any] = {}

    def run(self, plan: bytes) -> None:
        """Until the last message has come and the log is read; an exception kills the sandbox before it leaves.

        Raises SandboxError when the sandbox could not be made.
        """
        try:
            wire.send_bytes(self._channel, plan)
            self._follow()
            while self._read_log():
                pass
        except BaseException:
            self._kill()
            self._wait_for_end()
            raise
        if "failed" in self._messages:
            raise explain_failure(self._messages["failed"], self._spec, check_machine())
        if "exceeded" in self._messages:
            self.limit = Exceeded(*self._messages["exceeded"])
        if self._spec.limits.memory:
            self._messages["ready"]["memory_group"] = self._group is not None

    def _follow(self) -> None:
        waiting = select.poll()
        waiting.register(self._reading, select.POLLIN)
        waiting.register(self._channel.fileno(), select.POLLIN)
        while "ended" not in self._messages:
            ready = {descriptor for descriptor, _ in waiting.poll(self._patience() * 1000)}
            if not ready and self._unflushed:
                self._unflushed = False
                self._log(b"")
            if self._reading in ready and not self._read_log():
                waiting.unregister(self._reading)
            if self._channel.fileno() in ready:
                self._read_message()
            self._check_limits()

    def _read_log(self) -> bool:
        """Pass on what is there; False at the end, which comes when the last process has closed its output."""
        data = os.read(self._reading, _CHUNK)
        if not data:
            return False
        room = self._spec.limits.log - self._size
        self._heard = time.monotonic()
        self._size += len(data)
        if room > 0:
            self._log(data[:room])
            self._unflushed = True
        return True

    def _read_message(self) -> None:
        message = wire.receive(self._channel)
        if message is None:
            raise HelperDied(
                "the process that watches over this build was killed",
                help="is the machine out of memory? `dmesg` tells whom the kernel killed",
            )
        self._messages |= message

    def _check_limits(self) -> None:
        now = time.monotonic()
        if self._killed_at is not None:
            if now - self._killed_at > _KILL_PATIENCE:
                raise SandboxError(f"a killed build has not ended after {_KILL_PATIENCE:.0f} seconds")
            return
        limits = self._spec.limits
        if self._size > limits.log:
            self.limit = Exceeded("log", self._size)
        elif now - self._began >= limits.time:
            self.limit = Exceeded("time", int(now - self._began))
        elif now - self._heard >= limits.silence:
            self.limit = Exceeded("silence", int(now - self._heard))
        if self.limit is not None:
            self._killed_at = now
            self._kill()

    def _patience(self) -> float:
        """Seconds until a limit may be reached, or the log's reader is to be told of a pause."""
        now = time.monotonic()
        if self._killed_at is not None:
            return max(0.0, self._killed_at + _KILL_PATIENCE - now) + 0.01
        limits = self._spec.limits
        limit = max(0.0, min(self._began + limits.time, self._heard + limits.silence) - now) + 0.001
        return min(limit, _PAUSE) if self._unflushed else limit

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)

    def _wait_for_end(self) -> None:
        self._channel.settimeout(_KILL_PATIENCE)
        with contextlib.suppress(OSError):
            while (message := wire.receive(self._channel)) is not None and "ended" not in message:
                pass

    def verdict(self) -> tuple[Status, int]:
        """How the builder ended, and its exit code or signal."""
        if self.limit is not None:
            return "limit", 0
        # Without its builder's status process 1 was killed itself: by the kernel, short of memory, or by hand.
        code = os.waitstatus_to_exitcode(self._messages.get("exited", signal.SIGKILL))
        if code < 0:
            return "signal", -code
        return ("exit", code) if code else ("ok", 0)

    def result(self, collected: Collected) -> SandboxResult:
        status, code = self.verdict()
        return SandboxResult(
            status=status,
            code=code,
            outputs=collected.outputs,
            missing=collected.missing,
            undeclared=collected.undeclared,
            enforced=self._messages["ready"],
            degraded=tuple(self._messages["degraded"]),
            usage=Usage(**self._messages["ended"]),
            log_size=self._size,
            exceeded=self.limit,
        )

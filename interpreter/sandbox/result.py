"""How a build in a sandbox ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from kiln.interpreter.sandbox.watch import Exceeded
from kiln.store.paths import OutputName

Status: TypeAlias = Literal["ok", "exit", "signal", "limit"]
"""`exit` and `signal` are the builder's own end; `limit`: it ran into one, and was killed."""


class Usage(NamedTuple):
    """Seconds of processor time and of wall time, and the largest process in bytes."""

    cpu: float
    wall: float
    maxrss: int


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """What is left when no process of the sandbox is.

    `code` is the exit code or the signal's number, 0 for `ok` and for a limit, which `exceeded` then names.
    `outputs` maps each output that exists to its physical path, `missing` names those that don't, `undeclared` the
    entries that the builder made beside them in /kiln/store. `enforced` holds what the kernel said is in force;
    `degraded` what this machine could not give. `log_size` is in bytes.
    """

    status: Status
    code: int
    outputs: Mapping[OutputName, str]
    missing: tuple[OutputName, ...]
    undeclared: tuple[str, ...]
    enforced: Mapping[str, bool]
    degraded: tuple[str, ...]
    usage: Usage
    log_size: int
    exceeded: Exceeded | None = None

    @property
    def ok(self) -> bool:
        """The builder succeeded, made every output and nothing else."""
        return self.status == "ok" and not self.missing and not self.undeclared

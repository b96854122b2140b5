"""What happens while a target is realised, as one stream of values.

The terminal, `--json`, the trace and the file of JSON lines that each run leaves are views of this stream;
nothing else reports progress. Events are emitted from the threads that do the work, so that a sink must be
quick and safe to call from any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from kiln.store.digest import DrvDigest

StepKind: TypeAlias = Literal["build", "fetch", "unpack", "write", "take"]
"""`take`: brought from a cache, whatever it would be to make it."""
Verdict: TypeAlias = Literal["built", "fetched", "unchanged", "equal", "cached"]
"""`unchanged`: the store has it, as its inputs came out as they were (early cutoff). `equal`: reproduced."""


class Planned(NamedTuple):
    """Before any work: how many steps have to run, and how many targets are there already."""

    steps: int
    reused: int


class StepStarted(NamedTuple):
    drv: DrvDigest
    name: str
    kind: StepKind
    time: float
    """Seconds since the epoch."""


class StepProgress(NamedTuple):
    """A download's bytes so far; `total` is None where the server does not say."""

    drv: DrvDigest
    done: int
    total: int | None


class StepWaits(NamedTuple):
    """Another process makes the same; its result will do. `holder` is its process id, where that is known."""

    drv: DrvDigest
    holder: int | None
    command: str


class LogLine(NamedTuple):
    """A line that a builder wrote, raw: whoever shows it escapes it."""

    drv: DrvDigest
    line: bytes


class StepFinished(NamedTuple):
    drv: DrvDigest
    name: str
    kind: StepKind
    verdict: Verdict
    seconds: float
    paths: tuple[str, ...]
    source: str = ""
    """The caches that it came from, by their names here."""


class StepFailed(NamedTuple):
    drv: DrvDigest
    name: str
    kind: StepKind
    code: str
    message: str
    seconds: float


class StepInterrupted(NamedTuple):
    """Ended before its end, because everything is."""

    drv: DrvDigest
    name: str
    kind: StepKind
    seconds: float


class StepSkipped(NamedTuple):
    """Not tried, because `blocked_by` failed."""

    drv: DrvDigest
    name: str
    blocked_by: str


class Warned(NamedTuple):
    message: str


Event: TypeAlias = (
    Planned
    | StepStarted
    | StepProgress
    | StepWaits
    | LogLine
    | StepFinished
    | StepFailed
    | StepInterrupted
    | StepSkipped
    | Warned
)
Sink: TypeAlias = Callable[[Event], None]


def event_json(event: Event) -> dict[str, object]:
    """The event as one JSON object of the schema `kiln.event/1`; bytes become text, digests hexadecimal."""
    fields: dict[str, object] = {"event": type(event).__name__}
    for key, value in event._asdict().items():
        if isinstance(value, DrvDigest):
            fields[key] = value.hex()
        elif isinstance(value, bytes):
            fields[key] = value.decode("utf-8", "replace")
        else:
            fields[key] = value
    return fields

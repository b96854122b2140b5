"""One build in the sandbox: its folders, its log, its outputs.

    inputs' closure ──► sandbox ──► what the builder made ──► scanned, rewritten, normalised, committed

A failed build's folders are kept beside its log, so that it can be looked at; a successful one leaves nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from blake3 import blake3

from kiln.interpreter.derivation import Derivation, Program, SourceObject, render, resolved_digest
from kiln.interpreter.events import LogLine, Warned
from kiln.interpreter.evidence import Course
from kiln.interpreter.failing import judge, log_is_full, refused
from kiln.interpreter.kept import drop
from kiln.interpreter.sandbox.engines import BUBBLEWRAP, make_engine
from kiln.interpreter.sandbox.logs import LogWriter
from kiln.interpreter.sandbox.run import build_identity, run_sandbox
from kiln.interpreter.sandbox.spec import SandboxSpec
from kiln.interpreter.secrets import PRIVATE, Guard, Redacted, SecretInOutput, SecretValue
from kiln.interpreter.workshop import Workshop
from kiln.store.digest import BlobDigest
from kiln.store.disk import FULL
from kiln.store.errors import NoSpace, ReferenceCycle, Refused
from kiln.store.info import ObjectInfo
from kiln.store.provenance.facts import LogFact, Mode, Usage
from kiln.store.provenance.statement import Content
from kiln.store.rewrite import BuiltOutput, StagedOutputs

if TYPE_CHECKING:
    from kiln.interpreter.making import Making
    from kiln.interpreter.sandbox.result import SandboxResult

_TAIL_LINES = 25
_SUSPECT = re.compile(rb"(^|[^a-z_-])(error|fatal|undefined reference|not found|no such file|cannot|failed)\b", re.I)


@contextmanager
def built(workshop: Workshop, making: Making, drv: Derivation) -> Iterator[tuple[StagedOutputs, Course]]:
    """Build a resolved derivation; its outputs are read, rewritten and named, and nothing is registered yet.

    Raises RealiseError, SandboxError, StoreError.
    """
    folder = workshop.store.new_temp("build")
    closure = workshop.store.closure(item.id for item in drv.inputs if isinstance(item, SourceObject))
    secrets = tuple([workshop.secret(name, drv.name) for name in drv.secrets])
    guard = Guard(secrets) if secrets else None
    spec = _spec(workshop, making, drv, folder, closure, secrets)
    log = _Log(workshop, making, log_path(workshop, drv))
    said = log if guard is None else Redacted(guard, log.write)
    identity, engine = build_identity(workshop.store.store_dir), make_engine(workshop.engine)
    started = time.time()
    try:
        result = run_sandbox(spec, identity, log=said.write, mount_points=workshop.mount_points(), engine=engine)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise log_is_full(making, drv, error, log.path) from error
    finally:
        with suppress(OSError):
            if guard is not None:
                said.close()
            log.close()
    judge(workshop, making, drv, spec, result, log)
    if guard is not None:
        _check_secrets(making, drv, result, guard, folder)
    outputs = [
        BuiltOutput(
            name=item.name,
            source=result.outputs[item.name],
            scratch=drv.scratch_path(item.name),
            store_name=drv.output_name(item.name),
            kind=item.kind,
            forbid_self=bool(item.self_refs),
        )
        for item in drv.outputs
    ]
    try:
        staged = workshop.store.stage_outputs(outputs, closure)
    except (Refused, ReferenceCycle, NoSpace) as error:
        raise refused(workshop, making, drv, spec, error, log) from error
    for name, collision in staged.collisions:
        workshop.emit(Warned(f"{drv.name}, output {name}: {collision}"))
    mode = Mode.BUBBLEWRAP if workshop.engine == BUBBLEWRAP else Mode.SANDBOXED
    yield staged, _course(mode, result, started, log.fact(), secret=bool(secrets))
    drop(folder)


def log_path(workshop: Workshop, drv: Derivation) -> str:
    """Where the log of the last build of a resolved derivation is kept."""
    return os.path.join(workshop.store.root, "logs", f"{resolved_digest(drv).hex()}.log.zst")


def _spec(
    workshop: Workshop,
    making: Making,
    drv: Derivation,
    folder: str,
    closure: list[ObjectInfo],
    secrets: tuple[SecretValue, ...],
) -> SandboxSpec:
    assert isinstance(drv.builder, Program)
    scratch = {item.name: drv.scratch_path(item.name) for item in drv.outputs}
    shown = {name: str(path) for name, path in scratch.items()}
    build_dir, out_dir = os.path.join(folder, "build"), os.path.join(folder, "out")
    os.mkdir(build_dir, 0o755)
    os.mkdir(out_dir, 0o755)
    env = {key: render(value, drv, shown) for key, value in drv.env}
    return SandboxSpec(
        inputs=workshop.places(closure),
        outputs=tuple(scratch.items()),
        build_dir=build_dir,
        out_dir=out_dir,
        argv=tuple(render(item, drv, shown) for item in (drv.builder.program, *drv.builder.args)),
        env=tuple(sorted(env.items())),
        links=tuple((path, render(target, drv, shown)) for path, target in drv.links),
        limits=making.limits,
        secrets=tuple([(secret.name, secret.text) for secret in secrets]),
    )


class _Log:
    """The log of one build: kept compressed, its last lines at hand, each line an event."""

    def __init__(self, workshop: Workshop, making: Making, path: str) -> None:
        self.path = path
        self.tail: deque[bytes] = deque(maxlen=_TAIL_LINES)
        self.suspect: bytes | None = None
        self._workshop = workshop
        self._making = making
        self._writer = LogWriter(path)
        self._rest = b""
        self._size = 0
        self._sha256, self._blake3 = hashlib.sha256(), blake3()

    def write(self, data: bytes) -> None:
        self._writer.write(data)
        self._size += len(data)
        self._sha256.update(data)
        self._blake3.update(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > 4096:
            self._line(self._rest)
            self._rest = b""

    def close(self) -> None:
        if self._rest:
            self._line(self._rest)
            self._rest = b""
        self._writer.close()

    def fact(self) -> LogFact:
        """What a statement says of the log."""
        return LogFact(Content(self._sha256.digest(), BlobDigest(self._blake3.digest())), self._size)

    def _line(self, line: bytes) -> None:
        self.tail.append(line)
        if self.suspect is None and _SUSPECT.search(line):
            self.suspect = line
        self._workshop.emit(LogLine(self._making.key, line))


def _check_secrets(making: Making, drv: Derivation, result: SandboxResult, guard: Guard, folder: str) -> None:
    """No output may hold a secret. Raises SecretInOutput, with nothing of the build left."""
    for name, path in result.outputs.items():
        found = guard.in_tree(path)
        if found is not None:
            drop(folder)
            secret, where = found
            raise SecretInOutput(
                f"{drv.name} wrote the secret `{secret}` into its output `{name}`",
                place=making.place,
                expected="outputs that anybody may read",
                found=f"the secret in {where}" if where else "the secret in it",
                help="read /run/secrets where it is needed, and leave it out of what is made",
            )


def _course(mode: Mode, result: SandboxResult, started: float, log: LogFact, *, secret: bool) -> Course:
    usage = result.usage
    return Course(
        mode=mode,
        started=started,
        finished=time.time(),
        enforced=result.enforced,
        degraded=(*result.degraded, *((PRIVATE,) if secret else ())),
        usage=Usage(int(usage.cpu * 1e6), int(usage.wall * 1e6), usage.maxrss),
        log=log,
    )

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
from contextlib import contextmanager
from typing import TYPE_CHECKING

from blake3 import blake3

from kiln.interpreter.derivation import Derivation, Program, SourceObject, render, resolved_digest
from kiln.interpreter.errors import BuildFailed, LimitReached, OutputKindWrong, OutputMissing
from kiln.interpreter.events import LogLine, Warned
from kiln.interpreter.evidence import Course
from kiln.interpreter.sandbox.logs import LogWriter
from kiln.interpreter.sandbox.run import build_identity, run_sandbox
from kiln.interpreter.sandbox.spec import SandboxSpec
from kiln.interpreter.workshop import Workshop
from kiln.store.digest import BlobDigest
from kiln.store.disk import open_directory
from kiln.store.info import ObjectInfo
from kiln.store.paths import OutputName
from kiln.store.provenance.facts import LogFact, Mode, Usage
from kiln.store.provenance.statement import Content
from kiln.store.rewrite import BuiltOutput, StagedOutputs
from kiln.store.tree import remove_tree

if TYPE_CHECKING:
    from kiln.interpreter.making import Making
    from kiln.interpreter.sandbox.result import SandboxResult

_TAIL_LINES = 25
_SUSPECT = re.compile(rb"(^|[^a-z_-])(error|fatal|undefined reference|not found|no such file|cannot|failed)\b", re.I)
_LIMITS = {"timeout": "ran for longer than", "silence": "wrote nothing for", "log-limit": "wrote more log than"}


@contextmanager
def built(workshop: Workshop, making: Making, drv: Derivation) -> Iterator[tuple[StagedOutputs, Course]]:
    """Build a resolved derivation; its outputs are read, rewritten and named, and nothing is registered yet.

    Raises RealiseError, SandboxError, StoreError.
    """
    folder = workshop.store.new_temp("build")
    closure = workshop.store.closure(item.id for item in drv.inputs if isinstance(item, SourceObject))
    spec = _spec(workshop, making, drv, folder, closure)
    log = _Log(workshop, making, log_path(workshop, drv))
    identity = build_identity(workshop.store.store_dir)
    started = time.time()
    try:
        result = run_sandbox(spec, identity, log=log.write, mount_points=workshop.mount_points())
    finally:
        log.close()
    _check(workshop, making, drv, result, log, folder)
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
    staged = workshop.store.stage_outputs(outputs, closure)
    for name, collision in staged.collisions:
        workshop.emit(Warned(f"{drv.name}, output {name}: {collision}"))
    yield staged, _course(result, started, log.fact())
    _drop(folder)


def _drop(folder: str) -> None:
    """Remove a build's folders, whatever modes the builder left."""
    parent = open_directory(os.path.dirname(folder))
    try:
        remove_tree(parent, os.fsencode(os.path.basename(folder)))
    finally:
        os.close(parent)


def log_path(workshop: Workshop, drv: Derivation) -> str:
    """Where the log of the last build of a resolved derivation is kept."""
    return os.path.join(workshop.store.root, "logs", f"{resolved_digest(drv).hex()}.log.zst")


def _spec(workshop: Workshop, making: Making, drv: Derivation, folder: str, closure: list[ObjectInfo]) -> SandboxSpec:
    assert isinstance(drv.builder, Program)
    scratch = {item.name: drv.scratch_path(item.name) for item in drv.outputs}
    shown = {name: str(path) for name, path in scratch.items()}
    build_dir, out_dir = os.path.join(folder, "build"), os.path.join(folder, "out")
    os.mkdir(build_dir, 0o755)
    os.mkdir(out_dir, 0o755)
    env = {key: render(value, drv, shown) for key, value in drv.env}
    env["KILN_JOBS"] = str(workshop.jobs)
    return SandboxSpec(
        inputs=workshop.places(closure),
        outputs=tuple(scratch.items()),
        build_dir=build_dir,
        out_dir=out_dir,
        argv=tuple(render(item, drv, shown) for item in (drv.builder.program, *drv.builder.args)),
        env=tuple(sorted(env.items())),
        links=tuple((path, render(target, drv, shown)) for path, target in drv.links),
        limits=making.limits,
        cores=workshop.jobs,
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


def _check(
    workshop: Workshop, making: Making, drv: Derivation, result: SandboxResult, log: _Log, folder: str
) -> None:
    if not result.ok:
        folder = _keep(workshop, drv, folder)
    facts = {"place": making.place, "help": "kiln log last shows the whole log"}
    if result.status in _LIMITS:
        limits = {"timeout": f"{making.limits.time} s", "silence": f"{making.limits.silence} s"}
        limit = limits.get(result.status, f"{making.limits.log} bytes")
        raise LimitReached(
            f"{drv.name} {_LIMITS[result.status]} it may: {limit}",
            log=log.path, kept=folder, tail=log.tail, suspect=log.suspect, **facts,
        )  # fmt: skip
    if result.status != "ok":
        end = f"exit code {result.code}" if result.status == "exit" else f"killed by signal {result.code}"
        raise BuildFailed(
            f"the build of {drv.name} failed",
            log=log.path, kept=folder, tail=log.tail, suspect=log.suspect, found=end, **facts,
        )  # fmt: skip
    if result.missing:
        raise OutputMissing(
            f"{drv.name} ended well and made no output `{result.missing[0]}`",
            place=making.place,
            expected=str(drv.scratch_path(result.missing[0])),
            found="the outputs made: " + (", ".join(sorted(result.outputs)) or "none"),
            notes=(f"tree kept {folder}",),
            help=f"the script has to make %{{b.{result.missing[0]}}}",
        )
    if result.undeclared:
        raise OutputMissing(
            f"{drv.name} wrote to /kiln/store beside its outputs",
            place=making.place,
            expected="its outputs alone: " + ", ".join(sorted(result.outputs)),
            found=result.undeclared[0],
            help="write to the outputs, or to the build's own folder",
        )
    for item in drv.outputs:
        _check_kind(making, drv, result.outputs[item.name], item.name, item.kind)


def _keep(workshop: Workshop, drv: Derivation, folder: str) -> str:
    """Move a failed build's folders to where they outlive this process, in place of an earlier failure's."""
    kept = os.path.join(workshop.store.root, "failed", f"{drv.name}-{resolved_digest(drv).short}")
    workshop.store.layout.make_folder(os.path.dirname(kept))
    if os.path.lexists(kept):
        _drop(kept)
    os.rename(folder, kept)
    return kept


def _check_kind(making: Making, drv: Derivation, path: str, name: OutputName, kind: str) -> None:
    is_tree = os.path.isdir(path) and not os.path.islink(path)
    is_file = os.path.isfile(path) and not os.path.islink(path)
    if not (is_tree if kind == "tree" else is_file):
        raise OutputKindWrong(
            f"the output `{name}` of {drv.name} is of another kind than it was declared",
            place=making.place,
            expected="a folder" if kind == "tree" else "a regular file",
            found="a folder" if is_tree else "a file" if is_file else "a link or something else",
        )


def _course(result: SandboxResult, started: float, log: LogFact) -> Course:
    usage = result.usage
    return Course(
        mode=Mode.SANDBOXED,
        started=started,
        finished=time.time(),
        enforced=result.enforced,
        degraded=result.degraded,
        usage=Usage(int(usage.cpu * 1e6), int(usage.wall * 1e6), usage.maxrss),
        log=log,
    )

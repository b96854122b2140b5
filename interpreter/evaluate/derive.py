"""From values to the graph of derivations.

    1. plan     run `exec` (or a package's `build`) and collect whose outputs its texts mention
    2. wait     until each of those has its origin: a digest, or an object of the store for a source
    3. finish   turn texts into templates, make the derivation, hash it, put the step into the graph

The walk is depth-first with a stack of its own, so that the graph's depth costs no Python stack; an owner that
is met again while it waits needs itself. A step's place in the order depends on the texts alone, and digests on
nothing else, so that the graph is the same in whatever order values are demanded.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from kiln.interpreter.derivation import (
    AMOUNTS,
    MOST_PROCESSES,
    BuildStep,
    Derivation,
    FetchStep,
    Limits,
    OutputKind,
    OutputSpec,
    SelfRefs,
    SourceObject,
    Step,
    drv_digest,
    fixed_digest,
)
from kiln.interpreter.evaluate.captures import check_captures
from kiln.interpreter.evaluate.host import Host
from kiln.interpreter.evaluate.mistakes import (
    BadCommand,
    BadStoreName,
    Failure,
    NeedsItself,
    SourceUnreadable,
)
from kiln.interpreter.evaluate.packages import LIBRARY_CODE, Buildable, Drv, Fetch, Pkg, Plan, Site, Source, title
from kiln.interpreter.evaluate.restored import RestoredDrv, RestoredPkg, RestoredStep
from kiln.interpreter.evaluate.templates import Inputs, derivation_of, mentioned
from kiln.interpreter.evaluate.values import OutValue, Record, Text, record_maker
from kiln.store.digest import DrvDigest
from kiln.store.errors import BadName, StoreError
from kiln.store.paths import OutputName, check_name

if TYPE_CHECKING:
    from kiln.interpreter.caching.values import Values

Origin: TypeAlias = DrvDigest | SourceObject
Position: TypeAlias = tuple[str, int, int]
"""(file, line, column), as messages show them."""


def store_name(name: str, what: str) -> str:
    """The name itself, if a store path can carry it."""
    try:
        return check_name(name)
    except BadName as error:
        raise Failure(BadStoreName(what, name, error.expected or "another name")) from None


def drv_of_spec(spec: Record) -> Drv:
    """`derive(spec)`: the names are checked at once, the rest when it is planned."""
    name = store_name(spec.name_, "package")  # type: ignore[attr-defined]
    return Drv(name, lambda own: _plan_spec(own, spec))


def _plan_spec(own: Drv, spec: Record) -> Plan:
    kinds: Record = spec.outputs_  # type: ignore[attr-defined]
    policy = SelfRefs.ALLOW if spec.self_refs_ else SelfRefs.FORBID  # type: ignore[attr-defined]
    outputs = tuple(_output(label, kind.con, policy) for label, kind in kinds.items())
    outs = record_maker(kinds.labels)(*[getattr(own, label + "_") for label in kinds.labels])
    run = spec.exec_(outs)  # type: ignore[attr-defined]
    return Plan(
        own.name,
        _program(own.name, run.program_),
        run.args_,
        tuple(sorted(run.env_.items())),
        tuple(sorted(run.links_.items())),
        outputs,
        _limits(own.name, spec.limits_),  # type: ignore[attr-defined]
        tuple(sorted({secret.name for secret in spec.secrets_})),  # type: ignore[attr-defined]
    )


@functools.lru_cache(256)
def _output(label: str, con: str, policy: SelfRefs) -> OutputSpec:
    try:
        name = OutputName.parse(label)
    except BadName as error:
        raise Failure(BadStoreName("output", label, error.expected or "another name")) from None
    return OutputSpec(name, "tree" if con == "Tree" else "file", policy)


def _program(package: str, program: str | Text) -> str | Text:
    first = program if type(program) is str else program.parts[0]  # type: ignore[union-attr]
    if type(first) is str and not first.startswith("/"):
        shown = first if type(program) is str else f"{first}…"
        raise Failure(
            BadCommand(
                package,
                f"its program `{shown}` is no absolute path",
                'name a file of an output, "%{tools}/bin/sh", or one that `links` makes',
            )
        )
    return program


def _limits(package: str, given: Record) -> Limits:
    limits, problem = _judged(tuple(given.items()))
    if problem is not None:
        raise Failure(BadCommand(package, *problem))
    return limits


@functools.lru_cache(64)
def _judged(given: tuple[tuple[str, int], ...]) -> tuple[Limits, tuple[str, str] | None]:
    """The limits, and what is wrong with them with the help for it."""
    limits = Limits(**dict(given))  # type: ignore[arg-type]
    for label, value in ((name, getattr(limits, name)) for name in AMOUNTS):
        if value < 0 or (value == 0 and label not in ("memory", "disk")):
            return limits, (f"its limit `{label}` is {value}", "give a number above 0")
    if limits.processes > MOST_PROCESSES:
        found = f"its limit `processes` is {limits.processes}"
        return limits, (found, f"give at most {MOST_PROCESSES}, which is what every build may have")
    return limits, None


class Resolver:
    """Finds origins and collects the graph. One for an evaluation."""

    def __init__(self, host: Host, place_of: Callable[[Site], Position | None], values: Values | None = None) -> None:
        self.host = host
        self.graph: dict[DrvDigest, Step] = {}
        self.source_paths: set[str] = set()
        self._place_of = place_of
        self._values = values
        self._places: dict[DrvDigest, Position] = {}
        """Where each step's package was made; of several places the first in their own order."""
        self._sources: dict[object, SourceObject] = {}
        self._inputs = Inputs()

    def origin(self, root: Buildable) -> Origin:
        """Where the outputs of `root` come from. Raises Failure."""
        if root.origin is not None:
            return root.origin
        path: list[tuple[Buildable, Iterator[Buildable]]] = []
        try:
            path.append((root, self._open(root)))
            while path:
                owner, waiting = path[-1]
                for needed in waiting:
                    if needed.origin is None:
                        if needed.busy:
                            raise Failure(_needs_itself([item for item, _ in path], needed))
                        path.append((needed, self._open(needed)))
                        break
                else:
                    again = self._finish(owner)
                    if again is not None:
                        path[-1] = (owner, iter((again,)))
                        continue
                    owner.busy = False
                    path.pop()
        except BaseException as error:
            if path and not hasattr(error, "owner"):
                error.owner = path[-1][0]  # type: ignore[attr-defined]
            for owner, _ in path:
                owner.busy = False
            raise
        assert root.origin is not None
        return root.origin

    def _open(self, owner: Buildable) -> Iterator[Buildable]:
        owner.busy = True
        before = None if self._values is None else self._values.plan(owner)
        try:
            match owner:
                case RestoredDrv() | RestoredPkg():
                    return owner.awaited()
                case Drv():
                    plan = owner.plan = owner.make_plan(owner)
                    owner.mentions = mentioned(plan, owner)
                    return iter([part.owner for part in owner.mentions])
                case Pkg():
                    check_captures(owner)
                    made = owner.drv = owner.build(owner.recipe)
                    if made.site is not None and made.site[0].startswith(LIBRARY_CODE):
                        made.site = owner.site
                    return iter((made,))
                case _:
                    return iter(())
        except BaseException as error:
            owner.busy = False
            if not hasattr(error, "owner"):
                error.owner = owner  # type: ignore[attr-defined]
            raise
        finally:
            if self._values is not None:
                self._values.leave(before)

    def _finish(self, owner: Buildable) -> Buildable | None:
        """Another owner to wait for first, if there is one."""
        match owner:
            case RestoredDrv() | RestoredPkg():
                real = owner.differs()
                if real is not None and real.origin is None:
                    return real
                owner.origin = self._restored_step(owner) if real is None else real.origin
            case Drv():
                owner.origin = self._build_step(owner)
            case Pkg():
                assert owner.drv is not None
                owner.origin = owner.drv.origin
            case Fetch():
                owner.origin = self._fetch_step(owner)
            case Source():
                owner.origin = self._add_source(owner)
            case _:
                raise AssertionError(owner)
        return None

    def _restored_step(self, owner: RestoredDrv | RestoredPkg) -> DrvDigest:
        """The step that it was; of one that is asked for by a stale package alone, nothing is said."""
        assert isinstance(owner, RestoredDrv)
        if owner.is_stale:
            return owner.record.digest
        record = owner.record
        limits = Limits(*record.limits)
        known = self.graph.get(record.digest)
        if known is not None:
            assert isinstance(known, BuildStep)
            return self._add_step(record.digest, known.derivation, limits, owner)
        place = self._made_at(record.digest, owner)
        self.graph[record.digest] = RestoredStep(record.digest, record.derivation, limits, place)
        return record.digest

    def _build_step(self, drv: Drv) -> DrvDigest:
        plan = drv.plan
        assert plan is not None
        if plan.builder == ("verify", 1):
            plan = plan._replace(outputs=(OutputSpec(OutputName("out"), self._kind_of_first(plan)),))
        made = derivation_of(drv, plan, drv.mentions, self._inputs)
        drv.planned(plan.limits)
        return self._add_step(drv_digest(made), made, plan.limits, drv)

    def _add_step(self, digest: DrvDigest, made: Derivation, limits: Limits, drv: Drv) -> DrvDigest:
        known = self.graph.get(digest)
        if isinstance(known, BuildStep):
            limits = known.limits.wider(limits)
        self.graph[digest] = BuildStep(digest, made, limits, self._made_at(digest, drv))
        return digest

    def _kind_of_first(self, plan: Plan) -> OutputKind:
        """The kind of the output that the plan's first argument names, whose origin is known."""
        out = plan.args[0].parts[0]  # type: ignore[union-attr]
        assert isinstance(out, OutValue)
        origin = out.owner.origin
        if isinstance(origin, SourceObject):
            return "file" if isinstance(out.owner, Source) and out.owner.selection is None else "tree"
        assert origin is not None
        step = self.graph[origin]
        if isinstance(step, FetchStep):
            return "file"
        return next(spec.kind for spec in step.derivation.outputs if spec.name == out.output)

    def _fetch_step(self, fetch: Fetch) -> DrvDigest:
        digest = fixed_digest(fetch.fixed)
        known = self.graph.get(digest)
        sources, credentials = fetch.sources, fetch.credentials
        if isinstance(known, FetchStep):
            sources = (*known.sources, *(item for item in sources if item not in known.sources))
            credentials = tuple(sorted({**dict(credentials), **dict(known.credentials)}.items()))
        place = self._made_at(digest, fetch)
        self.graph[digest] = FetchStep(digest, fetch.fixed, sources, place, credentials)
        return digest

    def _made_at(self, digest: DrvDigest, owner: Buildable) -> str | None:
        place = None if owner.site is None else self._place_of(owner.site)
        known = self._places.get(digest)
        if place is None or (known is not None and known < place):
            place = known
        if place is None:
            return None
        self._places[digest] = place
        return f"{place[0]}:{place[1]}:{place[2]}"

    def _add_source(self, source: Source) -> SourceObject:
        key = (source.path, source.name, source.selection)
        self.source_paths.add(source.path)
        found = self._sources.get(key)
        if found is None:
            _check_source(source)
            try:
                if source.selection is None:
                    found = self.host.add_source_file(source.path, source.name)
                else:
                    found = self.host.add_source(source.path, source.name, source.selection)
            except OSError as error:
                raise Failure(_not_read(source.path, error)) from None
            except StoreError as error:
                raise Failure(
                    SourceUnreadable(source.path, error.message, error.found, error.expected, error.help or _LEFT_OUT)
                ) from error
            self._sources[key] = found
        return found


_LEFT_OUT = 'make it readable, or leave it out: `source(…, exclude = ["/its/path"])`'


def _not_read(source: str, error: OSError) -> SourceUnreadable:
    """What the kernel refused, and of which file."""
    problem = error.strerror or str(error)
    problem = problem[:1].lower() + problem[1:]
    if error.filename is None:
        return SourceUnreadable(source, problem)
    return SourceUnreadable(source, problem, repr(os.fsdecode(error.filename))[:200], help=_LEFT_OUT)


_OF_THE_KERNEL = ("/proc", "/sys", "/dev")


def _check_source(source: Source) -> None:
    if source.path.startswith(tuple(f"{place}/" for place in _OF_THE_KERNEL)) or source.path in _OF_THE_KERNEL:
        raise Failure(SourceUnreadable(source.path, "what lies there is the kernel's, and changes as it is read"))
    if not os.path.lexists(source.path):
        raise Failure(SourceUnreadable(source.path, "there is no such file or folder"))
    if source.selection is not None and not os.path.isdir(source.path):
        raise Failure(SourceUnreadable(source.path, "it is no folder; `source_file` takes a file"))
    if source.selection is None and not os.path.isfile(source.path):
        raise Failure(SourceUnreadable(source.path, "it is no file; `source` takes a folder"))


def _needs_itself(path: list[Buildable], again: Buildable) -> NeedsItself:
    names: list[str] = []
    for owner in [*path[path.index(again) :], again]:
        name = title(owner)
        if not names or names[-1] != name or (owner is again and len(names) == 1):
            names.append(name)
    return NeedsItself(tuple(names))

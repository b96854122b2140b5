"""Derivations: what is to be built, as data with one canonical form.

A derivation's bytes are one msgpack array, integers and lengths in their shortest form, strings as `str`,
digests as 32-byte `bin`:

    [1, name, system, builder, env, inputs, outputs, sandbox, links, secrets]

    builder  = [0, program, [argument …]]          a program inside the sandbox
             | [1, name, version, [argument …]]    a builtin, run by Kiln itself: `unpack`, version 1
    env      = [[name, template] …]                sorted by name
    inputs   = [[0, derivation's digest, output]   an output of another derivation
             |  [1, object's id, store name] …]    an object: a source, or any input of a resolved derivation
    outputs  = [[name, kind, self-references] …]   sorted by name; kind `tree` or `file`; 0 allow, 1 forbid
    sandbox  = [epoch, profile]
    links    = [[path, template] …]                sorted by path: `/bin/sh` and the like
    secrets  = [name …]                            sorted
    template = [part …]; part = text | [0, input's index] | [1, output's index]

Its digest is BLAKE3 of these bytes in the domain `derivation`; where every input is an object, the same bytes
in the domain `resolved derivation` identify what is really built. Inputs stand in the order of their bytes,
each once.

A fetch is `Fixed`: its digest covers what the file must be, never where it comes from, so that a changed
mirror rebuilds nothing:

    [1, name, executable, algorithm, value]        in the domain `fixed content`
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import msgpack

from kiln.store.digest import Domain, DrvDigest, ObjectId, ResolvedDigest, digest_of
from kiln.store.paths import OutputName, StorePath, base32, check_name

SYSTEM = "x86_64-linux"
SANDBOX_EPOCH = 1
"""Changes when what a builder can see or rely on changes; part of every derivation and scratch path."""
PROFILE = "standard"

OutputKind: TypeAlias = Literal["tree", "file"]


class InputRef(NamedTuple):
    """A template's part: the store path of the input at this place."""

    place: int


class OutputRef(NamedTuple):
    """A template's part: the path of the derivation's own output at this place."""

    place: int


Part: TypeAlias = str | InputRef | OutputRef
Template: TypeAlias = tuple[Part, ...]


class DrvOutput(NamedTuple):
    """An input: an output of another derivation."""

    drv: DrvDigest
    output: OutputName


class SourceObject(NamedTuple):
    """An input: an object of the store, with the name its path carries."""

    id: ObjectId
    name: str

    @property
    def path(self) -> StorePath:
        return StorePath.of(self.id, self.name)


Input: TypeAlias = DrvOutput | SourceObject


class Program(NamedTuple):
    """A builder that runs in the sandbox."""

    program: Template
    args: tuple[Template, ...]


class Builtin(NamedTuple):
    """A builder that is part of Kiln; its version is in the digest."""

    name: str
    version: int
    args: tuple[Template, ...]


class SelfRefs(enum.IntEnum):
    """Whether an output may mention its own path."""

    ALLOW = 0
    FORBID = 1


class OutputSpec(NamedTuple):
    name: OutputName
    kind: OutputKind
    self_refs: SelfRefs = SelfRefs.ALLOW


class SandboxProfile(NamedTuple):
    epoch: int = SANDBOX_EPOCH
    profile: str = PROFILE


STANDARD = SandboxProfile()


@dataclass(frozen=True, slots=True)
class Derivation:
    """What is to be built. Make one with `derivation()`, which puts every part into its canonical order."""

    name: str
    system: str
    builder: Program | Builtin
    env: tuple[tuple[str, Template], ...]
    inputs: tuple[Input, ...]
    outputs: tuple[OutputSpec, ...]
    sandbox: SandboxProfile = STANDARD
    links: tuple[tuple[str, Template], ...] = ()
    secrets: tuple[str, ...] = ()

    @property
    def is_resolved(self) -> bool:
        return all(isinstance(item, SourceObject) for item in self.inputs)

    def output_name(self, output: OutputName) -> str:
        """The name of an output's store path: the derivation's own for `out`, else with the output behind it."""
        return self.name if output == "out" else f"{self.name}-{output}"

    def scratch_path(self, output: OutputName) -> StorePath:
        """Where a build writes this output.

        The same for every version of a recipe, so that what a build computes from its prefix does not
        change with the recipe's text.
        """
        name = self.output_name(output)
        seed = msgpack.packb([self.sandbox.epoch, self.name, output])
        return StorePath(base32(digest_of(Domain.SCRATCH, seed)), name)


@dataclass(frozen=True, slots=True)
class Fixed:
    """A file whose bytes are known before it is had. `value` is the digest's bytes."""

    name: str
    executable: bool
    algorithm: Literal["blake3", "sha256"]
    value: bytes


AMOUNTS = ("time", "silence", "log", "memory", "processes", "disk")
MOST_PROCESSES = 4000
"""As many as every build may have; the sandbox's own fence, which a builder can see, stands a little above."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a build may use: seconds, seconds without output, bytes of log; bytes of memory and of disk, where 0 is no
    limit; processes and threads; whether nothing else may be built meanwhile. Outside every digest."""

    time: int = 3600
    silence: int = 1200
    log: int = 64 * 1024 * 1024
    memory: int = 0
    processes: int = MOST_PROCESSES
    disk: int = 0
    exclusive: bool = False

    def wider(self, other: Limits) -> Limits:
        """What is enough for both."""
        return Limits(
            max(self.time, other.time),
            max(self.silence, other.silence),
            max(self.log, other.log),
            max(self.memory, other.memory) if self.memory and other.memory else 0,
            max(self.processes, other.processes),
            max(self.disk, other.disk) if self.disk and other.disk else 0,
            self.exclusive or other.exclusive,
        )

    def amounts(self) -> dict[str, int]:
        """What a statement says of them: every number that limits."""
        numbers = {name: getattr(self, name) for name in AMOUNTS}
        return {name: value for name, value in numbers.items() if value}


USUAL_LIMITS = Limits()
"""What applies where a recipe names none."""


@dataclass(frozen=True, slots=True)
class BuildStep:
    """A node of the graph: a derivation, its digest, and what is outside the digest."""

    digest: DrvDigest
    derivation: Derivation
    limits: Limits = USUAL_LIMITS
    place: str | None = None
    """`file:line:column` of the expression that made it, for messages."""


class Credential(NamedTuple):
    """What a fetch shows to a source: a header whose value a secret holds, known by its name.

    `scheme` is "bearer", "basic" (with the user's name as `label`) or "header" (`label` is the header's name).
    """

    scheme: Literal["bearer", "basic", "header"]
    label: str
    secret: str


@dataclass(frozen=True, slots=True)
class FetchStep:
    """A node of the graph: a fixed file and the places it may come from, in the order they are tried."""

    digest: DrvDigest
    fixed: Fixed
    sources: tuple[str, ...]
    place: str | None = None
    credentials: tuple[tuple[str, Credential], ...] = ()
    """For a source that wants one, what is shown to it and to no other; no part of the digest."""


Step: TypeAlias = BuildStep | FetchStep
Graph: TypeAlias = Mapping[DrvDigest, Step]


def derivation(
    *,
    name: str,
    builder: Program | Builtin,
    inputs: Iterable[Input],
    outputs: Iterable[OutputSpec],
    env: Mapping[str, Template] | None = None,
    links: Mapping[str, Template] | None = None,
    system: str = SYSTEM,
    sandbox: SandboxProfile = STANDARD,
    secrets: Iterable[str] = (),
) -> Derivation:
    """A derivation in canonical form: inputs sorted, each once; templates renumbered to match.

    Templates refer to `inputs` and `outputs` by their place in the iterables given here.
    """
    given, made = list(inputs), list(outputs)
    ordered = sorted(set(given), key=input_bytes)
    sorted_outputs = sorted(made, key=lambda spec: spec.name)
    input_places = [ordered.index(item) for item in given] if len(given) < 16 else _places(given, ordered)
    input_refs = [InputRef(place) for place in input_places]
    output_refs = [OutputRef(sorted_outputs.index(spec)) for spec in made]

    def renumber(template: Template) -> Template:
        # Exact types and indexing: a `match` here took a third of the time that a large graph needs.
        if len(template) == 1 and type(template[0]) is str and template[0]:
            return template
        parts: list[Part] = []
        for part in template:
            if type(part) is InputRef:
                parts.append(input_refs[part[0]])
            elif type(part) is OutputRef:
                parts.append(output_refs[part[0]])
            elif not part:
                continue
            elif parts and type(parts[-1]) is str:
                parts[-1] += part  # type: ignore[operator]
            else:
                parts.append(part)
        return tuple(parts)

    moved: Program | Builtin
    match builder:
        case Program(program, args):
            moved = Program(renumber(program), tuple([renumber(item) for item in args]))
        case Builtin(builtin, version, args):
            moved = Builtin(builtin, version, tuple(map(renumber, args)))
    return Derivation(
        name=name,
        system=system,
        builder=moved,
        env=tuple([(key, renumber(value)) for key, value in sorted(env.items())]) if env else (),
        inputs=tuple(ordered),
        outputs=tuple(sorted_outputs),
        sandbox=sandbox,
        links=tuple([(key, renumber(value)) for key, value in sorted(links.items())]) if links else (),
        secrets=tuple(sorted(secrets)),
    )


def encode(drv: Derivation) -> bytes:
    """The canonical bytes of a derivation."""
    match drv.builder:
        case Program(program, args):
            builder: list[object] = [0, _parts(program), [_parts(item) for item in args]]
        case Builtin(name, version, args):
            builder = [1, name, version, [_parts(item) for item in args]]
    packed: bytes = msgpack.packb(
        [
            1,
            drv.name,
            drv.system,
            builder,
            [[key, _parts(value)] for key, value in drv.env],
            [_input(item) for item in drv.inputs],
            [(spec.name, spec.kind, spec.self_refs) for spec in drv.outputs],
            drv.sandbox,
            [[key, _parts(value)] for key, value in drv.links],
            drv.secrets,
        ]
    )
    return packed


class NotCanonical(ValueError):
    """Bytes that are not the canonical form of a derivation."""


def decode(data: bytes) -> Derivation:
    """Read canonical bytes, and nothing else. Raises NotCanonical."""
    try:
        drv = _decode(msgpack.unpackb(data, use_list=True, strict_map_key=True))
        _check_decoded(drv)
    except NotCanonical:
        raise
    except Exception as error:
        raise NotCanonical(f"not a derivation: {error}") from error
    if encode(drv) != data or encode(_again(drv, drv.inputs)) != data:
        raise NotCanonical("a derivation that is not in canonical form")
    return drv


def decode_own(data: bytes) -> Derivation:
    """Read what `encode` made, and was kept where nobody else writes: nothing is checked. Raises NotCanonical."""
    return _decode(msgpack.unpackb(data, use_list=True, strict_map_key=True))


def encode_fixed(fixed: Fixed) -> bytes:
    """The canonical bytes of a fixed file."""
    packed: bytes = msgpack.packb([1, fixed.name, fixed.executable, fixed.algorithm, fixed.value])
    return packed


def drv_digest(drv: Derivation) -> DrvDigest:
    return DrvDigest(digest_of(Domain.DERIVATION, encode(drv)))


def resolved_digest(drv: Derivation) -> ResolvedDigest:
    """The digest under which claims are made. Every input must be an object."""
    assert drv.is_resolved, drv.name
    return ResolvedDigest(digest_of(Domain.RESOLVED, encode(drv)))


def fixed_digest(fixed: Fixed) -> DrvDigest:
    return DrvDigest(digest_of(Domain.FIXED, encode_fixed(fixed)))


def fixed_resolved(fixed: Fixed) -> ResolvedDigest:
    """A fixed file has no inputs, so that its one digest serves for both."""
    return ResolvedDigest(fixed_digest(fixed))


def resolve(drv: Derivation, pins: Mapping[DrvOutput, SourceObject]) -> Derivation:
    """The same derivation with every input replaced by the object that `pins` gives for it."""
    return _again(drv, [pins[item] if isinstance(item, DrvOutput) else item for item in drv.inputs])


def _again(drv: Derivation, inputs: Sequence[Input]) -> Derivation:
    """The same derivation on other inputs, which stand for its own in their order; in canonical form."""
    return derivation(
        name=drv.name,
        builder=drv.builder,
        inputs=inputs,
        outputs=drv.outputs,
        env=dict(drv.env),
        links=dict(drv.links),
        system=drv.system,
        sandbox=drv.sandbox,
        secrets=drv.secrets,
    )


def render(template: Template, drv: Derivation, outputs: Mapping[OutputName, str]) -> str:
    """A template of a resolved derivation as text, with the store paths of inputs and the given output paths."""
    pieces: list[str] = []
    for part in template:
        match part:
            case str():
                pieces.append(part)
            case InputRef(index):
                item = drv.inputs[index]
                assert isinstance(item, SourceObject)
                pieces.append(str(item.path))
            case OutputRef(index):
                pieces.append(outputs[drv.outputs[index].name])
    return "".join(pieces)


def _places(given: list[Input], ordered: list[Input]) -> list[int]:
    at = {item: index for index, item in enumerate(ordered)}
    return [at[item] for item in given]


def _parts(template: Template) -> Sequence[object]:
    if len(template) == 1 and type(template[0]) is str:
        return template
    return [part if type(part) is str else [0 if type(part) is InputRef else 1, part[0]] for part in template]


def _input(item: Input) -> tuple[object, ...]:
    return (0 if type(item) is DrvOutput else 1, *item)


def input_bytes(item: Input) -> bytes:
    """What inputs are sorted by."""
    packed: bytes = msgpack.packb(_input(item))
    return packed


def _check_decoded(drv: Derivation) -> None:
    """What `derivation()` takes for granted. Raises NotCanonical, BadName."""
    names = [drv.name, *(item.name for item in drv.inputs if isinstance(item, SourceObject))]
    for name in names:
        check_name(name)
    for spec in drv.outputs:
        check_name(drv.output_name(spec.name))
        if spec.kind not in ("tree", "file"):
            raise NotCanonical("an output of no kind that there is")
    outputs = [spec.name for spec in drv.outputs]
    if not outputs or len(set(outputs)) != len(outputs) or len(set(drv.secrets)) != len(drv.secrets):
        raise NotCanonical("no outputs, or something that stands twice")
    for template in _templates(drv):
        for part in template:
            if isinstance(part, str):
                continue
            among = drv.inputs if isinstance(part, InputRef) else drv.outputs
            if isinstance(part.place, bool) or not 0 <= part.place < len(among):
                raise NotCanonical("a template that refers to nothing")


def _templates(drv: Derivation) -> list[Template]:
    first = (drv.builder.program,) if isinstance(drv.builder, Program) else ()
    return [*first, *drv.builder.args, *(value for _, value in (*drv.env, *drv.links))]


def _decode(fields: Any) -> Derivation:
    match fields:
        case [
            1,
            str(name),
            str(system),
            builder,
            env,
            inputs,
            outputs,
            [int(epoch), str(profile)],
            links,
            secrets,
        ] if not isinstance(epoch, bool):
            return Derivation(
                name=name,
                system=system,
                builder=_decode_builder(builder),
                env=tuple((str(key), _decode_template(value)) for key, value in env),
                inputs=tuple(map(_decode_input, inputs)),
                outputs=tuple(
                    OutputSpec(OutputName.parse(output), kind, SelfRefs(policy)) for output, kind, policy in outputs
                ),
                sandbox=SandboxProfile(epoch, profile),
                links=tuple((str(key), _decode_template(value)) for key, value in links),
                secrets=tuple(map(str, secrets)),
            )
        case _:
            raise NotCanonical("not a derivation of version 1")


def _decode_builder(fields: Any) -> Program | Builtin:
    match fields:
        case [0, program, args]:
            return Program(_decode_template(program), tuple(map(_decode_template, args)))
        case [1, str(name), int(version), args] if not isinstance(version, bool):
            return Builtin(name, version, tuple(map(_decode_template, args)))
        case _:
            raise NotCanonical("not a builder")


def _decode_input(fields: Any) -> Input:
    match fields:
        case [0, bytes(drv), str(output)]:
            return DrvOutput(DrvDigest(drv), OutputName.parse(output))
        case [1, bytes(object_id), str(name)]:
            return SourceObject(ObjectId(object_id), name)
        case _:
            raise NotCanonical("not an input")


def _decode_template(fields: Any) -> Template:
    if not isinstance(fields, list):
        raise NotCanonical("not a template")
    parts: list[Part] = []
    for part in fields:
        match part:
            case str():
                parts.append(part)
            case [0, int(index)]:
                parts.append(InputRef(index))
            case [1, int(index)]:
                parts.append(OutputRef(index))
            case _:
                raise NotCanonical("not a template's part")
    return tuple(parts)

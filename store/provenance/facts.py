"""What a statement about a build or a fetch says, as plain data: the same type for writing and for reading.

`slsa.build_statement` turns these into a statement, `slsa.read_provenance` turns a verified statement into an
equal value.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from kiln.store.digest import Domain, EnvelopeDigest, ObjectId, ResolvedDigest, RootDigest, digest_of
from kiln.store.paths import STORE_DIR, OutputName, StorePath
from kiln.store.provenance.plainjson import Json
from kiln.store.provenance.statement import Content, DigestSet

HERMETIC_NEEDS = (
    "user_namespace",
    "mount_namespace",
    "network_namespace",
    "pid_namespace",
    "ipc_namespace",
    "uts_namespace",
    "no_capabilities",
    "no_new_privileges",
    "seccomp",
)
"""What the kernel must have said is in force for a build to be called hermetic."""


class Mode(enum.Enum):
    """How something came to be; each has a builder id of its own, so that trust can differ."""

    SANDBOXED = "sandboxed"
    BUBBLEWRAP = "bubblewrap"
    BUILTIN = "builtin"
    FETCH = "fetch"
    RELAXED = "relaxed"

    @property
    def builder_id(self) -> str:
        return f"https://kiln.example/builders/{self.value}/v1"


class RecipeForm(enum.Enum):
    """What the canonical bytes of a recipe are; the domain in which they are hashed."""

    DERIVATION = "derivation"
    FIXED = "fixed"

    @property
    def domain(self) -> Domain:
        return Domain.RESOLVED if self is RecipeForm.DERIVATION else Domain.FIXED

    @property
    def build_type(self) -> str:
        name = "derivation" if self is RecipeForm.DERIVATION else "fetch"
        return f"https://kiln.example/buildtypes/{name}/v1"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What was built: canonical bytes, which alone are hashed, and the same for people to read."""

    form: RecipeForm
    encoded: bytes
    data: Mapping[str, Json]

    @property
    def digest(self) -> ResolvedDigest:
        return ResolvedDigest(digest_of(self.form.domain, self.encoded))


@dataclass(frozen=True, slots=True)
class FileFact:
    """A file inside an output that gets a subject of its own; `path` is relative to the output (`bin/lua`).

    For names that are not plain ASCII, make `path` with `file_name`.
    """

    path: str
    content: Content


@dataclass(frozen=True, slots=True)
class Output:
    """An output. `content` is of the file's bytes, or of the tree's canonical archive; `size` is in bytes."""

    name: OutputName
    path: StorePath
    kind: Literal["tree", "file"]
    object_id: ObjectId
    root: RootDigest
    content: Content
    size: int
    files: tuple[FileFact, ...] = ()

    @property
    def digests(self) -> DigestSet:
        return DigestSet.of(self.content, object_id=self.object_id, root=self.root)


@dataclass(frozen=True, slots=True)
class Dependency:
    """A direct input. `envelope` is that of the statement about it: none for a source of the user's own.

    `content` is None for a source, of which no SHA-256 is computed. `location` is a URI from which the bytes
    may be had again.
    """

    path: StorePath
    object_id: ObjectId
    root: RootDigest
    content: Content | None = None
    envelope: EnvelopeDigest | None = None
    location: str | None = None

    @property
    def digests(self) -> DigestSet:
        return DigestSet.of(self.content, object_id=self.object_id, root=self.root)


@dataclass(frozen=True, slots=True)
class LogFact:
    """A build's log, uncompressed: digests and size in bytes."""

    content: Content
    size: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a build used: microseconds and bytes."""

    cpu_us: int
    wall_us: int
    max_rss: int


@dataclass(frozen=True, slots=True)
class Run:
    """One execution. Times are seconds since 1970. `enforced` is what was really in force, never what was asked."""

    mode: Mode
    version: str
    invocation_id: str
    started: int
    finished: int
    enforced: Mapping[str, bool] = field(default_factory=dict)
    degraded: tuple[str, ...] = ()
    log: LogFact | None = None
    usage: Usage | None = None

    @property
    def hermetic(self) -> bool:
        """Whether all that keeps undeclared inputs out was in force, and nothing was degraded."""
        return not self.degraded and all(self.enforced.get(need, False) for need in HERMETIC_NEEDS)


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """A derivation that was built: `recipe` is resolved, its inputs are `dependencies`."""

    recipe: Recipe
    outputs: tuple[Output, ...]
    dependencies: tuple[Dependency, ...]
    run: Run
    epoch: int
    profile: str
    limits: Mapping[str, int] = field(default_factory=dict)
    prefix: str = STORE_DIR


@dataclass(frozen=True, slots=True)
class FetchFacts:
    """A fixed file that was fetched: `sources` as declared, `location` the one that it came from."""

    recipe: Recipe
    output: Output
    sources: tuple[str, ...]
    location: str
    run: Run

    @property
    def outputs(self) -> tuple[Output, ...]:
        return (self.output,)

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        return ()


Provenance: TypeAlias = BuildFacts | FetchFacts


def file_name(raw: bytes) -> str:
    """A file's path as a subject's name can carry it: bytes beyond plain ASCII, and `%`, as `%xx`."""
    return "".join(chr(byte) if 0x20 < byte < 0x7F and byte != 0x25 else f"%{byte:02x}" for byte in raw)


def public_uri(uri: str) -> str:
    """The URI without what may be a secret: user name, password and fragment. For ssh the user name is kept."""
    scheme, mark, rest = uri.partition("#")[0].partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if at and scheme.endswith("ssh"):
        host = f"{user.partition(':')[0]}@{host}"
    return f"{scheme}{mark}{host}{slash}{path}"

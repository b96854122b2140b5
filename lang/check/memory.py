"""What is remembered of declarations that were checked before, so that they need not be read or checked again.

The checker asks, and tells; whoever remembers (`interpreter.caching.declarations`) says what is the same as before:

    signature   what a declaration says of its own type       by its text and what the names in there mean
    bodies      what checking a group of declarations made    by their texts and what the names in them mean

What a name means is its type, and all that the type leads to, at the moment when it is asked for: the checker asks
in the same order each time. Only modules without a mistake are remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from kiln.lang.check.infos import MemberInfo, ParamInfo, Site, ValueKind
from kiln.lang.check.names import Scope, Value
from kiln.lang.check.outline import Outline
from kiln.lang.check.show import Printer
from kiln.lang.check.types import Scheme
from kiln.lang.check.world import World
from kiln.lang.core import CoreDecl, DeclKey, ModuleId


class Unread(NamedTuple):
    """A declaration that was not parsed, since its text is known."""

    start: int
    end: int
    outline: Outline


class KeptScheme(Protocol):
    """A type that is read when it is first looked at."""

    def read(self) -> Scheme: ...


class KeptCore(Protocol):
    """Core that was made before; `Memory.decls` knows what it is."""

    @property
    def keys(self) -> tuple[DeclKey, ...]: ...


class Signed(NamedTuple):
    """What a declaration says of its own type: `scheme` is None where it does not say all. With the records that it
    mentions as recipes."""

    scheme: KeptScheme | None
    recipes: tuple[str, ...]


class KeptBody(NamedTuple):
    """What checking one declaration made. `scheme` is that of one whose type isn't written, `members` are a set's
    that have no written type, `shown` is the type in words."""

    core: KeptCore
    recipes: tuple[str, ...]
    scheme: KeptScheme | None
    members: Mapping[str, MemberInfo]
    shown: str | None


class Part(NamedTuple):
    """One declaration of a group, as far as it decides what checking makes of it."""

    start: int
    end: int
    names: tuple[str, ...]


class MadeBody(NamedTuple):
    """What checking made just now. `members` as in KeptBody."""

    core: tuple[CoreDecl, ...]
    recipes: tuple[str, ...]
    scheme: Scheme | None
    members: Mapping[str, MemberInfo]


CorePart: TypeAlias = "tuple[CoreDecl, ...] | KeptCore"


class Memory(Protocol):
    """Remembers one module. `begin` comes first, `decls` last."""

    @property
    def unread(self) -> Sequence[Unread]: ...

    def begin(self, scope: Scope, world: World, printer: Printer) -> None:
        """The imports are read: names can be looked up from now on."""

    def changed(self) -> None:
        """Types may say something else than before: a set has got members."""

    def signature(self, start: int, end: int, outline: Outline) -> Signed | None: ...

    def outlined(self, start: int, outline: Outline) -> None:
        """What a declaration that was read says."""

    def keep_signature(self, start: int, scheme: Scheme | None, recipes: tuple[str, ...]) -> None:
        """What `signature` did not know."""

    def bodies(self, group: Sequence[Part]) -> Sequence[KeptBody] | None: ...

    def keep_bodies(self, group: Sequence[Part], made: Sequence[MadeBody]) -> None:
        """What `bodies`, asked last, did not know."""

    def decls(self, parts: Sequence[tuple[int, CorePart]]) -> Sequence[CoreDecl]:
        """All core of the module, each part with the start of its declaration, in the file's order."""

    def shown(self, types: Mapping[str, str]) -> None:
        """The module's values with their types in words."""


class KeptValue(Value):
    """A value whose declaration was not read: its type is read when it is looked at."""

    __slots__ = ("_kept", "_scheme", "shown")

    def __init__(
        self, module: ModuleId, name: str, kind: ValueKind, site: Site, params: tuple[ParamInfo, ...] | None
    ) -> None:
        self._kept: KeptScheme | None = None
        self._scheme: Scheme | None = None
        self.shown: str | None = None
        """The type in words, where it is known."""
        super().__init__(module, name, kind, site, params)

    @property
    def kept(self) -> KeptScheme | None:
        return self._kept

    def sign(self, kept: KeptScheme) -> None:
        self._kept = kept

    @property
    def scheme(self) -> Scheme | None:
        if self._scheme is None and self._kept is not None:
            self._scheme = self._kept.read()
        return self._scheme

    @scheme.setter
    def scheme(self, scheme: Scheme | None) -> None:
        self._scheme = scheme
        self._kept = None


def unread_value(module: ModuleId, unread: Unread) -> KeptValue:
    outline, start = unread.outline, unread.start
    assert outline.kind != "test"
    params = None
    if outline.params is not None:
        params = tuple([ParamInfo(n, mode, Site(module, start + a, start + b)) for n, mode, a, b in outline.params])
    site = Site(module, start + outline.start, start + outline.end)
    return KeptValue(module, outline.name, outline.kind, site, params)


def has_type(value: Value) -> bool:
    """Whether its type is known; a kept one is not read for that."""
    return (isinstance(value, KeptValue) and value.kept is not None) or value.scheme is not None


class Recipes(set[str]):
    """The records that are mentioned as recipes, which also notes each mention in turn."""

    def __init__(self) -> None:
        super().__init__()
        self._noted: list[str] = []

    def add(self, name: str) -> None:
        self._noted.append(name)
        super().add(name)

    def taken(self) -> tuple[str, ...]:
        """What was mentioned since it was last asked."""
        noted, self._noted = tuple(dict.fromkeys(self._noted)), []
        return noted


@dataclass(frozen=True, slots=True)
class Stub:
    """A declaration that need not be read so far. `number` is its place in the file, `value` None for a test."""

    key: str
    number: int
    unread: Unread
    value: KeptValue | None

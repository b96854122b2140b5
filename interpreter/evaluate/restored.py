"""Packages and derivations of a let that was not computed again.

What such an owner runs is not found out anew: it waits for the owners that it mentioned, and if those come from where
they came from, it is the step that it was. If one of them does not, or something that was read in between has another
value, the let is computed after all, and the owner in its place is asked. So is a package whose recipe is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kiln.interpreter.derivation import (
    BuildStep,
    Credential,
    Derivation,
    Fixed,
    Limits,
    SourceObject,
    decode_own,
)
from kiln.interpreter.evaluate.packages import Buildable, Drv, Fetch, Pkg, Selection, Site, Source
from kiln.store.digest import DrvDigest

if TYPE_CHECKING:
    from kiln.interpreter.caching.owners import Cone, DrvRecord
    from kiln.interpreter.evaluate.values import Record


def plain(origin: DrvDigest | SourceObject | None) -> object:
    """Where an owner comes from, as data."""
    return (bytes(origin.id), origin.name) if isinstance(origin, SourceObject) else bytes(origin or b"")


class RestoredDrv(Drv):
    """Number `place` of a let's owners."""

    __slots__ = ("cone", "met", "place", "real", "record")

    def __init__(self, cone: Cone, place: int, record: DrvRecord) -> None:
        self.origin = None
        self.busy = False
        self.site = None
        self.name = record.name
        self.plan = None
        self.limits = None
        self.mentions = ()
        self.cone = cone
        self.place = place
        self.record = record
        self.met: list[Buildable] = []
        """The owners that it mentioned."""
        self.real: Buildable | None = None
        """What stands for it, since something is not what it was."""

    def awaited(self) -> Iterator[Buildable]:
        """What has to have its origin first."""
        met = self.cone.mentioned(self.record)
        if met is None:
            self.real = self.cone.real(self.place)
            return iter(() if self.real is None else (self.real,))
        self.met = met
        return iter(met)

    @property
    def is_stale(self) -> bool:
        return self.cone.is_stale

    def differs(self) -> Buildable | None:
        """The owner to be asked, where the mentioned ones come from somewhere else than before."""
        origins = [owner.origin for owner in self.met]
        if self.cone.is_stale or any(
            plain(origin) != was for origin, (_, was) in zip(origins, self.record.mentions, strict=True)
        ):
            self.cone.is_stale = True
            self.real = self.cone.real(self.place)
        return self.real


class RestoredFetch(Fetch):
    """A fetch that was made before: the same, made without a look at who makes it."""

    __slots__ = ()

    def __init__(
        self,
        fixed: Fixed,
        sources: tuple[str, ...],
        credentials: tuple[tuple[str, Credential], ...],
        site: Site | None,
    ) -> None:
        self.origin = None
        self.busy = False
        self.site = site
        self.fixed = fixed
        self.sources = sources
        self.credentials = credentials


class RestoredSource(Source):
    """Likewise. What is in the folder is looked at again."""

    __slots__ = ()

    def __init__(self, path: str, name: str, selection: Selection | None, site: Site | None) -> None:
        self.origin = None
        self.busy = False
        self.site = site
        self.name = name
        self.path = path
        self.selection = selection


class RestoredStep(BuildStep):
    """A step whose derivation is read when it is looked at: most of them were built long ago."""

    __slots__ = ("_data", "_read")
    _data: bytes
    _read: Derivation | None

    def __init__(self, digest: DrvDigest, data: bytes, limits: Limits, place: str | None) -> None:
        put = object.__setattr__
        put(self, "digest", digest)
        put(self, "limits", limits)
        put(self, "place", place)
        put(self, "_data", data)
        put(self, "_read", None)

    @property
    def derivation(self) -> Derivation:
        found = self._read
        if found is None:
            found = decode_own(self._data)
            object.__setattr__(self, "_read", found)
        return found

    def _fields(self) -> tuple[object, ...]:
        return self.digest, self.derivation, self.limits, self.place

    def __eq__(self, other: object) -> bool:
        if isinstance(other, BuildStep):
            return self._fields() == (other.digest, other.derivation, other.limits, other.place)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields())


class RestoredPkg(Pkg):
    """The same, of a package: `inner` is the owner that it stands for, `label` what messages call it."""

    __slots__ = ("cone", "inner", "label", "place")

    def __init__(self, cone: Cone, place: int, inner: int, label: str) -> None:
        self.origin = None
        self.busy = False
        self.site = None
        self.drv = None
        self.cone = cone
        self.place = place
        self.inner = inner
        self.label = label

    @property
    def recipe(self) -> Record:  # type: ignore[override]
        return self._real().recipe

    @property
    def build(self) -> Any:  # type: ignore[override]
        return self._real().build

    @property
    def hides(self) -> Any:  # type: ignore[override]
        return self._real().hides

    def awaited(self) -> Iterator[Buildable]:
        """What it stands for."""
        made = self.drv = self.cone.owner(self.inner)  # type: ignore[assignment]
        return iter((made,))

    def differs(self) -> Buildable | None:
        real = self.cone.real(self.place) if self.cone.is_stale else None
        if real is not None:
            self.drv = real  # type: ignore[assignment]
        return self.drv

    def _real(self) -> Pkg:
        found = self.cone.real(self.place)
        assert isinstance(found, Pkg)
        return found

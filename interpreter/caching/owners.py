"""The owners of a let's value that was kept: packages and derivations, and those that they need.

`Cone` makes them again, each when it is asked for; `Rows` says what is kept of them (values.py has the format).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from kiln.interpreter.derivation import BuildStep, Credential, Fixed, Graph, encode
from kiln.interpreter.evaluate.data import Packer
from kiln.interpreter.evaluate.packages import Buildable, Drv, Fetch, Pkg, Selection, Site, Source
from kiln.interpreter.evaluate.restored import RestoredDrv, RestoredFetch, RestoredPkg, RestoredSource, plain
from kiln.interpreter.evaluate.values import Value
from kiln.store.digest import DrvDigest

if TYPE_CHECKING:
    from kiln.interpreter.caching.values import Values

LetKey: TypeAlias = str
"""`module NUL name`."""
Reads: TypeAlias = "tuple[tuple[LetKey, bytes], ...]"
Place: TypeAlias = "tuple[tuple[str, ...], int] | None"
"""The key of a unit, and an offset in it."""

_MOST_ENTRY = 1 << 20
_LIMITS = ("time", "silence", "log", "memory", "processes", "disk", "exclusive")


class Cells(Protocol):
    """The evaluator's lets."""

    def compute(self, let: LetKey) -> Value:
        """The value of a let, as if it were read. Raises what evaluation raises."""
        ...

    def compute_again(self, let: LetKey) -> Value:
        """The same, by its code."""
        ...

    def place_of(self, site: Site) -> Place: ...
    def site_at(self, place: Place) -> Site | None: ...


class Entry(NamedTuple):
    code: bytes
    reads: Reads
    identity: bytes
    value: object
    owners: tuple[tuple[Any, ...], ...]


class DrvRecord(NamedTuple):
    name: str
    digest: DrvDigest
    derivation: bytes
    limits: tuple[Any, ...]
    place: Place
    reads: Reads
    mentions: tuple[tuple[int, object], ...]


class Cone:
    """The owners of a let that was restored."""

    def __init__(self, values: Values, cells: Cells, let: LetKey, entry: Entry) -> None:
        self._values = values
        self._cells = cells
        self._let = let
        self._rows = entry.owners
        self.made: dict[int, Buildable] = {}
        self._real: list[Buildable] | None = None
        self.is_stale = False
        """Some owner in it comes from somewhere else than before."""

    def owner(self, number: int) -> Buildable:
        found = self.made.get(number)
        if found is None:
            found = self.made[number] = self._make(number, self._rows[number])
        return found

    def _make(self, number: int, row: tuple[Any, ...]) -> Buildable:
        made: Buildable
        match row:
            case ("drv", *rest):
                record = DrvRecord(*rest)._replace(digest=DrvDigest(rest[1]))
                made = RestoredDrv(self, number, record)
                made.site = self._cells.site_at(record.place)
            case ("pkg", inner, label):
                return RestoredPkg(self, number, inner, label)
            case ("fetch", name, executable, algorithm, value, sources, credentials, place):
                shown = tuple([(source, Credential(*item)) for source, item in credentials])
                fixed = Fixed(name, executable, algorithm, value)
                made = RestoredFetch(fixed, sources, shown, self._cells.site_at(place))
            case ("source", path, name, selection, place):
                selected = None if selection is None else Selection(*selection)
                made = RestoredSource(path, name, selected, self._cells.site_at(place))
            case ("let", let, place):
                made = self._values.owners(let)[place]
            case _:
                raise ValueError("no owner")
        return made

    def mentioned(self, record: DrvRecord) -> list[Buildable] | None:
        """The owners that a derivation mentioned; None where it may mention others now."""
        if self.is_stale or not self._values.are_same(record.reads):
            self.is_stale = True
            return None
        return [self.owner(number) for number, _ in record.mentions]

    def real(self, number: int) -> Buildable | None:
        """What the let's code makes in the place of an owner; None for one that is not in the let's value."""
        if self._real is None:
            self._real = owners_of(self._cells.compute_again(self._let))
        return self._real[number] if number < len(self._real) else None


def owners_of(value: Value) -> list[Buildable]:
    packer = Packer()
    packer.pack(value)
    return packer.owners


class Rows:
    """The owners of one let, as they are kept."""

    def __init__(
        self,
        values: Values,
        let: LetKey,
        reads: set[LetKey],
        homes: Mapping[int, list[tuple[LetKey, int]]],
        graph: Graph,
    ) -> None:
        self._values = values
        self._let = let
        self._reads = reads
        self._homes = homes
        self._graph = graph
        self._owners: list[Buildable] = []
        self._numbers: dict[int, int] = {}

    def of(self, owners: Sequence[Buildable]) -> tuple[tuple[Any, ...], ...] | None:
        """None where one of them was not asked for."""
        for owner in owners:
            self._number(owner)
        rows: list[tuple[Any, ...]] = []
        size = 0
        while len(rows) < len(self._owners):
            row = self._row(self._owners[len(rows)])
            size += len(row[3]) if row is not None and row[0] == "drv" else 0
            if row is None or size > _MOST_ENTRY:
                return None
            rows.append(row)
        return tuple(rows)

    def _number(self, owner: Buildable) -> int:
        found = self._numbers.get(id(owner))
        if found is None:
            found = self._numbers[id(owner)] = len(self._owners)
            self._owners.append(owner)
        return found

    def _row(self, owner: Buildable) -> tuple[Any, ...] | None:
        for let, number in self._homes.get(id(owner), ()):
            if let in self._reads:
                return "let", let, number
        place = self._values.place_of(owner)
        match owner:
            case Source(path=path, name=name, selection=selection):
                return "source", path, name, None if selection is None else tuple(selection), place
            case Fetch(fixed=fixed, sources=sources, credentials=credentials):
                shown = tuple([(source, tuple(item)) for source, item in credentials])
                return "fetch", fixed.name, fixed.executable, fixed.algorithm, fixed.value, sources, shown, place
            case Pkg():
                inner = owner.drv
                return None if inner is None else ("pkg", self._number(inner), self._label(owner))
            case RestoredDrv():
                return self._restored(owner)
            case Drv():
                return self._drv(owner, place)
        return None

    @staticmethod
    def _label(owner: Pkg) -> str:
        if isinstance(owner, RestoredPkg):
            return owner.label
        named = getattr(owner.recipe, "name_", None)
        return f"`{named}`" if isinstance(named, str) else "a package"

    def _restored(self, owner: RestoredDrv) -> tuple[Any, ...] | None:
        if owner.real is not None:
            return self._row(owner.real)
        if owner.origin is None:
            return None
        mentions = tuple([(self._number(met), plain(met.origin)) for met in owner.met])
        record = owner.record
        return "drv", record.name, bytes(record.digest), *record[2:6], mentions

    def _drv(self, owner: Drv, place: Place) -> tuple[Any, ...] | None:
        step = None if owner.origin is None else self._graph.get(owner.origin)  # type: ignore[arg-type]
        if not isinstance(step, BuildStep) or owner.limits is None:
            return None
        met = list(dict.fromkeys([part.owner for part in owner.mentions]))
        mentions = tuple([(self._number(one), plain(one.origin)) for one in met])
        limits = tuple([getattr(owner.limits, name) for name in _LIMITS])
        reads = self._values.reads_of_plan(owner)
        return "drv", owner.name, bytes(step.digest), encode(step.derivation), limits, place, reads, mentions

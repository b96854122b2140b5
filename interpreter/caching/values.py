"""What lets came to: a let is not computed again while its code, and every let that it read, is the same.

One file a module; an entry of it, by the let's name, is a tuple:

    code      what the let's code is (closures.py)
    reads     the lets that it read, in this order, each with the identity of its value
    identity  of data its digest; of what holds packages or is no data, the digest of `code` and `reads`
    value     what it came to, as plain data (evaluate/data.py), or None: the let is computed again
    owners    the packages and derivations in it, and those that they need:
              ("drv", name, digest, derivation, limits, place, reads, mentions)      ("let", let, number)
              ("pkg", number of the owner that it stands for, what messages call it)
              ("source", path, name, selection, place)
              ("fetch", name, executable, algorithm, value, sources, credentials, place)

A let that is asked for is looked through in the order in which it read others: each is the same, or is computed now,
which this let would have it be at this point, too. Where the first one differs, the let is computed. So nothing is
computed that would not be without a cache, and an edit that leaves a value alone goes no further. What a derivation
runs is found out when it is asked for, and likewise what it was; `mentions` are the owners that it waits for, with
where they came from.

A failure is not kept, nor anything of a program that was typed, or evaluated within a budget.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from kiln.interpreter.caching.closures import Closures
from kiln.interpreter.caching.meanings import short_digest
from kiln.interpreter.caching.shelf import Shelf, key
from kiln.interpreter.derivation import (
    BuildStep,
    Credential,
    Fixed,
    Graph,
    encode,
)
from kiln.interpreter.evaluate.data import NoData, Packer, unpack
from kiln.interpreter.evaluate.packages import Buildable, Drv, Fetch, Pkg, Selection, Site, Source
from kiln.interpreter.evaluate.restored import RestoredDrv, RestoredFetch, RestoredPkg, RestoredSource, plain
from kiln.interpreter.evaluate.values import Value
from kiln.lang.core import CoreModule, ModuleId
from kiln.store.digest import DrvDigest

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


class Values:
    """Of one program, while it is evaluated."""

    def __init__(self, modules: Mapping[ModuleId, CoreModule], folders: Mapping[ModuleId, str], cells: Cells) -> None:
        self._codes = Closures(modules)
        self._cells = cells
        self._shelf = Shelf("values")
        rows = repr(sorted(folders.items())).encode("utf-8", "surrogatepass")
        self._where = short_digest(rows)
        self._entries: dict[ModuleId, dict[str, Entry]] = {}
        self._reading: list[LetKey] | None = None
        self._reads: dict[LetKey, list[LetKey]] = {}
        self._plans: dict[int, tuple[Buildable, list[LetKey]]] = {}
        self._values: dict[LetKey, Value] = {}
        """Of lets that were computed."""
        self._same: dict[LetKey, bool] = {}
        """Lets that were looked through: whether they are what they were."""
        self._identities: dict[LetKey, bytes] = {}
        self._found: dict[LetKey, tuple[Value]] = {}
        self._owners: dict[LetKey, list[Buildable]] = {}
        self.computed: list[LetKey] = []

    @property
    def usable(self) -> bool:
        return self._codes.usable

    # ---- what reads what ----------------------------------------------------------------------

    def read(self, let: LetKey) -> None:
        """Whoever runs now reads this let."""
        if self._reading is not None:
            self._reading.append(let)

    def enter(self, let: LetKey | None) -> list[LetKey] | None:
        """A let is computed from now on (None: a default, which is part of the code); what was before."""
        before = self._reading
        self._reading = None
        if let is not None:
            self._reading = self._reads[let] = []
            self.computed.append(let)
        return before

    def leave(self, before: list[LetKey] | None) -> list[LetKey] | None:
        """What ran before `enter` or `plan` runs on; who ran until now."""
        ended, self._reading = self._reading, before
        return ended

    def done(self, let: LetKey, value: Value) -> None:
        self._values[let] = value

    def plan(self, owner: Buildable) -> list[LetKey] | None:
        """What an owner runs is found out from now on."""
        before = self._reading
        self._reading = []
        self._plans[id(owner)] = owner, self._reading
        return before

    # ---- what is the same ---------------------------------------------------------------------

    def find(self, let: LetKey) -> tuple[Value] | None:
        """The value of a let that need not be computed."""
        entry = self._entry(let)
        if entry is None or not self._is_same(let):
            return None
        found = self._found.get(let)
        if found is None and entry.value is not None:
            cone = Cone(self, self._cells, let, entry)
            found = self._found[let] = (unpack(entry.value, cone.owner),)
        return found

    def has(self, let: LetKey) -> bool:
        """Whether there is something to look through."""
        return self._entry(let) is not None

    def _entry(self, let: LetKey) -> Entry | None:
        module, _, name = let.partition("\0")
        known = self._entries.get(module)
        if known is None:
            known = self._entries[module] = self._load(module)
        return known.get(name)

    def _load(self, module: ModuleId) -> dict[str, Entry]:
        data = self._shelf.read(self._name(module))
        try:
            rows = {} if data is None else marshal.loads(data)
            return {name: Entry(*row) for name, row in rows.items()}
        except (ValueError, TypeError, EOFError, AttributeError):
            return {}

    def _name(self, module: ModuleId) -> str:
        return key(b"values", module.encode("utf-8", "surrogatepass"), self._where)

    def _is_same(self, let: LetKey) -> bool:
        known = self._same.get(let)
        if known is None:
            before, self._reading = self._reading, None
            try:
                self._look_through(let)
            finally:
                self._reading = before
            known = self._same[let]
        return known

    def _look_through(self, root: LetKey) -> None:
        """In a loop: a let may stand at the end of a long chain."""
        path: list[LetKey] = []
        waiting: dict[LetKey, int] = {}
        self._begin(root, path, waiting)
        while path:
            let = path[-1]
            entry = self._entry(let)
            assert entry is not None
            if waiting[let] == len(entry.reads):
                self._settle(let, True, path, waiting)
                self._identities[let] = entry.identity
                continue
            read, was = entry.reads[waiting[let]]
            if read not in self._identities and read not in self._same and self._entry(read) is not None:
                if read in waiting:
                    self._settle(let, False, path, waiting)
                else:
                    self._begin(read, path, waiting)
                continue
            try:
                now = self._identity(read)
            except Exception:  # it will be raised again by whoever computes it, in its place
                while path:
                    self._settle(path[-1], False, path, waiting)
                return
            if now == was:
                waiting[let] += 1
            else:
                self._settle(let, False, path, waiting)

    def _begin(self, let: LetKey, path: list[LetKey], waiting: dict[LetKey, int]) -> None:
        entry = self._entry(let)
        if entry is None or entry.code != self._codes.let(let):
            self._same[let] = False
            return
        path.append(let)
        waiting[let] = 0

    def _settle(self, let: LetKey, same: bool, path: list[LetKey], waiting: dict[LetKey, int]) -> None:
        self._same[let] = same
        path.pop()
        del waiting[let]

    # ---- identities ---------------------------------------------------------------------------

    def _identity(self, let: LetKey) -> bytes:
        """Of a let's value, which is computed for it unless it is the same as before."""
        found = self._identities.get(let)
        if found is None:
            if let not in self._values:
                self._cells.compute(let)
            found = self._of_computed(let)
        return found

    def _of_computed(self, root: LetKey) -> bytes:
        """In a loop, what was read first: lets may read each other in a long chain, though never in a circle."""
        stack = [root]
        begun: set[LetKey] = set()
        while stack:
            let = stack[-1]
            if let in self._identities:
                stack.pop()
            elif let in begun:
                self._identities[let] = self._made_identity(let)
                stack.pop()
            else:
                begun.add(let)
                reads = self._reads.get(let, ())
                stack.extend([read for read in reads if read not in self._identities and read not in begun])
        return self._identities[root]

    def _made_identity(self, let: LetKey) -> bytes:
        packer = Packer()
        try:
            data: Any = packer.pack(self._values[let])
            if not packer.owners:
                return short_digest(marshal.dumps(data, 2))
        except (NoData, KeyError):  # no data, or a value that never came to be
            pass
        reads = [self._identities.get(read, b"?") for read in dict.fromkeys(self._reads.get(let, ()))]
        return short_digest((self._codes.let(let) or b"?") + b"".join(reads))

    # ---- keeping ------------------------------------------------------------------------------

    def keep(self, graph: Graph) -> None:
        """Keep what was computed; `graph` has every step that was found out."""
        if not self._values:
            return
        modules: dict[ModuleId, dict[str, Entry]] = {}
        homes: dict[int, list[tuple[LetKey, int]]] = {}
        packed: dict[LetKey, tuple[object, list[Buildable]]] = {}
        for let, value in self._values.items():
            packer = Packer()
            try:
                packed[let] = packer.pack(value), packer.owners
            except NoData:
                continue
            for number, owner in enumerate(packer.owners):
                homes.setdefault(id(owner), []).append((let, number))
        for let, (value,) in self._found.items():
            for number, owner in enumerate(owners_of(value)):
                homes.setdefault(id(owner), []).append((let, number))
        for let in self._values:
            module, _, name = let.partition("\0")
            entry = self._made(let, packed.get(let), homes, graph)
            if entry is not None:
                modules.setdefault(module, {})[name] = entry
        for module, entries in modules.items():
            self._write(module, entries)

    def _made(
        self,
        let: LetKey,
        packed: tuple[object, list[Buildable]] | None,
        homes: Mapping[int, list[tuple[LetKey, int]]],
        graph: Graph,
    ) -> Entry | None:
        code = self._codes.let(let)
        if code is None:
            return None
        identity = self._of_computed(let)
        reads = self._with_identities(self._reads.get(let, ()))
        if packed is not None:
            value, owners = packed
            rows = _Rows(self, let, {read for read, _ in reads}, homes, graph).of(owners)
            if rows is not None:
                return Entry(code, reads, identity, value, rows)
        return Entry(code, reads, identity, None, ())

    def _with_identities(self, reads: Sequence[LetKey]) -> Reads:
        return tuple([(read, self._of_computed(read)) for read in dict.fromkeys(reads)])

    def _write(self, module: ModuleId, entries: dict[str, Entry]) -> None:
        """Beside what is kept of the lets that are still there."""
        old = {name: e for name, e in self._load(module).items() if self._codes.is_let(f"{module}\0{name}")}
        rows = {name: tuple(entry) for name, entry in {**old, **entries}.items()}
        self._shelf.write(self._name(module), marshal.dumps(rows))

    def reads_of_plan(self, owner: Buildable) -> Reads:
        found = self._plans.get(id(owner))
        return () if found is None else self._with_identities(found[1])

    def place_of(self, owner: Buildable) -> Place:
        return None if owner.site is None else self._cells.place_of(owner.site)

    def owners(self, let: LetKey) -> list[Buildable]:
        """Those of a let's value, which is computed for it if it is not the same as before."""
        found = self._owners.get(let)
        if found is None:
            found = self._owners[let] = owners_of(self._cells.compute(let))
        return found

    def are_same(self, reads: Reads) -> bool:
        """Whether these lets are what they were; they are computed for it in their turn.

        What fails is not: whoever reads it will fail, in its place.
        """
        for read, was in reads:
            if self._entry(read) is not None:
                self._is_same(read)
            before, self._reading = self._reading, None
            try:
                if self._identity(read) != was:
                    return False
            except Exception:
                return False
            finally:
                self._reading = before
        return True


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


class _Rows:
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

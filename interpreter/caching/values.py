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
from typing import Any

from kiln.interpreter.caching.closures import Closures
from kiln.interpreter.caching.meanings import short_digest
from kiln.interpreter.caching.owners import Cells, Cone, Entry, LetKey, Place, Reads, Rows, owners_of
from kiln.interpreter.caching.shelf import Shelf, key
from kiln.interpreter.derivation import Graph
from kiln.interpreter.evaluate.data import NoData, Packer, unpack
from kiln.interpreter.evaluate.packages import Buildable
from kiln.interpreter.evaluate.values import Value
from kiln.lang.core import CoreModule, ModuleId


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
            rows = Rows(self, let, {read for read, _ in reads}, homes, graph).of(owners)
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

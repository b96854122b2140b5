"""Every declared type that the module being checked can meet, its own and its imports'.

`World` grows while the module's own declarations are read, and is only looked at afterwards (a set's
members are the exception: see sets.py).
"""

from __future__ import annotations

from collections.abc import Callable

from kiln.lang.check.failure import Spanned
from kiln.lang.check.infos import ConParam, RecordInfo, SetInfo, Site, TypeInfo, VariantInfo, constructor
from kiln.lang.check.measure import Measure
from kiln.lang.check.types import NO_CONSTRAINTS, Bound, Con, Rec, Row, TVar, Type, option_of, substitute_row

BUILTIN = "std/prelude"
NOWHERE = Site(BUILTIN, 0, 0)
_A = Bound(0, "type", "a", NO_CONSTRAINTS)


def _option() -> VariantInfo:
    whole = option_of(_A)
    some = constructor("Some", whole, (_A,), (ConParam("value", _A, False),), NOWHERE)
    none = constructor("None", whole, (_A,), (), NOWHERE)
    return VariantInfo("Option", (_A,), {"Some": some, "None": none}, NOWHERE, "A value that may be absent.")


OPTION = _option()
KIND_CONSTANTS = {name: Con("Kind", (Con(name),)) for name in ("Tree", "File")}


class World:
    __slots__ = ("changes", "fitting", "infos", "measure", "mentioned_recipes", "sound", "untyped")

    def __init__(self) -> None:
        self.infos: dict[str, TypeInfo] = {"Option": OPTION}
        self.measure = Measure()
        self.mentioned_recipes: set[str] = set()
        """Declared records that this module writes as the recipe of a `Pkg`."""
        self.fitting: set[tuple[Type, Type]] = set()
        """Types without variables of which the first may stand where the second is, by identity."""
        self.sound: dict[int, Con] = {}
        """Types in which no output has the name of a field, by identity: they are looked at once."""
        self.untyped: dict[str, dict[str, Callable[[Spanned], Exception]]] = {}
        """For a set that is being checked: its members without a type yet, and what to raise for a use of one."""
        self.changes: list[tuple[TVar, frozenset[str]]] | None = None
        """While an attempt is made that may be undone: the variables that it bound or constrained, all unbound
        before.
        """

    def record(self, t: Type) -> RecordInfo | None:
        """The declaration of `t`, where it is a declared record."""
        info = self.infos.get(t.name) if type(t) is Con else None
        return info if type(info) is RecordInfo else None

    def expanded(self, t: Type) -> Rec | None:
        """The dense record that `t` stands for, or None: `t` is no record."""
        if type(t) is Rec:
            return t
        info = self.record(t)
        if info is None or type(t) is not Con:
            return None
        return Rec(substitute_row(info.dense, self.arguments(t)))

    def set_info(self, t: Type) -> SetInfo | None:
        info = self.infos.get(t.name) if type(t) is Con else None
        return info if type(info) is SetInfo else None

    def variant(self, t: Type) -> VariantInfo | None:
        info = self.infos.get(t.name) if type(t) is Con else None
        return info if type(info) is VariantInfo else None

    def set_chain(self, name: str) -> list[SetInfo]:
        """The set and those it extends, the nearest first."""
        chain: list[SetInfo] = []
        current: str | None = name
        while current is not None:
            info = self.infos.get(current)
            if type(info) is not SetInfo or info in chain:
                break
            chain.append(info)
            current = info.parent
        return chain

    @staticmethod
    def arguments(t: Con) -> list[Type | Row]:
        return list(t.args)

    def is_recipe(self, name: str) -> bool:
        info = self.infos.get(name)
        return name in self.mentioned_recipes or (type(info) is RecordInfo and info.recipe)

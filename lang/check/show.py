"""Types in words: as the reader of one module would write them.

An alias is printed by its name, a declared type by the name that this module reaches it by (`cc.Lib`, `Curl`), and
an unknown part as `_`: a unification variable is never shown. What is too deep or too long ends in `…`.
"""

from __future__ import annotations

from collections.abc import Mapping

from kiln.lang.check.clash import Clash
from kiln.lang.check.rows import FlatTail, flat
from kiln.lang.check.types import Bound, Con, Fn, FnParam, Rec, Row, RowMap, Scheme, TVar, Type, prune, split_id

_DEPTH = 8
_LENGTH = 400


class Printer:
    """Prints for one module: `modules` are its imports' aliases, `own` names what it imported by name."""

    __slots__ = ("_module", "_modules", "_own")

    def __init__(
        self, module: str, modules: Mapping[str, str] | None = None, own: Mapping[str, str] | None = None
    ) -> None:
        self._module = module
        self._modules = modules or {}
        self._own = own or {}

    def use(self, modules: Mapping[str, str], types: Mapping[str, str]) -> None:
        """Take the names that the module's imports bring."""
        self._modules = modules
        self._own = {type_name: name for name, type_name in types.items()}

    def name(self, type_name: str) -> str:
        """A declared type's name as this module would write it."""
        if type_name in self._own:
            return self._own[type_name]
        module, own = split_id(type_name)
        if module is None or module == self._module or module == "std/prelude":
            return own
        return f"{self._modules.get(module) or _stem(module)}.{own}"

    def show(self, t: Type | Row | Scheme) -> str:
        whole = t.type if isinstance(t, Scheme) else t
        text = self._row(whole, 0) if isinstance(whole, Row) else self._type(whole, 0)
        return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"

    def full(self, t: Type | Scheme) -> str:
        """Without a limit: for what is read by a program, or pasted."""
        return self._type(t.type if isinstance(t, Scheme) else t, -1_000_000)

    def _type(self, t: Type, depth: int) -> str:
        t = prune(t)
        if depth > _DEPTH:
            return "…"
        if t.alias is not None:
            return self._con(t.alias, depth)
        match t:
            case TVar():
                return t.rigid or "_"
            case Bound():
                return t.name
            case Con():
                return self._con(t, depth)
            case Rec():
                return self._row(t.row, depth)
            case Fn():
                params = ", ".join([self._param(p, depth + 1) for p in t.params])
                return f"fn({params}) -> {self._type(t.result, depth + 1)}"

    def _con(self, t: Con, depth: int) -> str:
        name = self.name(t.name)
        if not t.args:
            return name
        args = [self._row(a, depth + 1) if isinstance(a, Row) else self._type(a, depth + 1) for a in t.args]
        if all(arg == "_" for arg in args):
            return name  # nothing is known of its parts yet
        return f"{name}({', '.join(args)})"

    def _param(self, p: FnParam, depth: int) -> str:
        label = "" if p.label is None else f"{p.label}{'?' if p.optional else ''}: "
        return label + self._type(p.type, depth)

    def _row(self, row: Row, depth: int) -> str:
        try:
            fields, tail = flat(row)
        except Clash:  # an output named like a field: that error is on its way, print what there is
            fields, tail = row.fields, None
        if not fields and isinstance(tail, TVar | Bound):
            return _variable(tail)
        if depth > _DEPTH:
            return "{…}"
        parts = [f"{label}: {self._type(t, depth + 1)}" for label, t in fields.items()]
        if tail is not None:
            parts.append(f"..{self._tail(tail)}".removesuffix("_"))
        return "{" + ", ".join(parts) + "}"

    def _tail(self, tail: FlatTail) -> str:
        if isinstance(tail, RowMap):
            inner = tail.row.tail
            name = _variable(inner) if isinstance(inner, TVar | Bound) else "_"
            return f"{tail.constructor}s({name})"
        return _variable(tail) if tail is not None else ""


def _variable(v: TVar | Bound) -> str:
    return v.name if isinstance(v, Bound) else v.rigid or "_"


def _stem(module: str) -> str:
    """`cc` for `std/cc`, `lib` for `/home/x/lib.kiln`."""
    return module.rpartition("/")[2].removesuffix(".kiln")

"""What a module shows of itself: all that a module which imports it may depend on.

Plain immutable data without a unification variable, so that it can be hashed and kept: `surface` is the part that
decides types (a change that leaves it alone needs no importer checked again); documentation and the
places of declarations serve messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from kiln.lang.check.infos import AliasInfo, ConInfo, RecordInfo, SetInfo, TypeInfo, ValueInfo, VariantInfo
from kiln.lang.check.types import Bound, Con, Fn, Rec, Row, RowMap, Scheme, Tail, Type, split_id
from kiln.lang.core import ModuleId


class SourceText(NamedTuple):
    """The file that a `Site` of a module points into."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Interface:
    module: ModuleId
    path: str
    values: Mapping[str, ValueInfo]
    types: Mapping[str, str]
    """Exported type names, each with its id in `infos`."""
    infos: Mapping[str, TypeInfo]
    """Every declared type that an exported one or a value's type leads to, of whichever module."""
    private: frozenset[str] = frozenset()
    """Names that are there and not exported: for messages."""
    sources: Mapping[ModuleId, SourceText] = field(default_factory=dict)
    doc: str | None = None

    def constructor(self, name: str) -> ConInfo | None:
        """An exported variant's constructor."""
        for type_name in self.types.values():
            info = self.infos[type_name]
            if isinstance(info, VariantInfo) and name in info.constructors:
                return info.constructors[name]
        return None

    def surface(self) -> tuple[object, ...]:
        """Nested tuples of str, int, bool and None: equal for two interfaces that no importer can tell apart."""
        values = tuple(
            (
                v.name,
                v.kind,
                _scheme(v.scheme),
                None if v.params is None else tuple((p.label, p.mode) for p in v.params),
            )
            for _, v in sorted(self.values.items())
        )
        types = tuple(sorted(self.types.items()))
        infos = tuple((name, _info(info)) for name, info in sorted(self.infos.items()))
        return (self.module, values, types, infos)


def reachable(roots: Iterable[Type | Row], infos: Mapping[str, TypeInfo]) -> dict[str, TypeInfo]:
    """The declarations that the types lead to, through fields, constructors, aliases, members and parents."""
    found: dict[str, TypeInfo] = {}
    met: dict[int, object] = {}
    """Types by identity: as trees they may be far larger than they are."""
    stack: list[Type | Row | RowMap | None] = list(roots)
    while stack:
        node = stack.pop()
        if id(node) in met:
            continue
        met[id(node)] = node
        match node:
            case Con():
                stack.extend(node.args)
                stack.append(node.alias)
                info = infos.get(node.name)
                if info is not None and node.name not in found:
                    found[node.name] = info
                    stack.extend(_parts(info))
            case Rec():
                stack.append(node.row)
                stack.append(node.alias)
            case RowMap():
                stack.append(node.row)
            case Row():
                stack.extend(node.fields.values())
                stack.append(node.tail if isinstance(node.tail, Row | RowMap) else None)
            case Fn():
                stack.extend([p.type for p in node.params])
                stack.append(node.result)
                stack.append(node.alias)
            case _:
                pass
    return found


def _parts(info: TypeInfo) -> list[Type | Row | RowMap | None]:
    match info:
        case RecordInfo():
            tail = info.tail if isinstance(info.tail, Row | RowMap) else None
            return [*[f.type for f in info.fields.values()], tail]
        case VariantInfo():
            return [p.type for con in info.constructors.values() for p in con.params]
        case AliasInfo():
            return [info.type]
        case SetInfo():
            parent: list[Type | Row | RowMap | None] = [] if info.parent is None else [Con(info.parent)]
            return [*[m.type for m in info.members.values()], *parent]


def exported_modules(infos: Mapping[str, TypeInfo]) -> set[ModuleId]:
    """The modules whose declarations are among `infos`."""
    return {module for module, _ in map(split_id, infos) if module is not None}


# ---- the canonical form -----------------------------------------------------------------------


def _scheme(s: Scheme) -> tuple[object, ...]:
    return (tuple(_type(v) for v in s.vars), _type(s.type))


def _type(t: Type) -> tuple[object, ...]:
    match t:
        case Con():
            return ("con", t.name, tuple(_row(a) if isinstance(a, Row) else _type(a) for a in t.args))
        case Rec():
            return ("rec", _row(t.row))
        case Fn():
            return ("fn", tuple((p.label, _type(p.type), p.optional) for p in t.params), _type(t.result))
        case Bound():
            return ("var", t.place, t.kind, tuple(sorted(t.constraints)))
        case _:
            raise AssertionError("an interface's type holds no unification variable")


def _row(row: Row) -> tuple[object, ...]:
    return ("row", tuple((label, _type(t)) for label, t in sorted(row.fields.items())), _tail(row.tail))


def _tail(tail: Tail) -> tuple[object, ...] | None:
    match tail:
        case None:
            return None
        case Bound():
            return _type(tail)
        case Row():
            return _row(tail)
        case RowMap():
            return ("map", tail.constructor, _row(tail.row))
        case _:
            raise AssertionError("an interface's row holds no unification variable")


def _info(info: TypeInfo) -> tuple[object, ...]:
    match info:
        case RecordInfo():
            fields = tuple((f.label, _type(f.type), f.mode) for f in info.fields.values())
            return ("record", tuple(map(_type, info.params)), fields, _tail(info.tail), info.recipe)
        case VariantInfo():
            cons = tuple(
                (c.name, tuple((p.label, _type(p.type), p.optional) for p in c.params))
                for c in info.constructors.values()
            )
            return ("variant", tuple(map(_type, info.params)), cons)
        case AliasInfo():
            return ("alias", tuple(map(_type, info.params)), _type(info.type))
        case SetInfo():
            return ("set", tuple((name, _type(m.type)) for name, m in sorted(info.members.items())), info.parent)

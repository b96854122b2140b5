"""What a name means to a declaration that mentions it: 16 bytes, equal while no check of it could come out otherwise.

    value         which one it is, its type, how its parameters are given, and every declared type that its type names
    type          its declaration, and every one that it leads to
    constructor   its variant, likewise

A digest holds for the moment when it is asked for: a set's members are found out on the way, and a record may be
mentioned as a recipe by any declaration. Places of declarations and documentation are not in it.
"""

from __future__ import annotations

from typing import NamedTuple

from blake3 import blake3

from kiln.interpreter.caching.interfaces import INFOS, TYPES
from kiln.lang.check.infos import ConInfo, SetInfo, TypeInfo
from kiln.lang.check.interface import reachable
from kiln.lang.check.memory import KeptValue
from kiln.lang.check.names import Scope, Value
from kiln.lang.check.types import Con, Fn, Rec, Row, RowMap, Scheme, Type
from kiln.lang.check.world import World

SIZE = 16
_NOTHING = b"\0" * SIZE


def short_digest(data: bytes) -> bytes:
    return blake3(data).digest(SIZE)


class PackedScheme(NamedTuple):
    """A type as bytes, their digest, and the declared types that it names."""

    data: bytes
    digest: bytes
    names: tuple[str, ...]


class Meanings:
    """Of the names in one module."""

    def __init__(self, scope: Scope, world: World) -> None:
        self._scope = scope
        self._world = world
        self._names: dict[str, bytes] = {}
        self._closures: dict[str, bytes] = {}
        self._shallow: dict[int, tuple[TypeInfo, bytes]] = {}
        self._parts: dict[int, tuple[object, bytes]] = {}
        """Digests of types: a declared one may hold all that were declared before."""
        self._schemes: dict[int, tuple[Type, PackedScheme]] = {}
        self._recipes = 0

    def changed(self) -> None:
        """Types may say something else."""
        self._names.clear()
        self._closures.clear()

    def of(self, names: tuple[str, ...]) -> bytes:
        """What these mean, in their order."""
        if len(self._world.mentioned_recipes) != self._recipes:
            self._recipes = len(self._world.mentioned_recipes)
            self.changed()
        known = self._names
        return b"".join([known.get(name) or self._name(name) for name in names])

    # ---- names --------------------------------------------------------------------------------

    def _name(self, name: str) -> bytes:
        alias, dot, own = name.lstrip("~=").rpartition(".")
        value = None
        if name[0] == "~":
            found = _NOTHING
        elif name[0] == "=":
            found = self._constructor(alias, own)
        else:
            value = self._value(alias, own)
            parts = [b"" if value is None else self._meaning(value), self._type(alias, own)]
            if own[:1].isupper():
                parts.append(self._constructor(alias, own))
            elif not dot:
                parts.append(self._alias(own))
            found = short_digest(b"|".join(parts))
        if value is None or value.module != self._scope.module or value.broken or _known(value):
            self._names[name] = found
        return found

    def _value(self, alias: str, name: str) -> Value | None:
        scope = self._scope
        if not alias:
            return scope.value(name)
        return scope.member(alias, name) if alias in scope.modules else None

    def _alias(self, name: str) -> bytes:
        module = self._scope.modules.get(name)
        if module is not None:
            return module.module.encode("utf-8", "surrogatepass")
        return b"missing" if name in self._scope.missing else b""

    def _type(self, alias: str, name: str) -> bytes:
        scope = self._scope
        if alias:
            module = scope.modules.get(alias)
            found = None if module is None else module.types.get(name)
        else:
            found = scope.types.get(name)
        if found is None:
            return b""
        return b"broken" if found in scope.broken_types else self._closure(found)

    def _constructor(self, alias: str, name: str) -> bytes:
        con: ConInfo | None
        if alias:
            module = self._scope.modules.get(alias)
            con = None if module is None else module.constructor(name)
        else:
            con = self._scope.constructors.get(name)
        return b"" if con is None else con.name.encode() + self._closure(con.variant)

    # ---- types --------------------------------------------------------------------------------

    def _meaning(self, value: Value) -> bytes:
        if value.broken:
            return b"broken"
        if not _known(value):
            return b"unknown"
        packed = self._packed(value)
        modes = "" if value.params is None else ",".join([f"{p.label} {p.mode}" for p in value.params])
        head = f"{value.module}#{value.name} {value.kind} {modes} ".encode("utf-8", "surrogatepass")
        return head + packed.digest + b"".join([self._closure(name) for name in packed.names])

    def _packed(self, value: Value) -> PackedScheme:
        if isinstance(value, KeptValue) and isinstance(value.kept, HasPacked):
            return value.kept.packed
        assert value.scheme is not None
        return self.packed(value.scheme)

    def packed(self, scheme: Scheme) -> PackedScheme:
        """The same for the same type object: many values share one."""
        found = self._schemes.get(id(scheme.type))
        if found is not None and not scheme.vars:
            return found[1]
        data = TYPES.pack(scheme, stable=True)
        packed = PackedScheme(data, short_digest(data), named_types(scheme.type))
        if not scheme.vars:
            self._schemes[id(scheme.type)] = scheme.type, packed
        return packed

    def _closure(self, name: str) -> bytes:
        found = self._closures.get(name)
        if found is None:
            infos = reachable([Con(name)], self._world.infos)
            rows = [id.encode("utf-8", "surrogatepass") + self._info(info) for id, info in sorted(infos.items())]
            found = self._closures[name] = short_digest(name.encode("utf-8", "surrogatepass") + b"".join(rows))
        return found

    def _info(self, info: TypeInfo) -> bytes:
        recipe = b"r" if self._world.is_recipe(info.id) else b"-"
        known = self._shallow.get(id(info))
        if known is None:
            known = info, self._digest_of(info)
            if not isinstance(info, SetInfo):
                self._shallow[id(info)] = known
        return recipe + known[1]

    def _digest_of(self, info: TypeInfo) -> bytes:
        if isinstance(info, SetInfo):  # its members grow
            return INFOS.digest((info.id, tuple(info.members.items()), info.parent), self._parts)
        return INFOS.digest(info, self._parts)


class HasPacked:
    """A kept type that knows its bytes."""

    packed: PackedScheme


def _known(value: Value) -> bool:
    return (isinstance(value, KeptValue) and value.kept is not None) or value.scheme is not None


def named_types(root: Type) -> tuple[str, ...]:
    """The declared types that a type names, sorted; behind an alias, too."""
    found: set[str] = set()
    met: set[int] = set()
    stack: list[Type | Row | RowMap | None] = [root]
    while stack:
        node = stack.pop()
        if id(node) in met:
            continue
        met.add(id(node))
        match node:
            case Con():
                if "#" in node.name or node.name == "Option":
                    found.add(node.name)
                stack.extend(node.args)
                stack.append(node.alias)
            case Rec():
                stack.append(node.row)
                stack.append(node.alias)
            case Fn():
                stack.extend([p.type for p in node.params])
                stack.append(node.result)
                stack.append(node.alias)
            case Row():
                stack.extend(node.fields.values())
                stack.append(node.tail if isinstance(node.tail, Row | RowMap) else None)
            case RowMap():
                stack.append(node.row)
            case _:
                pass
    return tuple(sorted(found))

"""Interfaces kept as bytes, and the digest of what an importer may depend on.

Kept of an interface are its own values and declared types. The declared types of other modules that it leads to, and
the texts that places point into, are taken from the interfaces of the module's imports when it is read, so that an
entry holds no copy of what another file says.

`surface_digest` is a digest of the interface without documentation and without the places of declarations: equal for
two interfaces that no importer can tell apart, but in the places that a message shows. Places inside a type count
from the declaration that they stand in, and belong to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final, NamedTuple

from kiln.interpreter.caching.flat import Damaged, Shape, Table
from kiln.lang.check import infos, types
from kiln.lang.check.export import sources
from kiln.lang.check.infos import AliasInfo, RecordInfo, SetInfo, Site, TypeInfo, ValueInfo, VariantInfo
from kiln.lang.check.interface import Interface, SourceText
from kiln.lang.check.types import Con, Fn, Rec, Row, RowMap, Scheme, split_id
from kiln.lang.check.world import OPTION
from kiln.lang.core import ModuleId

_INTERNED: Final = {
    t.name: t for t in (types.INT, types.BOOL, types.STR, types.TEXT, types.PATH, types.TREE, types.FILE)
}
_INFOS: Final = (RecordInfo, VariantInfo, AliasInfo, SetInfo)


def _con(name: str, args: tuple[Any, ...], alias: Con | None) -> Con:
    plain = _INTERNED.get(name)
    return plain if plain is not None and not args and alias is None else Con(name, args, alias)


def _shape(kind: type[Any], names: Sequence[str]) -> Shape:
    def parts(node: Any) -> list[object]:
        return [getattr(node, name) for name in names]

    return Shape(kind, parts, len(names), kind)


_TUPLES: Final = [
    types.Bound,
    types.FnParam,
    *sorted(
        (
            k
            for k in vars(infos).values()
            if isinstance(k, type) and hasattr(k, "_fields") and k.__module__ == infos.__name__
        ),
        key=lambda k: k.__name__,
    ),
]
_SHAPES: Final = [
    Shape(Con, lambda t: (t.name, t.args, t.alias), 3, _con),
    _shape(Rec, ("row", "alias")),
    _shape(Fn, ("params", "result", "alias")),
    _shape(RowMap, ("constructor", "row")),
    _shape(Scheme, ("vars", "type")),
]
_DECLARED: Final = [_shape(kind, [f.name for f in fields(kind)]) for kind in _INFOS]
TYPES: Final = Table(_TUPLES, [*_SHAPES, _shape(Row, ("fields", "tail", "sites")), *_DECLARED])
"""All that an interface holds."""


def _without_doc(kind: type[Any]) -> Shape:
    return _shape(kind, [f.name for f in fields(kind) if f.name not in ("doc", "site")])


INFOS: Final = Table(
    [k for k in _TUPLES if k not in (Site, ValueInfo)],
    [
        *_SHAPES,
        _shape(Row, ("fields", "tail", "sites")),
        Shape(Site, lambda site: (), 0, tuple),
        Shape(ValueInfo, lambda v: (v.name, v.kind, v.scheme, v.params), 4, ValueInfo),
        *[_without_doc(kind) for kind in _INFOS],
    ],
)
"""The same without the places of declarations and documentation; bytes to be hashed, never read."""


class Stored(NamedTuple):
    """An interface without what belongs to other modules."""

    values: tuple[ValueInfo, ...]
    types: dict[str, str]
    own: dict[str, TypeInfo]
    others: tuple[tuple[str, bool], ...]
    """Declared types of other modules, and whether this one uses it as a recipe."""
    order: tuple[str, ...]
    private: frozenset[str]
    doc: str | None


def surface_digest(interface: Interface) -> bytes:
    values = tuple(v for _, v in sorted(interface.values.items()))
    named = tuple(sorted(interface.types.items()))
    declared = tuple(sorted(interface.infos.items()))
    return INFOS.digest((interface.module, values, named, declared), {})


def pack(interface: Interface) -> bytes:
    own: dict[str, TypeInfo] = {}
    others: list[tuple[str, bool]] = []
    for name, info in interface.infos.items():
        if split_id(name)[0] == interface.module:
            own[name] = info
        else:
            others.append((name, isinstance(info, RecordInfo) and info.recipe))
    stored = Stored(
        tuple(interface.values.values()),
        dict(interface.types),
        own,
        tuple(others),
        tuple(interface.infos),
        interface.private,
        interface.doc,
    )
    return TYPES.pack(tuple(stored), shared=True)


def unpack(data: bytes, module: ModuleId, source: SourceText, imports: Mapping[str, Interface]) -> Interface:
    """The interface of a module whose imports have these. Raises Damaged, also where they are not what they were."""
    stored = Stored(*TYPES.unpack(data))
    known: dict[str, TypeInfo] = {"Option": OPTION}
    for interface in imports.values():
        known.update(interface.infos)
    found: dict[str, TypeInfo] = dict(stored.own)
    for name, recipe in stored.others:
        if name not in known:
            raise Damaged
        found[name] = _recipe(known[name]) if recipe else known[name]
    infos = {name: found[name] for name in stored.order}
    values = {value.name: value for value in stored.values}
    texts = sources(module, infos, imports, source)
    return Interface(module, source.path, values, stored.types, infos, stored.private, texts, stored.doc)


def _recipe(info: TypeInfo) -> TypeInfo:
    return replace(info, recipe=True) if isinstance(info, RecordInfo) and not info.recipe else info

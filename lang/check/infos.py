"""What is known of a declared thing: plain immutable data that an interface can hold.

A type in here is closed: its variables are `Bound`, by the place of the declaration's parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from kiln.lang.check.types import Bound, Con, Fn, Row, Scheme, Tail, Type

Mode: TypeAlias = Literal["required", "default", "optional"]


class Site(NamedTuple):
    """Where something was declared: a module, and offsets in its file, or from the name of its `owner` in there."""

    module: str
    start: int
    end: int
    owner: str = ""


class FieldInfo(NamedTuple):
    """`l: T`, `l: T = default`, `l?: T`; `type` is T itself, also of an optional field."""

    label: str
    type: Type
    mode: Mode
    site: Site


@dataclass(frozen=True, slots=True)
class RecordInfo:
    """A declared record: a transparent name for `dense`, whose optional fields hold an Option."""

    id: str
    params: tuple[Bound, ...]
    fields: Mapping[str, FieldInfo]
    tail: Tail
    dense: Row
    recipe: bool
    """Its module has it as the recipe of a `Pkg`: its functions may capture nothing (K0318)."""
    site: Site
    doc: str | None


class ConParam(NamedTuple):
    label: str | None
    type: Type
    optional: bool


class ConInfo(NamedTuple):
    """A constructor. Its type is `scheme`: a function from its fields, or the variant itself."""

    name: str
    variant: str
    params: tuple[ConParam, ...]
    scheme: Scheme
    site: Site


@dataclass(frozen=True, slots=True)
class VariantInfo:
    """Constructors in the order of the declaration; one without any is a kind that a module adds."""

    id: str
    params: tuple[Bound, ...]
    constructors: Mapping[str, ConInfo]
    site: Site
    doc: str | None


@dataclass(frozen=True, slots=True)
class AliasInfo:
    id: str
    params: tuple[Bound, ...]
    type: Type
    site: Site
    doc: str | None


class MemberInfo(NamedTuple):
    type: Type
    annotated: bool
    site: Site


@dataclass(frozen=True, slots=True)
class SetInfo:
    """A set's own members; those of `parent` are looked up there, never copied."""

    id: str
    members: Mapping[str, MemberInfo]
    parent: str | None
    site: Site
    doc: str | None


TypeInfo: TypeAlias = RecordInfo | VariantInfo | AliasInfo | SetInfo


class ParamInfo(NamedTuple):
    """A parameter of a declared function, as a direct call needs it."""

    label: str
    mode: Mode
    site: Site


ValueKind: TypeAlias = Literal["fn", "let", "set"]


class ValueInfo(NamedTuple):
    """A top-level value. `params` is None but for a function or a set's constructor, which are called directly."""

    name: str
    kind: ValueKind
    scheme: Scheme
    params: tuple[ParamInfo, ...] | None
    site: Site
    doc: str | None = None


def self_type(info: TypeInfo) -> Con:
    """The declared type applied to its own parameters."""
    params = () if isinstance(info, SetInfo) else info.params
    return Con(info.id, tuple([Row({}, p) if p.kind == "row" else p for p in params]))


def constructor(
    name: str, variant: Con, bounds: tuple[Bound, ...], params: tuple[ConParam, ...], site: Site
) -> ConInfo:
    from kiln.lang.check.types import FnParam

    plain = tuple([FnParam(p.label, p.type, p.optional) for p in params])
    return ConInfo(name, variant.name, params, Scheme(bounds, Fn(plain, variant) if params else variant), site)

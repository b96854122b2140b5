"""The types that programs are generated of, how they are written, and where choices come from."""

from __future__ import annotations

import random
from typing import NamedTuple, Protocol, TypeAlias


class Choose(Protocol):
    """A source of choices."""

    def below(self, count: int) -> int: ...


class Dice:
    """Choices of a seed."""

    def __init__(self, seed: object) -> None:
        self._random = random.Random(str(seed))

    def below(self, count: int) -> int:
        return self._random.randrange(count)


class Base(NamedTuple):
    """Int, Bool, Str, Text, and declared types by their name."""

    name: str


class Of(NamedTuple):
    """List, Map or Option of a type, or Out of a kind."""

    name: str
    item: Ty


class Record(NamedTuple):
    fields: tuple[tuple[str, Ty], ...]


class Param(NamedTuple):
    label: str | None
    type: Ty
    optional: bool = False


class Function(NamedTuple):
    params: tuple[Param, ...]
    result: Ty


Ty: TypeAlias = Base | Of | Record | Function
Scope: TypeAlias = tuple[tuple[str, Ty], ...]

INT, BOOL, STR, TEXT, TREE, FILE = map(Base, ("Int", "Bool", "Str", "Text", "Tree", "File"))
OUT_TREE, OUT_FILE = Of("Out", TREE), Of("Out", FILE)


def shown(t: Ty) -> str:
    """The type as a program writes it."""
    match t:
        case Base(name):
            return name
        case Of(name, item):
            return f"{name}({shown(item)})"
        case Record(fields):
            return "{ " + ", ".join(f"{label}: {shown(item)}" for label, item in fields) + " }"
        case Function(params, result):
            return f"(fn({', '.join(map(param, params))}) -> {shown(result)})"


def param(p: Param) -> str:
    """A parameter as a function type writes it."""
    return shown(p.type) if p.label is None else f"{p.label}{'?' if p.optional else ''}: {shown(p.type)}"


class Field(NamedTuple):
    """Of a declared record: plain, with a default, or optional (`type` is what stands behind `?:`)."""

    label: str
    type: Ty
    kind: str


class Con(NamedTuple):
    name: str
    params: tuple[Param, ...]


class Made(NamedTuple):
    """A declared function; `wants` says which types its parameters have."""

    name: str
    params: tuple[Param, ...]
    result: Ty

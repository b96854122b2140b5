"""Values as plain data that can be kept, and back.

    int bool str     themselves               Text       ("text", (str or output, …))
    list             ("list", items)          path       ("path", absolute, as written)
    Map              ("map", names, values)   output     ("out", owner, output, path below it)
    record           ("record", labels, …)    package    ("owner", owner)
    variant          ("variant", name, …)

An owner is a number: the owners of a value are counted in the order in which they are met. Functions, sets, secrets
and attestations are no data, and neither is what is too large or too deep to be worth keeping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from kiln.interpreter.evaluate.packages import Buildable
from kiln.interpreter.evaluate.values import (
    OutValue,
    PathOf,
    Record,
    Text,
    Value,
    Variant,
    constructor,
    record_maker,
)

MOST_PARTS: Final = 20_000
MOST_TEXT: Final = 1 << 20
MOST_DEPTH: Final = 50


class NoData(Exception):
    """A value that can't be kept."""


class Packer:
    """Packs one value, and counts its owners."""

    def __init__(self) -> None:
        self.owners: list[Buildable] = []
        self._numbers: dict[int, int] = {}
        self._parts = 0
        self._text = 0

    def pack(self, value: Value, depth: int = 0) -> object:
        """Raises NoData."""
        kind = type(value)
        if kind is str:
            self._text += len(value)
            if self._text > MOST_TEXT:
                raise NoData
            return value
        if kind is int or kind is bool:
            return value
        self._parts += 1
        if depth > MOST_DEPTH or self._parts > MOST_PARTS:
            raise NoData
        match value:
            case OutValue():
                return ("out", self._owner(value.owner), value.output, value.sub)
            case Buildable():
                return ("owner", self._owner(value))
            case tuple():
                return ("list", self._all(value, depth))
            case dict():
                names = tuple(sorted(value))
                return ("map", names, self._all([value[name] for name in names], depth))
            case Record():
                return ("record", value.labels, self._all([item for _, item in value.items()], depth))
            case Variant():
                return ("variant", value.con, self._all(value.fields(), depth))
            case Text(parts=parts):
                return ("text", self._all(parts, depth))
            case PathOf(path=path, text=text):
                return ("path", path, text)
        raise NoData

    def _all(self, values: Sequence[Value], depth: int) -> tuple[object, ...]:
        self._parts += len(values)
        if self._parts > MOST_PARTS:
            raise NoData
        return tuple([self.pack(value, depth + 1) for value in values])

    def _owner(self, owner: Buildable) -> int:
        found = self._numbers.get(id(owner))
        if found is None:
            found = self._numbers[id(owner)] = len(self.owners)
            self.owners.append(owner)
        return found


def unpack(data: Any, owner: Callable[[int], Buildable]) -> Value:
    """The value of what `Packer.pack` gave."""
    if type(data) is not tuple:
        return data
    match data:
        case ("out", number, output, sub):
            return OutValue(owner(number), output, sub)
        case ("owner", number):
            return owner(number)
        case ("list", items):
            return tuple([unpack(item, owner) for item in items])
        case ("map", names, items):
            return dict(zip(names, [unpack(item, owner) for item in items], strict=True))
        case ("record", labels, items):
            return record_maker(labels)(*[unpack(item, owner) for item in items])
        case ("variant", con, items):
            made = constructor(con, len(items))
            return made(*[unpack(item, owner) for item in items]) if items else made
        case ("text", items):
            return Text(tuple([unpack(item, owner) for item in items]))
        case ("path", path, text):
            return PathOf(path, text)
    raise ValueError("no value")

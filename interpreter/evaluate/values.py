"""Values: what evaluation computes with.

    Int Bool Str    int, bool, str                    List      tuple
    Map             dict; read in the order of its keys, whatever order it was made in
    Text            str, or Text where it carries outputs
    Out             OutValue: a buildable, one of its outputs, and a path below it
    Path            PathOf                            function  a Python function
    record          an instance of `record_class(labels)`: one slotted class a set of labels
    variant         an instance of `variant_class(constructor, arity)`; without fields there is one instance
    Pkg, Drv        packages.Pkg, packages.Drv        set       sets.SetValue

A label `l` is the attribute `l_` and a variant's field is `_0`, `_1` …: so access needs no type, no label is
a word of Python's, and none clashes with a method, as no method's name ends in an underscore.
No value is changed once it is made, except that lazy ones remember what they came to.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

if TYPE_CHECKING:
    from kiln.interpreter.evaluate.packages import Buildable

Value: TypeAlias = Any
"""A Kiln value. The checker has decided its type, so that run-time code looks at no type."""


def attribute(label: str) -> str:
    """The Python attribute that holds the field `label`."""
    return label + "_"


# ---- records ----------------------------------------------------------------------------------


class Record:
    """A record. Its class is made by `record_class`."""

    __slots__ = ()
    labels: ClassVar[tuple[str, ...]] = ()
    """Sorted; the slots stand in the same order."""

    def clone(self) -> Self:
        """A copy, to be changed by who made it and by nobody later."""
        cls = type(self)
        lines = ["def clone(self):", " new = make()"]
        lines += [f" new.{attribute(label)} = self.{attribute(label)}" for label in cls.labels]
        scope: dict[str, Any] = {"make": cls}
        exec("\n".join([*lines, " return new"]), scope)
        cls.clone = scope["clone"]  # type: ignore[method-assign]
        return self.clone()

    def items(self) -> list[tuple[str, Value]]:
        return [(label, getattr(self, label + "_")) for label in self.labels]


_record_classes: dict[tuple[str, ...], type[Record]] = {}
_makers: dict[tuple[str, ...], Callable[..., Record]] = {}


def record_class(labels: tuple[str, ...]) -> type[Record]:
    """The class of records with exactly these labels, given sorted."""
    found = _record_classes.get(labels)
    if found is None:
        body = {"__slots__": tuple(map(attribute, labels)), "labels": labels}
        found = _record_classes[labels] = type("Record", (Record,), body)
    return found


def record_maker(labels: tuple[str, ...]) -> Callable[..., Record]:
    """A function of the fields' values, in the order of the labels, that makes the record."""
    found = _makers.get(labels)
    if found is None:
        slots = [attribute(label) for label in labels]
        lines = [f"def record({', '.join(slots)}):", " new = make()"]
        lines += [f" new.{slot} = {slot}" for slot in slots]
        scope: dict[str, Any] = {"make": record_class(tuple(sorted(labels)))}
        exec("\n".join([*lines, " return new"]), scope)
        found = _makers[labels] = scope["record"]
    return found


def record(**fields: Value) -> Record:
    """A record from labels and values: for values that the interpreter itself makes."""
    new = record_class(tuple(sorted(fields)))()
    for label, value in fields.items():
        setattr(new, label + "_", value)
    return new


_spreads: dict[tuple[type[Record], tuple[str, ...]], tuple[type[Record], tuple[str, ...], tuple[str, ...]]] = {}


def spread(rest: Record, labels: tuple[str, ...], values: tuple[Value, ...]) -> Record:
    """`{labels = values, ..rest}`: `rest` supplies what `labels` does not name."""
    key = (type(rest), labels)
    plan = _spreads.get(key)
    if plan is None:
        named = set(labels)
        kept = tuple(label + "_" for label in rest.labels if label not in named)
        cls = record_class(tuple(sorted(named.union(rest.labels))))
        plan = _spreads[key] = (cls, kept, tuple(map(attribute, labels)))
    cls, kept, slots = plan
    new = cls()
    for slot in kept:
        setattr(new, slot, getattr(rest, slot))
    for slot, value in zip(slots, values, strict=True):
        setattr(new, slot, value)
    return new


# ---- variants ---------------------------------------------------------------------------------


class Variant:
    """A constructor with its fields. Its class is made by `variant_class`."""

    __slots__ = ()
    con: ClassVar[str] = ""
    arity: ClassVar[int] = 0

    def fields(self) -> tuple[Value, ...]:
        return tuple([getattr(self, f"_{place}") for place in range(self.arity)])


_variant_classes: dict[tuple[str, int], type[Variant]] = {}
_constructors: dict[tuple[str, int], Any] = {}


def variant_class(con: str, arity: int) -> type[Variant]:
    """The class of `con`'s values. Constructors of one name share it: no two of their types ever meet."""
    found = _variant_classes.get((con, arity))
    if found is None:
        body = {"__slots__": tuple(f"_{place}" for place in range(arity)), "con": con, "arity": arity}
        found = _variant_classes[con, arity] = type("Variant", (Variant,), body)
    return found


def constructor(con: str, arity: int) -> Any:
    """For a constructor with fields, the function that makes its values; without, its one value."""
    found = _constructors.get((con, arity))
    if found is None:
        cls = variant_class(con, arity)
        slots: tuple[str, ...] = cls.__slots__
        lines = [f"def variant({', '.join(slots)}):", " new = make()"]
        lines += [f" new.{slot} = {slot}" for slot in slots]
        scope: dict[str, Any] = {"make": cls}
        exec("\n".join([*lines, " return new"]), scope)
        found = _constructors[con, arity] = scope["variant"] if arity else cls()
    return found


NONE: Variant = constructor("None", 0)
SOME_CLASS = variant_class("Some", 1)
some: Callable[[Value], Variant] = constructor("Some", 1)


# ---- outputs, text, paths ---------------------------------------------------------------------


class OutValue:
    """An output of something that can be built, or the file or folder `sub` in it ("" for the whole)."""

    __slots__ = ("output", "owner", "sub")

    def __init__(self, owner: Buildable, output: str, sub: str = "") -> None:
        self.owner = owner
        self.output = output
        self.sub = sub

    def inside(self, sub: str) -> OutValue:
        """The entry `sub`, which is a relative path in normal form or empty."""
        return OutValue(self.owner, self.output, posixpath.join(self.sub, sub) if sub else self.sub)


class Text:
    """A string that carries outputs: text and outputs in turn, no two strings side by side, none empty."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[str | OutValue, ...]) -> None:
        self.parts = parts

    def __add__(self, other: str | Text) -> str | Text:
        return text_of((self, other))

    def __radd__(self, other: str) -> str | Text:
        return text_of((other, self))


def text_of(pieces: tuple[str | Text | OutValue, ...]) -> str | Text:
    """The pieces joined: a str if none of them carries an output."""
    if len(pieces) == 1 and type(pieces[0]) is OutValue:
        return Text(pieces)  # type: ignore[arg-type]
    parts: list[str | OutValue] = []
    run = ""
    for piece in pieces:
        if type(piece) is str:
            run += piece
        elif type(piece) is OutValue:
            if run:
                parts.append(run)
                run = ""
            parts.append(piece)
        else:
            inner: tuple[str | OutValue, ...] = piece.parts  # type: ignore[union-attr]
            first, last = inner[0], inner[-1]
            if run and type(first) is str:
                parts.append(run + first)
                inner = inner[1:]
            elif run:
                parts.append(run)
            run = ""
            if type(last) is str and inner:
                run = last
                inner = inner[:-1]
            parts += inner
    if not parts:
        return run
    if run:
        parts.append(run)
    return Text(tuple(parts))


class PathOf:
    """A path literal: `path` is absolute and in normal form, `text` is what the file says."""

    __slots__ = ("path", "text")

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text


class SecretHandle:
    """A secret's name. The value is never here: it is neither shown, compared nor hashed."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


# ---- equality ---------------------------------------------------------------------------------

_ATOMS = frozenset((int, str, bool))


def equal(left: Value, right: Value) -> bool:
    """Structural equality of data of one type. Iterative, so that deep data needs no deep stack."""
    if left is right:
        return True
    if type(left) in _ATOMS:
        return bool(left == right)
    pending = [(left, right)]
    while pending:
        left, right = pending.pop()
        if left is right:
            continue
        kind = type(left)
        if kind in _ATOMS or kind is PathOf:
            same = left.path == right.path if kind is PathOf else left == right
            if not same:
                return False
            continue
        if kind is not type(right):
            return False
        if kind is tuple:
            if len(left) != len(right):
                return False
            pending.extend(zip(left, right, strict=True))
        elif kind is dict:
            if left.keys() != right.keys():
                return False
            pending.extend([(left[key], right[key]) for key in left])
        else:
            pending.extend([(getattr(left, slot), getattr(right, slot)) for slot in kind.__slots__])
    return True


def key_of(value: Value) -> object:
    """A hashable key: two values of one type have equal keys if they are equal.

    The value read from the left as a flat row of heads with their sizes, which can be read in one way only.
    """
    if type(value) in _ATOMS:
        return value
    row: list[object] = []
    pending = [value]
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind in _ATOMS:
            row.append(value)
        elif kind is PathOf:
            row.append(value.path)
        elif kind is tuple:
            row.append(len(value))
            pending.extend(value)
        elif kind is dict:
            names = tuple(sorted(value))
            row.append(names)
            pending.extend([value[name] for name in names])
        else:
            row.append(kind)
            pending.extend([getattr(value, slot) for slot in kind.__slots__])
    return tuple(row)

"""What the functions of a recipe hide (K0415).

The checker refuses a recipe's function that names something outside the recipe (lang/check/captures.py); it cannot
see into a function that comes from elsewhere. So the values that functions captured are looked at, through every
function that they captured:

- when a package is derived, for packages, outputs, Texts and sets, which no function of a recipe may hide;
- when a package is made, for all else that a function captured from the calls around it: a parameter or a local there
  may have become a field of the recipe too, and an override of that would not reach the function. A helper that has
  returned holds what it was given, as `fn(b) => helper("x", b)` would; so does any function of the library.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import CellType, CodeType, FrameType, FunctionType
from typing import Final, NamedTuple

from kiln.interpreter.evaluate.attestations import Attestation, SubjectOf
from kiln.interpreter.evaluate.mistakes import Failure, HiddenPackage
from kiln.interpreter.evaluate.packages import LIBRARY_CODE, USER_CODE, Buildable, Pkg
from kiln.interpreter.evaluate.sets import SetValue
from kiln.interpreter.evaluate.values import OutValue, PathOf, Record, Text, Value, Variant

_CALLS: Final = 1_000
"""So many calls around a package are looked at: each costs a little, and a recursion may have a great many."""
_FLAT: Final = frozenset({str, int, bool, OutValue, Text, PathOf})
_WORDS: Final = {str: "a Str", int: "an Int", bool: "a Bool", tuple: "a list", dict: "a map", PathOf: "a path"}


class _Captured(NamedTuple):
    """A function of this code captured `value` under the Python name `name`."""

    code: CodeType
    name: str
    value: Value


def check_captures(package: Pkg) -> None:
    """Raises Failure if a function in the package's recipe hides what it may not."""
    if package.hides is not None:
        raise Failure(package.hides[0])
    for label, function in _functions(package.recipe):
        for captured in _captured(function):
            found = _what(captured.value)
            if found is not None:
                raise Failure(HiddenPackage(label, found, None, _site(captured.code)))


def hidden_around(recipe: Record, before: Pkg | None) -> tuple[HiddenPackage, FunctionType] | None:
    """What a function of the recipe captured from the calls that are going on; `before` is the package that an
    override edits, and its mistakes stay unless the function has gone.
    """
    functions = list(_functions(recipe))
    earlier = None if before is None else before.hides
    if earlier is not None and any(function is earlier[1] for _, function in functions):
        return earlier
    for label, function in functions:
        if function.__closure__ is not None:
            found = _around([c for c in _captured(function) if _is_data(c)])
            if found is not None:
                name = found.name.removeprefix("_q_")
                what = _WORDS.get(type(found.value), "a record" if isinstance(found.value, Record) else "a value")
                mistake = HiddenPackage(label, what, None if name[-1].isdigit() else name, _site(found.code))
                return mistake, function
    return None


def _site(code: CodeType) -> tuple[str, int]:
    return code.co_filename, code.co_firstlineno


# ---- functions, and what they captured ----------------------------------------------------------


def _functions(recipe: Record) -> Iterator[tuple[str, FunctionType]]:
    """The functions of a recipe, also in records, variants and collections, by the label of the field."""
    for label, value in recipe.items():
        kind = type(value)
        if kind is FunctionType:
            yield label, value
        elif kind not in _FLAT and not isinstance(value, Buildable):
            yield from ((label, part) for part in _leaves(value) if type(part) is FunctionType)


def _leaves(value: Value) -> Iterator[Value]:
    """What a value is made of. Of a list or map of plain values, the first stands for all: they are of one type."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, tuple | dict):
            parts = part if isinstance(part, tuple) else tuple(part.values())
            pending.extend(parts[:1] if parts and type(parts[0]) in _FLAT else parts)
        elif isinstance(part, Record):
            pending.extend(item for _, item in part.items())
        elif isinstance(part, Variant):
            slots: tuple[str, ...] = type(part).__slots__
            pending.extend([getattr(part, slot) for slot in slots])
        else:
            yield part


def _captured(function: FunctionType) -> Iterator[_Captured]:
    """What it captured, and what the functions among that captured."""
    seen: set[int] = set()
    pending = [function]
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        code: CodeType = current.__code__
        cells: tuple[CellType, ...] = current.__closure__ or ()
        names: tuple[str, ...] = code.co_freevars
        for place, cell in enumerate(cells):
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            yield _Captured(code, names[place], value)
            pending.extend(part for part in _leaves(value) if type(part) is FunctionType)


def _is_data(captured: _Captured) -> bool:
    """Whether the value is one that an override might have changed: there is more in it than functions."""
    if captured.code.co_filename.startswith(LIBRARY_CODE):
        return False
    return any(type(part) is not FunctionType for part in _leaves(captured.value))


def _what(value: Value) -> str | None:
    for part in _leaves(value):
        match part:
            case Buildable():
                return "a package"
            case OutValue():
                return "an output"
            case Text():
                return "a text with outputs"
            case SetValue():
                return "a set"
            case Attestation():
                return "an attestation"
            case SubjectOf():
                return "a subject"
            case _:
                pass
    return None


# ---- the calls around -----------------------------------------------------------------------------


def _around(captured: list[_Captured]) -> _Captured | None:
    """The first of these that is a local of a call that is going on."""
    frame: FrameType | None = sys._getframe(1) if captured else None
    for _ in range(_CALLS):
        if frame is None:
            break
        if frame.f_code.co_filename.startswith(USER_CODE):
            for one in captured:
                if _binds(frame.f_code, one) and frame.f_locals.get(one.name) is one.value:
                    return one
        frame = frame.f_back
    return None


def _binds(code: CodeType, captured: _Captured) -> bool:
    return captured.name in code.co_cellvars and _holds(code, captured.code)


def _holds(outer: CodeType, inner: CodeType) -> bool:
    """Whether a function of `inner` is written inside one of `outer`."""
    return any(part is inner or _holds(part, inner) for part in outer.co_consts if type(part) is CodeType)

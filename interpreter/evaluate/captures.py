"""What the functions of a recipe hide.

The checker refuses a recipe's function that names a package, an output, a Text or a set outside the recipe; it
cannot see into a local function that such a function calls. When a package is derived, the values that its
functions captured are looked at, through every captured function.
"""

from __future__ import annotations

from types import FunctionType

from kiln.interpreter.evaluate.attestations import Attestation, SubjectOf
from kiln.interpreter.evaluate.mistakes import Failure, HiddenPackage
from kiln.interpreter.evaluate.packages import Buildable
from kiln.interpreter.evaluate.sets import SetValue
from kiln.interpreter.evaluate.values import OutValue, Record, Text, Value


def check_captures(recipe: Record) -> None:
    """Raises Failure if a function among the recipe's fields captured a function that captured a package."""
    for label, value in recipe.items():
        if type(value) is FunctionType and value.__closure__ is not None:
            found = _hidden(value)
            if found is not None:
                raise Failure(HiddenPackage(label, found))


def _hidden(function: FunctionType) -> str | None:
    seen: set[int] = set()
    pending = [function]
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        for cell in current.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            if type(value) is FunctionType:
                pending.append(value)
            elif (found := _what(value)) is not None:
                return found
    return None


def _what(value: Value) -> str | None:
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, Buildable):
            return "a package"
        if isinstance(value, OutValue):
            return "an output"
        if isinstance(value, Text):
            return "a text with outputs"
        if isinstance(value, SetValue):
            return "a set"
        if isinstance(value, Attestation | SubjectOf):
            return "an attestation" if isinstance(value, Attestation) else "a subject"
        if isinstance(value, tuple):
            pending.extend(value)
        elif isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, Record):
            pending.extend(item for _, item in value.items())
    return None

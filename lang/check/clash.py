"""Why two types don't go together: what `unify`, `subsume` and `entail` raise.

A `Clash` knows types and no place; whoever related the two types on behalf of an expression turns it
into a mistake at that expression (failure.py). `trail` is the way from the whole types down to the part that
differs, outermost step first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from kiln.lang.check.types import Row, TVar, Type


class AtField(NamedTuple):
    label: str


class AtArgument(NamedTuple):
    """The argument number `place`, from 0, of a type constructor."""

    constructor: str
    place: int


class AtParameter(NamedTuple):
    label: str | None
    place: int


class AtResult(NamedTuple):
    pass


Step: TypeAlias = AtField | AtArgument | AtParameter | AtResult


@dataclass(frozen=True, slots=True)
class Different:
    found: Type
    wanted: Type


@dataclass(frozen=True, slots=True)
class RowsDiffer:
    """Both are rows, and one has a variable or nothing where the other has something else."""

    found: Row
    wanted: Row


@dataclass(frozen=True, slots=True)
class NoField:
    """`row` would have to have `label`; `missing_in` says whose row it is, as seen from the user's value."""

    label: str
    row: Row
    found_lacks: bool


@dataclass(frozen=True, slots=True)
class NoOutput:
    label: str
    found: Type
    wanted: Type


@dataclass(frozen=True, slots=True)
class RecipeForgotten:
    found: Type
    wanted: Type


@dataclass(frozen=True, slots=True)
class OutputForPackage:
    found: Type
    wanted: Type


@dataclass(frozen=True, slots=True)
class NoParameter:
    """The function takes no such label, or (None) no further argument by place."""

    label: str | None
    found: Type
    wanted: Type


@dataclass(frozen=True, slots=True)
class ParameterNeeded:
    """The function needs `label` (None: an argument by place) that its callers leave out, or may."""

    label: str | None
    found: Type
    wanted: Type


@dataclass(frozen=True, slots=True)
class Rigid:
    """A signature's variable would have to be one certain type."""

    var: TVar
    other: Type | Row


@dataclass(frozen=True, slots=True)
class Infinite:
    pass


@dataclass(frozen=True, slots=True)
class NotConstrained:
    """A signature's variable isn't known to be `constraint`."""

    var: TVar
    constraint: str


@dataclass(frozen=True, slots=True)
class NotIn:
    """`type` is not `constraint` (Data or Emit)."""

    type: Type
    constraint: str


@dataclass(frozen=True, slots=True)
class LabelTwice:
    """An output has the name of another field (`output`), or a row's variable brings a label that is there."""

    label: str
    output: bool


Problem: TypeAlias = (
    Different | RowsDiffer | NoField | NoOutput | RecipeForgotten | OutputForPackage | NoParameter
    | ParameterNeeded | Rigid | Infinite | NotConstrained | NotIn | LabelTwice
)  # fmt: skip


class Clash(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem
        self.trail: list[Step] = []

    def within(self, step: Step) -> Clash:
        """The same, seen from one level further out."""
        self.trail.insert(0, step)
        return self

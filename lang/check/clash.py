"""Why two types don't go together: what `unify`, `subsume` and `entail` raise.

A `Clash` knows types and no place; whoever related the two types on behalf of an expression turns it
into a mistake at that expression (failure.py). `trail` is the way from the whole types down to the part that
differs, outermost step first.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from kiln.lang.check.types import Row, TVar, Type
from kiln.lang.rare import Rare


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


class Different(Rare):
    found: Type
    wanted: Type


class RowsDiffer(Rare):
    """Both are rows, and one has a variable or nothing where the other has something else."""

    found: Row
    wanted: Row


class NoField(Rare):
    """`row` would have to have `label`; `missing_in` says whose row it is, as seen from the user's value."""

    label: str
    row: Row
    found_lacks: bool


class NoOutput(Rare):
    label: str
    found: Type
    wanted: Type


class RecipeForgotten(Rare):
    found: Type
    wanted: Type


class OutputForPackage(Rare):
    found: Type
    wanted: Type


class NoParameter(Rare):
    """The function takes no such label, or (None) no further argument by place."""

    label: str | None
    found: Type
    wanted: Type


class ParameterNeeded(Rare):
    """The function needs `label` (None: an argument by place) that its callers leave out, or may."""

    label: str | None
    found: Type
    wanted: Type


class Rigid(Rare):
    """A signature's variable would have to be one certain type."""

    var: TVar
    other: Type | Row


class Infinite(Rare):
    pass


class NotConstrained(Rare):
    """A signature's variable isn't known to be `constraint`."""

    var: TVar
    constraint: str


class NotIn(Rare):
    """`type` is not `constraint` (Data or Emit)."""

    type: Type
    constraint: str


class LabelTwice(Rare):
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

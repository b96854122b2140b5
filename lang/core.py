"""The typed AST: what the checker makes of a module and the evaluator compiles.

Everything that needs a type to be decided has been decided here, so that evaluation looks at no type:
names are resolved, records dense (absent defaults and options filled in), arguments of a known function
in the order of its parameters, holes of strings marked with what they hold. Coercions leave no trace,
because all of them are the identity at run time.

Invariants
- Every binder of a declaration has a name of its own (the checker renames shadowed ones), a valid
  Python identifier that does not begin with an underscore.
- `at` is the start offset of the syntax that the node came from, relative to its declaration.
- Prelude variants (`Option`) are variants like any other: `Some(e)` is `Construct("Some", (e,))`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

ModuleId: TypeAlias = str
"""`std/c` for a library's module, `/abs/path/file.kiln` for a file: one per module, never shown as it is."""

HoleKind: TypeAlias = Literal["Str", "Int", "Text", "Out", "ListStr", "ListText", "Raw", "RawInt"]
"""What a hole holds. Lists and `raw(e)` occur in `sh` only; a list may hold Str, or Text and Out."""

ShellContext: TypeAlias = Literal["bare", "double", "single", "heredoc", "verbatim", "comment"]
"""`verbatim` is a here-document with a quoted delimiter: the shell expands nothing there, so nothing is quoted."""

BinaryOp: TypeAlias = Literal[
    "add", "sub", "mul", "div", "mod",
    "eq", "ne", "lt", "le", "gt", "ge",
    "and", "or",
    "concat_list", "concat_str", "concat_text", "concat_map",
]  # fmt: skip


class Literal_(NamedTuple):
    """An Int, a Bool, or a Str without holes."""

    at: int
    value: int | bool | str


class Local(NamedTuple):
    at: int
    name: str


class Global(NamedTuple):
    """A top-level function, let or set constructor of a module, the own one included."""

    at: int
    module: ModuleId
    name: str


class Absent(NamedTuple):
    """In `Call.args`: this parameter was left out (it takes its default, or None for `l?: T`)."""

    at: int


class DefaultOf(NamedTuple):
    """The default of a declared record's field: evaluated once, memoised, sees top-level names only."""

    at: int
    module: ModuleId
    type_name: str
    label: str


class PathValue(NamedTuple):
    """A path literal; relative to the folder of `module`."""

    at: int
    module: ModuleId
    text: str


class HolePart(NamedTuple):
    at: int
    kind: HoleKind
    context: ShellContext | None
    """None outside `sh`."""
    expr: Expr


class Interpolate(NamedTuple):
    """A string with holes. Its result is a Text if `text`, else a Str; in `sh` always a Text."""

    at: int
    text: bool
    shell: bool
    parts: tuple[str | HolePart, ...]


class SpreadItem(NamedTuple):
    at: int
    expr: Expr


class MakeList(NamedTuple):
    at: int
    items: tuple[Expr | SpreadItem, ...]


class MakeMap(NamedTuple):
    """Keys are Str; a key that comes twice is a run-time error (K0403) at the second."""

    at: int
    entries: tuple[tuple[Expr, Expr], ...]


class ForClause(NamedTuple):
    pattern: CorePattern
    source: Expr


class WhenClause(NamedTuple):
    condition: Expr


class Comprehend(NamedTuple):
    """`[item for … if …]`; with a key it makes a Map. Items that don't match the pattern are passed over."""

    at: int
    key: Expr | None
    item: Expr | SpreadItem
    clauses: tuple[ForClause | WhenClause, ...]


class MakeRecord(NamedTuple):
    """A dense record. `rest`, where given, supplies every field that `fields` does not name."""

    at: int
    fields: tuple[tuple[str, Expr], ...]
    rest: Expr | None


class GetField(NamedTuple):
    """A field of a record, an output of a package, or, where `member` says so, a member of a set."""

    at: int
    base: Expr
    label: str
    member: bool = False


class Method(NamedTuple):
    """A built-in method: `out.file("x")`, `att.with_subject(s)`. `name` is `Out.file` and the like."""

    at: int
    name: str
    base: Expr
    args: tuple[Expr, ...]


class Construct(NamedTuple):
    """A constructor applied to all its fields, in the order of the declaration; an optional field holds an Option.

    A kind as a value (`Tree`) is a constructor without fields.
    """

    at: int
    con: str
    args: tuple[Expr, ...]


class Call(NamedTuple):
    """A known function or set (a Global, never a value), one argument a parameter, in their order.

    The argument of an optional parameter is an Option: `l = e` gives `Some(e)`, `l? = e` gives `e`.
    """

    at: int
    fn: Global
    args: tuple[Expr | Absent, ...]


class Apply(NamedTuple):
    """A function value: unlabelled arguments by place, labelled ones by name.

    The argument of an optional parameter is *not* wrapped here, as a value's type does not tell whether the
    parameter has a default or is optional: the function that is called wraps it in Some.
    """

    at: int
    fn: Expr
    args: tuple[Expr, ...]
    labelled: tuple[tuple[str, Expr], ...]


class CoreParam(NamedTuple):
    """A function's parameter. `label` is what a caller may name it by (None in a lambda's pattern place)."""

    name: str
    label: str | None
    mode: Literal["required", "default", "optional"]
    default: Expr | None


class Function(NamedTuple):
    """A lambda; it may capture locals."""

    at: int
    params: tuple[CoreParam, ...]
    body: Expr


class LetIn(NamedTuple):
    at: int
    pattern: CorePattern
    value: Expr
    body: Expr


class IfElse(NamedTuple):
    at: int
    condition: Expr
    then: Expr
    otherwise: Expr


class CoreArm(NamedTuple):
    at: int
    pattern: CorePattern
    guard: Expr | None
    body: Expr


class MatchOn(NamedTuple):
    """Exhaustive: the checker has shown that an arm without a guard, or a set of them, takes every value."""

    at: int
    subject: Expr
    arms: tuple[CoreArm, ...]


class BinaryOn(NamedTuple):
    """`and`/`or` don't evaluate their right side when the left decides. `div` and `mod` floor."""

    at: int
    op: BinaryOp
    left: Expr
    right: Expr


class Not(NamedTuple):
    at: int
    operand: Expr


class Negate(NamedTuple):
    at: int
    operand: Expr


class CoreEdit(NamedTuple):
    """`path = value`, or for `+=` the concatenation `op` of the old value and the new."""

    at: int
    path: tuple[str, ...]
    op: Literal["set", "concat_list", "concat_str", "concat_text", "concat_map"]
    value: Expr


class WithEdits(NamedTuple):
    """On a record, a changed copy; on a package, its recipe edited and derived again."""

    at: int
    base: Expr
    package: bool
    edits: tuple[CoreEdit, ...]


class OverlayOf(NamedTuple):
    """`s with (self, super) { … }`: each member is lazy, and sees the final set and the one below."""

    at: int
    base: Expr
    self_name: str
    super_name: str
    members: tuple[tuple[str, Expr], ...]


class AssertThen(NamedTuple):
    at: int
    condition: Expr
    message: Expr
    body: Expr


Expr: TypeAlias = (
    Literal_ | Local | Global | DefaultOf | PathValue | Interpolate | MakeList | MakeMap | Comprehend
    | MakeRecord | GetField | Method | Construct | Call | Apply | Function | LetIn | IfElse | MatchOn
    | BinaryOn | Not | Negate | WithEdits | OverlayOf | AssertThen
)  # fmt: skip


# ---- patterns ---------------------------------------------------------------------------------


class BindPattern(NamedTuple):
    name: str


class AnyPattern(NamedTuple):
    pass


class EqualPattern(NamedTuple):
    """An Int, Str or Bool."""

    value: int | str | bool


class ConPattern(NamedTuple):
    """One sub-pattern for each field of the constructor, in the order of the declaration."""

    con: str
    args: tuple[CorePattern, ...]


class RecordPattern(NamedTuple):
    fields: tuple[tuple[str, CorePattern], ...]


class ListPattern(NamedTuple):
    """`rest`: None means exactly these items; else the items left over (an AnyPattern drops them)."""

    items: tuple[CorePattern, ...]
    rest: BindPattern | AnyPattern | None


class OrPattern(NamedTuple):
    """Every option binds the same names."""

    options: tuple[CorePattern, ...]


CorePattern: TypeAlias = (
    BindPattern | AnyPattern | EqualPattern | ConPattern | RecordPattern | ListPattern | OrPattern
)


# ---- declarations -----------------------------------------------------------------------------


class CoreFn(NamedTuple):
    """A top-level function; `body` None means `extern`: the interpreter supplies `module/name`."""

    name: str
    start: int
    """Offset of the declaration in its file, which `at` counts from."""
    params: tuple[CoreParam, ...]
    body: Expr | None


class CoreLet(NamedTuple):
    """A top-level binding: evaluated on demand, once."""

    name: str
    start: int
    body: Expr


class CoreSet(NamedTuple):
    """A set: `self_name` is bound in every member to the final set; members are lazy and memoised."""

    name: str
    start: int
    params: tuple[CoreParam, ...]
    self_name: str
    parent: Call | None
    members: tuple[tuple[str, Expr], ...]


class CoreTest(NamedTuple):
    title: str
    start: int
    body: Expr


class CoreDefault(NamedTuple):
    """What `DefaultOf(module, type_name, label)` evaluates."""

    type_name: str
    label: str
    start: int
    body: Expr


CoreDecl: TypeAlias = CoreFn | CoreLet | CoreSet | CoreTest | CoreDefault

DeclKey: TypeAlias = tuple[str, ...]
"""What a declaration is found by in its module: `(name,)`, `(type, label)` for a default, `()` for a test."""


def decl_key(decl: CoreDecl) -> DeclKey:
    if isinstance(decl, CoreTest):
        return ()
    return (decl.type_name, decl.label) if isinstance(decl, CoreDefault) else (decl.name,)


@dataclass(frozen=True, slots=True)
class CoreModule:
    """A checked module. `decls` in the file's order; `exports` maps each pub value to its printed type."""

    id: ModuleId
    path: str
    """What messages show."""
    text: str
    imports: tuple[ModuleId, ...]
    decls: Sequence[CoreDecl]
    exports: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    """The printed type of every top-level value, private ones too."""
    kinds: dict[str, str] = field(default_factory=dict)
    """For a pub let: `drv` (a Pkg or Drv), `out`, `set`, `text`, or `other`."""

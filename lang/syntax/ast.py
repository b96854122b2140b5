"""The abstract syntax of Kiln: what the parser makes, and nothing that a later phase adds.

A node is an immutable named tuple; its first two fields are `start` and `end`, offsets in code
points **relative to the start of the declaration that holds it** (`Chunk.start` in a file), so that
a declaration's tree is a function of its own text and can be kept when the text before it moves.

    module  = {decl}
    decl    = import | type | fn | let | set | test
    expr    = literal | name | collection | access | call | function | binding | branch | operator
    pattern = what stands left of `=>`, and after `let` and `for`
    type    = what stands right of `:` and `->`
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias


class Name(NamedTuple):
    """A name where its own place matters: a binder, a label, a member."""

    start: int
    end: int
    text: str


# ---- types ------------------------------------------------------------------------------------


class TypeName(NamedTuple):
    """`Int`, `cc.Lib`, `List(Str)`: a constructor, with the import's alias it is reached by."""

    start: int
    end: int
    qualifier: str | None
    name: str
    args: tuple[Type, ...]


class TypeVar(NamedTuple):
    """`a`, `o`: a lower-case name in a signature; whether type or row, its use says."""

    start: int
    end: int
    name: str


class RowField(NamedTuple):
    """`l: T`, `l: T = default`, `l?: T`; a default is allowed in a declared type alone."""

    start: int
    end: int
    label: Name
    optional: bool
    type: Type
    default: Expr | None
    doc: str | None


class TypeRecord(NamedTuple):
    """`{a: Int, ..r}`, `{.., ..Outs(o)}`; `rest` is a variable, or `Outs`/`Kinds` of one."""

    start: int
    end: int
    fields: tuple[RowField, ...]
    rest: Type | None


class TypeParam(NamedTuple):
    """A parameter of a function type or a constructor: by place (no label), `l: T`, or `l?: T`."""

    start: int
    end: int
    label: Name | None
    optional: bool
    type: Type


class TypeFn(NamedTuple):
    start: int
    end: int
    params: tuple[TypeParam, ...]
    result: Type


Type: TypeAlias = TypeName | TypeVar | TypeRecord | TypeFn


# ---- patterns ---------------------------------------------------------------------------------


class PVar(NamedTuple):
    start: int
    end: int
    name: str


class PWild(NamedTuple):
    start: int
    end: int


class PInt(NamedTuple):
    start: int
    end: int
    value: int


class PStr(NamedTuple):
    start: int
    end: int
    value: str


class PBool(NamedTuple):
    start: int
    end: int
    value: bool


class PArg(NamedTuple):
    start: int
    end: int
    label: Name | None
    pattern: Pattern


class PCon(NamedTuple):
    """`OpenSsl(fips)`, `cc.Thin`, `Some(value = x)`."""

    start: int
    end: int
    qualifier: str | None
    name: str
    args: tuple[PArg, ...]


class PField(NamedTuple):
    """`l = p`, or `l` alone, which binds `l`."""

    start: int
    end: int
    label: Name
    pattern: Pattern


class PRecord(NamedTuple):
    """`{name, deps = d}`: the other fields are not looked at."""

    start: int
    end: int
    fields: tuple[PField, ...]


class PRest(NamedTuple):
    """`..rest` or `..` at the end of a list pattern."""

    start: int
    end: int
    name: str | None


class PList(NamedTuple):
    start: int
    end: int
    items: tuple[Pattern, ...]
    rest: PRest | None


class POr(NamedTuple):
    start: int
    end: int
    options: tuple[Pattern, ...]


Pattern: TypeAlias = PVar | PWild | PInt | PStr | PBool | PCon | PRecord | PList | POr


# ---- expressions ------------------------------------------------------------------------------


class Int(NamedTuple):
    start: int
    end: int
    value: int


class Bool(NamedTuple):
    start: int
    end: int
    value: bool


class Hole(NamedTuple):
    """`%{expr}` in a string."""

    start: int
    end: int
    expr: Expr


class Str(NamedTuple):
    """A string: literal parts (escapes resolved, indentation stripped) and holes between them.

    `tag` is None, or `sh`. In a literal part of `sh` the text is what the shell will read.
    """

    start: int
    end: int
    tag: str | None
    parts: tuple[str | Hole, ...]


class PathLit(NamedTuple):
    """`` `./src` ``: relative to the file that it stands in."""

    start: int
    end: int
    text: str


class Var(NamedTuple):
    start: int
    end: int
    name: str


class Con(NamedTuple):
    """An upper-case name as a value: a constructor (`NoTls`) or a kind (`Tree`)."""

    start: int
    end: int
    name: str


class Get(NamedTuple):
    """`e.label`; whether `e` is a record or an import's alias is for the names phase to say."""

    start: int
    end: int
    base: Expr
    label: Name


class GetCon(NamedTuple):
    """`cc.Thin`: an upper-case name behind a dot."""

    start: int
    end: int
    base: Expr
    name: Name


class Spread(NamedTuple):
    """`..e` in a list or a record."""

    start: int
    end: int
    expr: Expr


class ListLit(NamedTuple):
    start: int
    end: int
    items: tuple[Expr | Spread, ...]


class MapEntry(NamedTuple):
    start: int
    end: int
    key: Expr
    value: Expr


class MapLit(NamedTuple):
    start: int
    end: int
    entries: tuple[MapEntry, ...]


class For(NamedTuple):
    start: int
    end: int
    pattern: Pattern
    source: Expr


class When(NamedTuple):
    start: int
    end: int
    condition: Expr


class ListComp(NamedTuple):
    start: int
    end: int
    item: Expr | Spread
    clauses: tuple[For | When, ...]


class MapComp(NamedTuple):
    start: int
    end: int
    key: Expr
    value: Expr
    clauses: tuple[For | When, ...]


class Field(NamedTuple):
    """`l = e`, `l` (the pun, value None), `l? = e` (hands an Option on)."""

    start: int
    end: int
    label: Name
    optional: bool
    value: Expr | None


class Record(NamedTuple):
    """`{a = 1, b, ..r}`; at most one spread, anywhere."""

    start: int
    end: int
    fields: tuple[Field, ...]
    rest: Spread | None


class Arg(NamedTuple):
    """`e`, `l = e`, `l? = e`."""

    start: int
    end: int
    label: Name | None
    optional: bool
    value: Expr


class Call(NamedTuple):
    start: int
    end: int
    fn: Expr
    args: tuple[Arg, ...]


class Param(NamedTuple):
    """`x`, `x: T`, `x: T = default`, `x?: T`."""

    start: int
    end: int
    name: Name
    optional: bool
    type: Type | None
    default: Expr | None
    doc: str | None


class Lambda(NamedTuple):
    start: int
    end: int
    params: tuple[Param, ...]
    result: Type | None
    body: Expr


class Let(NamedTuple):
    """`let p: T = value; body`."""

    start: int
    end: int
    pattern: Pattern
    type: Type | None
    value: Expr
    body: Expr


class If(NamedTuple):
    start: int
    end: int
    condition: Expr
    then: Expr
    otherwise: Expr


class Arm(NamedTuple):
    start: int
    end: int
    pattern: Pattern
    guard: Expr | None
    body: Expr


class Match(NamedTuple):
    start: int
    end: int
    subject: Expr
    arms: tuple[Arm, ...]


class Binary(NamedTuple):
    """`op` is one of `+ - * / % ++ == != < <= > >= && ||`; `at` is the operator's own start."""

    start: int
    end: int
    op: str
    at: int
    left: Expr
    right: Expr


class Unary(NamedTuple):
    """`op` is `-` or `!`."""

    start: int
    end: int
    op: str
    operand: Expr


class Pipe(NamedTuple):
    """`x |> f`, `x |> f(k = 1)`: the left side becomes the first argument by place."""

    start: int
    end: int
    left: Expr
    right: Expr


class Annotated(NamedTuple):
    """`(e: T)`."""

    start: int
    end: int
    expr: Expr
    type: Type


class Edit(NamedTuple):
    """`a.b = e`, `a.b? = e`, `xs += e` inside `with { … }`."""

    start: int
    end: int
    path: tuple[Name, ...]
    op: str  # "=", "?=" or "+="
    value: Expr


class With(NamedTuple):
    start: int
    end: int
    base: Expr
    edits: tuple[Edit, ...]


class Overlay(NamedTuple):
    """`s with (self, super) { m = e }`; each edit's path is one name and its op is `=`."""

    start: int
    end: int
    base: Expr
    self_name: Name
    super_name: Name
    edits: tuple[Edit, ...]


class Assert(NamedTuple):
    """`assert condition else message; body`."""

    start: int
    end: int
    condition: Expr
    message: Expr
    body: Expr


Expr: TypeAlias = (
    Int | Bool | Str | PathLit | Var | Con | Get | GetCon | ListLit | MapLit | ListComp | MapComp
    | Record | Call | Lambda | Let | If | Match | Binary | Unary | Pipe | Annotated | With | Overlay | Assert
)  # fmt: skip


# ---- declarations -----------------------------------------------------------------------------


class ImportName(NamedTuple):
    """`A`, `A as B` in `import {A as B} from "x"`."""

    start: int
    end: int
    name: Name
    alias: Name


class Import(NamedTuple):
    """`import "std/cc" as cc;` (alias) or `import {A, b} from "x";` (names); `pin` follows `@`."""

    start: int
    end: int
    source: str
    source_start: int
    source_end: int
    pin: str | None
    alias: Name | None
    names: tuple[ImportName, ...]


class Variant(NamedTuple):
    start: int
    end: int
    name: Name
    params: tuple[TypeParam, ...]
    doc: str | None


class TypeDecl(NamedTuple):
    """`type T(a) = { … };`, `= | A | B(x: Int);`, or `= other type;` (an alias)."""

    start: int
    end: int
    name: Name
    params: tuple[Name, ...]
    body: Type | tuple[Variant, ...]
    pub: bool
    doc: str | None


class Where(NamedTuple):
    """`where a: Data`: a signature's variable and the closed constraint on it."""

    start: int
    end: int
    variable: Name
    constraint: Name


class FnDecl(NamedTuple):
    """`fn f(x: Int) -> Int where a: Data = e;`; a body of None is an `extern fn` of the standard library."""

    start: int
    end: int
    name: Name
    params: tuple[Param, ...]
    result: Type | None
    where: tuple[Where, ...]
    body: Expr | None
    pub: bool
    doc: str | None


class LetDecl(NamedTuple):
    start: int
    end: int
    name: Name
    type: Type | None
    body: Expr
    pub: bool
    doc: str | None


class Member(NamedTuple):
    start: int
    end: int
    name: Name
    type: Type | None
    body: Expr
    doc: str | None


class SetDecl(NamedTuple):
    """`set Mine(sys: System) extends Pkgs(sys) { m = e; }`; `parent` is the call that makes the parent."""

    start: int
    end: int
    name: Name
    params: tuple[Param, ...]
    parent: Call | Con | GetCon | None
    members: tuple[Member, ...]
    pub: bool
    doc: str | None


class TestDecl(NamedTuple):
    start: int
    end: int
    title: str
    body: Expr


Decl: TypeAlias = Import | TypeDecl | FnDecl | LetDecl | SetDecl | TestDecl


class Chunk(NamedTuple):
    """One declaration of a file, with the offset in the file that its nodes count from."""

    start: int
    end: int
    decl: Decl


class Module(NamedTuple):
    """One file. `path` is the name that messages show; `chunks` stand in the file's order."""

    path: str
    text: str
    doc: str | None
    chunks: tuple[Chunk, ...]


_LEAVES: Final = frozenset(("int", "str", "bool", "str | None", "Name", "Name | None", "tuple[Name, ...]"))


def _inner(kind: type) -> tuple[int, ...]:
    written = [getattr(t, "__forward_arg__", t) for t in kind.__annotations__.values()]
    return tuple([place for place, t in enumerate(written) if t not in _LEAVES])


INNER: Final[dict[type, tuple[int, ...]]] = {
    kind: _inner(kind) for kind in list(globals().values()) if isinstance(kind, type) and hasattr(kind, "_fields")
}
"""For each kind of node, the places of what it holds that holds more than names and plain values."""

"""The checker's types, and the two things done to all of them: substitution and generalisation.

    type = Con(name, args) | Rec(row) | Fn(params, result) | TVar | Bound
    row  = Row(fields, tail)      tail = none | TVar | Bound | Row | RowMap(F, row)

- `Con.name` is a built-in name (`Int`), or `module#Name` for a declared type: names are nominal.
- `RowMap(F, r)` is the row with the constructor F applied to each field of r: `Outs(o)` is a record
  whose row is `RowMap("Out", o)`.
- A `TVar` is the one mutable thing: a variable of the declaration that is being checked, bound by
  setting `link`, or, if `rigid`, a variable that a signature names. There are no levels: whatever is
  unbound when a group of declarations ends is generalised.
- A `Bound` is a variable of a `Scheme` or a parameter of a declared type; it never meets `unify`.
- Everything else is never changed after it is made. It is not a frozen dataclass because those cost
  three times as much to make, and a checker makes little else. `ground` (no variable inside) lets
  substitution share what it needn't copy; a finished type holds no TVar, so it is plain data.
- `alias` is what the user wrote (`cc.Lib`), for messages alone: nothing compares it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

VarKind: TypeAlias = Literal["type", "row"]
NO_CONSTRAINTS: Final[frozenset[str]] = frozenset()


class TVar:
    """A unification variable; `rigid` is the name of a signature's own variable."""

    __slots__ = ("constraints", "kind", "link", "rigid")
    ground: Final = False
    alias: Final = None

    def __init__(
        self, kind: VarKind = "type", rigid: str | None = None, constraints: frozenset[str] = NO_CONSTRAINTS
    ) -> None:
        self.kind = kind
        self.rigid = rigid
        self.constraints = constraints
        self.link: Type | Row | None = None


class Bound(NamedTuple):
    """The variable number `place` of a scheme or of a declared type."""

    place: int
    kind: VarKind
    name: str
    constraints: frozenset[str] = NO_CONSTRAINTS

    @property
    def ground(self) -> bool:
        return False

    @property
    def alias(self) -> None:
        return None


class Con:
    __slots__ = ("alias", "args", "ground", "name")
    ground: bool

    def __init__(self, name: str, args: tuple[Type | Row, ...] = (), alias: Con | None = None) -> None:
        self.name = name
        self.args = args
        self.alias = alias
        self.ground = alias is None or alias.ground
        for arg in args:
            if not arg.ground:
                self.ground = False
                break


class RowMap:
    """The tail that applies `constructor` to every field of `row`."""

    __slots__ = ("constructor", "ground", "row")
    ground: bool

    def __init__(self, constructor: str, row: Row) -> None:
        self.constructor = constructor
        self.row = row
        self.ground = row.ground


class Row:
    """`sites` says where the fields of a type written in place stand, for messages: the fields of an `infos.Site`,
    which count from the declaration's name, so that a type is the same when its declaration moves."""

    __slots__ = ("fields", "ground", "sites", "tail")
    ground: bool

    def __init__(self, fields: Mapping[str, Type], tail: Tail = None, sites: Sites = None) -> None:
        self.fields = fields
        self.tail = tail
        self.sites = sites
        self.ground = tail is None or tail.ground
        if self.ground:
            for t in fields.values():
                if not t.ground:
                    self.ground = False
                    break


class Rec:
    __slots__ = ("alias", "ground", "row")
    ground: bool

    def __init__(self, row: Row, alias: Con | None = None) -> None:
        self.row = row
        self.alias = alias
        self.ground = row.ground and (alias is None or alias.ground)


class FnParam(NamedTuple):
    label: str | None
    type: Type
    optional: bool


class Fn:
    __slots__ = ("alias", "ground", "params", "result")
    ground: bool

    def __init__(self, params: tuple[FnParam, ...], result: Type, alias: Con | None = None) -> None:
        self.params = params
        self.result = result
        self.alias = alias
        self.ground = result.ground and (alias is None or alias.ground)
        if self.ground:
            for p in params:
                if not p.type.ground:
                    self.ground = False
                    break


Type: TypeAlias = Con | Rec | Fn | TVar | Bound
Tail: TypeAlias = TVar | Bound | RowMap | Row | None
Sites: TypeAlias = Mapping[str, tuple[str, int, int, str]] | None


class Scheme:
    """`type` for every choice of `vars`; a closed type is a scheme without variables."""

    __slots__ = ("type", "vars")

    def __init__(self, vars: tuple[Bound, ...], type: Type) -> None:
        self.vars = vars
        self.type = type


INT: Final = Con("Int")
BOOL: Final = Con("Bool")
STR: Final = Con("Str")
TEXT: Final = Con("Text")
PATH: Final = Con("Path")
TREE: Final = Con("Tree")
FILE: Final = Con("File")
SUBJECT: Final = Con("Subject")
EMPTY_ROW: Final = Row({})


def list_of(item: Type) -> Con:
    return Con("List", (item,))


def option_of(item: Type) -> Con:
    return Con("Option", (item,))


def map_of(item: Type) -> Con:
    return Con("Map", (item,))


def out_of(kind: Type) -> Con:
    return Con("Out", (kind,))


def mapped(constructor: Literal["Out", "Kind"], row: Row) -> Rec:
    """`Outs(row)` or `Kinds(row)`."""
    return Rec(Row({}, RowMap(constructor, row)), Con(f"{constructor}s", (row,)))


def type_id(module: str, name: str) -> str:
    return f"{module}#{name}"


def split_id(name: str) -> tuple[str | None, str]:
    """The module (None: built in) and the name in it."""
    module, mark, own = name.rpartition("#")
    return (module, own) if mark else (None, name)


def prune(t: Type) -> Type:
    """`t` without the links of bound variables in front."""
    while type(t) is TVar and t.link is not None:
        t = t.link  # type: ignore[assignment]  # a type's variable links to a type
    return t


def is_named(t: Type, *names: str) -> bool:
    """`t`, pruned, is one of these constructors."""
    return type(t) is Con and t.name in names


# ---- copying ----------------------------------------------------------------------------------


Leaf: TypeAlias = "Callable[[TVar | Bound], Type | Row]"


def rebuild(t: Type, leaf: Leaf) -> Type:
    """A copy of `t` in which each unbound variable is what `leaf` says."""
    if t.ground:
        return t
    match t:
        case TVar():
            if t.link is not None:
                return rebuild(t.link, leaf)  # type: ignore[arg-type]
            return leaf(t)  # type: ignore[return-value]
        case Bound():
            return leaf(t)  # type: ignore[return-value]
        case Con():
            return Con(t.name, tuple([rebuild_arg(a, leaf) for a in t.args]), _alias(t.alias, leaf))
        case Rec():
            return Rec(rebuild_row(t.row, leaf), _alias(t.alias, leaf))
        case Fn():
            params = tuple([FnParam(p[0], rebuild(p[1], leaf), p[2]) for p in t.params])
            return Fn(params, rebuild(t.result, leaf), _alias(t.alias, leaf))


def rebuild_arg(a: Type | Row, leaf: Leaf) -> Type | Row:
    return rebuild_row(a, leaf) if type(a) is Row else rebuild(a, leaf)  # type: ignore[arg-type]


def _alias(alias: Con | None, leaf: Leaf) -> Con | None:
    return None if alias is None else rebuild(alias, leaf)  # type: ignore[return-value]


def rebuild_row(row: Row, leaf: Leaf) -> Row:
    """What a leaf gives is not looked into again: it may hold the very variable that it replaces."""
    if row.ground:
        return row
    fields = {label: rebuild(t, leaf) for label, t in row.fields.items()}
    return Row(fields, _tail(row.tail, leaf), row.sites)


def _tail(tail: Tail, leaf: Leaf) -> Tail:
    match tail:
        case None:
            return None
        case RowMap():
            return RowMap(tail.constructor, rebuild_row(tail.row, leaf))
        case Row():
            return rebuild_row(tail, leaf)
        case TVar() if tail.link is not None:
            return rebuild_row(tail.link, leaf)  # type: ignore[arg-type]
        case _:
            return leaf(tail)  # type: ignore[return-value]


def substitute(t: Type, by: Sequence[Type | Row]) -> Type:
    """`t` with `by[i]` for its Bound number i."""
    return t if t.ground else rebuild(t, lambda v: by[v.place] if type(v) is Bound else v)


def substitute_row(row: Row, by: Sequence[Type | Row]) -> Row:
    return row if row.ground else rebuild_row(row, lambda v: by[v.place] if type(v) is Bound else v)


def fresh(bound: Bound) -> TVar | Row:
    """A variable to put in the place of a scheme's: a row's stands in an empty row."""
    var = TVar(bound.kind, None, bound.constraints)
    return Row({}, var) if bound.kind == "row" else var


def instantiate(scheme: Scheme) -> Type:
    if not scheme.vars:
        return scheme.type
    return substitute(scheme.type, [fresh(v) for v in scheme.vars])


def generalise(t: Type, keep: Callable[[TVar], bool] = lambda v: False) -> Scheme:
    """The scheme of `t` over every variable left in it, rigid ones too."""
    if t.ground:
        return Scheme((), t)
    bounds: dict[TVar, Bound] = {}

    def leaf(v: TVar | Bound) -> Type | Row:
        if isinstance(v, Bound) or keep(v):
            return v
        bound = bounds.get(v)
        if bound is None:
            bound = Bound(len(bounds), v.kind, v.rigid or _letter(len(bounds)), v.constraints)
            bounds[v] = bound
        return bound

    closed = rebuild(t, leaf)
    return Scheme(tuple(bounds.values()), closed)


def _letter(place: int) -> str:
    letter = "abcdefghijklmnopqrstuvwxyz"[place % 26]
    return letter if place < 26 else f"{letter}{place // 26}"


def free_variables(t: Type | Row) -> list[TVar]:
    """The unbound variables in `t`, each once, in the order of their first place."""
    found: dict[TVar, None] = {}
    stack: list[Type | Row | RowMap | None] = [t]
    while stack:
        node = stack.pop()
        if node is None or node.ground:
            continue
        match node:
            case TVar():
                if node.link is not None:
                    stack.append(node.link)
                else:
                    found.setdefault(node)
            case Con():
                stack.extend(reversed(node.args))
            case Rec() | RowMap():
                stack.append(node.row)
            case Row():
                stack.append(node.tail)
                stack.extend(reversed(list(node.fields.values())))
            case Fn():
                stack.append(node.result)
                stack.extend([p.type for p in reversed(node.params)])
            case Bound():
                pass
    return list(found)


def occurs(var: TVar, t: Type | Row) -> bool:
    return not t.ground and var in free_variables(t)

"""Types as they are written, to types.

`Variables` are those of one signature: rigid while its body is checked, and shared by the annotations in the body;
a declared type's parameters are `Bound`. Whether a variable is a type or a row its first use says; a row's variable
must stand behind the same fields wherever it occurs, or a label could come twice (rows.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from kiln.lang.check import mistakes
from kiln.lang.check.failure import Poisoned, failure
from kiln.lang.check.infos import AliasInfo
from kiln.lang.check.names import Scope
from kiln.lang.check.types import (
    BOOL,
    FILE,
    INT,
    PATH,
    STR,
    SUBJECT,
    TEXT,
    TREE,
    Bound,
    Con,
    Fn,
    FnParam,
    Rec,
    Row,
    RowMap,
    Tail,
    TVar,
    Type,
    VarKind,
    mapped,
    substitute,
)
from kiln.lang.check.world import World
from kiln.lang.syntax import ast

SIMPLE: Mapping[str, Type] = {
    "Int": INT, "Bool": BOOL, "Str": STR, "Text": TEXT, "Path": PATH, "Tree": TREE, "File": FILE,
    "Secret": Con("Secret"), "Signer": Con("Signer"), "Subject": SUBJECT,
    "Provenance": Con("Provenance"), "Sbom": Con("Sbom"),
}  # fmt: skip
APPLIED: Mapping[str, tuple[VarKind, ...]] = {
    "List": ("type",), "Map": ("type",), "Option": ("type",), "Out": ("type",), "Kind": ("type",),
    "Attestation": ("type",), "Drv": ("row",), "Pkg": ("type", "row"), "Kinds": ("row",), "Outs": ("row",),
}  # fmt: skip
CONSTRAINTS = ("Data", "Emit")


class Variables:
    """`open`: a name that is met for the first time is a new variable; else it is unknown."""

    __slots__ = ("behind", "known", "open")

    def __init__(self, known: dict[str, TVar | Bound] | None = None, open: bool = True) -> None:
        self.known: dict[str, TVar | Bound] = {} if known is None else known
        self.open = open
        self.behind: dict[str, tuple[str, ...]] = {}

    def closed(self) -> Variables:
        """The same variables, for a body's annotations: no new one may come in there."""
        inner = Variables(self.known, False)
        inner.behind = self.behind
        return inner


class Headers(Protocol):
    """What can be known of a declared type before its declaration has been read. Each may raise Poisoned."""

    def params(self, name: str) -> tuple[Bound, ...]: ...

    def alias(self, name: str) -> AliasInfo | None:
        """What `name` stands for, where it is an alias."""

    def read(self, name: str) -> None:
        """Have the declaration read now."""


class Annotations:
    """Reads the types of one module."""

    __slots__ = ("_headers", "_owner", "_plain", "_scope", "_start", "_world")

    def __init__(self, scope: Scope, world: World, headers: Headers) -> None:
        self._scope = scope
        self._world = world
        self._headers = headers
        self._plain: dict[tuple[str | None, str], Type] = {}
        """Declared types without arguments by how they are written: one object each, which compares at a glance."""
        self._start = 0
        self._owner = ""
        """What places count from: the name of the declaration that is being read, or, for a test, the file."""

    @property
    def place(self) -> tuple[int, str]:
        return self._start, self._owner

    @place.setter
    def place(self, place: tuple[int, str]) -> None:
        self._start, self._owner = place

    def enter(self, chunk: ast.Chunk) -> None:
        """A declaration is read from now on."""
        name = getattr(chunk.decl, "name", None)
        self.place = (-name.start, name.text) if type(name) is ast.Name else (chunk.start, "")

    def forget(self) -> None:
        """Names that were read while declarations were: some may have turned out broken."""
        self._plain.clear()

    def type(self, node: ast.Type, variables: Variables) -> Type:
        match node:
            case ast.TypeName():
                return self._name(node, variables)
            case ast.TypeVar():
                return self._variable(node, "type", variables)
            case ast.TypeRecord():
                return Rec(self._record_row(node, variables))
            case ast.TypeFn():
                return self._fn(node, variables)

    # ---- names --------------------------------------------------------------------------------

    def _name(self, node: ast.TypeName, variables: Variables) -> Type:
        if not node.args:
            plain = self._plain.get((node.qualifier, node.name))
            if plain is not None:
                return plain
        name = self.type_name(node)
        if name in SIMPLE:
            self._count(node, 0)
            return SIMPLE[name]
        if name in APPLIED:
            return self._applied(name, node, variables)
        return self._declared(name, node, variables)

    def type_name(self, node: ast.TypeName) -> str:
        """The built-in name, or the declared type's id."""
        if node.qualifier is not None:
            return self.qualified(node.qualifier, node.name, node)
        found = self._scope.types.get(node.name)
        if found is not None:
            if found in self._scope.broken_types:
                raise Poisoned
            return found
        if node.name in SIMPLE or node.name in APPLIED:
            return node.name
        if node.name in self._scope.missing:
            raise Poisoned
        known = (*self._scope.types, *SIMPLE, *APPLIED)
        raise failure(mistakes.UnknownName(node.name, known, "type"), node)

    def qualified(self, qualifier: str, name: str, node: ast.TypeName) -> str:
        module = self._scope.modules.get(qualifier)
        if module is None:
            if qualifier in self._scope.missing:
                raise Poisoned
            raise failure(mistakes.UnknownName(qualifier, tuple(self._scope.modules), "module"), node)
        found = module.types.get(name)
        if found is None:
            exported, private = tuple(module.types), name in module.private
            raise failure(mistakes.NotExported(name, qualifier, exported, private), node)
        return found

    def _applied(self, name: str, node: ast.TypeName, variables: Variables) -> Type:
        kinds = APPLIED[name]
        self._count(node, len(kinds))
        args = self._arguments(node, kinds, variables)
        if name == "Kinds":
            return mapped("Kind", args[0])  # type: ignore[arg-type]
        if name == "Outs":
            return mapped("Out", args[0])  # type: ignore[arg-type]
        if name == "Pkg":
            recipe = args[0]
            if type(recipe) is Con and "#" in recipe.name:
                self._world.mentioned_recipes.add(recipe.name)
        return Con(name, args)

    def _count(self, node: ast.TypeName, wanted: int) -> None:
        if len(node.args) != wanted:
            raise failure(mistakes.TypeArguments(node.name, wanted, len(node.args)), node)

    def _arguments(
        self, node: ast.TypeName, kinds: tuple[VarKind, ...], variables: Variables
    ) -> tuple[Type | Row, ...]:
        return tuple(
            [
                self.row(arg, variables) if kind == "row" else self.type(arg, variables)
                for arg, kind in zip(node.args, kinds, strict=True)
            ]
        )

    def _declared(self, name: str, node: ast.TypeName, variables: Variables) -> Type:
        params = self._headers.params(name)
        self._count(node, len(params))
        args = self._arguments(node, tuple([p.kind for p in params]), variables)
        alias = self._headers.alias(name)
        applied = Con(name, args)
        found = applied if alias is None else expand_alias(alias, applied)
        if not args:
            self._plain[node.qualifier, node.name] = found
        return found

    # ---- variables, rows, functions -----------------------------------------------------------

    def _variable(self, node: ast.TypeVar, kind: VarKind, variables: Variables) -> TVar | Bound:
        found = variables.known.get(node.name)
        if found is None:
            if not variables.open:
                raise failure(mistakes.UnknownName(node.name, tuple(variables.known), "type variable"), node)
            found = variables.known[node.name] = TVar(kind, node.name)
        if found.kind != kind:
            raise failure(mistakes.RowWanted(row=kind == "row"), node)
        return found

    def row(self, node: ast.Type, variables: Variables) -> Row:
        """A row of outputs: `{out: Tree, ..o}`, a variable, or the name of a declared record."""
        match node:
            case ast.TypeVar():
                return Row({}, self._row_variable(node, (), variables))
            case ast.TypeRecord():
                return self._record_row(node, variables)
            case ast.TypeName():
                found = self.type(node, variables)
                if type(found) is Con:
                    self._headers.read(found.name)
                record = self._world.expanded(found)
                if record is not None:
                    return record.row
        raise failure(mistakes.RowWanted(row=True), node)

    def _row_variable(self, node: ast.TypeVar, labels: tuple[str, ...], variables: Variables) -> TVar | Bound:
        var = self._variable(node, "row", variables)
        first = variables.behind.setdefault(node.name, labels)
        if first != labels and type(var) is TVar:
            raise failure(mistakes.UnevenRow(node.name, first, labels), node)
        return var

    def _record_row(self, node: ast.TypeRecord, variables: Variables) -> Row:
        fields: dict[str, Type] = {}
        sites: dict[str, tuple[str, int, int, str]] = {}
        for f in node.fields:
            if f.optional or f.default is not None:
                raise failure(mistakes.DefaultInPlace(f.label.text, f.optional), f)
            if f.label.text in fields:
                raise failure(mistakes.LabelTwiceHere(f.label.text, "field"), f.label)
            fields[f.label.text] = self.type(f.type, variables)
            start, end = self._start + f.label.start, self._start + f.label.end
            sites[f.label.text] = (self._scope.module, start, end, self._owner)
        return Row(fields, self.tail(node.rest, tuple(sorted(fields)), variables), sites)

    def tail(self, rest: ast.Type | None, labels: tuple[str, ...], variables: Variables) -> Tail:
        match rest:
            case None:
                return None
            case ast.TypeVar():
                return self._row_variable(rest, labels, variables)
            case ast.TypeName(qualifier=None, name="Outs" | "Kinds" as name):
                self._count(rest, 1)
                return RowMap("Out" if name == "Outs" else "Kind", self.row(rest.args[0], variables))
            case _:
                raise failure(mistakes.RowWanted(row=True), rest)

    def _fn(self, node: ast.TypeFn, variables: Variables) -> Fn:
        params: list[FnParam] = []
        for p in node.params:
            label = None if p.label is None else p.label.text
            if label is not None and any(other.label == label for other in params):
                raise failure(mistakes.LabelTwiceHere(label, "parameter"), p)
            params.append(FnParam(label, self.type(p.type, variables), p.optional))
        return Fn(tuple(params), self.type(node.result, variables))


def expand_alias(info: AliasInfo, applied: Con) -> Type:
    """What the alias stands for, which remembers how it was written."""
    t = substitute(info.type, list(applied.args))
    match t:
        case Con():
            return Con(t.name, t.args, applied)
        case Rec():
            return Rec(t.row, applied)
        case Fn():
            return Fn(t.params, t.result, applied)
        case _:
            return t

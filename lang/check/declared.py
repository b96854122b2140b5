"""Type declarations: records, variants, aliases.

1. Every name gets its id, so that declarations may stand in any order and be recursive.
2. Which parameters are rows is a fixpoint over the uses in all bodies (`rowed`): a parameter is a row where it stands
   behind `..`, or as an argument that is one.
3. A declaration is read when it is first asked for: an alias needs what it stands for, a record or a variant needs
   names alone. An alias that comes to need itself is K0329.
Defaults are checked later, like bodies (declaration.py), against the type with its parameters rigid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kiln.lang.check import mistakes
from kiln.lang.check.annotations import APPLIED, Annotations, Variables
from kiln.lang.check.failure import Failure, Poisoned, failure
from kiln.lang.check.infos import (
    AliasInfo,
    ConInfo,
    ConParam,
    FieldInfo,
    RecordInfo,
    SetInfo,
    Site,
    TypeInfo,
    VariantInfo,
    constructor,
)
from kiln.lang.check.names import Scope
from kiln.lang.check.types import Bound, Con, Row, Type, VarKind, option_of, type_id
from kiln.lang.check.world import World
from kiln.lang.syntax import ast


class Declared:
    """The module's type declarations, read on demand."""

    def __init__(self, scope: Scope, world: World, fail: Callable[[ast.Chunk, Failure], None]) -> None:
        self._scope = scope
        self._world = world
        self._fail = fail
        self._chunks: dict[str, ast.Chunk] = {}
        self._kinds: dict[str, list[VarKind]] = {}
        self._reading: list[str] = []
        self._named_by: dict[str, set[str]] = {}
        """A type, and the declarations of this module that name it."""
        self.annotations = Annotations(scope, world, self)

    def add(self, chunk: ast.Chunk, decl: ast.TypeDecl) -> None:
        """Step 1, for one declaration."""
        name = type_id(self._scope.module, decl.name.text)
        self._chunks[name] = chunk
        self._kinds[name] = ["type"] * len(decl.params)

    def read_all(self) -> None:
        self._find_rows()
        for name in self._chunks:
            try:
                self.read(name)
            except Poisoned:
                self._scope.broken_types.add(name)
        self._spread_broken()
        self.annotations.forget()

    def _spread_broken(self) -> None:
        """A declaration that names a broken one can't be used either."""
        waiting = list(self._scope.broken_types)
        while waiting:
            for name in self._named_by.get(waiting.pop(), ()):
                if name not in self._scope.broken_types:
                    self._scope.broken_types.add(name)
                    waiting.append(name)

    # ---- which parameters are rows ------------------------------------------------------------

    def _find_rows(self) -> None:
        waiting = [name for name, kinds in self._kinds.items() if kinds]
        changed = True
        while changed:
            changed = False
            for name in waiting:
                decl = self._decl(name)
                places = {p.text: i for i, p in enumerate(decl.params)}
                for variable in self._row_uses(decl):
                    place = places.get(variable)
                    if place is not None and self._kinds[name][place] == "type":
                        self._kinds[name][place] = "row"
                        changed = True

    def _row_uses(self, decl: ast.TypeDecl) -> Iterator[str]:
        """The variables that stand where a row does."""
        stack: list[ast.Type] = list(_types_of(decl))
        while stack:
            node = stack.pop()
            match node:
                case ast.TypeName():
                    kinds = self._kinds_of(node)
                    for arg, kind in zip(node.args, kinds, strict=False):
                        if kind == "row" and isinstance(arg, ast.TypeVar):
                            yield arg.name
                    stack.extend(node.args)
                case ast.TypeRecord():
                    stack.extend([f.type for f in node.fields])
                    if isinstance(node.rest, ast.TypeVar):
                        yield node.rest.name
                    elif node.rest is not None:
                        stack.append(node.rest)
                case ast.TypeFn():
                    stack.extend([p.type for p in node.params])
                    stack.append(node.result)
                case ast.TypeVar():
                    pass

    def _kinds_of(self, node: ast.TypeName) -> tuple[VarKind, ...]:
        try:
            name = self.annotations.type_name(node)
        except (Failure, Poisoned):  # told about when the declaration is read
            return ()
        if name in APPLIED:
            return APPLIED[name]
        own = self._kinds.get(name)
        if own is not None:
            return tuple(own)
        info = self._world.infos.get(name)
        return () if info is None or isinstance(info, SetInfo) else tuple([p.kind for p in info.params])

    # ---- reading ------------------------------------------------------------------------------

    def params(self, name: str) -> tuple[Bound, ...]:
        if name in self._chunks:
            if self._reading:
                self._named_by.setdefault(name, set()).add(self._reading[-1])
            return self._bounds(name, self._decl(name))
        info = self._world.infos.get(name)
        return () if info is None or isinstance(info, SetInfo) else info.params

    def alias(self, name: str) -> AliasInfo | None:
        if name in self._chunks:
            body = self._decl(name).body
            if not isinstance(body, ast.TypeName | ast.TypeVar | ast.TypeFn):
                return None
            self.read(name)
        info = self._world.infos.get(name)
        return info if isinstance(info, AliasInfo) else None

    def read(self, name: str) -> None:
        """Raises Poisoned if the declaration has a mistake, which is told about here, once."""
        if name not in self._chunks or name in self._world.infos:
            return
        chunk = self._chunks[name]
        if name in self._scope.broken_types:
            raise Poisoned
        self._reading.append(name)
        outer = self.annotations.place
        self.annotations.enter(chunk)
        try:
            info = self._read(name, chunk)
        except Failure as f:
            self._scope.broken_types.add(name)
            self._fail(chunk, f)
            raise Poisoned from None
        except Poisoned:
            self._scope.broken_types.add(name)
            raise
        finally:
            self._reading.pop()
            self.annotations.place = outer
        self._world.infos[name] = info

    def _decl(self, name: str) -> ast.TypeDecl:
        decl = self._chunks[name].decl
        assert isinstance(decl, ast.TypeDecl)
        return decl

    def _read(self, name: str, chunk: ast.Chunk) -> TypeInfo:
        decl = self._decl(name)
        if name in self._reading[:-1]:
            chain = [*self._reading[self._reading.index(name) :]]
            raise failure(mistakes.AliasLoop(tuple([n.rpartition("#")[2] for n in chain])), decl.name)
        bounds = self._bounds(name, decl)
        variables = Variables({b.name: b for b in bounds}, open=False)
        match decl.body:
            case ast.TypeRecord() as body:
                return self._record(name, chunk, decl, bounds, variables, body)
            case ast.TypeName() | ast.TypeVar() | ast.TypeFn() as body:
                t = self.annotations.type(body, variables)
                return AliasInfo(name, bounds, t, self._site(chunk, decl.name), decl.doc)
            case variants:
                return self._variant(name, chunk, decl, bounds, variables, variants)

    def _bounds(self, name: str, decl: ast.TypeDecl) -> tuple[Bound, ...]:
        seen: set[str] = set()
        for p in decl.params:
            if p.text in seen:
                raise failure(mistakes.LabelTwiceHere(p.text, "parameter"), p)
            seen.add(p.text)
        kinds = self._kinds[name]
        return tuple([Bound(i, kinds[i], p.text) for i, p in enumerate(decl.params)])

    def _site(self, chunk: ast.Chunk, node: ast.Name) -> Site:
        return Site(self._scope.module, chunk.start + node.start, chunk.start + node.end)

    def _record(
        self,
        name: str,
        chunk: ast.Chunk,
        decl: ast.TypeDecl,
        bounds: tuple[Bound, ...],
        variables: Variables,
        body: ast.TypeRecord,
    ) -> RecordInfo:
        fields: dict[str, FieldInfo] = {}
        for f in body.fields:
            label = f.label.text
            if label in fields:
                raise failure(mistakes.LabelTwiceHere(label, "field"), f.label)
            t = self.annotations.type(f.type, variables)
            mode = "optional" if f.optional else "default" if f.default is not None else "required"
            fields[label] = FieldInfo(label, t, mode, self._site(chunk, f.label))  # type: ignore[arg-type]
        tail = self.annotations.tail(body.rest, tuple(sorted(fields)), variables)
        dense: dict[str, Type] = {
            f.label: option_of(f.type) if f.mode == "optional" else f.type for f in fields.values()
        }
        site = self._site(chunk, decl.name)
        recipe = name in self._world.mentioned_recipes
        return RecordInfo(name, bounds, fields, tail, Row(dense, tail), recipe, site, decl.doc)

    def _variant(
        self,
        name: str,
        chunk: ast.Chunk,
        decl: ast.TypeDecl,
        bounds: tuple[Bound, ...],
        variables: Variables,
        variants: tuple[ast.Variant, ...],
    ) -> VariantInfo:
        whole = Con(name, tuple([Row({}, b) if b.kind == "row" else b for b in bounds]))
        constructors: dict[str, ConInfo] = {}
        for v in variants:
            first = constructors.get(v.name.text)
            if first is not None:
                raise failure(mistakes.DeclaredTwice(v.name.text, first.site, "constructor"), v.name)
            params: list[ConParam] = []
            for p in v.params:
                label = None if p.label is None else p.label.text
                if label is not None and any(other.label == label for other in params):
                    raise failure(mistakes.LabelTwiceHere(label, "field"), p)
                params.append(ConParam(label, self.annotations.type(p.type, variables), p.optional))
            site = self._site(chunk, v.name)
            constructors[v.name.text] = constructor(v.name.text, whole, bounds, tuple(params), site)
        return VariantInfo(name, bounds, constructors, self._site(chunk, decl.name), decl.doc)


def _types_of(decl: ast.TypeDecl) -> Iterator[ast.Type]:
    if isinstance(decl.body, ast.TypeName | ast.TypeVar | ast.TypeRecord | ast.TypeFn):
        yield decl.body
        return
    for v in decl.body:
        for p in v.params:
            yield p.type

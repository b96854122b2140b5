"""Checking the bodies of one group of declarations, and making core of them.

A group is alone (a function with its whole signature, a binding, a set, a test, a type's defaults), or functions and
bindings without a whole type that need each other: those have one type each until all their bodies are done,
and then the functions are generalised. What is left to be done when types are known (`_finish`): what recipes
capture, outputs with the name of a field, and core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kiln.lang import core
from kiln.lang.check import mistakes, mistakes_builds
from kiln.lang.check.annotations import Annotations, Variables
from kiln.lang.check.body import Body, Env
from kiln.lang.check.captures import check_captures
from kiln.lang.check.clash import Clash, LabelTwice
from kiln.lang.check.elaborate import core_params, elaborate
from kiln.lang.check.failure import Failure, InBinding, InDefault, InResult, failure
from kiln.lang.check.functions import bind_param, check_default
from kiln.lang.check.infer import check, check_part, infer
from kiln.lang.check.infos import RecordInfo, SetInfo
from kiln.lang.check.lookup import meaning
from kiln.lang.check.names import Scope, Value
from kiln.lang.check.sets import SetBodies
from kiln.lang.check.signatures import FnSignature, SetSignature
from kiln.lang.check.types import (
    BOOL,
    Bound,
    Con,
    Fn,
    Row,
    TVar,
    Type,
    free_variables,
    generalise,
    substitute,
    type_id,
)
from kiln.lang.check.wellformed import check_rows
from kiln.lang.check.world import World
from kiln.lang.syntax import ast


@dataclass(frozen=True, slots=True)
class Item:
    """A declaration with a body. `value` is None for a test and for a type's defaults.

    `signature` is what it says of its own type, and None: it says nothing.
    """

    key: str
    chunk: ast.Chunk
    decl: ast.FnDecl | ast.LetDecl | ast.SetDecl | ast.TestDecl | ast.TypeDecl
    value: Value | None
    signature: FnSignature | SetSignature | Type | None = None


class Checker:
    """What all declarations of a module share."""

    __slots__ = ("annotations", "scope", "world")

    def __init__(self, scope: Scope, world: World, annotations: Annotations) -> None:
        self.scope = scope
        self.world = world
        self.annotations = annotations

    def body(self, variables: Variables | None = None) -> Body:
        return Body(self.scope, self.world, self.annotations, variables or Variables(open=False))

    # ---- one declaration ----------------------------------------------------------------------

    def alone(self, item: Item) -> tuple[core.CoreDecl, ...]:
        """A declaration whose type nobody waits for. Raises Failure or Poisoned."""
        start = item.chunk.start
        self.annotations.enter(item.chunk)
        match item.decl:
            case ast.FnDecl() as decl:
                assert isinstance(item.signature, FnSignature)
                body = self._fn(decl, item.signature)
                return (self._core_fn(body, decl, start),)
            case ast.LetDecl() as decl:
                body = self._let(decl, item)
                return (self._core_let(body, decl, start),)
            case ast.SetDecl() as decl:
                assert isinstance(item.signature, SetSignature)
                return (self._set(decl, item.signature, start),)
            case ast.TestDecl() as decl:
                body = self.body()
                check_part(body, {}, decl.body, BOOL, "a test")
                self._finish(body)
                return (core.CoreTest(decl.title, start, elaborate(body, decl.body)),)
            case ast.TypeDecl() as decl:
                return tuple(self._defaults(decl, start))

    def together(self, items: Sequence[Item]) -> list[tuple[core.CoreDecl, ...]]:
        """A group without whole types. Raises Failure, Poisoned, or FailedItem for one of several."""
        bodies: list[Body] = []
        for item in items:
            assert item.value is not None
            item.value.mono = item.signature.fn if isinstance(item.signature, FnSignature) else TVar()
        for item in items:
            try:
                bodies.append(self._mono(item))
            except Failure as f:
                raise FailedItem(item, f) from None
        for item in items:
            try:
                self._generalise(item)
            except Failure as f:
                raise FailedItem(item, f) from None
        made: list[tuple[core.CoreDecl, ...]] = []
        for item, body in zip(items, bodies, strict=True):
            try:
                made.append((self._core(body, item),))
            except Failure as f:
                raise FailedItem(item, f) from None
        return made

    def _mono(self, item: Item) -> Body:
        assert item.value is not None and item.value.mono is not None
        self.annotations.enter(item.chunk)
        if isinstance(item.decl, ast.FnDecl):
            assert isinstance(item.signature, FnSignature)
            return self._fn(item.decl, item.signature)
        assert isinstance(item.decl, ast.LetDecl)
        body = self.body()
        found = infer(body, {}, item.decl.body)
        body.relate(item.decl.body, found, item.value.mono)
        return body

    def _generalise(self, item: Item) -> None:
        value = item.value
        assert value is not None and value.mono is not None
        assert isinstance(item.decl, ast.FnDecl | ast.LetDecl)
        if value.kind != "fn" and free_variables(value.mono):
            raise failure(mistakes.TypeUnknown(value.name, value.mono), item.decl.name)
        scheme = generalise(value.mono)
        if self.world.measure.is_too_large(scheme.type):
            raise failure(mistakes.TypeTooLarge(value.name), item.decl.name)
        value.scheme = scheme

    def _core(self, body: Body, item: Item) -> core.CoreDecl:
        if isinstance(item.decl, ast.FnDecl):
            return self._core_fn(body, item.decl, item.chunk.start)
        assert isinstance(item.decl, ast.LetDecl)
        return self._core_let(body, item.decl, item.chunk.start)

    # ---- functions and bindings ---------------------------------------------------------------

    def _fn(self, decl: ast.FnDecl, signature: FnSignature) -> Body:
        body = self.body(signature.variables)
        env: Env = {}
        plan = []
        for p, t in zip(decl.params, signature.fn.params, strict=True):
            check_default(body, p, t.type)
            plan.append(bind_param(body, env, p, t.type, p.name.text))
        body.facts.lambdas[id(decl)] = tuple(plan)
        if decl.body is not None:
            self._fn_body(body, env, decl, signature)
        return body

    def _fn_body(self, body: Body, env: Env, decl: ast.FnDecl, signature: FnSignature) -> None:
        assert decl.body is not None
        if decl.result is None:
            body.equal(decl.body, infer(body, env, decl.body), signature.fn.result)
            return
        try:
            check(body, env, decl.body, signature.fn.result)
        except Failure as f:
            raise f.within(InResult(decl.name.text)) from None

    def _core_fn(self, body: Body, decl: ast.FnDecl, start: int) -> core.CoreFn:
        self._finish(body)
        params = core_params(body, decl.params, id(decl))
        made = None if decl.body is None else elaborate(body, decl.body)
        return core.CoreFn(decl.name.text, start, params, made)

    def _let(self, decl: ast.LetDecl, item: Item) -> Body:
        body = self.body()
        value = item.value
        assert value is not None
        wanted = item.signature
        if wanted is None:
            value.mono = infer(body, {}, decl.body)
            self._generalise(item)
            return body
        assert not isinstance(wanted, FnSignature | SetSignature)
        try:
            check(body, {}, decl.body, wanted)
        except Failure as f:
            raise f.within(InBinding(decl.name.text)) from None
        return body

    def _core_let(self, body: Body, decl: ast.LetDecl, start: int) -> core.CoreLet:
        self._finish(body)
        return core.CoreLet(decl.name.text, start, elaborate(body, decl.body))

    # ---- sets ---------------------------------------------------------------------------------

    def _set(self, decl: ast.SetDecl, signature: SetSignature, start: int) -> core.CoreSet:
        body = self.body()
        env: Env = {}
        self_name = body.bind(env, "self", signature.type).core_name
        plan = []
        for p, t in zip(decl.params, signature.params, strict=True):
            check_default(body, p, t)
            plan.append(bind_param(body, env, p, t, p.name.text))
        body.facts.lambdas[id(decl)] = tuple(plan)
        parent_env = {name: local for name, local in env.items() if name != "self"}
        parent = _parent_call(decl)
        if parent is not None:
            self._check_parent(body, parent_env, parent, decl, signature)
        SetBodies(body, decl, signature.type.name, signature.members).check(env, start)
        self._finish(body)
        members = tuple([(m.name.text, elaborate(body, m.body)) for m in decl.members])
        params = core_params(body, decl.params, id(decl))
        return core.CoreSet(decl.name.text, start, params, self_name, self._core_parent(body, parent), members)

    def _check_parent(
        self, body: Body, env: Env, parent: ast.Call, decl: ast.SetDecl, signature: SetSignature
    ) -> None:
        infer(body, env, parent)
        info = self.world.infos[signature.type.name]
        assert isinstance(info, SetInfo) and info.parent is not None
        for m in decl.members:
            for above in self.world.set_chain(info.parent):
                known = above.members.get(m.name.text)
                if known is not None:
                    parent_name = above.id.rpartition("#")[2]
                    raise failure(mistakes_builds.MemberTwice(parent_name, m.name.text, known.site), m.name)

    def _core_parent(self, body: Body, parent: ast.Call | None) -> core.Call | None:
        if parent is None:
            return None
        made = elaborate(body, parent)
        assert isinstance(made, core.Call)
        return made

    # ---- a type's defaults --------------------------------------------------------------------

    def _defaults(self, decl: ast.TypeDecl, start: int) -> list[core.CoreDecl]:
        assert isinstance(decl.body, ast.TypeRecord)
        info = self.world.infos[type_id(self.scope.module, decl.name.text)]
        assert isinstance(info, RecordInfo)
        rigid = [_rigid(b) for b in info.params]
        made: list[core.CoreDecl] = []
        for f in decl.body.fields:
            if f.default is None:
                continue
            body = self.body()
            try:
                check(body, {}, f.default, substitute(info.fields[f.label.text].type, rigid))
            except Failure as failed:
                raise failed.within(InDefault(f.label.text)) from None
            self._finish(body)
            made.append(core.CoreDefault(decl.name.text, f.label.text, start, elaborate(body, f.default)))
        return made

    # ---- when types are known -----------------------------------------------------------------

    def _finish(self, body: Body) -> None:
        check_captures(body)
        for t, node in body.instantiated:
            try:
                check_rows(self.world, t)
            except Clash as clash:
                if not isinstance(clash.problem, LabelTwice):
                    raise
                raise failure(mistakes.OutputNamedField(clash.problem.label, clash.problem.output), node) from None


class FailedItem(Exception):
    """One item of a group has a mistake; the others can't be used either."""

    def __init__(self, item: Item, failed: Failure) -> None:
        super().__init__(failed)
        self.item = item
        self.failed = failed


def _parent_call(decl: ast.SetDecl) -> ast.Call | None:
    """The call that makes the parent: `extends S` alone is `extends S()`."""
    alone = decl.parent
    return alone if alone is None or isinstance(alone, ast.Call) else ast.Call(alone.start, alone.end, alone, ())


def _rigid(b: Bound) -> TVar | Row:
    var = TVar(b.kind, b.name, b.constraints)
    return Row({}, var) if b.kind == "row" else var


def find_parent(checker: Checker, decl: ast.SetDecl) -> Con:
    """The set that `decl` extends. Raises Failure or Poisoned."""
    callee = decl.parent.fn if isinstance(decl.parent, ast.Call) else decl.parent
    assert callee is not None
    match callee:
        case ast.Con():
            found = meaning(checker.body(), callee, None, callee.name)
        case ast.GetCon(base=ast.Var(name=alias)) if alias in checker.scope.modules:
            found = meaning(checker.body(), callee, alias, callee.name.text)
        case _:
            raise failure(mistakes.NotASet(), callee)
    fn = found.scheme.type if isinstance(found, Value) and found.scheme is not None else None
    if not isinstance(fn, Fn) or not isinstance(fn.result, Con) or found.kind != "set":  # type: ignore[union-attr]
        raise failure(mistakes.NotASet(), callee)
    return fn.result

"""The second pass: syntax and facts to core, once the types of a declaration are known.

Nothing is decided here but what needed final types: what `++` joins, and whether a string is a Text. Chains (`let`,
operators that lean to one side) are walked in loops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from kiln.lang import core
from kiln.lang.check import mistakes_values
from kiln.lang.check.body import Body, CallPlan, Facts, Given
from kiln.lang.check.failure import failure
from kiln.lang.check.infer import concat_chain
from kiln.lang.check.lookup import METHOD_OWNERS
from kiln.lang.check.shell import Scanner, feed
from kiln.lang.check.types import Con, Type, is_named, prune, split_id
from kiln.lang.syntax import ast

Concat = Literal["concat_list", "concat_str", "concat_text", "concat_map"]
_CONCAT: dict[str, Concat] = {
    "List": "concat_list", "Str": "concat_str", "Text": "concat_text", "Map": "concat_map",
}  # fmt: skip
_BINARY: dict[str, core.BinaryOp] = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod", "==": "eq", "!=": "ne",
    "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "&&": "and", "||": "or",
}  # fmt: skip


_HANDED = ("option", "option, to a default")


def elaborate(body: Body, e: ast.Expr) -> core.Expr:
    """Raises Failure for what final types rule out."""
    return _Elaborator(body).expr(e)


def core_params(body: Body, params: tuple[ast.Param, ...], node: int) -> tuple[core.CoreParam, ...]:
    """Of the function whose plan is kept under `node`."""
    maker = _Elaborator(body)
    plan = body.facts.lambdas[node]
    return tuple([maker.param(p, x) for p, x in zip(params, plan, strict=True)])


class _Elaborator:
    __slots__ = ("_body", "_facts")

    def __init__(self, body: Body) -> None:
        self._body = body
        self._facts: Facts = body.facts

    def expr(self, e: ast.Expr) -> core.Expr:
        return _TABLE[type(e)](self, e)

    # ---- literals and names -------------------------------------------------------------------

    def _literal(self, e: ast.Int | ast.Bool) -> core.Expr:
        return core.Literal_(e.start, e.value)

    def _path(self, e: ast.PathLit) -> core.Expr:
        return core.PathValue(e.start, self._body.scope.module, e.text)

    def _name(self, e: ast.Var | ast.Con | ast.GetCon) -> core.Expr:
        return self._facts.names[id(e)]

    def _get(self, e: ast.Get) -> core.Expr:
        found = self._facts.names.get(id(e))
        if found is not None:
            return found
        return core.GetField(e.label.start, self.expr(e.base), e.label.text, id(e) in self._facts.members)

    def _annotated(self, e: ast.Annotated) -> core.Expr:
        return self.expr(e.expr)

    def _str(self, e: ast.Str) -> core.Expr:
        if e.tag is not None:
            return self._shell(e)
        if not any(isinstance(part, ast.Hole) for part in e.parts):
            return core.Literal_(e.start, "".join([p for p in e.parts if isinstance(p, str)]))
        parts = tuple([p if isinstance(p, str) else self._hole(p, None) for p in e.parts])
        text = is_named(prune(self._facts.types[id(e)]), "Text")
        return core.Interpolate(e.start, text, False, parts)

    def _hole(self, hole: ast.Hole, context: core.ShellContext | None) -> core.HolePart:
        kind = self._facts.holes[id(hole)]
        inner = hole.expr
        if kind in ("Raw", "RawInt"):
            assert isinstance(inner, ast.Call)
            inner = inner.args[0].value
        if kind in ("ListStr", "ListText") and context != "bare":
            raise failure(mistakes_values.ListNotBare(context or ""), hole.expr)
        return core.HolePart(hole.expr.start, kind, context, self.expr(inner))

    def _shell(self, e: ast.Str) -> core.Expr:
        scanner = Scanner()
        parts: list[str | core.HolePart] = []
        for part in e.parts:
            if isinstance(part, str):
                meant = feed(scanner, part)
                if meant is not None:
                    raise failure(mistakes_values.ShellFields(meant), e)
                parts.append(part)
            else:
                parts.append(self._hole(part, scanner.context))
                scanner.hole()
        if not scanner.closed:
            raise failure(mistakes_values.UnclosedQuote(), e)
        return core.Interpolate(e.start, True, True, tuple(parts))

    # ---- collections --------------------------------------------------------------------------

    def _item(self, x: ast.Expr | ast.Spread) -> core.Expr | core.SpreadItem:
        if isinstance(x, ast.Spread):
            return core.SpreadItem(x.start, self.expr(x.expr))
        return self.expr(x)

    def _list(self, e: ast.ListLit) -> core.Expr:
        return core.MakeList(e.start, tuple([self._item(x) for x in e.items]))

    def _map(self, e: ast.MapLit) -> core.Expr:
        return core.MakeMap(e.start, tuple([(self.expr(x.key), self.expr(x.value)) for x in e.entries]))

    def _clauses(self, clauses: tuple[ast.For | ast.When, ...]) -> tuple[core.ForClause | core.WhenClause, ...]:
        return tuple(
            [
                core.WhenClause(self.expr(c.condition))
                if isinstance(c, ast.When)
                else core.ForClause(self._facts.patterns[id(c.pattern)], self.expr(c.source))
                for c in clauses
            ]
        )

    def _list_comp(self, e: ast.ListComp) -> core.Expr:
        return core.Comprehend(e.start, None, self._item(e.item), self._clauses(e.clauses))

    def _map_comp(self, e: ast.MapComp) -> core.Expr:
        return core.Comprehend(e.start, self.expr(e.key), self.expr(e.value), self._clauses(e.clauses))

    def _record(self, e: ast.Record) -> core.Expr:
        plan = self._facts.records[id(e)]
        fields = tuple([(g.label or "", self._given(e, g, plan.declared)) for g in plan.fields])
        return core.MakeRecord(e.start, fields, None if e.rest is None else self.expr(e.rest.expr))

    def _given(self, e: ast.Expr, g: Given, declared: str | None) -> core.Expr:
        if g.value is None:
            return self._absent(e.start, g, declared)
        value = self._facts.names[id(g.value)] if isinstance(g.value, ast.Field) else self.expr(g.value)
        return core.Construct(g.value.start, "Some", (value,)) if g.how == "some" else value

    def _absent(self, at: int, g: Given, declared: str | None) -> core.Expr:
        if g.how == "none":
            return core.Construct(at, "None", ())
        assert declared is not None and g.label is not None
        module, name = split_id(declared)
        return core.DefaultOf(at, module or "", name, g.label)

    # ---- functions and calls ------------------------------------------------------------------

    def param(self, p: ast.Param, plan: Any) -> core.CoreParam:
        default = None if p.default is None else self.expr(p.default)
        return core.CoreParam(plan.core_name, plan.label, plan.mode, default)

    def _lambda(self, e: ast.Lambda) -> core.Expr:
        return core.Function(e.start, core_params(self._body, e.params, id(e)), self.expr(e.body))

    def _pipe(self, e: ast.Pipe) -> core.Expr:
        return self._call(self._facts.pipes[id(e)])

    def _call(self, e: ast.Call) -> core.Expr:
        plan = self._facts.calls[id(e)]
        match plan.kind:
            case "construct":
                return core.Construct(e.start, plan.name.rpartition(".")[2], self._all(e, plan))
            case "method":
                assert isinstance(e.fn, ast.Get)
                base = self.expr(e.fn.base)
                return core.Method(e.start, f"{METHOD_OWNERS[plan.name]}.{plan.name}", base, self._all(e, plan))
            case "fn":
                return self._call_known(e, plan)
            case "value":
                return self._apply(e, self.expr(e.fn), plan.args)

    def _all(self, e: ast.Call, plan: CallPlan) -> tuple[core.Expr, ...]:
        return tuple([self._given(e, g, None) for g in plan.args])

    def _call_known(self, e: ast.Call, plan: CallPlan) -> core.Expr:
        assert plan.target is not None
        if any(g.how == "option, to a default" for g in plan.args):
            given = tuple([g for g in plan.args if g.value is not None])
            return self._apply(e, plan.target, given)
        args = tuple([core.Absent(e.start) if g.value is None else self._given(e, g, None) for g in plan.args])
        return core.Call(e.start, plan.target, args)

    def _apply(self, e: ast.Call, fn: core.Expr, given: tuple[Given, ...]) -> core.Expr:
        """A function value takes what it is given as it is; an Option that is handed on is taken apart here."""
        handed = [g for g in given if g.how in _HANDED]
        if not handed:
            return self._apply_plain(e.start, fn, [(g.label, self._raw(g)) for g in given])
        lets: list[tuple[str, core.Expr]] = []
        args: list[tuple[str | None, core.Expr, bool]] = []
        for g in given:
            name = self._body.namer.name(g.label or "value")
            lets.append((name, self._raw(g)))
            args.append((g.label, core.Local(e.start, name), g.how in _HANDED))
        result = self._split(e.start, fn, [], args)
        for name, value in reversed(lets):
            result = core.LetIn(e.start, core.BindPattern(name), value, result)
        return result

    def _raw(self, g: Given) -> core.Expr:
        assert g.value is not None
        return self._facts.names[id(g.value)] if isinstance(g.value, ast.Field) else self.expr(g.value)

    def _split(
        self,
        at: int,
        fn: core.Expr,
        done: list[tuple[str | None, core.Expr]],
        rest: list[tuple[str | None, core.Expr, bool]],
    ) -> core.Expr:
        """One match for each Option that is handed on; all arguments are names by now."""
        for number, (label, value, handed) in enumerate(rest):
            if not handed:
                done = [*done, (label, value)]
                continue
            left = rest[number + 1 :]
            name = self._body.namer.name(label or "value")
            there = self._split(at, fn, [*done, (label, core.Local(at, name))], left)
            absent = self._split(at, fn, done, left)
            some = core.CoreArm(at, core.ConPattern("Some", (core.BindPattern(name),)), None, there)
            none = core.CoreArm(at, core.ConPattern("None", ()), None, absent)
            return core.MatchOn(at, value, (some, none))
        return self._apply_plain(at, fn, done)

    def _apply_plain(self, at: int, fn: core.Expr, args: list[tuple[str | None, core.Expr]]) -> core.Expr:
        by_place = tuple([value for label, value in args if label is None])
        labelled = tuple([(label, value) for label, value in args if label is not None])
        return core.Apply(at, fn, by_place, labelled)

    # ---- bindings and branches ----------------------------------------------------------------

    def _let(self, e: ast.Let | ast.Assert) -> core.Expr:
        chain: list[ast.Let | ast.Assert] = []
        inner: ast.Expr = e
        while isinstance(inner, ast.Let | ast.Assert):
            chain.append(inner)
            inner = inner.body
        result = self.expr(inner)
        for x in reversed(chain):
            if isinstance(x, ast.Let):
                result = core.LetIn(x.start, self._facts.patterns[id(x.pattern)], self.expr(x.value), result)
            else:
                result = core.AssertThen(x.start, self.expr(x.condition), self.expr(x.message), result)
        return result

    def _if(self, e: ast.If) -> core.Expr:
        chain = [e]
        while isinstance(chain[-1].otherwise, ast.If):
            chain.append(chain[-1].otherwise)
        result = self.expr(chain[-1].otherwise)
        for x in reversed(chain):
            result = core.IfElse(x.start, self.expr(x.condition), self.expr(x.then), result)
        return result

    def _match(self, e: ast.Match) -> core.Expr:
        arms = tuple(
            [
                core.CoreArm(
                    arm.start,
                    self._facts.patterns[id(arm.pattern)],
                    None if arm.guard is None else self.expr(arm.guard),
                    self.expr(arm.body),
                )
                for arm in e.arms
            ]
        )
        return core.MatchOn(e.start, self.expr(e.subject), arms)

    # ---- operators ----------------------------------------------------------------------------

    def _binary(self, e: ast.Binary) -> core.Expr:
        if e.op == "++":
            return self._concat(e)
        chain = [e]
        while isinstance(chain[-1].left, ast.Binary) and chain[-1].left.op != "++":
            chain.append(chain[-1].left)
        result = self.expr(chain[-1].left)
        for x in reversed(chain):
            result = core.BinaryOn(x.at, _BINARY[x.op], result, self.expr(x.right))
        return result

    def _concat(self, e: ast.Binary) -> core.Expr:
        """All of a chain joins the same type, in whichever order; it leans to the left in core."""
        op = self._concat_op(e, self._facts.types[id(e)])
        first, *rest = concat_chain(e)
        result = self.expr(first)
        for part in rest:
            result = core.BinaryOn(e.at, op, result, self.expr(part))
        return result

    def _concat_op(self, node: ast.Binary | ast.Edit, t: Type) -> Concat:
        t = prune(t)
        op = _CONCAT.get(t.name) if type(t) is Con else None
        if op is None:
            raise failure(mistakes_values.OperatorUnknown("++" if isinstance(node, ast.Binary) else "+="), node)
        return op

    def _unary(self, e: ast.Unary) -> core.Expr:
        inner = self.expr(e.operand)
        return core.Negate(e.start, inner) if e.op == "-" else core.Not(e.start, inner)

    # ---- packages and sets --------------------------------------------------------------------

    def _with(self, e: ast.With) -> core.Expr:
        plan = self._facts.withs[id(e)]
        edits: list[core.CoreEdit] = []
        for edit, x in zip(e.edits, plan.edits, strict=True):
            value = self.expr(edit.value)
            if x.how == "some":
                value = core.Construct(edit.value.start, "Some", (value,))
            op = self._concat_op(edit, x.type) if edit.op == "+=" else "set"
            edits.append(core.CoreEdit(edit.start, tuple([n.text for n in edit.path]), op, value))
        return core.WithEdits(e.start, self.expr(e.base), plan.package, tuple(edits))

    def _overlay(self, e: ast.Overlay) -> core.Expr:
        self_name, super_name = self._facts.overlays[id(e)]
        members = tuple([(edit.path[0].text, self.expr(edit.value)) for edit in e.edits])
        return core.OverlayOf(e.start, self.expr(e.base), self_name, super_name, members)


_TABLE: dict[type, Callable[[_Elaborator, Any], core.Expr]] = {
    ast.Int: _Elaborator._literal,
    ast.Bool: _Elaborator._literal,
    ast.PathLit: _Elaborator._path,
    ast.Str: _Elaborator._str,
    ast.Var: _Elaborator._name,
    ast.Con: _Elaborator._name,
    ast.GetCon: _Elaborator._name,
    ast.Get: _Elaborator._get,
    ast.ListLit: _Elaborator._list,
    ast.MapLit: _Elaborator._map,
    ast.ListComp: _Elaborator._list_comp,
    ast.MapComp: _Elaborator._map_comp,
    ast.Record: _Elaborator._record,
    ast.Call: _Elaborator._call,
    ast.Lambda: _Elaborator._lambda,
    ast.Let: _Elaborator._let,
    ast.Assert: _Elaborator._let,
    ast.If: _Elaborator._if,
    ast.Match: _Elaborator._match,
    ast.Binary: _Elaborator._binary,
    ast.Unary: _Elaborator._unary,
    ast.Pipe: _Elaborator._pipe,
    ast.Annotated: _Elaborator._annotated,
    ast.With: _Elaborator._with,
    ast.Overlay: _Elaborator._overlay,
}

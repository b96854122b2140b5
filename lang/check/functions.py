"""Functions written in place, and the parameters of declared ones."""

from __future__ import annotations

from kiln.lang.check import mistakes, mistakes_values
from kiln.lang.check.body import Body, Env, LambdaParam
from kiln.lang.check.failure import Failure, InDefault, InFunction, failure
from kiln.lang.check.infer import check, infer
from kiln.lang.check.infos import Mode
from kiln.lang.check.queue import Queue
from kiln.lang.check.types import (
    Fn,
    FnParam,
    TVar,
    Type,
    option_of,
)
from kiln.lang.syntax import ast


def param_mode(p: ast.Param) -> Mode:
    return "optional" if p.optional else "default" if p.default is not None else "required"


def check_default(body: Body, p: ast.Param, t: Type) -> None:
    """A default sees top-level names only."""
    if p.default is None:
        return
    try:
        check(body, {}, p.default, t)
    except Failure as f:
        raise f.within(InDefault(p.name.text)) from None


def bind_param(body: Body, env: Env, p: ast.Param, t: Type, label: str | None) -> LambdaParam:
    """Inside, an optional parameter is an Option."""
    mode = param_mode(p)
    local = body.bind(env, p.name.text, option_of(t) if mode == "optional" else t)
    return LambdaParam(local.core_name, label, mode)


def distinct(params: tuple[ast.Param, ...]) -> None:
    seen: set[str] = set()
    for p in params:
        if p.name.text in seen:
            raise failure(mistakes.LabelTwiceHere(p.name.text, "parameter"), p.name)
        seen.add(p.name.text)


def infer_lambda(body: Body, env: Env, e: ast.Lambda) -> Type:
    """By place, but for what may be left out: that has a label."""
    distinct(e.params)
    inner = dict(env)
    params: list[FnParam] = []
    plan: list[LambdaParam] = []
    for p in e.params:
        t = TVar() if p.type is None else body.annotation(p.type)
        check_default(body, p, t)
        mode = param_mode(p)
        label = None if mode == "required" else p.name.text
        plan.append(bind_param(body, inner, p, t, label))
        params.append(FnParam(label, t, mode != "required"))
    body.facts.lambdas[id(e)] = tuple(plan)
    result = _result(body, inner, e)
    return Fn(tuple(params), result)


def _result(body: Body, env: Env, e: ast.Lambda) -> Type:
    if e.result is None:
        return infer(body, env, e.body)
    t = body.annotation(e.result)
    try:
        check(body, env, e.body, t)
    except Failure as f:
        raise f.within(InFunction()) from None
    return t


def check_lambda(body: Body, env: Env, e: ast.Lambda, wanted: Type, queue: Queue | None) -> None:
    if type(wanted) is not Fn:
        body.relate(e, infer_lambda(body, env, e), wanted)
        return
    distinct(e.params)
    inner = dict(env)
    matched = _match_params(e, wanted)
    plan: list[LambdaParam] = []
    for p in e.params:
        want = matched.get(p.name.text)
        plan.append(bind_param(body, inner, p, _param_type(body, p, want), want.label if want else p.name.text))
    body.facts.lambdas[id(e)] = tuple(plan)
    try:
        if e.result is None:
            check(body, inner, e.body, wanted.result)
        else:
            body.relate(e, _result(body, inner, e), wanted.result)
    except Failure as f:
        raise f.within(InFunction()) from None


def _match_params(e: ast.Lambda, wanted: Fn) -> dict[str, FnParam]:
    """Which wanted parameter each of the function's own takes: one with its label, or the next in order."""
    own = {p.name.text: p for p in e.params}
    by_label = {w.label: w for w in wanted.params if w.label is not None and w.label in own}
    matched: dict[str, FnParam] = {label: w for label, w in by_label.items() if label is not None}
    rest = [w for w in wanted.params if w.label not in by_label]
    for p in e.params:
        if p.name.text not in matched and rest:
            matched[p.name.text] = rest.pop(0)
    unmatched = [p for p in e.params if p.name.text not in matched and param_mode(p) == "required"]
    if rest or unmatched:
        raise failure(mistakes_values.LambdaParameters(len(e.params), wanted, len(wanted.params)), e)
    for p in e.params:
        want = matched.get(p.name.text)
        if want is not None and want.optional and param_mode(p) == "required":
            raise failure(mistakes_values.ParameterMayBeAbsent(p.name.text, wanted), p.name)
    return matched


def _param_type(body: Body, p: ast.Param, want: FnParam | None) -> Type:
    if p.type is None:
        t: Type = TVar() if want is None else want.type
    else:
        t = body.annotation(p.type)
        if want is not None:
            body.relate(p, want.type, t, "what this parameter is given")
    check_default(body, p, t)
    return t

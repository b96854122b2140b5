"""Calls.

1. The callee, instantiated.
2. Arguments to parameters: labels by name, the others take what is left in order. Mistakes with labels are told about
   before any argument is looked at.
3. Result first: the type that is wanted of the call binds the callee's variables (subsume.py, `bind_result`).
4. The arguments, in the order of queue.py.

A callee of unknown type becomes a function of exactly these arguments. A declared function's parameters can be
passed by place or by name; `l? = e` hands an Option on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from kiln.lang import core
from kiln.lang.check import mistakes_values
from kiln.lang.check.body import Body, CallPlan, Env, Given, How, RecipeField
from kiln.lang.check.clash import Different
from kiln.lang.check.failure import Failure, InArgument, failure, giver
from kiln.lang.check.infer import check, infer
from kiln.lang.check.infos import ConInfo, Mode, Site
from kiln.lang.check.lookup import find_name, meaning, method_of, module_behind, type_of_label
from kiln.lang.check.mismatch import TypeMismatch
from kiln.lang.check.names import Value
from kiln.lang.check.queue import Queue, rank
from kiln.lang.check.subsume import bind_result
from kiln.lang.check.types import Con, Fn, FnParam, TVar, Type, instantiate, is_named, option_of, prune
from kiln.lang.syntax import ast


class Callee(NamedTuple):
    """`modes` and `sites` are of a known function's parameters, None for a function value."""

    type: Type
    name: str
    kind: str
    target: core.Global | None
    modes: tuple[Mode, ...] | None = None
    sites: tuple[Site, ...] | None = None
    site: Site | None = None


# ---- the callee -------------------------------------------------------------------------------


def _callee(body: Body, env: Env, e: ast.Expr) -> Callee:
    match e:
        case ast.Var():
            if e.name in env:
                return _value(find_name(body, env, e, e.name), e.name)
            return _global(body, e, None, e.name)
        case ast.Con():
            return _global(body, e, None, e.name)
        case ast.Get():
            module = module_behind(body, env, e.base)
            if module is not None:
                return _global(body, e, module, e.label.text)
            return _member(body, env, e)
        case ast.GetCon():
            module = module_behind(body, env, e.base)
            if module is not None:
                return _global(body, e, module, e.name.text)
    return _value(infer(body, env, e), "this function")


def _value(t: Type, name: str) -> Callee:
    return Callee(prune(t), name, "value", None)


def _global(body: Body, e: ast.Expr, module: str | None, name: str) -> Callee:
    found = meaning(body, e, module, name)
    shown = name if module is None else f"{module}.{name}"
    match found:
        case Value():
            return _known(body, e, found, shown)
        case ConInfo():
            modes: tuple[Mode, ...] = tuple(["optional" if p.optional else "required" for p in found.params])
            return Callee(instantiate(found.scheme), shown, "construct", None, modes, None, found.site)
        case Con():
            return _value(found, shown)


def _known(body: Body, e: ast.Expr, value: Value, shown: str) -> Callee:
    t = prune(body.value_type(e, value))
    target = core.Global(e.start, value.module, value.name)
    if value.params is None or type(t) is not Fn:
        body.facts.names[id(e)] = target
        return _value(t, shown)
    modes = tuple([p.mode for p in value.params])
    sites = tuple([p.site for p in value.params])
    return Callee(t, shown, "fn", target, modes, sites, value.site)


def _member(body: Body, env: Env, e: ast.Get) -> Callee:
    owner = prune(infer(body, env, e.base))
    method = method_of(owner, e.label.text)
    if method is not None:
        return Callee(method, e.label.text, "method", None, ("required",))
    return _value(type_of_label(body, e, owner, e.label), e.label.text)


# ---- arguments to parameters ------------------------------------------------------------------


def _assign(e: ast.Call, callee: Callee, fn: Fn) -> list[ast.Arg | None]:
    """The argument of each parameter."""
    taken: list[ast.Arg | None] = [None] * len(fn.params)
    for arg in e.args:
        if arg.label is not None:
            _assign_label(callee, fn, arg, taken)
    place = 0
    for arg in e.args:
        if arg.label is not None:
            continue
        while place < len(taken) and taken[place] is not None:
            place += 1
        if place == len(taken):
            raise failure(mistakes_values.TooManyArguments(callee.name, len(fn.params), len(e.args)), arg)
        taken[place] = arg
    missing = [p for p, arg in zip(fn.params, taken, strict=True) if arg is None and not p.optional]
    if missing:
        labels = tuple([p.label for p in missing])
        raise failure(mistakes_values.MissingArguments(callee.name, labels, callee.site), e)
    return taken


def _assign_label(callee: Callee, fn: Fn, arg: ast.Arg, taken: list[ast.Arg | None]) -> None:
    assert arg.label is not None
    label = arg.label.text
    for place, p in enumerate(fn.params):
        if p.label != label:
            continue
        if taken[place] is not None:
            raise failure(mistakes_values.NoLabel(callee.name, label, (), True), arg.label)
        if arg.optional and not p.optional:
            raise failure(mistakes_values.NotOptional(label, "argument"), arg.label)
        taken[place] = arg
        return
    known = tuple([p.label for p in fn.params if p.label is not None])
    raise failure(mistakes_values.NoLabel(callee.name, label, known, False), arg.label)


# ---- the call ---------------------------------------------------------------------------------


def infer_call(body: Body, env: Env, e: ast.Call) -> Type:
    return _call(body, env, e, None)


def check_call(body: Body, env: Env, e: ast.Call, wanted: Type, queue: Queue | None) -> None:
    body.relate(e, _call(body, env, e, wanted), wanted)


def _call(body: Body, env: Env, e: ast.Call, wanted: Type | None) -> Type:
    callee = _callee(body, env, e.fn)
    fn = callee.type
    if type(fn) is not Fn:
        if type(fn) is TVar and fn.rigid is None:
            return _call_unknown(body, env, e, fn)
        raise failure(mistakes_values.NotAFunction(fn), e.fn)
    taken = _assign(e, callee, fn)
    _note_recipe(body, fn, taken)
    if wanted is not None:
        bind_result(body.world, fn.result, wanted)
    _check_arguments(body, env, callee, fn, taken)
    body.facts.calls[id(e)] = _plan(callee, fn, taken)
    return fn.result


def _note_recipe(body: Body, fn: Fn, taken: list[ast.Arg | None]) -> None:
    """A record written in place for the recipe of a Pkg is a recipe, though its type is not declared. A function that
    is given to what makes a package is taken for a part of its recipe.
    """
    result = fn.result
    if type(result) is not Con or result.name != "Pkg":
        return
    for p, arg in zip(fn.params, taken, strict=True):
        if arg is None:
            continue
        if type(result.args[0]) is TVar and p.type is result.args[0]:
            body.recipe_literals.add(id(arg.value))
        elif type(p.type) is Fn:
            body.recipe_fields.append(RecipeField(p.label or "this function", arg.value, p.type, handed=True))


def _check_arguments(body: Body, env: Env, callee: Callee, fn: Fn, taken: list[ast.Arg | None]) -> None:
    try:
        _check_in_order(body, env, callee, fn, taken)
    except Failure as f:
        _blame_choice(f, callee, fn, taken)
        raise


def _blame_choice(f: Failure, callee: Callee, fn: Fn, taken: list[ast.Arg | None]) -> None:
    """A Text met a Str: if an argument chose Str for one of the callee's variables, the message names that one."""
    mistake = f.mistake
    if not isinstance(mistake, TypeMismatch) or mistake.chosen is not None:
        return
    problem = mistake.problem
    if not (isinstance(problem, Different) and is_named(prune(problem.wanted), "Str")):
        return
    for place, (p, arg) in enumerate(zip(fn.params, taken, strict=True)):
        if arg is None or type(p.type) is not TVar or not is_named(prune(p.type), "Str"):
            continue
        blamed = giver(arg.value)
        if (blamed.start, blamed.end) == (f.start, f.end):
            continue
        which = f"argument {place + 1}" if arg.label is None else f"the argument `{arg.label.text}`"
        f.mistake = replace(mistake, chosen=(f"{which} of `{callee.name}`", _as_text(arg.value)))
        return


def _as_text(e: ast.Expr) -> str:
    if isinstance(e, ast.Str) and e.tag is None:
        parts = [part for part in e.parts if isinstance(part, str) and len(part) < 20]
        if len(parts) == len(e.parts):
            return f'("{"".join(parts)}": Text)'
    return "(…: Text)"


def _check_in_order(body: Body, env: Env, callee: Callee, fn: Fn, taken: list[ast.Arg | None]) -> None:
    """What has rank 0 is checked at once: that is its turn."""
    queue: Queue | None = None
    for place, arg in enumerate(taken):
        if arg is None:
            continue
        p = fn.params[place]
        t = option_of(p.type) if arg.optional else p.type
        if queue is None and rank(arg.value) == 0:
            try:
                check(body, env, arg.value, t)
            except Failure as f:
                raise f.within(_context(callee, arg, place)) from None
        else:
            queue = queue or Queue()
            queue.put(env, arg.value, t, _context(callee, arg, place))
    if queue is not None:
        queue.run(body, check)


def _context(callee: Callee, arg: ast.Arg, place: int) -> InArgument:
    label = None if arg.label is None else arg.label.text
    site = None if callee.sites is None else callee.sites[place]
    return InArgument(callee.name, label, place + 1, site)


def _plan(callee: Callee, fn: Fn, taken: list[ast.Arg | None]) -> CallPlan:
    args: list[Given] = []
    for place, (p, arg) in enumerate(zip(fn.params, taken, strict=True)):
        mode = callee.modes[place] if callee.modes is not None else None
        if mode is not None:
            args.append(_given(p, arg, mode))
        elif arg is not None:
            # by place where the function's own type has no label there
            args.append(Given(p.label, arg.value, "option" if arg.optional else "as is"))
    return CallPlan(callee.kind, callee.target, callee.name, tuple(args))  # type: ignore[arg-type]


def _given(p: FnParam, arg: ast.Arg | None, mode: Mode) -> Given:
    if arg is None:
        return Given(p.label, None, "none" if mode == "optional" else "default")
    how: How = "as is"
    if arg.optional:
        how = "option, to a default" if mode == "default" else "option"
    elif mode == "optional":
        how = "some"
    return Given(p.label, arg.value, how)


def _call_unknown(body: Body, env: Env, e: ast.Call, fn: TVar) -> Type:
    params: list[FnParam] = []
    args: list[Given] = []
    for arg in e.args:
        label = None if arg.label is None else arg.label.text
        if arg.optional:
            raise failure(mistakes_values.NotOptional(label or "", "argument"), arg)
        if label is not None and any(p.label == label for p in params):
            raise failure(mistakes_values.NoLabel("this function", label, (), True), arg)
        params.append(FnParam(label, infer(body, env, arg.value), False))
        args.append(Given(label, arg.value, "as is"))
    result = TVar()
    body.equal(e.fn, fn, Fn(tuple(params), result))
    body.facts.calls[id(e)] = CallPlan("value", None, "", tuple(args))
    return result


# ---- pipes ------------------------------------------------------------------------------------


def as_call(body: Body, e: ast.Pipe) -> ast.Call:
    """`x |> f(k = 1)` is `f(x, k = 1)`, a call that stands where `f(k = 1)` does: that stage is what may be wrong."""
    known = body.facts.pipes.get(id(e))
    if known is not None:
        return known
    first = ast.Arg(e.left.start, e.left.end, None, False, e.left)
    right = e.right
    if isinstance(right, ast.Call):
        call = ast.Call(right.start, right.end, right.fn, (first, *right.args))
    else:
        call = ast.Call(right.start, right.end, right, (first,))
    body.facts.pipes[id(e)] = call
    return call


def infer_pipe(body: Body, env: Env, e: ast.Pipe) -> Type:
    return _call(body, env, as_call(body, e), None)


def check_pipe(body: Body, env: Env, e: ast.Pipe, wanted: Type, queue: Queue | None) -> None:
    body.relate(e, _call(body, env, as_call(body, e), wanted), wanted)

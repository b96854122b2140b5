"""`match`: arms with patterns and guards, exhaustive and without an arm that is never reached."""

from __future__ import annotations

from collections.abc import Iterator

from kiln.lang import core
from kiln.lang.check import mistakes_builds
from kiln.lang.check.body import Body, Env
from kiln.lang.check.exhaustive import is_useful, missing
from kiln.lang.check.failure import failure
from kiln.lang.check.infer import check, check_part, infer, join
from kiln.lang.check.patterns import bind_pattern
from kiln.lang.check.queue import Queue
from kiln.lang.check.types import BOOL, TVar, Type
from kiln.lang.syntax import ast

_LOOK_AT_EACH = 100
"""Up to so many arms each is looked at for being reached: that is quadratic."""


def _arms(body: Body, env: Env, e: ast.Match) -> Iterator[tuple[Env, ast.Expr]]:
    t = infer(body, env, e.subject)
    rows: list[list[core.CorePattern]] = []
    for arm in e.arms:
        inner = dict(env)
        made = bind_pattern(body, inner, arm.pattern, t, "match", e.subject)
        if len(rows) < _LOOK_AT_EACH and not is_useful(rows, [made], body.facts.variants):
            raise failure(mistakes_builds.NeverReached(), arm.pattern)
        if arm.guard is None:
            rows.append([made])
        else:
            check_part(body, inner, arm.guard, BOOL, "the guard")
        yield inner, arm.body
    witness = missing(rows, body.facts.variants)
    if witness is not None:
        raise failure(mistakes_builds.NotExhaustive(witness), e.subject)


def infer_match(body: Body, env: Env, e: ast.Match) -> Type:
    t: Type = TVar()
    for inner, arm in _arms(body, env, e):
        t = join(body, arm, t, infer(body, inner, arm), "this branch")
    return t


def check_match(body: Body, env: Env, e: ast.Match, wanted: Type, queue: Queue | None) -> None:
    for inner, arm in _arms(body, env, e):
        check(body, inner, arm, wanted)

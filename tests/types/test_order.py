"""Each of the five rules about the order of a call's arguments is needed: without it, a good program is refused.

The same programs are among the cases (cases/calls.md, *The order of arguments*) with the rules in place.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kiln.lang.check import calls, queue, subsume
from kiln.lang.check.types import Row, TVar, Type
from kiln.lang.check.unify import bind
from kiln.lang.check.world import World
from kiln.lang.syntax import ast
from tests.types.sources import check_text, modules

RANK = queue.rank

IMPORTS = """
import "std/cc" as cc;
import "std/tools" as t;
import "toolbox" as tb;
"""

PROGRAMS = {
    "rank 2": """
fn use(script: fn(d) -> Text, deps: d) -> d = deps;
let x = use(script = fn(d) => "%{d.zlib.out}", deps = { zlib = t.lib() });
""",
    "rank 1": """
pub type Opts = { tls: Bool = false, n: Int = 1 };
fn x(co: Opts) = t.pair({ tls = true }, co);
""",
    "result first": """
pub type Curl = cc.Package({ tls: cc.Lib }, {}, { out: Tree });
fn curl(tc: cc.Toolchain, tls: tb.Plain) -> Curl =
  cc.package({
    name = "curl", version = "1", tc, deps = { tls }, opts = {}, outputs = { out = Tree },
    src = fn(b) => b.deps.tls.out, script = fn(b) => sh"make %{b.out}",
  });
""",
    "undo": """
fn x(xs: List(Str)) -> List(Text) = t.dedup(xs);
""",
    "outputs apart": """
let x: cc.Lib = t.mk({ out = Tree, log = Tree });
""",
}


def without_rank(number: int) -> Callable[[ast.Expr], int]:
    return lambda e: 0 if RANK(e) == number else RANK(e)


def set_rank(monkeypatch: pytest.MonkeyPatch, rank: Callable[[ast.Expr], int]) -> None:
    monkeypatch.setattr(queue, "rank", rank)
    monkeypatch.setattr(calls, "rank", rank)


def bind_for_good(world: World, var: TVar, t: Type | Row) -> None:
    bind(world, var, t)


def remove(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    match rule:
        case "rank 2":
            set_rank(monkeypatch, without_rank(2))
        case "rank 1":
            set_rank(monkeypatch, without_rank(1))
        case "result first":
            monkeypatch.setattr(calls, "bind_result", lambda world, result, wanted: None)
        case "undo":
            monkeypatch.setattr(subsume, "_try_bind", bind_for_good)
        case "outputs apart":
            monkeypatch.setattr(subsume, "_INVARIANT", {})


def is_accepted(program: str) -> bool:
    """Whether the checker finds no mistake; one that it did not expect counts as one."""
    from kiln.lang.check.clash import Clash

    try:
        _, reports = check_text(IMPORTS + program, modules())
    except Clash:
        return False
    return not reports


@pytest.mark.parametrize("rule", PROGRAMS)
def test_a_rule_is_needed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_accepted(PROGRAMS[rule])
    remove(rule, monkeypatch)
    assert not is_accepted(PROGRAMS[rule])
    assert [other for other in PROGRAMS if is_accepted(PROGRAMS[other])], "one rule is missing, not all"

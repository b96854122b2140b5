"""Budgets end what takes too long or too much, and data that is deep ends in a result or in a clear error."""

from __future__ import annotations

import os
import resource
import threading

import pytest

from kiln.interpreter.evaluate import room
from kiln.interpreter.evaluate.budget import Budget
from kiln.interpreter.evaluate.evaluator import EvaluationError, Evaluator
from kiln.interpreter.modules import Loader
from kiln.lang.report import render
from tests.soundness.oracle import NoSources

ROOT = "/soundness/case.kiln"

ENDLESS = """\
fn tree(n: Int) -> Int =
  if n == 0 then 0 else tree(n - 1) + tree(n - 1);
let recursion = tree(200);
let looping = length([a + b for a in range(100_000) for b in range(100_000)]);
let folding = fold(range(1_000_000), 0, fn(a, b) => a + fold(range(1_000), 0, fn(c, d) => c + d));
let sieve = length([0 for a in range(100_000) for b in range(100_000) if a + b < 0]);
let ordinary = 1 + 1;
set Members() { one: Int = tree(200); two = 2; }
let member = Members().one;
test "endless" = tree(200) == 0;
test "ordinary" = ordinary == 2;
test "again endless" = Members().one == 0;
test "again ordinary" = Members().two == 2;
"""


def evaluator(text: str, budget: Budget | None = None) -> Evaluator:
    return Evaluator(Loader(texts={ROOT: text}).load(ROOT, "case.kiln"), NoSources(), budget)


@pytest.mark.parametrize(
    ("name", "lines"),
    [("recursion", {1, 2}), ("looping", {4}), ("folding", {5}), ("sieve", {6}), ("member", {1, 2})],
)
def test_what_is_endless_ends_at_the_line_that_ran(name: str, lines: set[int]) -> None:
    endless = evaluator(ENDLESS, Budget(0.2))
    with pytest.raises(EvaluationError) as raised:
        endless.value(ROOT, name)
    report = raised.value.report
    assert report.code == "K0418" and "0.2 seconds" in report.title
    assert report.place is not None and report.place.position()[0] in lines
    assert "Python" not in render(report) and ".py" not in render(report)


def test_each_test_has_a_budget_and_the_others_still_run() -> None:
    verdicts = evaluator(ENDLESS, Budget(0.2)).run_tests(ROOT)
    assert [verdict.report and verdict.report.code for verdict in verdicts] == ["K0418", None, "K0418", None]


def test_a_budget_is_for_all_that_is_asked() -> None:
    spent = evaluator(ENDLESS, Budget(0.2))
    for name in ("recursion", "folding"):
        with pytest.raises(EvaluationError):
            spent.value(ROOT, name)
    with pytest.raises(EvaluationError, match="K0418"):
        spent.value(ROOT, "looping")


def test_wherever_in_a_loop_it_ends_the_line_is_known() -> None:
    """The jump back of a loop has no line in Python's tables."""
    for step in range(20):
        with pytest.raises(EvaluationError) as raised:
            evaluator(ENDLESS, Budget(0.02 + 0.001 * step)).value(ROOT, "sieve")
        place = raised.value.report.place
        assert place is not None and place.position()[0] == 6


def test_memory_has_a_bound() -> None:
    text = (
        'let long = fold(range(60), "x", fn(a, b) => a ++ a);\nlet list = fold(range(60), [1], fn(a, b) => a ++ a);\n'
    )
    text += "let many = [[a, a] for a in range(1_000_000_000)];\n"
    for name in ("long", "list", "many"):
        with pytest.raises(EvaluationError) as raised:
            evaluator(text, Budget(60, 64)).value(ROOT, name)
        assert raised.value.report.code in ("K0413", "K0418")
        assert raised.value.report.place is not None


LARGE = """\
let numbers = length(range(1_000_000_000_000));
let product = fold(range(60), 3, fn(n, i) => n * n);
let negative = fold(range(61), -3, fn(n, i) => n * n * n);
let most = fold(range(19), 3, fn(n, i) => n * n);
let more = most * fold(range(17), 3, fn(n, i) => n * n);
let text = size("%{more}");
let written = size(to_str(most));
let doubled = size(fold(range(45), "x", fn(a, b) => a ++ a));
"""
TOO_LARGE = [("numbers", 1), ("product", 2), ("negative", 3), ("text", 6)]


@pytest.mark.parametrize("budget", [None, Budget(60)])
@pytest.mark.parametrize(("name", "line"), TOO_LARGE)
def test_what_is_too_large_is_an_error_at_once(name: str, line: int, budget: Budget | None) -> None:
    with pytest.raises(EvaluationError) as raised:
        evaluator(LARGE, budget).value(ROOT, name)
    report = raised.value.report
    assert report.code == "K0413"
    assert report.place is not None and report.place.position()[0] == line


def test_large_numbers_are_numbers() -> None:
    assert evaluator(LARGE).value(ROOT, "written") == 250149


def test_without_a_budget_memory_is_what_the_machine_can_spare(monkeypatch) -> None:
    monkeypatch.setattr(room, "spare_memory", lambda: 200 << 20)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(EvaluationError) as raised:
        evaluator(LARGE).value(ROOT, "doubled")
    assert raised.value.report.code == "K0413"
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_what_the_machine_can_spare_is_known() -> None:
    spare = room.spare_memory()
    assert spare is not None and 0 < spare < 1 << 50


def test_what_fits_is_not_disturbed() -> None:
    before = threading.active_count()
    roomy = evaluator(ENDLESS, Budget(60, 1000))
    assert [roomy.value(ROOT, "ordinary") for _ in range(50)] == [2] * 50
    assert threading.active_count() == before


def test_a_short_budget_never_hangs() -> None:
    """Whenever the exception comes, near the end above all, there is a result or the error."""
    text = "let x = fold(range(20_000), 0, fn(a, b) => a + b);\n"
    for step in range(60):
        short = evaluator(text, Budget(0.0005 * (step + 1)))
        try:
            assert short.value(ROOT, "x") == 199990000
        except EvaluationError as error:
            assert error.report.code == "K0418"


COUNTED = """\
fn tree(n: Int) -> Int =
  if n == 0 then 0 else tree(n - 1) + tree(n - 1);
let calls = tree(3);
let turns = length([x for x in range(10)]);
let nested = length([(fn() => x)() for x in range(3) for y in range(2)]);
let mapped = length(map(range(10), fn(x) => x + 1));
let folded = fold(range(10), 0, fn(a, b) => a + b);
let plain = length(range(1_000_000));
let twice = calls + calls;
"""


@pytest.mark.parametrize(
    ("name", "steps"),
    [("calls", 15), ("turns", 10), ("nested", 15), ("mapped", 10), ("folded", 10), ("plain", 0), ("twice", 15)],
)
def test_steps_are_calls_and_turns(name: str, steps: int) -> None:
    """Three turns and six of the inner loop, and six calls; what is remembered costs nothing again."""
    assert evaluator(COUNTED, Budget(steps=steps + 1)).value(ROOT, name) is not None
    assert evaluator(COUNTED, Budget(steps=max(steps, 1))).value(ROOT, name) is not None
    for fewer in range(1, steps):
        with pytest.raises(EvaluationError) as raised:
            evaluator(COUNTED, Budget(steps=fewer)).value(ROOT, name)
        report = raised.value.report
        assert report.code == "K0418" and f"{fewer} step" in report.title and report.place is not None


@pytest.mark.parametrize("name", ["recursion", "looping", "folding", "sieve", "member"])
def test_steps_end_what_is_endless_at_one_place(name: str) -> None:
    shown = set()
    for _ in range(2):
        with pytest.raises(EvaluationError) as raised:
            evaluator(ENDLESS, Budget(steps=12_345)).value(ROOT, name)
        shown.add(render(raised.value.report))
    assert len(shown) == 1 and "more than 12,345 steps" in shown.pop()


def test_steps_are_counted_over_all_that_is_asked_and_for_each_test_anew() -> None:
    counted = evaluator(COUNTED, Budget(steps=20))
    assert counted.value(ROOT, "calls") == 0
    with pytest.raises(EvaluationError, match="K0418"):
        counted.value(ROOT, "mapped")
    verdicts = evaluator(ENDLESS, Budget(steps=1000)).run_tests(ROOT)
    assert [verdict.report and verdict.report.code for verdict in verdicts] == ["K0418", None, "K0418", None]


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("10", Budget(10)),
        ("2.5,512", Budget(2.5, 512)),
        ("1000steps", Budget(steps=1000)),
        ("512MB, 7steps", Budget(None, 512, 7)),
        ("10s,7steps,1MB", Budget(10, 1, 7)),
    ],
)
def test_what_is_a_budget(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget


@pytest.mark.parametrize(
    "text",
    ["", "x", "0", "-1", "1,", "1,x", "1,0", "nan", "inf", "1,2,3", "1s,2s", "1.5MB", "1.5steps", "0steps", "1 step"],
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Budget.parse(text)


def test_the_option(home) -> None:
    with open(os.path.join(home.work, "endless.kiln"), "w", encoding="utf-8") as file:
        file.write(ENDLESS)
    for words in (
        ["eval", "endless.kiln#recursion"],
        ["eval", "--expr", "length([0 for a in range(100000) for b in range(1000) if a + b < 0])"],
        ["test", "endless.kiln"],
        ["realise", "endless.kiln#recursion"],
    ):
        for budget in ("0.2,900", "20000steps"):
            assert "error[K0418]" in home.kiln(*words, "--budget", budget).expect(3).err
    wrong = home.kiln("eval", "endless.kiln#ordinary", "--budget", "soon").expect(2).err
    assert "SECONDS" in wrong and "'soon'" in wrong


# ---- deep data ----------------------------------------------------------------------------------

DEEP = """\
pub type Chain = | End | Link(n: Int, rest: Chain);
pub type Tree = | Leaf | Node(children: List(Tree));
fn down(n: Int) -> Int = if n == 0 then 0 else 1 + down(n - 1);
fn lets(n: Int) -> Int = let a = n - 1; let b = if a == 0 then 0 else lets(a); b + 1;
fn even(n: Int) -> Bool = if n == 0 then true else odd(n - 1);
fn odd(n: Int) -> Bool = if n == 0 then false else even(n - 1);
fn chain(n: Int) -> Chain = fold(range(n), End, fn(rest, i) => Link(i, rest));
fn long(c: Chain) -> Int = match c { End => 0, Link(_, rest) => 1 + long(rest) };
fn tree(n: Int) -> Tree = fold(range(n), Leaf, fn(t, i) => Node([t]));
fn options(n: Int) -> List(Option(Int)) = [if i % 2 == 0 then Some(i) else None for i in range(n)];
let million = length([i * 2 for i in range(1_000_000)]);
let joined = size(join([to_str(i) for i in range(200_000)], separator = ","));
let recursion = down(100_000);
let locals = lets(100_000);
let mutual = even(100_000);
let walked = long(chain(100_000));
let same = chain(100_000) == chain(100_000);
let other = chain(100_000) == chain(100_001);
let trees = tree(50_000) == tree(50_000);
let distinct = length(unique(options(20_000)));
let endless = down(-1);
let shown = chain(100_000);
let written = to_str([tree(2_000)]);
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("million", 1_000_000),
        ("joined", 1_288_889),
        ("recursion", 100_000),
        ("locals", 100_000),
        ("mutual", True),
        ("walked", 100_000),
        ("same", True),
        ("other", False),
        ("trees", True),
        ("distinct", 10_001),
        ("endless", "K0401"),
    ],
)
def test_deep_data(name: str, value: object) -> None:
    try:
        found: object = evaluator(DEEP).value(ROOT, name)
    except EvaluationError as error:
        found = error.report.code
    assert found == value


@pytest.mark.parametrize("name", ["shown", "written"])
def test_deep_data_is_shown_or_refused(name: str) -> None:
    deep = evaluator(DEEP)
    for show in (deep.show, deep.json):
        try:
            assert len(show(deep.value(ROOT, name))) > 1000
        except EvaluationError as error:
            assert error.report.code in ("K0401", "K0417")


def test_deep_data_as_json(home) -> None:
    """A parser of JSON gives up long before a writer does."""
    deep = "type L = | C(L) | E;\npub let x: L = fold(range(100_000), E, fn(a, i) => C(a));\n"
    with open(os.path.join(home.work, "deep.kiln"), "w", encoding="utf-8") as file:
        file.write(deep)
    for words in (["deep.kiln#x"], ["deep.kiln", "--expr", "[x]"]):
        out = home.kiln("eval", *words, "--json").expect().out
        assert out.startswith('{"schema": "kiln.eval/1", "ok": true, "data": ') and out.count("\n") == 1
        assert len(out) > 900_000 and out.endswith(', "error": null}\n')


def test_deep_text_is_refused_or_works() -> None:
    for text in (
        "let x = " + "let a = 1; " * 100_000 + "a;",
        "let x = " + "[" * 50_000 + "]" * 50_000 + ";",
        "let x: " + "List(" * 50_000 + "Int" + ")" * 50_000 + " = [];",
        "let x = " + "1 + " * 50_000 + "1;",
        "let x = " + "-" * 50_000 + "1;",
        "fn f(x: Int) -> Int = " + "f(" * 20_000 + "x" + ")" * 20_000 + ";",
        "let x = match 1 { " + "(" * 20_000 + "_" + ")" * 20_000 + " => 1 };",
        'let x = "' + '%{"' * 5_000 + '"}' * 5_000 + '";',
    ):
        from tests.soundness.oracle import judge

        assert judge(text + "\n", seconds=200).fault is None

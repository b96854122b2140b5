"""The facade: naming values, their targets, showing them, and tests."""

from __future__ import annotations

import json
import os
import sys
import threading

import pytest
from evaluate_cases import Golden, check_golden, evaluator, golden_cases

from kiln.interpreter.derivation import DrvOutput, SourceObject
from kiln.interpreter.evaluate.deep import run_deep
from kiln.interpreter.evaluate.evaluator import EvaluationError, Evaluator
from kiln.lang.report import render

GOLDEN = os.path.join(os.path.dirname(__file__), "golden", "facade.txt")


def path_of(program: str) -> list[str]:
    text = program.split("\n", 1)[0].removeprefix("# select:").strip()
    return text.split(".") if text else []


@pytest.mark.parametrize("case", golden_cases(GOLDEN), ids=lambda case: str(case.place))
def test_what_cannot_be_named_or_built(case: Golden, tmp_path: os.PathLike[str]) -> None:
    program, module = evaluator(str(tmp_path), case.program, "app.kiln")
    path = path_of(case.program)
    with pytest.raises(EvaluationError) as caught:
        program.targets(program.select(module, path), ".".join(path))
    check_golden(case, render(caught.value.report))


BUILDS = """
fn drv(name: Str) -> Drv({ out: Tree, log: File, doc: Tree }) =
  derive({ name, outputs = { out = Tree, log = File, doc = Tree }, exec = fn(o) => { program = "/%{name}" } });
set Pkgs() {
  version: Str = "1";
  lib = drv("lib");
  tool = drv("tool").out;
}
pub let pkgs: Pkgs = Pkgs();
pub let many: { all: List(Out(Tree)), by: Map(Out(File)) } =
  { all = [drv("a").out, drv("b").doc], by = ["z" => drv("c").log, "k" => drv("a").log] };
pub let file: Out(File) = drv("a").doc.file("x/y.txt");
pub let src: Out(Tree) = source(`.`);
"""


def labels(program: Evaluator, module: str, path: str) -> list[tuple[str, str]]:
    names = path.split(".")
    found = program.targets(program.select(module, names), path)
    return [(target.label, target.item.output) for target in found if isinstance(target.item, DrvOutput)]


def test_targets(tmp_path: os.PathLike[str]) -> None:
    program, module = evaluator(str(tmp_path), BUILDS)
    lib = [("pkgs.lib", "out"), ("pkgs.lib.doc", "doc"), ("pkgs.lib.log", "log")]
    assert labels(program, module, "pkgs.lib") == lib
    assert labels(program, module, "pkgs") == [*lib, ("pkgs.tool", "out")]
    assert labels(program, module, "pkgs.lib.doc") == [("pkgs.lib.doc", "doc")]
    assert labels(program, module, "many") == [
        ("many.all[0]", "out"),
        ("many.all[1]", "doc"),
        ("many.by.k", "log"),
        ("many.by.z", "log"),
    ]
    assert labels(program, module, "many.by.k") == [("many.by.k", "log")]
    (file,) = program.targets(program.select(module, ["file"]), "file")
    assert file.sub == "x/y.txt"
    (source,) = program.targets(program.select(module, ["src"]), "src")
    assert isinstance(source.item, SourceObject)
    assert source.item.name == "source", "not the name of the folder that the project lies in"


def test_the_default_is_the_let_default_or_the_only_one(tmp_path: os.PathLike[str]) -> None:
    one = """
fn d(name: Str) -> Drv({ out: Tree }) =
  derive({ name, outputs = { out = Tree }, exec = fn(o) => { program = "/x" } });
"""
    program, module = evaluator(
        str(tmp_path), one + 'let other = d("other");\npub let only: Drv({ out: Tree }) = d("only");'
    )
    assert program.default_name(module) == "only"
    text = one + 'pub let a: Drv({ out: Tree }) = d("a");\npub let default: Drv({ out: Tree }) = d("b");'
    program, module = evaluator(str(tmp_path), text)
    assert program.default_name(module) == "default"
    assert len(program.targets(program.select(module, []))) == 1


def test_json(tmp_path: os.PathLike[str]) -> None:
    text = """
type V = | A | B(n: Int, s: Str) | C(o: Option(Int));
let x = {
  i = -1, b = true, s = "é\\"\\n", l = [[1], []], m = ["k" => None, "a" => Some(2)],
  v = [A, B(1, "x"), C(Some(3))], p = `./f`,
};
let big = fold(range(300), 1, fn(acc, n) => acc * 10);
let out = fetch_file(name = "f", sources = ["https://a.example/f"], hash = "sha256:HASH");
let text: Text = "a %{out}/b";
fn f(n: Int) -> Int = n;
let fn_ = f;
""".replace("HASH", "ab" * 32)
    program, module = evaluator(str(tmp_path), text)
    assert json.loads(program.json(program.value(module, "x"))) == {
        "i": -1, "b": True, "s": 'é"\n', "l": [[1], []], "m": {"a": 2, "k": None},
        "v": ["A", {"B": [1, "x"]}, {"C": [3]}], "p": "./f",
    }  # fmt: skip
    assert json.loads(program.json(program.value(module, "big"))) == 10**300
    assert json.loads(program.json(program.value(module, "out"))) == {"name": "f", "output": "out"}
    (target,) = program.targets(program.value(module, "out"))
    assert isinstance(target.item, DrvOutput)
    assert json.loads(program.json(program.value(module, "out")))["derivation"] == str(target.item.drv)
    assert program.json(program.value(module, "text")) == '"a %{f}/b"'
    assert program.show(program.value(module, "text")) == '"a %{f}/b"'
    assert program.json(program.value(module, "fn_")) == '"<function>"'


TESTS = """
test "good" = 1 + 1 == 2;
test "differs" = [1, 2] ++ [3] == [1, 2];
test "plain" = 1 > 2;
test "fails" = 1 / 0 == 1;
test "asserts" = assert false else "never"; true;
test "again" = "a" == "a";
"""


def test_tests(tmp_path: os.PathLike[str]) -> None:
    program, module = evaluator(str(tmp_path), TESTS)
    results = program.run_tests(module)
    assert [(result.title, result.report and result.report.code) for result in results] == [
        ("good", None),
        ("differs", "K0414"),
        ("plain", "K0414"),
        ("fails", "K0402"),
        ("asserts", "K0404"),
        ("again", None),
    ]
    assert results[1].report is not None and results[2].report is not None
    assert (
        render(results[1].report)
        == """\
error[K0414]: the test "differs" failed
  --> case.kiln:3:32
3| test "differs" = [1, 2] ++ [3] == [1, 2];
                                  ^^ this is false
  left   [1, 2, 3]
  right  [1, 2]"""
    )
    assert results[2].report.notes == ()


def test_a_value_is_computed_once_and_a_failure_every_time(tmp_path: os.PathLike[str]) -> None:
    program, module = evaluator(str(tmp_path), "let good = [1, 2];\nlet bad = good ++ [1 / 0];\nlet other = bad;")
    assert program.value(module, "good") is program.value(module, "good")
    for name in ("bad", "other", "bad"):
        with pytest.raises(EvaluationError) as caught:
            program.value(module, name)
        assert caught.value.report.code == "K0402"


def test_the_process_is_as_it_was(tmp_path: os.PathLike[str]) -> None:
    program, module = evaluator(str(tmp_path), "fn f(n: Int) -> Int = 1 + f(n);\nlet x = f(0);")
    before = sys.getrecursionlimit(), sys.get_int_max_str_digits(), threading.active_count()
    with pytest.raises(EvaluationError):
        program.value(module, "x")
    assert (sys.getrecursionlimit(), sys.get_int_max_str_digits(), threading.active_count()) == before


def test_deep_runs_nest_and_hand_on_what_is_raised() -> None:
    assert run_deep(lambda: run_deep(lambda: 1) + 1) == 2
    with pytest.raises(KeyError):
        run_deep(lambda: {}["missing"])


def test_a_bug_is_not_told_as_a_mistake_of_the_user(tmp_path: os.PathLike[str]) -> None:
    program, module = evaluator(str(tmp_path), "let x = 1;")
    with pytest.raises(KeyError):
        program.value(module + "?", "x")

"""One declaration of 2,000 edited: what depends on it is checked again, and no more."""

from __future__ import annotations

import os

import pytest

from kiln.interpreter.evaluate.evaluator import Evaluator
from kiln.interpreter.modules import Loader
from tests.caching.cached_runs import ROOT, Sources, write

COUNT = 2000


def declarations() -> dict[str, str]:
    """Chains of functions with types, of bindings without, and a record that every seventh mentions."""
    made = {"Item": "pub type Item = { name: Str, size: Int = 1 };"}
    for n in range(COUNT // 2 - 1):
        made[f"f{n}"] = f"fn f{n}(x: Int) -> Int = {f'f{n - 1}(x)' if n % 10 else 'x'} + {n};"
        value = f'{{ name = "v{n}" }}' if n % 7 == 0 else f"f{n}({n})"
        made[f"v{n}"] = f"let v{n}{': Item' if n % 7 == 0 else ''} = {value};"
    made["total"] = "pub let total: Int = v1 + f998(1) + v0.size;"
    return made


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("two-thousand"))


@pytest.fixture
def checked(cache, monkeypatch):
    """What is checked of a program, when the last sound one of these tests was this one before the edit."""
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    os.makedirs(os.path.join(cache, "work"), exist_ok=True)
    monkeypatch.chdir(os.path.join(cache, "work"))

    def load(made):
        write({ROOT: "\n".join(made.values()) + "\n"})
        loader = Loader()
        program = loader.load(ROOT)
        return list(loader.checked.get(program.root, ()))

    load(declarations())
    return load


def replaced(made, name, old, new):
    assert old in made[name]
    return {**made, name: made[name].replace(old, new)}


def test_all_at_first(checked, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert len(checked(declarations())) == len(declarations()) == COUNT
    assert checked(declarations()) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "again"),
    [
        ("f500", "+ 500", "+ 501", ["f500"]),
        ("f501", "x: Int", "x: Int, y: Int = 2", ["f501", "f502", "v501"]),
        ("v500", "f500(500)", '"a string"', ["v500"]),
        ("v1", "f1(1)", "f1(2)", ["v1"]),
        ("v0", '"v0"', '"V0"', ["v0"]),
        ("total", "v0.size", "v0.size + 1", ["total"]),
        ("f3", "fn f3", "# a comment\n\nfn f3", []),
        ("f3", "fn f3", "## Documentation.\nfn f3", ["f3"]),
    ],
)
def test_an_edit(checked, name, old, new, again):
    edited = replaced(declarations(), name, old, new)
    assert sorted(checked(edited)) == again
    assert checked(edited) == []
    assert sorted(checked(declarations())) == again


def test_a_type_that_many_mention(checked):
    made = declarations()
    again = [name for name, text in made.items() if ": Item" in text]
    found = checked(replaced(made, "Item", "size: Int = 1", 'size: Int = 1, kind: Str = ""'))
    assert sorted(found) == sorted(["type Item", *again, "total"])


def test_the_type_of_what_is_not_annotated(checked):
    """`total` uses `v1`, whose type is inferred: it is checked again where the type changes, and not else."""
    made = declarations()
    made["v1"] = "let v1 = 7 + 7;"
    assert checked(made) == ["v1"]
    made["w"] = "let w = [v1];"
    assert checked(made) == ["w"]
    made["v1"] = 'let v1 = size("seven");'
    assert checked(made) == ["v1"]
    made["total"] = "pub let total: Int = 1;"
    made["v1"] = 'let v1 = "seven";'
    assert sorted(checked(made)) == ["total", "v1", "w"]


def test_moved_renamed_deleted_added(checked):
    made = declarations()
    assert checked(dict(reversed(made.items()))) == []
    renamed = {n.replace("f7", "g7") if n == "f7" else n: t.replace("f7(", "g7(") for n, t in made.items()}
    assert sorted(checked(renamed)) == ["f8", "g7"]
    assert sorted(checked(made)) == ["f7", "f8"]
    assert checked({n: text for n, text in made.items() if n != "v998"}) == []
    assert checked({**made, "more": "let more = v1;"}) == ["v998", "more"]


# ---- evaluation -------------------------------------------------------------------------------


def packages() -> dict[str, str]:
    """Chains of 40 packages, each with a plain value of its own, and one that needs the ends of all."""
    made = {
        "mk": "fn mk(name: Str, deps: List(Out(File))) -> Out(File) = derive({ name, outputs = { out = File },\n"
        '  exec = fn(o) => { program = "/x", args = ["%{o.out}", ..["%{d}" for d in deps]] } }).out;'
    }
    for n in range(COUNT // 2 - 1):
        made[f"s{n}"] = f'let s{n} = "p{n}";'
        needs = f"p{n - 1}" if n % 40 else ""
        made[f"p{n}"] = f"let p{n} = mk(s{n}, [{needs}]);"
    ends = ", ".join(f"p{n}" for n in (*range(39, COUNT // 2 - 1, 40), COUNT // 2 - 2))
    made["all"] = f'pub let all: Out(File) = mk("all", [{ends}]);'
    return made


@pytest.fixture
def computed(cache, monkeypatch):
    """What is computed of a program whose last run was this one before the edit, and the derivation it comes to."""
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    os.makedirs(os.path.join(cache, "packages"), exist_ok=True)
    monkeypatch.chdir(os.path.join(cache, "packages"))

    def evaluated(made):
        write({ROOT: "\n".join(made.values()) + "\n"})
        program = Loader().load(ROOT)
        evaluator = Evaluator(program, Sources())
        targets = evaluator.targets(evaluator.value(program.root, "all"), "all")
        evaluator.keep()
        return [let.rpartition("\0")[2] for let in evaluator.computed], targets, dict(evaluator.graph)

    evaluated(packages())
    return evaluated


def test_all_is_computed_at_first(computed, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert len(computed(packages())[0]) == len(packages()) - 1 == COUNT - 1
    assert computed(packages())[0] == []


@pytest.mark.parametrize(
    ("name", "old", "new", "again"),
    [
        ("s500", '"p500"', '"q500"', ["all", "s500", *(f"p{n}" for n in range(500, 520))]),
        ("s500", '"p500"', '"p" ++ "500"', ["s500"]),
        ("p517", "[p516]", "[p516, p3]", ["all", "p517", "p518", "p519"]),
        ("p998", "[p997]", "[]", ["all", "p998"]),
        ("all", '"all"', '"ALL"', ["all"]),
        ("s0", "let", "# a comment\n\nlet", []),
    ],
)
def test_an_edit_computes(computed, monkeypatch, name, old, new, again):
    edited = replaced(packages(), name, old, new)
    names, *made = computed(edited)
    assert sorted(names) == sorted(again)
    monkeypatch.setenv("KILN_NO_CACHE", "1")
    assert computed(edited)[1:] == tuple(made)


def test_a_long_chain(tmp_path, monkeypatch):
    """Looking through what was read takes a loop, whichever end of the chain was edited."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def last(first):
        lines = [f"let v{n} = v{n - 1} + 1;" for n in range(1, 5000)]
        write({ROOT: "\n".join([f"let v0 = {first};", *lines]) + "\n"})
        program = Loader().load(ROOT)
        evaluator = Evaluator(program, Sources())
        value = evaluator.value(program.root, "v4999")
        evaluator.keep()
        return value, len(evaluator.computed)

    assert [last(first) for first in ("1", "1", "0 + 1", "2", "2")] == [
        (5000, 5000), (5000, 0), (5000, 1), (5001, 5000), (5001, 0),
    ]  # fmt: skip


def test_a_set_is_one_declaration(tmp_path, monkeypatch):
    """Not by member (ADR 8): an edit of one checks the set, and computes whoever reads of it, but nothing beside."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def again(number, comment=""):
        members = "".join(f"  m{n} = {number if n == 7 else n};\n" for n in range(20))
        text = f"{comment}set S() {{\n{members}}}\nlet s = S();\nlet a = s.m1;\nlet b = 5;\nlet all = [a, b];\n"
        write({ROOT: text})
        loader = Loader()
        program = loader.load(ROOT)
        evaluator = Evaluator(program, Sources())
        evaluator.value(program.root, "all")
        evaluator.keep()
        computed = [let.rpartition("\0")[2] for let in evaluator.computed]
        return sorted(loader.checked.get(program.root, ())), sorted(computed)

    assert again("1") == (["S", "a", "all", "b", "s"], ["a", "all", "b", "s"])
    assert again("1") == ([], [])
    assert again("1", "# a comment\n\n") == ([], [])
    assert again("2") == (["S"], ["a", "s"])

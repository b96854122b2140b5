"""What lets came to is taken where nothing that they read has changed, and equals what would be computed."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiln.interpreter.caching.shelf import Shelf
from kiln.interpreter.evaluate.evaluator import Evaluator
from tests.caching.cached_runs import ROOT, Sources, load, run, uncached, write

LIB = (
    ("pub type Recipe = { name: Str, from: Out(File), flags: List(Str) };",),
    ("pub let tool: Out(File) = source_file(`./tool`, name = \"tool\");",
     "pub let tool: Out(File) = source_file(`./other`, name = \"tool\");"),
    ("let common = [\"-O2\"];", "let common = [\"-O\" ++ \"2\"];", "let common = [\"-O3\"];"),
    ("fn run(name: Str, from: Out(File), flags: List(Str)) -> Drv({ out: File }) = derive({\n"
     "  name, outputs = { out = File }, exec = fn(o) => {\n"
     "    program = \"/bin/sh\", args = [\"-c\", \"%{from} > %{o.out}\", ..flags, ..common],\n"
     "    links = [\"/bin/sh\" => \"%{tool}\"],\n  },\n});",
     "fn run(name: Str, from: Out(File), flags: List(Str)) -> Drv({ out: File }) = derive({\n"
     "  # moved\n  name, outputs = { out = File }, exec = fn(o) => {\n"
     "    program = \"/bin/sh\", args = [\"-c\", \"%{from} >> %{o.out}\", ..flags, ..common],\n"
     "    links = [\"/bin/sh\" => \"%{tool}\"],\n  },\n});"),
    ("pub fn make(recipe: Recipe) -> Pkg(Recipe, { out: File }) =\n"
     "  pkg(recipe, fn(r) => run(r.name, r.from, r.flags));",),
    ("pub set Kit(base: Out(File)) {\n  one = make({ name = \"one\", from = base, flags = [] });\n"
     "  two = make({ name = \"two\", from = self.one.out, flags = [] });\n}",
     "pub set Kit(base: Out(File)) {\n  one = make({ name = \"one\", from = base, flags = [\"x\"] });\n"
     "  two = make({ name = \"two\", from = self.one.out, flags = [] });\n}"),
)  # fmt: skip
APP = (
    ("let n = 3;", "let n = 1 + 2;", "let n = 4;", "let n = 3 / (n2 - 2);"),
    ("let n2 = n;", "let n2 = 2;", "let n2 = n  +  0;"),
    ("let src = source_file(`./src`, name = \"src\");",),
    ("let dir = source(`./dir`, name = \"dir\");",),
    ("let a = lib.make({ name = \"a\", from = src, flags = [\"%{n2}\"] });",
     "let a = lib.make({ name = \"a\", from = src, flags = [\"%{n2 + 0}\"] });",
     "let a = lib.make({ name = \"a\", from = lib.tool, flags = [] });"),
    ("let b = lib.make({ name = \"b\", from = a.out, flags = [] });",
     "let b = lib.make({ flags = [], name = \"b\", from = a.out });"),
    ("let changed = a with { flags += [\"-g\"] };", "let changed = a with { name = \"renamed\" };",
     "let changed = if n > 3 then a else a with { flags = [] };"),
    ("let both = { first = b.out, rest = [changed.out, src], at = [\"k\" => \"%{b.out}/x\"] };",),
    ("let kit = lib.Kit(b.out);", "let kit = lib.Kit(b.out) with (self, super) { one = changed };"),
    ("let two = kit.two.out;",), ("let again = [kit.two.out, both.first];",),
    ("let twice = fn(x: Int) => x * n;",), ("let six = twice(2);", "let six = twice(2) + size(\"%{n2}\");"),
    ("let flat = derive({ name = \"flat\", outputs = { out = Tree, doc = File }, exec = fn(o) => {\n"
     "  program = \"/x\", args = [\"%{o.doc}\", \"%{o.out}\", \"%{dir}\", \"%{both.first}\", \"%{six}\"],\n} });",),
    ("let doc = flat.doc;",), ("let bad = lib.make({ name = \"a b\", from = src, flags = [] }).out;",),
    ("let got = fetch_file(\"x\", [\"https://example.org/x\"], \"sha256:" + "0" * 64 + "\");",
     "let got = fetch_file(\"x\", [\"https://example.org/y\"], \"sha256:" + "0" * 64 + "\");"),
    ("let uses = lib.make({ name = \"uses\", from = got, flags = [] }).out;",),
    ("let fails = if six > 6 then 1 / (n2 - n2) else 0;",),
    ("pub let all: List(Out(File)) = [two, b.out, uses];",),
)  # fmt: skip
IMPORT = 'import "./lib.kiln" as lib;'
FILES = {"tool": "#!", "other": "#!!", "src": "s", "dir/a": "a"}


def text(declarations, forms=(), import_=IMPORT):
    chosen = dict(forms)
    lines = [forms[chosen.get(at, 0) % len(forms)] for at, forms in enumerate(declarations)]
    return "\n".join((import_, *lines)) + "\n"


def start():
    os.makedirs("dir", exist_ok=True)
    write(FILES)
    write({"lib.kiln": text(LIB, import_=""), ROOT: text(APP)})
    shutil.rmtree(Shelf("values").folder, ignore_errors=True)


@pytest.fixture
def computed():
    """The names of the lets that are computed for some of a program's lets and what they are built from."""
    start()

    def asked(*names):
        program = load()
        evaluator = Evaluator(program, Sources())
        for name in names:
            evaluator.targets(evaluator.value(program.root, name), name)
        evaluator.keep()
        return [let.rpartition("\0")[2] for let in evaluator.computed]

    return asked


def test_the_first_forms_are_a_sound_project():
    start()
    _, values, graph, sources = run()
    assert [type(targets) for _, targets in values].count(list) == 14
    assert len(graph) == 8 and [os.path.basename(path) for path in sources] == ["dir", "src", "tool"]
    assert run() == uncached()


def test_nothing_is_computed_twice(computed):
    assert computed("all")[:4] == ["all", "two", "kit", "b"]
    assert computed("all") == []
    assert computed("doc")[:2] == ["doc", "flat"]


@pytest.mark.parametrize(
    ("form", "again"),
    [
        ({0: 1}, ["n"]),  # 1 + 2 is 3
        ({0: 2}, ["n", "n2", "a", "b", "kit", "two", "all"]),
        ({4: 1}, ["a", "b", "kit", "two", "all"]),
        ({16: 1}, ["got", "uses", "all"]),
        ({12: 1}, []),  # `six` is not asked for
        ({19: 0}, []),
    ],
)
def test_one_edit(computed, form, again):
    computed("all")
    write({ROOT: text(APP, form)})
    assert sorted(computed("all")) == sorted(again)
    assert run() == uncached()


def test_a_source(computed):
    computed("all", "doc")
    write({"dir/a": "another"})
    assert set(computed("all", "doc")) == {"flat", "changed", "a"}  # `changed` was not built
    write({"src": "another"})
    assert "a" in computed("all") and run() == uncached()


def test_moved(computed):
    computed("all")
    write({ROOT: "# moved\n\n" + text(APP), "lib.kiln": "# moved\n\n" + text(LIB, import_="")})
    assert computed("all") == []
    assert run() == uncached()


def test_an_override_computes_the_recipe(computed):
    computed("a")
    assert computed("a") == []
    assert computed("changed") == ["changed", "a"]
    assert computed("changed") == []
    write({ROOT: text(APP, {6: 1})})
    assert computed("changed") == ["changed", "a"]
    assert run() == uncached()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.integers(0, len(APP) - 1), st.integers(0, 3), max_size=4),
            st.dictionaries(st.integers(0, len(LIB) - 1), st.integers(0, 1), max_size=2),
            st.sampled_from(("", "# moved\n", "## Above.\n\n")),
            st.sampled_from((*FILES, None, None)),
        ),
        min_size=2,
        max_size=5,
    )
)
def test_histories(edits):
    start()
    for app, lib, above, source in edits:
        write({ROOT: above + text(APP, app), "lib.kiln": above + text(LIB, lib, "")})
        if source is not None:
            write({source: f"{above}{len(app)}"})
        assert run() == uncached()


@pytest.mark.parametrize("damage", [b"", b"N", b"(\0\0\0\0", b"\xdb\0\0\0\0", b"\xe9\1\0\0\0"])
def test_damaged_entries(computed, damage):
    first = run()
    folder = Shelf("values").folder
    for name in os.listdir(folder):
        Shelf("values").write(name, damage)
    assert run() == first
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(damage)
    assert run() == first
    assert computed("all") == []


def test_off_and_budgets(computed, monkeypatch):
    from kiln.interpreter.evaluate.budget import Budget

    computed("all")
    evaluator = Evaluator(load(), Sources(), Budget(60))
    evaluator.value(evaluator.program.root, "all")
    evaluator.keep()
    assert evaluator.computed == ()
    monkeypatch.setenv("KILN_NO_CACHE", "1")
    assert computed("all") == []


def test_what_is_gone_is_forgotten(computed):
    computed("all")
    sizes = [os.path.getsize(os.path.join(Shelf("values").folder, n)) for n in os.listdir(Shelf("values").folder)]
    write({ROOT: f"{IMPORT}\nlet one = 1;\n"})
    computed_one = [
        os.path.getsize(os.path.join(Shelf("values").folder, n)) for n in os.listdir(Shelf("values").folder)
    ]
    assert sizes == computed_one
    program = load()
    evaluator = Evaluator(program, Sources())
    evaluator.value(program.root, "one")
    evaluator.keep()
    after = [os.path.getsize(os.path.join(Shelf("values").folder, n)) for n in os.listdir(Shelf("values").folder)]
    assert sum(after) < sum(sizes) / 2

"""From packages to derivations: what a graph holds, and that nothing but the values decides it."""

from __future__ import annotations

import itertools
import os

import pytest
from evaluate_cases import RecordingHost, evaluator

from kiln.interpreter.derivation import (
    BuildStep,
    Builtin,
    Derivation,
    DrvOutput,
    FetchStep,
    InputRef,
    OutputRef,
    Program,
    SelfRefs,
    SourceObject,
    decode,
    encode,
)
from kiln.interpreter.evaluate.evaluator import EvaluationError, Evaluator
from kiln.interpreter.evaluate.packages import Selection

HASH = "sha256:" + "ab" * 32

TOOLS = f"""
let busybox: Out(File) = fetch_file(
  name = "busybox",
  sources = ["https://a.example/b", "https://b.example/b"],
  hash = "{HASH}",
  executable = true,
);
fn mk(name: Str, inputs: List(Out(Tree)), text: Text = "") -> Drv({{ out: Tree, log: File }}) =
  derive({{
    name, outputs = {{ out = Tree, log = File }}, self_refs = false, limits = {{ time = 60 }},
    exec = fn(outs) => {{
      program = "%{{busybox}}",
      args = ["sh", "-c", sh"echo %{{inputs}} %{{text}} > %{{outs.out}}; cat x > %{{outs.log}}"],
      env = ["NAME" => name, "A" => "%{{outs.out}}:%{{busybox}}"], links = ["/bin/sh" => "%{{busybox}}"],
    }},
  }});
"""


def only(program: Evaluator, module: str, name: str) -> Derivation:
    """The derivation that a let comes to."""
    item = program.targets(program.value(module, name))[0].item
    assert isinstance(item, DrvOutput)
    step = program.graph[item.drv]
    assert isinstance(step, BuildStep)
    return step.derivation


def test_a_derivation(tmp_path: os.PathLike[str]) -> None:
    program, module = evaluator(str(tmp_path), TOOLS + 'let x = mk("a", [mk("b", []).out]);')
    targets = program.targets(program.value(module, "x"), "x")
    assert [(t.label, t.item.output) for t in targets if isinstance(t.item, DrvOutput)] == [
        ("x", "out"),
        ("x.log", "log"),
    ]
    drv = only(program, module, "x")
    assert drv.name == "a"
    assert [(spec.name, spec.kind, spec.self_refs) for spec in drv.outputs] == [
        ("log", "file", SelfRefs.FORBID),
        ("out", "tree", SelfRefs.FORBID),
    ]
    names = {index: _name(program, item) for index, item in enumerate(drv.inputs)}
    assert sorted(names.values()) == ["b", "busybox"]
    busybox = next(index for index, name in names.items() if name == "busybox")
    assert drv.env == (
        ("A", (OutputRef(1), ":", InputRef(busybox))),
        ("NAME", ("a",)),
    )
    assert drv.links == (("/bin/sh", (InputRef(busybox),)),)
    assert drv.builder == Program(
        (InputRef(busybox),),
        (("sh",), ("-c",), ("echo ", InputRef(1 - busybox), " '' > ", OutputRef(1), "; cat x > ", OutputRef(0))),
    )
    assert decode(encode(drv)) == drv


def _name(program: Evaluator, item: DrvOutput | SourceObject) -> str:
    if isinstance(item, SourceObject):
        return item.name
    step = program.graph[item.drv]
    return step.derivation.name if isinstance(step, BuildStep) else step.fixed.name


def test_a_fetch_knows_its_places_and_its_digest_does_not(tmp_path: os.PathLike[str]) -> None:
    text = f"""
    let a = fetch_file(name = "f", sources = ["https://a.example/f"], hash = "{HASH}");
    let b = fetch_file(name = "f", sources = ["https://b.example/f", "https://a.example/f"], hash = "{HASH}");
    """.replace("\n    ", "\n")
    program, module = evaluator(str(tmp_path), text)
    first, second = (program.targets(program.value(module, name))[0].item for name in "ab")
    assert first == second and isinstance(first, DrvOutput)
    step = program.graph[first.drv]
    assert isinstance(step, FetchStep)
    assert step.sources == ("https://a.example/f", "https://b.example/f")
    assert step.place == "case.kiln:2:9"


def test_unpacking_is_a_derivation_of_its_own(tmp_path: os.PathLike[str]) -> None:
    file = f'fetch_file(name = "f.tar", sources = ["https://a.example/f"], hash = "{HASH}")'
    text = f'let x = unpack({file}, "f", strip = 1);'
    program, module = evaluator(str(tmp_path), text)
    drv = only(program, module, "x")
    assert drv.builder == Builtin("unpack", 1, ((InputRef(0),), ("strip=1",)))
    assert [(spec.name, spec.kind) for spec in drv.outputs] == [("out", "tree")]


def test_sources_are_asked_of_the_host_once(tmp_path: os.PathLike[str]) -> None:
    os.makedirs(os.path.join(tmp_path, "src"))
    with open(os.path.join(tmp_path, "src", "a.c"), "w", encoding="utf-8"):
        pass
    text = (
        TOOLS
        + """
let all = source(`./src`);
let some = source(`./src`, name = "part", include = ["*.c"], exclude = ["b.c"], gitignore = true);
let file = source_file(`./src/a.c`);
let x = mk("a", [all, some, source(`./src`), source(`././src/../src`)], "%{file}");
"""
    )
    program, module = evaluator(str(tmp_path), text)
    drv = only(program, module, "x")
    assert sorted(item.name for item in drv.inputs if isinstance(item, SourceObject)) == ["a.c", "part", "src"]
    host = program._resolver.host
    assert isinstance(host, RecordingHost)
    folder = os.path.join(tmp_path, "src")
    assert host.asked == [
        (folder, "src", Selection()),
        (folder, "part", Selection(("*.c",), ("b.c",), True)),
        (os.path.join(folder, "a.c"), "a.c", None),
    ]
    assert program.sources == [folder, os.path.join(folder, "a.c")]


def test_nothing_is_worked_out_that_no_target_needs(tmp_path: os.PathLike[str]) -> None:
    text = TOOLS + 'let never = mk("a", [], "%{1 / 0}");\nlet other = source(`./missing`);\n'
    text += 'let x = { a = mk("b", []), n = 1 };'
    program, module = evaluator(str(tmp_path), text)
    assert [target.label for target in program.targets(program.value(module, "x"), "x")] == ["x.a", "x.a.log"]
    assert len(program.graph) == 2
    assert program.show(program.value(module, "other")) == "<output missing>"


GRAPH = (
    TOOLS
    + """
set Pkgs() {
  a = mk("a", []);
  b = mk("b", [self.a.out]);
  c = mk("c", [self.a.out, self.b.out], "text of c");
  d = mk("d", [self.c.out, self.a.out, self.c.out]);
}
let base = Pkgs();
let changed = base with (self, super) { a = mk("a", [], "changed") };
let one = base.d;
let two = base.c;
let three = changed.d;
let four = [base.b, changed.b];
"""
)


def test_the_order_of_demand_decides_nothing(tmp_path: os.PathLike[str]) -> None:
    found = set()
    for order in itertools.permutations(["one", "two", "three", "four"]):
        program, module = evaluator(str(tmp_path), GRAPH)
        asked = {name: tuple(program.targets(program.value(module, name), name)) for name in order}
        graph = tuple(sorted((digest, step.place) for digest, step in program.graph.items()))
        found.add((tuple(sorted(asked.items())), graph))
    assert len(found) == 1


def test_an_overlay_reaches_everything_above(tmp_path: os.PathLike[str]) -> None:
    program, module = evaluator(str(tmp_path), GRAPH)
    before = {name: only(program, module, name) for name in ("one", "two")}
    after = only(program, module, "three")
    assert after != before["one"] and after.name == "d"
    program.targets(program.value(module, "one"))
    names = sorted(step.derivation.name for step in program.graph.values() if isinstance(step, BuildStep))
    assert names == ["a", "a", "b", "b", "c", "c", "d", "d"]


RECIPE = (
    TOOLS
    + """
type R(o) = {
  name: Str,
  version: Str = "1",
  flags: List(Str) = [],
  deps: { lib: Drv({ out: Tree }) },
  outputs: Kinds(o),
  script: fn(R(o)) -> Text,
};
fn build(r: R(o)) -> Drv(o) =
  derive({
    name = "%{r.name}-%{r.version}", outputs = r.outputs,
    exec = fn(outs) => { program = "%{busybox}", args = ["-c", r.script(r)] },
  });
fn package(r: R(o)) -> Pkg(R(o), o) = pkg(r, build);
let lib = mk("lib", []);
let other = mk("other", []);
let base = package({
  name = "p", deps = { lib }, outputs = { out = Tree },
  script = fn(r) => sh"make V=%{r.version} %{r.flags} LIB=%{r.deps.lib.out}",
});
let version = base with { version = "2" };
let flags = base with { flags += ["-a"] };
let twice = flags with { flags += ["-b"], version = "3" };
let dep = twice with { deps.lib = other };
let script = dep with { script = fn(r) => sh"other %{r.version}" };
"""
)


@pytest.mark.parametrize(
    ("name", "words", "inputs"),
    [
        ("base", "make V=1  LIB=", ["busybox", "lib"]),
        ("version", "make V=2  LIB=", ["busybox", "lib"]),
        ("flags", "make V=1 -a LIB=", ["busybox", "lib"]),
        ("twice", "make V=3 -a -b LIB=", ["busybox", "lib"]),
        ("dep", "make V=3 -a -b LIB=", ["busybox", "other"]),
        ("script", "other 3", ["busybox"]),
    ],
)
def test_an_override_reaches_the_script(tmp_path: os.PathLike[str], name: str, words: str, inputs: list[str]) -> None:
    program, module = evaluator(str(tmp_path), RECIPE)
    drv = only(program, module, name)
    assert isinstance(drv.builder, Program)
    assert drv.builder.args[1][0] == words
    assert sorted(_name(program, item) for item in drv.inputs) == inputs


def test_a_package_that_is_only_overridden_is_never_derived(tmp_path: os.PathLike[str]) -> None:
    text = (
        RECIPE + 'let bad = base with { script = fn(r) => fail("no") };\nlet x = bad with { script = fn(r) => "ok" };'
    )
    program, module = evaluator(str(tmp_path), text)
    assert only(program, module, "x").name == "p-1"


def test_a_package_that_needs_itself(tmp_path: os.PathLike[str]) -> None:
    text = (
        RECIPE
        + """
type Tool = Drv({ out: Tree });
set Pkgs() {
  a: Tool = derive({ name = "a", outputs = { out = Tree }, exec = fn(o) => { program = "%{self.b.out}/x" } });
  b: Tool = derive({ name = "b", outputs = { out = Tree }, exec = fn(o) => { program = "%{self.a.out}/x" } });
}
let x = Pkgs().a;
"""
    )
    program, module = evaluator(str(tmp_path), text)
    for _ in range(2):
        with pytest.raises(EvaluationError) as caught:
            program.targets(program.value(module, "x"))
        report = caught.value.report
        assert (report.code, report.title) == ("K0405", "`a` needs itself")
        assert report.notes[:3] == ("`a`", "  needs `b`", "  needs `a`")


HELPERS = (
    RECIPE
    + """
type P = Pkg(R({ out: Tree }), { out: Tree });
type Held = { it: P };
fn hiding(words: fn() -> Text) -> P =
  package({ name = "h", deps = { lib }, outputs = { out = Tree }, script = fn(r) => words() });
fn words_of(d: Drv({ out: Tree })) -> fn() -> Text = fn() => "%{d.out}/bin";
fn script_of(word: Str) -> fn(R({ out: Tree })) -> Text = fn(r) => "%{r.version} %{word}";
fn held(version: Str, script: fn(R({ out: Tree })) -> Text) -> Held = {
  it = package({ name = "h", version, deps = { lib }, outputs = { out = Tree }, script }),
};
fn numbered(n: Str) -> Held = held(n, fn(r) => "make V=%{n}");
fn through(n: Str) -> Held =
  let inner = fn() => n;
  held(n, fn(r) => inner());
fn listed(names: List(Str)) -> Held = held("1", fn(r) => join(names));
fn hooked(n: Str) -> { it: Pkg({ name: Str, opts: { hook: fn() -> Str } }, { out: Tree }) } =
  let opts = { hook = fn() => n };
  { it = pkg({ name = n, opts }, fn(r) => mk(r.opts.hook(), [])) };
let kept: fn(R({ out: Tree })) -> Text = script_of("kept");
"""
)


@pytest.mark.parametrize(
    ("value", "hidden"),
    [
        ("hiding(words_of(other))", "`script` hides a package"),
        ('numbered("1").it', "`script` hides a Str, `n`,"),
        ('numbered("1").it with { version = "2" }', "`script` hides a Str, `n`,"),
        ('through("1").it', "`script` hides a Str, `n`,"),
        ('listed(["a", "b"]).it', "`script` hides a list, `names`,"),
        ('hooked("1").it', "`opts` hides a Str, `n`,"),
    ],
)
def test_what_a_function_from_elsewhere_hides(tmp_path: os.PathLike[str], value: str, hidden: str) -> None:
    program, module = evaluator(str(tmp_path), f"{HELPERS}let x = {value};")
    with pytest.raises(EvaluationError) as caught:
        program.targets(program.value(module, "x"))
    assert caught.value.report.code == "K0415"
    assert hidden in caught.value.report.title


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('package({ name = "h", deps = { lib }, outputs = { out = Tree }, script = script_of("a") })', "1 a"),
        ('package({ name = "h", deps = { lib }, outputs = { out = Tree }, script = kept })', "1 kept"),
        ('held("2", script_of("b")).it', "2 b"),
        ('held("2", script_of("b")).it with { version = "3" }', "3 b"),
        ('numbered("1").it with { script = script_of("c") }', "1 c"),
        ('numbered("1").it with { script = fn(r) => script_of(r.name)(r) }', "1 h"),
    ],
)
def test_a_helper_may_hold_what_it_was_given(tmp_path: os.PathLike[str], value: str, words: str) -> None:
    program, module = evaluator(str(tmp_path), f"{HELPERS}let x = {value};")
    drv = only(program, module, "x")
    assert isinstance(drv.builder, Program)
    assert drv.builder.args[1] == (words,)


def test_files_and_folders_in_an_output(tmp_path: os.PathLike[str]) -> None:
    text = (
        TOOLS
        + """
let lib = mk("lib", []).out;
let x = lib.dir("share").file("a b.txt");
let y = mk("y", [lib.dir("include"), lib], "%{x}");
"""
    )
    program, module = evaluator(str(tmp_path), text)
    (target,) = program.targets(program.value(module, "x"), "x")
    assert (target.label, target.sub) == ("x", "share/a b.txt")
    drv = only(program, module, "y")
    assert isinstance(drv.builder, Program)
    lib = next(index for index, item in enumerate(drv.inputs) if _name(program, item) == "lib")
    script = drv.builder.args[2]
    assert script[:5] == ("echo ", InputRef(lib), "/include ", InputRef(lib), " ")
    assert script[5:7] == (InputRef(lib), "'/share/a b.txt' > ")


def test_a_chain_of_packages_needs_no_stack(tmp_path: os.PathLike[str]) -> None:
    text = (
        TOOLS
        + """
let x = fold(range(3000), mk("p0", []), fn(below, n) => mk("p%{n + 1}", [below.out]));
"""
    )
    program, module = evaluator(str(tmp_path), text)
    program.targets(program.value(module, "x"))
    assert len(program.graph) == 3002


def test_limits_of_equal_derivations_are_the_widest(tmp_path: os.PathLike[str]) -> None:
    text = """
fn limited(time: Int, log: Int) -> Drv({ out: Tree }) =
  derive({ name = "a", outputs = { out = Tree }, limits = { time, log }, exec = fn(o) => { program = "/x" } });
let x = [limited(10, 500), limited(20, 100)];
"""
    for order in (0, 1), (1, 0):
        program, module = evaluator(str(tmp_path), text)
        items = program.value(module, "x")
        for index in order:
            program.targets(items[index])
        (step,) = program.graph.values()
        assert isinstance(step, BuildStep)
        assert (step.limits.time, step.limits.log) == (20, 500)
        assert step.place == "case.kiln:3:3"

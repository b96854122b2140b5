"""Runs with a cache equal runs without one, over generated histories of a project.

A history is a list of states of three files. In each state a file holds some of its declarations, each in one of its
forms, in any order, with comments between them: so from one state to the next declarations change, come, go and move,
and a module's imports show something else of themselves, or the same at another place. Among the forms are
mistakes of the syntax and of types, and values whose evaluation fails in another module.
"""

from __future__ import annotations

import os
import re
import shutil

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.caching.cached_runs import run, uncached, write

BASE = (
    ("## Doc.\npub type Size = { w: Int, h: Int = 2 };", "pub type Size = { w: Int, h: Int = 3, deep?: Str };",
     "pub type Size = { w: Int, h?: Int };", "type Size = { w: Int };"),
    ("pub type Shape = | Round(r: Int) | Flat;", "pub type Shape = | Round(r: Int) | Flat | Tall(Int, h?: Int);",
     "pub type Shape = | Round(r: Str);"),
    ("pub type Move = fn({ x: Int }) -> Int;", "# above\npub type Move = fn({ x: Int }) -> Int;",
     "pub type Move = fn({ y: Int }) -> Int;"),
    ("pub type List2(a) = { items: List(a), at: { x: Int } };", "pub type List2(a) = { items: List(Int), v: a };"),
    ("pub fn area(s: Size) -> Int = s.w * limit;", "pub fn area(s: Size) -> Int = limit * s.w;",
     "pub fn area(s: Size, by: Int = 2) -> Int = s.w * by;", "pub fn area(s: Size) -> Str = \"%{s.w}\";"),
    ("let limit = 4;", "let limit = 5 / zero;", "let limit: Int = \"4\";", "let limit = 4"),
    ("let zero = 0;", "let zero = 1;"),
    ("pub set Kit(n: Int) { a = n + 1; b: Str = \"%{self.a}\"; }",
     "pub set Kit(n: Int) { a = \"x\"; b: Str = self.a; }"),
    ("pub set More(n: Int) extends Kit(n) { c = self.a + n; }", "pub set More(n: Int) extends Kit(n + 1) { c = n; }",
     "pub set More(n: Int) extends Kit(n) { c = 1 / (n - 3); d = self.b; }"),
    ("fn helper(x) = [x];", "fn helper(x) = [x, x];", "fn helper(x, y) = x + y;"),
    ("pub let many: List(Int) = helper(1);", "pub let many: List(Int) = helper(2);"),
)  # fmt: skip
LIB = (
    ("pub type Place = base.Size;", "pub type Place = { s: base.Size, n: Int };", "pub type Place = base.Nothing;"),
    ("pub fn twice(s: base.Size) -> Int = 2 * base.area(s);", "pub fn twice(s: base.Size) -> Int = base.area(s);"),
    ("pub fn move(m: base.Move) -> Int = m({ x = 1 });", "pub fn move(m: base.Move) -> Int = m({ y = 1 });"),
    ("pub fn size(s: base.Shape) -> Int = match s { base.Round(r) => r, _ => 0 };",
     "pub fn size(s: base.Shape) -> Int = match s { base.Round(r) => r, base.Flat => 9 };"),
    ("pub let boxed: base.List2(Int) = { items = base.many, at = { x = 1 } };",),
    ("fn even(n: Int) = n == 0 || odd(n - 1);", "fn even(n) = n == 0 || odd(n - 1);"),
    ("fn odd(n: Int) = n != 0 && even(n - 1);", "fn odd(n) = n != 0 && even(n - 1);"),
    ("let seen = even(10);", "let seen = [even(3)];", "let seen = twice({ w = 1 });"),
    ("pub let kit: base.Kit = base.Kit(3);", "pub let kit: base.Kit = base.Kit(4);", "pub let kit: base.Kit = more;"),
    ("pub let more: base.More = base.More(3) with (self, super) { a = super.a + 1, c = super.c + self.a };",
     "pub let more: base.More = base.More(3) with (self, super) { c = super.c + 1 };",
     "pub let more: base.More = base.More(4);"),
)  # fmt: skip
APP = (
    ("pub let total: Int = lib.twice({ w = 3 });", "pub let total: Int = lib.twice({ w = 3, h = 1 });",
     "pub let total: Int = lib.twice({ v = 3 });"),
    ("pub let moved: Int = lib.move(fn(p) => p.x);", "pub let moved: Int = lib.move(fn(p) => 1 / (p.x - 1));"),
    ("let here: lib.Place = { w = 1 };", "let here = lib.boxed.at.x;"),
    ("let both = [lib.more.c, lib.more.a];",
     "let both = (lib.more with (self, super) { a = 2, b = \"%{self.a}%{super.b}\" }).b;", "let both = lib.more.b;"),
    ("let told = lib.kit.b;", "let told = (lib.kit with (self, super) { a = 9 }).b;"),
    ("let kinds = [lib.size(base.Flat), lib.size(base.Round(r = 2))];", "let kinds = lib.size(base.Tall(1));"),
    ("pub let out: Out(File) = fetch_file(\"x\", [\"https://example.org/x\"], \"sha256:" + "0" * 64 + "\");",),
    ("test \"area\" = base.area({ w = 2 }) == 8;",),
)  # fmt: skip
IMPORT_BASE = 'import "./base.kiln" as base;'
IMPORT_LIB = 'import "./lib.kiln" as lib;'


@st.composite
def files(draw, imports, declarations):
    """A file's text: which declarations it has, each in one of its forms, where, and what stands between them."""
    lines = [draw(st.sampled_from(forms)) for forms in declarations]
    left_out = draw(st.integers(0, 3 * len(lines)))
    if left_out < len(lines):
        del lines[left_out]
    if draw(st.booleans()):
        lines = draw(st.permutations(lines))
    comment = draw(st.sampled_from(("", "# a comment\n", "\n\n", "# ünï\n\n## of nothing\n\n")))
    place = draw(st.integers(0, len(lines)))
    return "\n".join((*imports, *lines[:place], comment, *lines[place:])) + "\n"


STATES = st.fixed_dictionaries(
    {
        "base.kiln": files((), BASE),
        "lib.kiln": files((IMPORT_BASE,), LIB),
        "app.kiln": files((IMPORT_BASE, IMPORT_LIB), APP),
    }
)
ALL = {
    "base.kiln": "\n".join(forms[0] for forms in BASE) + "\n",
    "lib.kiln": "\n".join((IMPORT_BASE, *(forms[0] for forms in LIB))) + "\n",
    "app.kiln": "\n".join((IMPORT_BASE, IMPORT_LIB, *(forms[0] for forms in APP))) + "\n",
}


def test_the_first_forms_are_a_sound_project():
    write(ALL)
    assert isinstance(run(), tuple)


NAMES = ("area", "limit", "zero", "helper", "many", "twice", "move", "boxed", "even", "odd", "total", "Size", "Kit")


@st.composite
def steps(draw):
    """One edit of a sound project: a form of one declaration changed, one moved, left out, commented or renamed
    (everywhere, or where it is declared alone), all turned around, or an import under another name.
    """
    name, imports, pool = draw(
        st.sampled_from(
            (
                ("base.kiln", (), BASE),
                ("lib.kiln", (IMPORT_BASE,), LIB),
                ("app.kiln", (IMPORT_BASE, IMPORT_LIB), APP),
            )
        )
    )
    lines = [forms[0] for forms in pool]
    place = draw(st.integers(0, len(pool) - 1))
    match draw(st.sampled_from(("form", "form", "move", "comment", "drop", "turn", "rename", "declare", "import"))):
        case "form":
            lines[place] = draw(st.sampled_from(pool[place]))
        case "move":
            lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(place))
        case "comment":
            lines.insert(place, draw(st.sampled_from(("# a comment\n", "# a comment", "## Of what follows."))))
        case "drop":
            del lines[place]
        case "turn":
            lines.reverse()
        case "rename":
            return _renamed(draw(st.sampled_from(NAMES)), ALL)
        case "declare":
            old = draw(st.sampled_from(NAMES))
            lines[place] = re.sub(rf"\b{old}\b", f"{old}2", lines[place], count=1)
        case "import":
            text = "\n".join((*imports, *lines)) + "\n"
            return {name: re.sub(r"\bbase\b(?!\.kiln)", "ground", text)}
    return {name: "\n".join((*imports, *lines)) + "\n"}


def _renamed(name, files):
    return {file: re.sub(rf"\b{name}\b", f"{name}2", text) for file, text in files.items()}


def _forget():
    shutil.rmtree(os.path.join(os.environ["XDG_CACHE_HOME"], "kiln", "modules"), ignore_errors=True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STATES, min_size=2, max_size=4))
def test_histories(states):
    _forget()
    for state in states:
        write(state)
        assert run() == uncached()


@settings(max_examples=35, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps(), min_size=1, max_size=4))
def test_edits_of_a_sound_project(edits):
    write(ALL)
    run()
    for edit in edits:
        write(edit)
        assert run() == uncached()

"""What a module shows of itself: plain data, and equal where no importer could tell two apart."""

from __future__ import annotations

import pickle

import pytest

from kiln.lang.check.interface import Interface
from kiln.lang.check.types import free_variables
from tests.types.sources import check_text, modules

BASE = """
import "std/cc" as cc;
pub type Opts = { level: Int = 1, ca?: Path };
pub type Shape(a) = | Circle(r: a) | Square;
pub type Named = cc.Package({}, Opts, { out: Tree });
pub fn area(s: Shape(Int), o: Opts = {}) -> Int = 1;
pub fn same(x: a, y: a) -> Bool where a: Data = x == y;
fn helper(x) = x;
pub set S(n: Int) { a = n; b = "x"; }
pub let one: Int = 1;
"""


def interface(text: str) -> Interface:
    checked, reports = check_text(text, modules())
    assert not reports, [(r.code, r.title) for r in reports]
    return checked.interface


SAME = {
    "a comment": BASE.replace("pub fn area", "# what it is for\npub fn area"),
    "documentation": BASE.replace("pub let one", "## The first.\npub let one"),
    "a body": BASE.replace("-> Int = 1;", "-> Int = helper(2);"),
    "a default's value": BASE.replace("level: Int = 1", "level: Int = 2"),
    "a private item": BASE.replace("fn helper(x) = x;", "fn helper(x) = x;\nlet more = 2;"),
    "a member's body": BASE.replace("a = n;", "a = n + 1;"),
    "the order of items": "\n".join(reversed(BASE.strip().splitlines())),
}
OTHER = {
    "a type": BASE.replace("one: Int = 1", 'one: Str = "1"'),
    "a label": BASE.replace("area(s:", "area(t:"),
    "a default": BASE.replace("o: Opts = {}", "o: Opts"),
    "a field's default": BASE.replace("level: Int = 1", "level: Int").replace(": Opts = {}", ": Opts"),
    "an optional field": BASE.replace("ca?: Path", "ca: Option(Path)").replace(": Opts = {}", ": Opts"),
    "a constructor": BASE.replace("| Square", "| Square | Rect(w: a)"),
    "a constraint": BASE.replace("where a: Data = x == y", "= true"),
    "an inferred member": BASE.replace('b = "x"', "b = 1"),
    "a new member": BASE.replace('b = "x";', 'b = "x"; c = 1;'),
    "an item less": BASE.replace("pub let one", "let one"),
    "a type that is only reached": BASE.replace("out: Tree", "out: File"),
}


@pytest.mark.parametrize("change", SAME)
def test_what_no_importer_can_see_leaves_the_surface_alone(change: str) -> None:
    assert interface(SAME[change]).surface() == interface(BASE).surface()


@pytest.mark.parametrize("change", OTHER)
def test_what_an_importer_can_see_changes_the_surface(change: str) -> None:
    assert OTHER[change] != BASE
    assert interface(OTHER[change]).surface() != interface(BASE).surface()


def test_the_surface_is_plain_data() -> None:
    stack: list[object] = [interface(BASE).surface()]
    while stack:
        part = stack.pop()
        assert part is None or isinstance(part, str | int | bool | tuple)
        if isinstance(part, tuple):
            stack.extend(part)


def test_no_variable_is_left_in_it() -> None:
    shown = interface(BASE)
    for value in shown.values.values():
        assert free_variables(value.scheme.type) == []


USES = """
import "./lib.kiln" as lib;
let shape = lib.Circle(1);
let area = lib.area(shape, { level = 2 });
let opts: lib.Opts = {};
let same = lib.same("a", "b");
let wrong: Str = lib.area(lib.Square);
fn cases(s: lib.Shape(Int)) = match s { lib.Circle(r) => r + 1, lib.Square => lib.S(1).a };
fn edit(p: lib.Named) = p with { opts.level = 2, version = "%{1}" };
let text = "a%{lib.one}" ++ lib.S(1).b;
"""


def test_a_kept_interface_serves_as_the_first_one_did() -> None:
    first = interface(BASE)
    kept: Interface = pickle.loads(pickle.dumps(first))
    assert kept.surface() == first.surface()
    found = []
    for one in (first, kept):
        checked, reports = check_text(USES, {**modules(), "./lib.kiln": one})
        found.append((checked.core.types, [(r.code, r.title) for r in reports], checked.core.decls))
    assert found[0] == found[1]
    assert [code for code, _ in found[0][1]] == ["K0301"]


def test_it_holds_only_what_can_be_reached() -> None:
    text = """
import "std/cc" as cc;
import "std/oci" as oci;
type Hidden = { x: Int };
pub type Shown = { y: Inner };
type Inner = { z: cc.Lib };
fn hidden(h: Hidden, l: oci.Layer) -> Int = h.x;
"""
    names = {name.rpartition("#")[2] for name in interface(text).infos}
    assert names == {"Shown", "Inner", "Lib"}

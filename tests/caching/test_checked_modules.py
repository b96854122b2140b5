"""Modules that nothing has changed for are neither parsed nor checked; what comes out is the same."""

from __future__ import annotations

import os

import pytest

import kiln.interpreter.modules as loading
import kiln.lang.check.check as checking
from kiln.interpreter.caching.shelf import Shelf
from tests.caching.cached_runs import run, uncached, write

PROJECT = {
    "base.kiln": "## A size.\npub type Size = { w: Int, h: Int = 2, at: { x: Int } };\n"
    "pub fn area(s: Size) -> Int = s.w * s.h;\n",
    "moves.kiln": "pub type Move = fn({ x: Int }) -> Int;\n",
    "lib.kiln": (
        'import "./base.kiln" as base;\nimport "./moves.kiln" as moves;\nimport "std/list" as list;\n'
        "pub type Place = base.Size;\n"
        "pub fn twice(s: Place) -> Int = 2 * base.area(s);\nlet own = 7;\n"
        "pub fn move(m: moves.Move) -> Int = m({ x = 1 });\n"
        "pub fn broken(n: Int) -> Int = own / n;\n"
    ),
    "app.kiln": (
        'import "./lib.kiln" as lib;\n'
        "pub let size: lib.Place = { w = 3, at = { x = 1 } };\npub let all: Int = lib.twice(size);\n"
        "pub let bad: Int = lib.broken(0);\n"
    ),
}


@pytest.fixture
def work(monkeypatch):
    """The modules that were parsed whole, and the declarations that were checked, since it was last asked."""
    parsed, checked = [], []
    parse, check = loading.parse_module, checking.check_module

    def counted_parse(path, text):
        parsed.append(os.path.basename(path))
        return parse(path, text)

    def counted_check(module, id, imports, memory):
        made = check(module, id, imports, memory)
        name = os.path.basename(module.path).removesuffix(".kiln")
        checked.extend(f"{name}.{fresh}" for fresh in made.fresh)
        return made

    monkeypatch.setattr(loading, "parse_module", counted_parse)
    monkeypatch.setattr(checking, "check_module", counted_check)

    def take():
        found = sorted(parsed), sorted(checked)
        parsed.clear()
        checked.clear()
        return found

    return take


ALL = ["app.kiln", "base.kiln", "lib.kiln", "list.kiln", "moves.kiln", "prelude.kiln"]


def test_nothing_changed(work):
    write(PROJECT)
    first = run()
    parsed, checked = work()
    assert parsed == ALL
    assert {"app.all", "app.bad", "app.size", "base.area", "base.type Size", "lib.own"} < set(checked)
    assert run() == first
    assert work() == ([], [])
    assert uncached() == first


@pytest.mark.parametrize(
    ("file", "old", "new", "again"),
    [
        ("base.kiln", "s.w * s.h", "s.h * s.w + 1", ["base.area"]),
        ("base.kiln", "## A size.", "# moved\n\n## The size of it.", ["base.type Size"]),
        ("moves.kiln", "pub", "# moved\npub", []),
        ("moves.kiln", "{ x", "{  x", ["lib.move"]),
        ("base.kiln", "h: Int = 2", "h: Int = 5", ["base.type Size"]),
        ("base.kiln", "h: Int = 2", "h: Int = 2, d: Int = 1",
         ["app.all", "app.size", "base.area", "base.type Size", "lib.twice"]),
        ("lib.kiln", "let own = 7", "let own = 9", ["lib.own"]),
        ("lib.kiln", "let own = 7", "let own: Int = 9", ["lib.own"]),
        ("lib.kiln", "own", "ours", ["lib.broken", "lib.ours"]),
        ("lib.kiln", "pub fn twice", "pub let more: Int = 1;\npub fn twice", ["lib.more"]),
        ("lib.kiln", "\"std/list\" as list", "\"std/list\" as lists", []),
        ("lib.kiln", "as base", "as base2", []),
        ("app.kiln", "w = 3", "w = 4", ["app.size"]),
        ("app.kiln", "pub let bad: Int = lib.broken(0);\n", "", []),
    ],
)  # fmt: skip
def test_one_edit(work, file, old, new, again):
    """`lib.move` has a type that is written in `moves`, with the place of its field `x`."""
    write(PROJECT)
    run()
    text = PROJECT[file].replace(old, new).replace("base.", "base2." if new == "as base2" else "base.")
    assert text != PROJECT[file]
    write({file: text})
    work()
    after = run()
    assert work() == ([], again)
    assert run() == after and work() == ([], [])
    assert uncached() == after
    write(PROJECT)
    work()
    assert uncached() == run()


def test_a_mistake_is_not_kept(work):
    write({**PROJECT, "lib.kiln": PROJECT["lib.kiln"] + "let wrong: Int = true;\n"})
    first = run()
    work()
    assert run() == first == uncached()
    assert isinstance(first, list) and len(first) == 1
    write(PROJECT)
    work()
    run()
    assert {name.partition(".")[0] for name in work()[1]} == {"app", "lib"}


def test_a_mistake_forgets_nothing(work):
    """What is sound of the module is not checked again, neither with the mistake nor without it."""
    write(PROJECT)
    first = run()
    for wrong in ("let wrong: Int = true;\n", "let wrong = ;\n", "pub fn wrong(n) = n;\n"):
        write({"lib.kiln": wrong + PROJECT["lib.kiln"]})
        work()
        assert len(run()) == 1
        assert set(work()[1]) <= {"lib.wrong"}
        write(PROJECT)
        assert run() == first
        assert work() == ([], [])
    write({"lib.kiln": PROJECT["lib.kiln"] + "let wrong: Int = lib;\n" * 2})
    assert run() == uncached()


def test_another_folder_another_path(work):
    """An entry is for a module's id, and shows the path of the run that uses it."""
    write(PROJECT)
    first = run()
    os.mkdir("inner")
    os.chdir("inner")
    write(PROJECT)
    assert run() != first
    os.chdir("..")
    work()
    assert run() == first and work() == ([], [])


def _entries():
    folder = Shelf("modules").folder
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "other", "folder"])
def test_damaged_entries(work, damage):
    write(PROJECT)
    first = run()
    kept = _entries()
    assert len(kept) == 6
    for path in kept:
        _damage(path, damage, kept)
    work()
    assert run() == first
    assert work()[0] == ALL


def _damage(path, damage, kept):
    with open(path, "rb") as file:
        data = file.read()
    if damage in ("gone", "folder"):
        os.unlink(path)
    if damage == "folder":
        os.mkdir(path)
    elif damage != "gone":
        with open(path, "wb") as file:
            file.write({"empty": b"", "cut": data[: len(data) // 2], "other": data[:-1] + b"?"}[damage])


def test_an_entry_of_other_data(work):
    """What has the right digest and is no entry: as an unknown Kiln might have left it."""
    write(PROJECT)
    first = run()
    names = [os.path.basename(path) for path in _entries()]
    for body in (b"", b"N", b"(\0\0\0\0"):
        for name in names:
            Shelf("modules").write(name, body)
        work()
        assert run() == first
        assert work()[0] == ALL


def test_off(work, monkeypatch):
    write(PROJECT)
    first = run()
    before = _entries()
    work()
    monkeypatch.setenv("KILN_NO_CACHE", "1")
    write({"app.kiln": PROJECT["app.kiln"] + "# more\n"})
    assert run() != first
    assert work()[0] == ALL and _entries() == before

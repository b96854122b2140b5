"""What the checker makes of a module: core, as text.

A file of `core/` holds cases parted by lines of `====`: Kiln, a line `----`, and the core of each declaration,
without places. With KILN_UPDATE_GOLDEN=1 the second halves are written anew, to be read as a diff.
"""

from __future__ import annotations

import json
import keyword
import os
from pathlib import Path

import pytest

from kiln.lang import core
from tests.types.sources import check_text, modules

FOLDER = Path(__file__).parent / "core"
UPDATE = os.environ.get("KILN_UPDATE_GOLDEN") == "1"


def read() -> list[tuple[Path, int, str, str]]:
    found = []
    for path in sorted(FOLDER.glob("*.txt")):
        for number, block in enumerate(path.read_text().split("====\n")[1:]):
            source, _, expected = block.partition("----\n")
            found.append((path, number, source, expected))
    return found


CASES = read()
PLACES = ("at", "start")


def tree(node: object) -> str:
    """`(Call f [1])`: a node's fields without its places."""
    if node is None:
        return "-"
    if isinstance(node, core.Literal_):
        return json.dumps(node.value, ensure_ascii=False)
    if isinstance(node, core.Local):
        return node.name
    if isinstance(node, core.Global):
        return f"{node.module.removeprefix('std/')}/{node.name}".removeprefix("/case.kiln/")
    if isinstance(node, str):
        return json.dumps(node, ensure_ascii=False)
    if isinstance(node, tuple):
        names = getattr(node, "_fields", None)
        if names is None:
            return "[" + " ".join(map(tree, node)) + "]"
        parts = [tree(getattr(node, name)) for name in names if name not in PLACES]
        return "(" + " ".join((type(node).__name__, *parts)) + ")"
    return str(node)


def shown(source: str) -> str:
    checked, reports = check_text(source, modules())
    assert not reports, [(r.code, r.title) for r in reports]
    return "\n".join(tree(decl) for decl in checked.core.decls) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].stem}-{case[1]}")
def test_core(case: tuple[Path, int, str, str]) -> None:
    path, number, source, expected = case
    found = shown(source)
    if UPDATE:
        blocks = path.read_text().split("====\n")
        blocks[number + 1] = f"{source}----\n{found}"
        path.write_text("====\n".join(blocks))
        return
    assert found == expected, f"\n{found}"


def binders(node: object) -> list[str]:
    match node:
        case core.BindPattern(name):
            return [name]
        case core.CoreParam():
            return [node.name, *binders(node.default)]
        case core.OrPattern(options):  # every side binds the same names
            return binders(options[0])
        case core.OverlayOf():
            return [node.self_name, node.super_name, *binders(node.base), *binders(node.members)]
        case tuple():
            return [name for part in node for name in binders(part)]
    return []


SHADOWING = """
fn f(x: Int, class: Int, _y: Int) -> Int =
  let x = x + 1;
  let g = fn(x) => x + class;
  let y = match [x] { [x, ..] => x, _ => _y };
  let lambda = [x for x in [x] for x in [x]];
  let __z = match { a = 1 } { { a = x } if x > 1 => x, { a = x } => x };
  g(x) + y;
set S(self_: Int) { a = let self_ = 2; fn(a: Int) => self_ + a; b = fn(a: Int) => a; }
"""


def test_each_binder_of_a_declaration_has_a_name_of_its_own() -> None:
    checked, reports = check_text(SHADOWING, modules())
    assert not reports
    for decl in checked.core.decls:
        names = binders(decl)
        assert len(names) == len(set(names)), names
        assert len(names) >= 4
        for name in names:
            assert name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_"), name


def test_every_use_of_a_local_is_bound() -> None:
    checked, _ = check_text(SHADOWING, modules())

    def uses(node: object) -> set[str]:
        if isinstance(node, core.Local):
            return {node.name}
        if isinstance(node, tuple):
            return set().union(*map(uses, node)) if node else set()
        return set()

    for decl in checked.core.decls:
        extra = {decl.self_name} if isinstance(decl, core.CoreSet) else set()
        assert uses(decl) <= set(binders(decl)) | extra


def test_what_core_says_of_values() -> None:
    text = """
import "std/tools" as t;
pub let package: Drv({ out: Tree }) = t.lib();
pub let out: Out(Tree) = t.tree();
pub let text: Text = "%{out}";
pub let number: Int = 1;
pub let all: S = S();
pub set S() { a = 1; }
fn private(x) = x;
"""
    checked, reports = check_text(text, modules())
    assert not reports
    made = checked.core
    assert made.kinds == {"package": "drv", "out": "out", "text": "text", "number": "other", "all": "set"}
    assert made.exports["number"] == "Int" and "private" not in made.exports
    assert made.types["private"] == "fn(x: a) -> a"
    assert made.imports == ("std/prelude", "std/tools")

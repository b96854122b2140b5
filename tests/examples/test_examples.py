"""Each module of the library and of the examples: it checks, its tests pass, it builds what the golden file says.

`golden.txt` has a line for each package of examples/all.kiln: `let: derivation (outputs) < inputs`. With
KILN_UPDATE_GOLDEN=1 in the environment it is written anew, to be reviewed as a diff.
"""

from __future__ import annotations

import os
import shutil

import pytest
from example_builds import EXAMPLES, HERE, ROOT, described, exported, load, script

from kiln.interpreter.derivation import FetchStep
from kiln.lang.report import render

GOLDEN = os.path.join(HERE, "golden.txt")
FILES = sorted(
    os.path.relpath(os.path.join(parent, name), EXAMPLES)
    for parent, _, names in os.walk(EXAMPLES)
    for name in names
    if name.endswith(".kiln")
)


@pytest.mark.parametrize("file", FILES)
def test_checks_and_passes_its_tests(file: str) -> None:
    evaluator = load(os.path.join(EXAMPLES, file))
    for module in evaluator.program.modules:
        for verdict in evaluator.run_tests(module):
            assert verdict.report is None, render(verdict.report)


def test_builds_what_the_golden_file_says() -> None:
    evaluator = load(os.path.join(EXAMPLES, "all.kiln"))
    found = {name: described(evaluator, derivation) for name, derivation in exported(evaluator).items()}
    text = "".join(f"{name}: {line}\n" for name, line in found.items())
    if os.environ.get("KILN_UPDATE_GOLDEN") == "1":
        with open(GOLDEN, "w", encoding="utf-8") as file:
            file.write(text)
    with open(GOLDEN, encoding="utf-8") as file:
        assert text == file.read()


def test_a_checkout_elsewhere_gives_the_same_derivations(tmp_path: object) -> None:
    elsewhere = os.path.join(str(tmp_path), "other folder")
    shutil.copytree(EXAMPLES, elsewhere)
    here, there = load(os.path.join(EXAMPLES, "all.kiln")), load(os.path.join(elsewhere, "all.kiln"))
    assert exported(here) == exported(there)
    assert sorted(here.graph) == sorted(there.graph)


def test_an_edit_of_the_build_file_leaves_its_source_alone(tmp_path: object) -> None:
    elsewhere = os.path.join(str(tmp_path), "examples")
    shutil.copytree(EXAMPLES, elsewhere)
    build_file = os.path.join(elsewhere, "app", "app.kiln")
    before = exported(load(build_file))
    with open(build_file, "a", encoding="utf-8") as file:
        file.write("# a remark\n")
    assert exported(load(build_file)) == before
    with open(os.path.join(elsewhere, "app", "src", "words.c"), "a", encoding="utf-8") as file:
        file.write("/* a remark */\n")
    assert exported(load(build_file)) != before


def test_no_derivation_knows_this_machine() -> None:
    evaluator = load(os.path.join(EXAMPLES, "all.kiln"))
    for derivation in exported(evaluator).values():
        assert ROOT not in script(derivation)
        assert os.path.expanduser("~") + "/" not in script(derivation)
        assert [name for name, _ in derivation.env if name.startswith("KILN_")] == []


def test_every_source_names_a_pool_or_its_author() -> None:
    evaluator = load(os.path.join(EXAMPLES, "all.kiln"))
    exported(evaluator)
    fetches = [step for step in evaluator.graph.values() if isinstance(step, FetchStep)]
    assert len(fetches) == 11
    for step in fetches:
        assert step.sources[0].startswith(("debian:pool/", "npm:")), step.sources
        assert len(step.fixed.value) == 32


@pytest.mark.parametrize(
    ("edit", "seen"),
    [
        ('name = "moon"', True),
        ('version = "5.4.5"', True),
        ("opts.compat = false", True),
        ("tc = c.compiler", True),
        ("patches += [`./zlib-version.patch`]", True),
        ('script = fn(b) => "true"', True),
        ("tools = fn(b) => b.tc.path", True),
        ("limits = { time = 60 }", False),
    ],
)
def test_an_override_reaches_the_derivation(tmp_path: object, edit: str, seen: bool) -> None:
    elsewhere = os.path.join(str(tmp_path), "examples")
    shutil.copytree(EXAMPLES, elsewhere)
    path = os.path.join(elsewhere, "override.kiln")
    with open(path, "w", encoding="utf-8") as file:
        file.write(
            'import "std/c" as c;\nimport "./lua.kiln" as lua;\n'
            f"pub let plain: lua.Lua = lua.default;\npub let edited: lua.Lua = lua.default with {{ {edit} }};\n"
        )
    found = exported(load(path))
    assert (found["plain"] != found["edited"]) == seen

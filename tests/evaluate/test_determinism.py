"""The same derivations whatever Python's hash seed is."""

from __future__ import annotations

import os
import subprocess
import sys

from evaluate_cases import evaluator

PROGRAM = """
import "std/c" as c;

let labels = unique(["%{k}%{v}" for k in keys(["z" => 1, "a" => 2]) for v in values(["y" => 1, "b" => 2])]);
fn tool(name: Str) -> Drv({ out: Tree, dev: Tree }) =
  c.package({
    name, version = "1", tc = c.tiny, deps = {}, opts = {}, outputs = { out = Tree, dev = Tree },
    script = fn(b) => sh"echo %{["x", "y"]} > %{b.out}; cp %{b.dev} x",
  });
pub let all: List(Drv({ out: Tree, dev: Tree })) = [tool("t%{label}") for label in labels];
"""

RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from evaluate_cases import evaluator
program, module = evaluator(".", open("text").read())
program.targets(program.value(module, "all"))
print(*program.graph, sep="\\n")
"""


def test_hash_seeds(tmp_path: os.PathLike[str]) -> None:
    with open("text", "w", encoding="utf-8") as file:
        file.write(PROGRAM)
    found = set()
    for seed in ("0", "1", "2026"):
        done = subprocess.run(
            [sys.executable, "-c", RUN, os.path.dirname(__file__)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1
    assert len(found.pop().split()) > 10


def test_names_are_shown_the_same_before_and_after_a_package_is_derived(tmp_path: object) -> None:
    program, module = evaluator(str(tmp_path), PROGRAM + 'pub let one: Text = "%{tool("x").dev}";\n')
    value = program.value(module, "one")
    before = program.show(value), program.show(program.value(module, "all"))
    program.targets(value.parts[0])
    program.targets(program.value(module, "all"))
    assert (program.show(value), program.show(program.value(module, "all"))) == before

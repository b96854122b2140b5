"""The same derivations under ten hash seeds, in any order of demand, from another folder, on every Python there is.

Which interpreters were tried is part of the test's output (`-rA`); `python -m tests.soundness.pythons` makes
environments for those that lack the packages, and `make test` does it beforehand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.soundness.graphs import a_graph
from tests.soundness.pythons import base_interpreter, interpreters
from tests.soundness.welltyped import a_program

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))


def lay_out(folder: str) -> str:
    """The examples, generated graphs and generated programs, with their sources."""
    shutil.copytree(os.path.join(REPOSITORY, "examples"), os.path.join(folder, "examples"))
    tree = os.path.join(folder, "tree")
    os.makedirs(tree)
    for name in ("z", "a", "b.o", ".hidden"):
        with open(os.path.join(tree, name), "w", encoding="utf-8") as file:
            file.write(name)
    shutil.copytree(os.path.join(HERE, "sources"), folder, dirs_exist_ok=True)
    for seed in range(2):
        with open(os.path.join(folder, f"graph{seed}.kiln"), "w", encoding="utf-8") as file:
            file.write(a_graph(seed))
    for seed in range(6):
        with open(os.path.join(folder, f"program{seed}.kiln"), "w", encoding="utf-8") as file:
            file.write(a_program(f"determinism {seed}"))
    return folder


def digests(folder: str, order: str, hash_seed: int, python: str = sys.executable) -> str:
    done = subprocess.run(
        [python, "-m", "tests.soundness.digests", folder, order],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "KILN_NO_CACHE": "1"},  # each parses and checks anew
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def laid(tmp_path_factory) -> tuple[str, str]:
    """A folder of build files, and what they come to."""
    folder = lay_out(str(tmp_path_factory.mktemp("one") / "files"))
    return folder, digests(folder, "forward", 0)


def test_there_is_something_to_compare(laid) -> None:
    lines = laid[1].splitlines()
    assert len(lines) > 80 and len(set(laid[1].split())) > 150
    assert any(line.startswith("examples/all.kiln") for line in lines)
    assert not any("K0411" not in line and " K0" in line for line in lines if not line.startswith("program"))


@pytest.mark.parametrize("seed", range(1, 10))
def test_hash_seeds_and_orders_of_demand(laid, seed: int) -> None:
    order = "backward" if seed == 1 else str(seed)
    assert digests(laid[0], order, seed * 1000) == laid[1]


def test_another_folder(laid, tmp_path) -> None:
    folder = lay_out(str(tmp_path / "another, with a longer name"))
    assert digests(folder, "forward", 0) == laid[1]


def test_other_pythons(laid) -> None:
    ready, lacking = interpreters()
    for version, python in ready.items():
        assert digests(laid[0], version, 17, python) == laid[1], version
    print(f"tried: {', '.join(ready)}; not here, so not tried: {', '.join(lacking) or 'none'}")
    bare = [version for version in lacking if base_interpreter(version) is not None]
    assert not bare, f"Python {', '.join(bare)} is on this machine without Kiln's packages: run `make test`"


def test_a_difference_would_be_seen(laid, tmp_path) -> None:
    """The test's own eyes: a source that has changed changes the digests that need it, and no others."""
    folder = lay_out(str(tmp_path / "files"))
    with open(os.path.join(folder, "tree", "z"), "a", encoding="utf-8") as file:
        file.write("more")
    changed = set(digests(folder, "forward", 0).splitlines()) ^ set(laid[1].splitlines())
    assert {line.split()[0] for line in changed} == {
        *[f"graph{seed}.kiln#source_tree" for seed in range(2)],
    }

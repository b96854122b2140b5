"""Which of Kiln's own code stands in the keys of what is kept of the language."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from kiln.interpreter import answers
from kiln.interpreter.caching.shelf import Shelf
from tests.caching.cached_runs import run, write

HOME = os.path.dirname(os.path.dirname(os.path.realpath(answers.__file__)))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A copy of Kiln's code, as `fingerprint` sees it."""
    for part in ("interpreter", "lang", "stdlib", "store"):
        shutil.copytree(os.path.join(HOME, part), tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(answers, "__file__", str(tmp_path / "interpreter" / "answers.py"))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "language"),
    [
        ("lang/check/check.py", True),
        ("stdlib/prelude.kiln", True),
        ("interpreter/evaluate/units.py", True),
        ("interpreter/caching/values.py", True),
        ("interpreter/derivation.py", True),
        ("interpreter/realise.py", False),
        ("store/store.py", False),
    ],
)
def test_what_an_edit_of_kiln_forgets(home, file, language):
    before = answers.fingerprint(), answers.fingerprint(answers.LANGUAGE)
    with open(home / file, "a") as edited:
        edited.write("\n")
    after = answers.fingerprint(), answers.fingerprint(answers.LANGUAGE)
    assert after[0] != before[0]
    assert (after[1] != before[1]) == language


PROGRAM = """
import sys
from kiln.interpreter.evaluate.evaluator import Evaluator
from kiln.interpreter.modules import Loader
program = Loader().load("app.kiln")
evaluator = Evaluator(program, None)
evaluator.targets(evaluator.value(program.root, "one"), "one")
evaluator.keep()
print("\\n".join(sorted(m.__file__ for m in sys.modules.values() if m.__name__.startswith("kiln."))))
"""
NO_MATTER = {
    "interpreter/__init__.py", "interpreter/answers.py", "interpreter/fetch/__init__.py",
    "interpreter/fetch/errors.py", "interpreter/program.py", "store/__init__.py", "store/errors.py",
}  # fmt: skip
"""What is kept does not depend on these: they carry data, and word what went wrong."""


def test_all_that_takes_part_is_in_it():
    write({"app.kiln": 'pub let one: Out(File) = fetch_file("x", ["https://x.org"], "sha256:' + "0" * 64 + '");\n'})
    repository = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    environment = {**os.environ, "PYTHONPATH": repository}
    made = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    names = {os.path.relpath(os.path.realpath(line), HOME) for line in made.stdout.split()}
    assert {"lang/check/check.py", "interpreter/evaluate/units.py", "interpreter/caching/values.py"} < names
    left = {name for name in names if not name.startswith(answers.LANGUAGE)}
    assert left - {"kiln/__init__.py", "__init__.py"} <= NO_MATTER


def test_a_module_has_one_entry():
    """However often it is edited: what is kept grows with what there is, not with its history."""
    for number in range(30):
        write({"app.kiln": f"pub let one: Int = {number};\n"})
        run()
    assert len(os.listdir(Shelf("modules").folder)) == 2
    assert len(os.listdir(Shelf("values").folder)) <= 2

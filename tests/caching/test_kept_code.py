"""Code that was compiled before is not compiled again, and runs, and fails, as if it had been."""

from __future__ import annotations

import marshal
import os

import pytest

from kiln.interpreter.caching import code
from kiln.interpreter.caching.shelf import Shelf
from kiln.interpreter.evaluate.evaluator import Evaluator
from tests.caching.cached_runs import run, uncached, write

APP = """\
let zero = 0;
fn half(n: Int) -> Int = if n < 2 then n / zero else half(n - 1);
pub let fine: List(Int) = [n * 2 for n in range(5)];
pub let bad: Int =
  half(3);
"""


@pytest.fixture
def compiled(monkeypatch):
    """The file names of what was compiled since it was last asked. Values are not kept, so that all of it runs."""
    monkeypatch.setattr(Evaluator, "keep", lambda self: None)
    names = []
    real = code._compile

    def counted(source, filename):
        names.append(filename)
        return real(source, filename)

    monkeypatch.setattr(code, "_compile", counted)

    def take():
        found = list(names)
        names.clear()
        return found

    return take


def test_compiled_once(compiled):
    write({"app.kiln": APP})
    first = run()
    assert "app.kiln:2:" in first[1][-1][0] and "app.kiln:5:3" in first[1][-1][0]
    assert compiled()
    assert run() == first and compiled() == []
    assert uncached() == first and compiled()


def test_an_edit_compiles_what_it_reaches(compiled):
    write({"app.kiln": APP})
    run()
    whole = compiled()
    write({"app.kiln": "# moved\n" + APP})
    moved = run()
    assert compiled() == [] and "app.kiln:3:" in moved[1][-1][0]
    assert uncached() == moved
    compiled()
    write({"app.kiln": APP.replace("n * 2", "n * 3")})
    after = run()
    assert len(compiled()) == 1 < len(whole)
    assert uncached() == after


def test_other_names_and_texts_are_other_code():
    kept = code.CodeCache()
    made = [kept.compiled(["x = 1"], "<a>"), kept.compiled(["x = 1"], "<b>"), kept.compiled(["x = 2"], "<a>")]
    again = [kept.compiled(["x = 1"], "<a>"), kept.compiled(["x = 1"], "<b>"), kept.compiled(["x = 2"], "<a>")]
    assert again == made and [c.co_filename for c in again] == ["<a>", "<b>", "<a>"]
    assert len(os.listdir(Shelf("code").folder)) == 3


def test_small_pieces_are_not_kept(monkeypatch):
    monkeypatch.setattr(code, "FEW_LINES", 3)
    kept = code.CodeCache()
    kept.compiled(["x = 1", "y = 2"], "<a>")
    assert not os.path.exists(Shelf("code").folder)
    kept.compiled(["x = 1", "y = 2", "z = 3"], "<a>")
    assert len(os.listdir(Shelf("code").folder)) == 1


@pytest.mark.parametrize(
    "body", [b"", b"garbage", marshal.dumps("no code"), marshal.dumps(compile("1", "a", "eval"))[:-9]]
)
def test_an_entry_that_is_no_code(compiled, body):
    write({"app.kiln": APP})
    first = run()
    shelf = Shelf("code")
    for name in os.listdir(shelf.folder):
        shelf.write(name, body)
    compiled()
    assert run() == first and compiled()
    assert run() == first and compiled() == []

"""Work that grows with a program's size, and no faster."""

from __future__ import annotations

import pytest

from kiln.interpreter.evaluate.evaluator import Evaluator
from kiln.interpreter.modules import Loader
from tests.caching.cached_runs import ROOT, Sources, write
from tests.support.growth import grows_linearly


def wide_variant(size: int) -> str:
    """Every third constructor holds something, and the last arm is for one that is not named."""
    names = [f"C{n}{'(Int)' if n % 3 == 0 else ''}" for n in range(size)]
    arms = "".join(f"C{n}{'(x)' if n % 3 == 0 else ''} => {n}, " for n in range(size - 1))
    variant = " ".join(f"| {name}" for name in names)
    return f"type V = {variant};\nfn f(v: V) -> Int = match v {{ {arms}_ => 7 }};\nlet x = f(C1);\n"


def members(size: int) -> str:
    rows = "".join(f"  m{n} = {f'self.m{n - 1} + 1' if n % 50 else 0};\n" for n in range(size))
    ends = " + ".join(f"s.m{n}" for n in range(49, size, 50))
    return f"set S() {{\n{rows}}}\nlet s = S();\nlet x = {ends};\n"


def aliases(size: int) -> str:
    rows = "".join(f"pub type A{n} = List(A{n - 1});\n" for n in range(1, size))
    return f"pub type A0 = {{ at: Int }};\n{rows}pub let x: A1 = [];\n"


@pytest.mark.parametrize(
    ("text", "size"), [(wide_variant, 200), (members, 200), (aliases, 200)], ids=["variant", "members", "aliases"]
)
def test_growth(text, size):
    """Checked and evaluated with a cache that is empty, and again after an edit behind it all."""

    def work(size):
        for more in ("", f"let more = {size};\n"):
            write({ROOT: text(size) + more})
            program = Loader().load(ROOT)
            evaluator = Evaluator(program, Sources())
            evaluator.value(program.root, "x")
            evaluator.keep()

    assert grows_linearly(work, size)

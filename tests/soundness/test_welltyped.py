"""Well-typed programs are taken by the checker, run without a fault, and their inferred types annotate them back."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiln.lang.report import render
from tests.soundness.oracle import check, judge
from tests.soundness.welltyped import Program, a_program

ENDS = {"K0401", "K0402", "K0403", "K0404", "K0413", "K0418"}
"""What a generated program may end in: it hands no wrong hash, name or path to the library."""

_VARIABLE = re.compile(r"(?<![\w.])[a-z]\w*(?![\w.]*\s*[?:(])|\b_\b|\.\.[a-z]|…")
"""A type variable, or what is not printed."""


class Drawn:
    """Choices of Hypothesis, which makes them smaller where a program fails."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def below(self, count: int) -> int:
        return self._draw(st.integers(0, count - 1))


@st.composite
def programs(draw: st.DrawFn) -> str:
    return Program(Drawn(draw), size=3).text


def accepted(text: str) -> dict[str, str]:
    """The types of a program's items. It must have no mistake."""
    checked, reports = check(text)
    assert not reports, f"{render(reports[0])}\n\n{text}"
    return dict(checked.core.types)


def runs(text: str) -> None:
    verdict = judge(text, seconds=5)
    assert verdict.fault is None, f"{verdict.fault}\n\n{text}"
    assert verdict.ran and set(verdict.codes) <= ENDS, f"{verdict.codes}\n\n{text}"


def annotated(text: str) -> tuple[str, dict[str, str]]:
    """The program with each item bound again under the type printed for it, and those types by their names."""
    types = {name: shown for name, shown in accepted(text).items() if not _VARIABLE.search(shown)}
    sets = set(re.findall(r"(?m)^(?:pub )?set (\w+)", text))
    kept = {name: shown for name, shown in types.items() if name not in sets}
    lines = [f"let again_{name}: {shown} = {name};" for name, shown in kept.items()]
    return text + "\n".join(lines) + "\n", {f"again_{name}": shown for name, shown in kept.items()}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_a_drawn_program(text: str) -> None:
    accepted(text)
    runs(text)


@pytest.mark.parametrize("part", range(4))
def test_programs_of_seeds(part: int) -> None:
    for seed in range(part * 20, part * 20 + 20):
        text = a_program(seed)
        accepted(text)
        runs(text)


def test_printed_types_annotate_the_program() -> None:
    found = 0
    for seed in range(60):
        text, wanted = annotated(a_program(f"types {seed}"))
        types = accepted(text)
        assert {name: types[name] for name in wanted} == wanted
        found += len(wanted)
    assert found > 300


def test_the_generator_uses_the_language() -> None:
    """What the programs of the seeds are made of: a generator that has become poor tests nothing."""
    whole = "\n".join(a_program(seed) for seed in range(80))
    for word in (
        "pub type R", "| V", "?: ", "? = ", " with {", "(self, super)", "super.", "self.", "match", " if ",
        "=> ", "for Some(",
        "[=>]", "sh\"", "fold(", "map(", "fn open_", "assert", "c.Package", ".file(", "unpack(", "{ ..", "+= ",
        "(fn(", "..", "..rest", " extends ", "(final, prev)", "in.xs += ", "cat <<EOF", "%{raw((", "|> ", "attest(",
        "verify(", "| K",
    ):  # fmt: skip
        assert word in whole, word

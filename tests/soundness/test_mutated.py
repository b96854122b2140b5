"""Programs that are nearly right, tokens and bytes: each is refused in good words, or runs. fuzz.py has no end."""

from __future__ import annotations

import os
import random

import pytest

from tests.evaluate.evaluate_cases import chunks
from tests.soundness.corpus import declarations, programs, small_programs
from tests.soundness.fuzz import examine, fuzz, minimise, told
from tests.soundness.mutate import INPUTS, MUTATIONS, an_input, mutated
from tests.soundness.oracle import check, judge
from tests.soundness.welltyped import a_program

HERE = os.path.dirname(os.path.abspath(__file__))


def found() -> list[str]:
    """What the fuzzer has found in its time; each was a fault."""
    with open(os.path.join(HERE, "found.kiln"), encoding="utf-8") as file:
        return chunks(file.read())


@pytest.mark.parametrize("part", range(2))
def test_fuzzed_inputs(part: int) -> None:
    tally, faults = fuzz(2026, part * 1200, part * 1200 + 1200)
    assert not faults, told(faults[0], 2026)
    assert tally.refused > 500 and tally.ran > 20 and len(tally.codes) > 40


def test_mutated_generated_programs() -> None:
    refused = 0
    for seed in range(80):
        rng = random.Random(f"generated {seed}")
        text = a_program(f"mutated {seed}", size=3)
        for _ in range(4):
            changed = mutated(text, rng)
            verdict = examine(changed.encode("utf-8", "surrogatepass"))
            assert verdict.fault is None, f"{verdict.fault}\n\n{changed}"
            refused += not verdict.ran
    assert 100 < refused < 319


def test_every_program_of_the_corpus_is_refused_or_runs() -> None:
    """As they are, before anything is changed: the cases of types hold mistakes."""
    for text in programs():
        verdict = judge(text)
        assert verdict.fault is None, f"{verdict.fault}\n\n{text}"


def test_what_was_found_stays_found() -> None:
    for text in found():
        verdict = examine(text.encode())
        assert verdict.fault is None, f"{verdict.fault}\n\n{text}"


def test_inputs_are_those_of_the_seed() -> None:
    assert [an_input(5, number) for number in range(60)] == [an_input(5, number) for number in range(60)]
    assert len({an_input(5, number) for number in range(60)} | {an_input(6, number) for number in range(60)}) > 100
    assert len({make(random.Random(1)) for make in INPUTS}) >= 5


def test_mutations_change_programs() -> None:
    text = small_programs()[0]
    for change in MUTATIONS:
        assert any(change(text, random.Random(seed)) != text for seed in range(5)), change
    assert len(programs()) > 60 and len(declarations()) > 300


def test_faults_are_seen() -> None:
    """The oracle itself: each kind of fault, in a checker that has it."""
    from dataclasses import replace

    from tests.soundness.oracle import unfit

    text = "let x: Str = 1;\n"
    report = check(text)[1][0]
    assert unfit(report, text) is None
    assert report.place is not None
    for broken in (
        replace(report, code="K0398"),
        replace(report, title=" "),
        replace(report, label="", notes=(), others=(), help=None),
        replace(report, place=None),
        replace(report, place=replace(report.place, end=999)),
        replace(report, place=replace(report.place, text=text + " ")),
        replace(report, title="TVar('type', None) is no Str"),
        replace(report, help="<kiln.lang.check.types.Con object at 0x7f00>"),
        replace(report, notes=("Traceback (most recent call last):",)),
    ):
        assert unfit(broken, text) is not None


def test_a_fault_is_told_by_its_smallest_input() -> None:
    source = b"let a = 1;\nfn broken(x) = x;\nlet b = 2;\n"
    assert minimise(source, lambda data: b"broken" in data) == b"broken"
    assert minimise(source, lambda data: b"a" in data and b"2" in data) == b"a2"

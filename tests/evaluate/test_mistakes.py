"""Whole messages of failed evaluations, as golden files."""

from __future__ import annotations

import os
import re

import pytest
from evaluate_cases import Golden, check_golden, evaluator, golden_cases

from kiln.interpreter.evaluate import mistakes
from kiln.interpreter.evaluate.codes import CODES
from kiln.interpreter.evaluate.evaluator import EvaluationError
from kiln.interpreter.evaluate.packages import Buildable
from kiln.interpreter.evaluate.values import OutValue
from kiln.lang.report import render

GOLDEN = os.path.join(os.path.dirname(__file__), "golden", "mistakes.txt")


@pytest.mark.parametrize("case", golden_cases(GOLDEN), ids=lambda case: str(case.place))
def test_message(case: Golden, tmp_path: object) -> None:
    program, module = evaluator(str(tmp_path), case.program, "app.kiln")
    with pytest.raises(EvaluationError) as caught:
        value = program.value(module, "x")
        if isinstance(value, OutValue | Buildable):
            program.targets(value)
    found = render(caught.value.report).replace(str(tmp_path), "/project")
    assert not re.search(r"Traceback|NoneType|object at|_\d|\.py\b", found)
    check_golden(case, found)


def test_every_code_is_explained() -> None:
    with open(mistakes.__file__, encoding="utf-8") as file:
        used = set(re.findall(r'"(K04\d\d)"', file.read()))
    assert used == {code for code in CODES if code.startswith("K04")}

"""What expressions come to: the files in values/, a program a chunk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from evaluate_cases import chunks, evaluator, wanted

from kiln.interpreter.evaluate.evaluator import EvaluationError

FOLDER = Path(__file__).parent / "values"
CASES = [
    pytest.param(chunk, id=f"{path.stem}-{place}")
    for path in sorted(FOLDER.glob("*.kiln"))
    for place, chunk in enumerate(chunks(path.read_text("utf-8")))
]


@pytest.mark.parametrize("chunk", CASES)
def test_chunk(chunk: str, tmp_path: os.PathLike[str]) -> None:
    program, module = evaluator(str(tmp_path), chunk)
    expected = wanted(chunk)
    assert expected, "a chunk without an expectation tests nothing"
    for item in expected:
        if item.kind == "=>":
            assert (item.name, program.show(program.value(module, item.name))) == (item.name, item.text.strip())
            continue
        code, _, words = item.text.strip().partition(" ")
        with pytest.raises(EvaluationError) as caught:
            program.show(program.value(module, item.name))
        assert caught.value.report.code == code
        assert words in caught.value.report.title


def test_every_file_is_read() -> None:
    assert len(CASES) > 25

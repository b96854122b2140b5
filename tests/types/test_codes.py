"""Every code of names and types is explained, and the examples of an explanation do what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kiln.lang import check
from kiln.lang.codes import CODES
from tests.types.sources import check_text, modules


def example(code: str, kind: str) -> str:
    part = re.search(rf"{kind}:\n((?:    .*\n)+)", CODES[code][1])
    return re.sub(r"^    ", "", part[1], flags=re.MULTILINE) if part else ""


@pytest.mark.parametrize("code", [code for code in CODES if "Wrong:" in CODES[code][1]])
def test_the_examples_of_an_explanation(code: str) -> None:
    _, reports = check_text(example(code, "Wrong"), modules())
    assert [report.code for report in reports] == [code]
    _, reports = check_text(example(code, "Right"), modules())
    assert [(report.code, report.title) for report in reports] == []


def test_each_code_in_the_sources_is_explained() -> None:
    folder = Path(str(check.__path__[0]))
    used = {code for path in folder.glob("*.py") for code in re.findall(r'"(K\d{4})"', path.read_text())}
    assert used - {"K0105"} == set(CODES)  # whose text is the syntax's own

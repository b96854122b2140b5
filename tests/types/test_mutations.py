"""The checker answers every text with reports: never with an exception, whatever stands in the place of what."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiln.lang.report import render
from tests.types.cases_file import read_cases
from tests.types.sources import check_text, modules

TOKEN = re.compile(r'\s+|[A-Za-z_]\w*|"[^"\n]*"|\d+|[^\w\s]')
TEXTS = [
    re.sub(r"#.*", "", case.text)
    for path in sorted((Path(__file__).parent / "cases").glob("*.md"))
    for case in read_cases(path)
    if not case.modules
]
WORDS = sorted({t for text in TEXTS for t in TOKEN.findall(text) if not t.isspace()})


@st.composite
def mutated(draw: st.DrawFn) -> str:
    tokens = TOKEN.findall(draw(st.sampled_from(TEXTS)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(tokens) - 1))
        match draw(st.sampled_from(["swap", "replace", "remove", "insert"])):
            case "swap":
                other = draw(st.integers(0, len(tokens) - 1))
                tokens[place], tokens[other] = tokens[other], tokens[place]
            case "replace":
                tokens[place] = draw(st.sampled_from(WORDS))
            case "remove":
                tokens[place] = ""
            case "insert":
                tokens.insert(place, draw(st.sampled_from(WORDS)) + " ")
    return "".join(tokens)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_no_text_raises(text: str) -> None:
    checked, reports = check_text(text, modules())
    for report in reports:
        assert render(report).startswith(f"error[{report.code}]")
        assert report.place is not None and 0 <= report.place.start <= report.place.end <= len(text)
    assert checked.interface.surface()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(TEXTS), st.randoms(use_true_random=False))
def test_declarations_may_stand_in_any_order(text: str, random: object) -> None:
    """The same reports, whichever comes first (one of two of one name apart)."""
    parts = re.split(r"\n(?=[a-z#])", text)
    moved = list(parts)
    random.shuffle(moved)  # type: ignore[attr-defined]
    codes = []
    for order in (parts, moved):
        _, reports = check_text("\n".join(order), modules())
        codes.append(sorted(r.code for r in reports if r.code not in ("K0201", "K0209", "K0315")))
    if "K0201" not in text and "K0201" not in "".join(codes[0]):
        assert codes[0] == codes[1]

"""Properties: the meaning stays, each comment stays in its order, a format of a format changes nothing."""

from __future__ import annotations

import pytest
from format_samples import ROOT, comments, programs, read, shaken, source_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiln.lang.format.same import same_module
from kiln.lang.format.source import format_source
from kiln.lang.syntax.parser import parse_module

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


def check(text: str) -> str:
    made = format_source("sample", text)
    assert format_source("sample", made) == made
    before, wrong = parse_module("sample", text)
    after, wrong_after = parse_module("sample", made)
    assert not wrong and not wrong_after
    assert same_module(before, after)
    assert comments(text) == comments(made)
    return made


@given(programs())
@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
def test_generated_programs(text: str) -> None:
    check(text)


@given(programs(), st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
def test_generated_programs_shaken(text: str, data: st.DataObject) -> None:
    check(shaken(data.draw, text, 12))


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path[len(ROOT) + 1 :])
@given(data=st.data())
@settings(max_examples=4, deadline=None, suppress_health_check=SLOW)
def test_files_with_comments_anywhere(path: str, data: st.DataObject) -> None:
    check(shaken(data.draw, read(path), 25))

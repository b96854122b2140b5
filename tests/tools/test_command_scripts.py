"""Runs scripts/*.txt: the language's tools as commands. tests/support/script.py has the format."""

from __future__ import annotations

import os

import pytest

from tests.support.script import parse_script, run_script

FOLDER = os.path.join(os.path.dirname(__file__), "scripts")


@pytest.mark.parametrize("name", sorted(os.listdir(FOLDER)))
def test_script(name, home):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        script = parse_script(file.read())
    assert script.steps
    run_script(script, home)

"""Every module of the library: its own tests, and that it says what it is for."""

from __future__ import annotations

import pytest
from library_programs import NoSources

from kiln.interpreter.evaluate.builtins import EXTERNS
from kiln.interpreter.evaluate.evaluator import Evaluator
from kiln.interpreter.opening import library_names, open_module
from kiln.lang.core import CoreFn
from kiln.lang.report import render

MODULES = library_names()
WITHOUT_TESTS = {"std/prelude", "std/c", "std/lock"}
"""Tested elsewhere: in tests/evaluate and tests/examples, and by kiln.lock."""


@pytest.mark.parametrize("name", MODULES)
def test_its_own_tests_pass(name: str) -> None:
    program, module = open_module(name)
    verdicts = Evaluator(program, NoSources()).run_tests(module)
    failed = [render(verdict.report) for verdict in verdicts if verdict.report is not None]
    assert not failed, "\n\n".join(failed)
    assert verdicts or name in WITHOUT_TESTS


@pytest.mark.parametrize("name", MODULES)
def test_it_says_what_it_is_for(name: str) -> None:
    program, module = open_module(name)
    assert program.interfaces[module].doc


def test_every_extern_is_there_and_none_is_left_over() -> None:
    declared = set()
    for name in MODULES:
        program, module = open_module(name)
        decls = program.modules[module].decls
        declared |= {f"{name}/{decl.name}" for decl in decls if isinstance(decl, CoreFn) and decl.body is None}
    assert declared == set(EXTERNS)

"""Nesting: what leans to one side may go on for ever, what no layout can show is an error."""

from __future__ import annotations

import pytest

from kiln.lang.format.source import format_source
from kiln.lang.report import CompileError, render
from kiln.lang.syntax.parser import parse_module

MANY = 3000


@pytest.mark.parametrize(
    "body",
    [
        "".join(f"let a{number} = {number}; " for number in range(MANY)) + "1",
        'assert a else "b"; ' * MANY + "1",
        " + ".join(["1"] * MANY),
        " ++ ".join(["a"] * MANY),
        "1 + 2 * " * MANY + "1",
        "if a then b else " * MANY + "c",
        "a" + ".b" * MANY,
        "a" + "(1)" * MANY,
        "a" + " |> f" * MANY,
        "a" + " with { b = 1 }" * MANY,
        "!" * MANY + "a",
        "[" + "1, " * MANY + "]",
        '"%{' * 500 + "a" + '}"' * 500,
    ],
    ids=lambda body: body[:12],
)
def test_chains_of_any_length(body: str) -> None:
    made = format_source("deep", f"let x = {body};\n")
    assert not parse_module("deep", made)[1]


@pytest.mark.parametrize(
    ("before", "after"),
    [("[", "]"), ("(", ")"), ("f(", ")"), ("{ a = ", " }"), ("fn(a) => ", ""), ("match a { b => ", " }")],
)
def test_nesting_ends_in_an_error(before: str, after: str) -> None:
    assert format_source("deep", f"let x = {before * 100}a{after * 100};\n")
    with pytest.raises(CompileError) as raised:
        format_source("deep", f"let y = 1;\n\nlet x = {before * 5000}a{after * 5000};\n")
    assert render(raised.value.reports[0]).startswith("error[K0390]: this is nested too deeply\n  --> deep:3:")


def test_nested_types_and_patterns() -> None:
    deep = "S(" * 5000 + "a" + ")" * 5000
    for text in (f"type T = {deep};", f"let x = match y {{ {deep} => 1 }};"):
        with pytest.raises(CompileError):
            format_source("deep", text)

"""Text to tree, as data; the sample of the language whole; depth."""

from __future__ import annotations

import pytest
from syntax_cases import FEEL, Case, check_case, read_cases, tree

from kiln.lang.report import render
from kiln.lang.syntax import ast
from kiln.lang.syntax.parser import parse_chunk, parse_module


def trees(text: str) -> str:
    module, reports = parse_module("a.kiln", text)
    return "\n".join([tree(chunk.decl) for chunk in module.chunks] + [render(report) for report in reports])


@pytest.mark.parametrize("case", read_cases("trees.txt", "strings.txt"), ids=lambda case: case.name)
def test_tree(case: Case) -> None:
    check_case(case, trees)


def test_the_sample_of_the_language() -> None:
    module, reports = parse_module("curl.kiln", FEEL)
    assert not reports
    kinds = [type(chunk.decl).__name__ for chunk in module.chunks]
    assert kinds == ["Import"] * 4 + [
        "TypeDecl", "TypeDecl", "FnDecl", "TypeDecl", "FnDecl", "SetDecl",
        "LetDecl", "LetDecl", "TypeDecl", "LetDecl", "TestDecl",
    ]  # fmt: skip
    curl = module.chunks[8].decl
    assert isinstance(curl, ast.FnDecl)
    assert curl.pub and curl.doc is not None and curl.doc.startswith("Builds curl.")
    assert [param.name.text for param in curl.params] == ["tc", "zlib", "tls", "opts"]


DEPTH = 100_000


@pytest.mark.parametrize(
    "text",
    [
        "let x = " + "let a = 1; " * DEPTH + "a;",
        "let x = " + "(" * DEPTH + "a" + ")" * DEPTH + ";",
        "let x = " + "[" * DEPTH + "a" + "]" * DEPTH + ";",
        "let x = " + "f(" * DEPTH + "a" + ")" * DEPTH + ";",
        "let x = " + "{a = " * DEPTH + "a" + "}" * DEPTH + ";",
        "let x = " + '"%{' * DEPTH + "a" + '}"' * DEPTH + ";",
        "let x = " + "-" * DEPTH + "a;",
        "let x = " + "a ++ " * DEPTH + "a;",
        "let x = " + "a + " * DEPTH + "a;",
        "let x = a" + ".a" * DEPTH + ";",
        "let x = " + "if a then " * DEPTH + "b" + " else c" * DEPTH + ";",
        "let x = " + "fn(a) => " * DEPTH + "b;",
        "let x: " + "List(" * DEPTH + "A" + ")" * DEPTH + " = 1;",
        "let x = match a { " + "[" * DEPTH + "b" + "]" * DEPTH + " => 1 };",
    ],
    ids=lambda text: text[8:20],
)
def test_depth_costs_no_recursion(text: str) -> None:
    assert isinstance(parse_chunk(text), ast.LetDecl)


@pytest.mark.parametrize(
    "text", ["let x = " + "(" * DEPTH, "let x = " + "[f(" * DEPTH + "a;", "let x = " + '"%{' * DEPTH]
)
def test_a_mistake_in_the_depth_is_found(text: str) -> None:
    _, reports = parse_module("a.kiln", text)
    assert [report.code for report in reports] == ["K0103"]


def test_many_items_are_read_in_one_piece() -> None:
    decl = parse_chunk("let x = [" + "1, " * DEPTH + "];")
    assert isinstance(decl, ast.LetDecl) and isinstance(decl.body, ast.ListLit)
    assert len(decl.body.items) == DEPTH

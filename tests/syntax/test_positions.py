"""Every node's place: in its chunk, around its children's, and of names exactly the name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from syntax_cases import FEEL, read_cases

from kiln.lang.syntax import ast
from kiln.lang.syntax.parser import parse_chunk, parse_module

Node = tuple[object, ...]


def children(node: Node) -> Iterator[Node]:
    for field in node:
        if isinstance(field, tuple):
            if hasattr(field, "_fields"):
                yield field
            else:
                yield from (item for item in field if isinstance(item, tuple))


def nodes(node: Node) -> Iterator[tuple[Node, Node]]:
    """Pairs of a node and its child."""
    for child in children(node):
        yield node, child
        yield from nodes(child)


SOURCES = [FEEL, *(case.source for case in read_cases("trees.txt", "strings.txt"))]


@pytest.mark.parametrize("text", SOURCES, ids=range(len(SOURCES)))
def test_places_nest_and_names_are_where_they_say(text: str) -> None:
    module, _ = parse_module("a.kiln", text)
    for chunk in module.chunks:
        own = text[chunk.start : chunk.end]
        assert chunk.decl.start == 0
        for parent, child in [((0, len(own)), chunk.decl), *nodes(chunk.decl)]:
            assert parent[0] <= child[0] < child[1] <= parent[1], (parent, child)  # type: ignore[operator]
            spelling = own[child[0] : child[1]]  # type: ignore[misc]
            if isinstance(child, ast.Name | ast.Var | ast.PVar | ast.Con):
                assert spelling == (child.text if isinstance(child, ast.Name) else child.name)
            if isinstance(child, ast.Binary):
                assert own.startswith(child.op, child.at)
            assert spelling == spelling.strip(), child


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("let x = (a).b;", "(a).b"),
        ("let x = ((a));", "a"),
        ("let x = f (1);", "f (1)"),
        ("let x = - a;", "- a"),
        ("let x = a with { b = 1, };", "a with { b = 1, }"),
        ('let x = sh"a";', 'sh"a"'),
        ("let x = [ 1 , ];", "[ 1 , ]"),
        ("let x = (a: Int);", "(a: Int)"),
        ("let x = let y = 1; y;", "let y = 1; y"),
    ],
)
def test_the_place_of_a_body(text: str, expected: str) -> None:
    decl = parse_chunk(text)
    assert isinstance(decl, ast.LetDecl)
    assert text[decl.body.start : decl.body.end] == expected


def test_the_source_of_an_import_has_a_place() -> None:
    text = 'import "std/cc" @ "blake3:1" as cc;'
    decl = parse_chunk(text)
    assert isinstance(decl, ast.Import)
    assert text[decl.source_start : decl.source_end] == '"std/cc"'

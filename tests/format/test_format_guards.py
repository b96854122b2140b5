"""What holds the formatter to its word: the comparison of trees, comments, and every kind of node."""

from __future__ import annotations

import inspect

import pytest
from format_samples import ROOT, read, source_files

from kiln.lang.format import source
from kiln.lang.format.same import same_module
from kiln.lang.format.source import format_source
from kiln.lang.format.writer import FormatterBug
from kiln.lang.report import CompileError
from kiln.lang.syntax import ast
from kiln.lang.syntax.parser import parse_module

EVERY_NODE = """
import "m" as m;
import { A as B } from "n";
type T(a) = { x: List(a) = [], f?: fn(Int, l: Str) -> m.U, ..Outs(o) };
type V = | One | Two(x: Int);
fn f(x: Int = 1, y?: Str) -> Int where a: Data = fn(z) => -z |> f(k? = `./p`);
let g: Int = let { a, b = [c, _, ..rest] } = r; assert !true else "no %{x}"; if a then 1 + 2 else (b: Int);
let h = match x { Two(x = 1) | m.One => [..xs], "s" => ["k" => 1], true => m.One, y if y => { a = 1, b, ..r } };
let i = [x for x in xs if x] ++ ["k" => v for v in vs];
let j = p with { a.b += [1] } with (self, super) { m = super.m };
set S(sys: Int) extends P(sys) { m: Int = 1; }
test "t" = Some(1) == None;
"""


def kinds(text: str) -> set[str]:
    module, reports = parse_module("nodes", text)
    assert not reports
    found: set[str] = set()
    stack: list[object] = [chunk.decl for chunk in module.chunks]
    while stack:
        node = stack.pop()
        if isinstance(node, tuple):
            found.add(type(node).__name__)
            stack += node
    return found - {"tuple"}


def test_every_node_is_formatted() -> None:
    nodes = {name for name, kind in inspect.getmembers(ast, inspect.isclass) if issubclass(kind, tuple)}
    assert nodes - kinds(EVERY_NODE) == {"Chunk", "Module"}
    made = format_source("nodes", EVERY_NODE)
    assert kinds(made) == kinds(EVERY_NODE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("let x = 1;", "let x = 2;"),
        ("let x = a - (b - c);", "let x = a - b - c;"),
        ("let x = a;", "let x = A;"),
        ("let x = [];", "let x = [=>];"),
        ("let x = 1;", "pub let x = 1;"),
        ("## a\nlet x = 1;", "let x = 1;"),
        ('let x = "a%{b}";', 'let x = "ab";'),
        ("let x = { a };", "let x = { a = a };"),
        ("let x = 1;", "let x = 1;\nlet y = 1;"),
        ("## doc\n\nlet x = 1;", "let x = 1;"),
    ],
)
def test_trees_that_differ(one: str, other: str) -> None:
    assert not same_module(parse_module("a", one)[0], parse_module("b", other)[0])
    assert same_module(parse_module("a", one)[0], parse_module("b", f"\n# c\n{one}")[0])


@pytest.mark.parametrize("change", [("1", "2"), ("# kept", ""), (";", ""), ("# kept", "# kept\n# more")])
def test_a_changed_meaning_is_refused(change: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(lines: list[source.Line]) -> list[str]:
        return [line.replace(*change) for line in with_comments(lines)]

    with_comments = source.with_comments
    monkeypatch.setattr(source, "with_comments", broken)
    with pytest.raises(FormatterBug):
        format_source("x", "let  x = 1;  # kept\n")


def test_what_does_not_parse_is_reported() -> None:
    with pytest.raises(CompileError) as raised:
        format_source("x.kiln", "let x = ;\nlet y = [1;\n")
    assert [report.place.path for report in raised.value.reports if report.place] == ["x.kiln", "x.kiln"]


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path[len(ROOT) + 1 :])
def test_the_library_and_the_examples_are_formatted(path: str) -> None:
    text = read(path)
    assert format_source(path, text) == text, f"kiln fmt {path}"


def test_what_init_writes_is_formatted() -> None:
    from kiln.commands.init import _FILES

    assert format_source("main.kiln", _FILES["main.kiln"]) == _FILES["main.kiln"]

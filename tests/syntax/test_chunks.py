"""A file is split at its column 0, whatever stands in its declarations."""

from __future__ import annotations

import pytest

from kiln.lang.syntax import chunks
from kiln.lang.syntax.parser import parse_module


def texts(text: str) -> list[str]:
    return [text[start:end] for start, end in chunks.split(text)[1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# only\n\n# comments", []),
        ("let a = 1;\nlet b = 2;\n", ["let a = 1;", "let b = 2;"]),
        ("let a = [\n  1,\n];\nlet b = 2;", ["let a = [\n  1,\n];", "let b = 2;"]),
        ("let a =\n# why\n  1;", ["let a =\n# why\n  1;"]),
        ("let a = 1;\n## doc\n## more\nlet b = 2;", ["let a = 1;", "## doc\n## more\nlet b = 2;"]),
        ("let a = 1;\n# no\n## doc\n# inner\nlet b = 2;", ["let a = 1;\n# no", "## doc\n# inner\nlet b = 2;"]),
        ("let a = 1;\n### bar\nlet b = 2;", ["let a = 1;\n### bar", "let b = 2;"]),
        ("let a = 1;\n\n## far\n\nlet b = 2;", ["let a = 1;\n\n## far", "let b = 2;"]),
        ("##doc\nimport \"a\" as a;", ['import "a" as a;']),
        ("let a = 1;\r\nlet b = 2;\r\n", ["let a = 1;", "let b = 2;"]),
        ("broken ((\nlet b = 2;", ["broken ((", "let b = 2;"]),
    ],
)  # fmt: skip
def test_split(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_a_long_comment_is_read_once() -> None:
    # quadratic work would take minutes here
    text = "## line\n" * 200_000 + "\n  x\n" + "let a = 1;\n"
    assert texts(text) == ["let a = 1;"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("let a = 1;", None),
        ("## The file.\n\nlet a = 1;", "The file."),
        (
            "#!/usr/bin/env kiln\n## The file,\n##   in two lines.\n\n## Of a.\nlet a = 1;",
            "The file,\n  in two lines.",
        ),
        ("## One.\n\n## Two.\n\nlet a = 1;", "One.\n\nTwo."),
        ('## The file.\nimport "a" as a;', "The file."),
        ("## Of a.\nlet a = 1;", None),
        ("## Alone.", "Alone."),
    ],
)
def test_the_documentation_of_a_file(text: str, expected: str | None) -> None:
    module, reports = parse_module("a.kiln", text)
    assert not reports
    assert module.doc == expected


def test_a_declaration_keeps_its_tree_when_text_before_it_moves() -> None:
    one, _ = parse_module("a.kiln", "let a = 1;\nlet b = [a];")
    two, _ = parse_module("a.kiln", "\n\n# more\nlet a = 100;\nlet b = [a];")
    assert one.chunks[1].decl == two.chunks[1].decl
    assert two.chunks[1].start == one.chunks[1].start + 11


def test_an_error_leaves_the_other_declarations() -> None:
    text = "let a = 1;\nlet b = (;\nfn c( = 2;\nlet d = 4;\ntype E = ;\n"
    module, reports = parse_module("a.kiln", text)
    assert [chunk.decl.name.text for chunk in module.chunks] == ["a", "d"]  # type: ignore[union-attr]
    assert [report.place.position()[0] for report in reports if report.place] == [2, 3, 5]

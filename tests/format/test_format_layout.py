"""The one style, by golden/layout.txt. With KILN_UPDATE_GOLDEN=1 the results are written anew."""

from __future__ import annotations

import os

import pytest

from kiln.lang.format.source import format_source

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "layout.txt")
UPDATE = os.environ.get("KILN_UPDATE_GOLDEN") == "1"


def read_cases() -> tuple[str, list[tuple[str, str]]]:
    with open(FILE, encoding="utf-8") as file:
        head, *blocks = file.read().split("====\n")
    return head, [(source, expected) for source, _, expected in (block.partition("----\n") for block in blocks)]


@pytest.mark.parametrize("number", range(len(read_cases()[1])))
def test_layout(number: int) -> None:
    head, cases = read_cases()
    source, expected = cases[number]
    found = format_source("case", source)
    assert format_source("case", expected if not UPDATE else found) == found
    if UPDATE:
        cases[number] = (source, found)
        with open(FILE, "w", encoding="utf-8") as file:
            file.write(head + "".join(f"====\n{source}----\n{result}" for source, result in cases))
    assert found == cases[number][1], f"\n{found}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("\n\n", ""),
        ("# only\n\n\n# comments  ", "# only\n\n# comments\n"),
        ("let x = 1;", "let x = 1;\n"),
        ("let x = 1;\r\nlet y = 2;\r\n", "let x = 1;\nlet y = 2;\n"),
        ('let x = """\r\n  a\r\n  """;\r\n', 'let x = """\n  a\n  """;\n'),
        ("let x = [\n# in column 0\n  1,\n];\n", "let x = [\n  # in column 0\n  1,\n];\n"),
        ("let x # before the sign\n= 1;\n".replace("\n=", "\n  ="), "let x  # before the sign\n  = 1;\n"),
        ("let x = 1;\n\n\n\nlet y = 2;\n", "let x = 1;\n\nlet y = 2;\n"),
        ("let x = (((1)));\n", "let x = (((1)));\n"),
    ],
)
def test_small_files(text: str, expected: str) -> None:
    assert format_source("small", text) == expected

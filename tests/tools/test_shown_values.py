"""What is shown of a value is Kiln's own syntax: reading it gives the value again."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from kiln.interpreter.evaluate.show import json_text, quoted, show
from kiln.lang.syntax import ast
from kiln.lang.syntax.parser import parse_chunk

texts = st.text(st.sampled_from('%{}$"\\ab1_ \n\t\r\x1b\u202e\ufeffé'), max_size=12) | st.text(
    st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=12
)


@given(texts)
@example("%%{")
@example("${home} ${HOME}")
@example("\\u{1b}")
def test_a_string_is_read_again(text: str) -> None:
    decl = parse_chunk(f"let x = {quoted(text)};")
    assert isinstance(decl, ast.LetDecl), decl
    assert isinstance(decl.body, ast.Str)
    assert "".join(part for part in decl.body.parts if isinstance(part, str)) == text
    assert not any(isinstance(part, ast.Hole) for part in decl.body.parts)


def test_nesting_costs_no_more_than_its_text() -> None:
    deep: tuple[object, ...] = ()
    for _ in range(300_000):
        deep = (deep,)
    assert show(deep) == json_text(deep) == "[" * 300_001 + "]" * 300_001


def test_what_stands_between_parts() -> None:
    assert show((1, (), (2, 3), {"b": 1, "a": ()})) == '[1, [], [2, 3], ["a" => [], "b" => 1]]'
    assert json_text(({"b": (1,), "a": {}},)) == '[{"a": {}, "b": [1]}]'

"""std/json beside Python's json: the same texts are taken, and they mean the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from library_programs import ROOT, evaluator, functions

from kiln.interpreter.evaluate.jsontext import read_json
from kiln.interpreter.evaluate.values import Variant

TO_TEXT = functions(
    'import "std/json" as json;', {"json.write": "fn(json.Json) -> Str", "json.pretty": "fn(json.Json) -> Str"}
)

letters = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=8)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | letters,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(letters, inner, max_size=4),
    max_leaves=20,
)


def plain(value: Any) -> Any:
    """A Json as Python has it."""
    match value.con:
        case "Null":
            return None
        case "Array":
            return [plain(item) for item in value._0]
        case "Object":
            return {key: plain(item) for key, item in value._0.items()}
        case "Number":
            return float(value._0)
        case _:
            return value._0


def message(text: str) -> str:
    found: Any = read_json(text)
    assert found.con == "Err", found
    return str(found._0.message_)


def taken(text: str) -> Variant:
    found: Any = read_json(text)
    assert found.con == "Ok", found._0.message_
    inner: Variant = found._0
    return inner


@given(documents, st.booleans(), st.sampled_from([None, 0, 2]))
def test_what_python_writes(document: object, ascii: bool, indent: int | None) -> None:
    text = json.dumps(document, ensure_ascii=ascii, indent=indent)
    assert plain(taken(text)) == document


@given(documents)
def test_what_is_written_is_read_by_python(document: object) -> None:
    value = taken(json.dumps(document))
    for write in ("json.write", "json.pretty"):
        assert json.loads(TO_TEXT[write](value)) == document
    assert TO_TEXT["json.pretty"](value) == json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True)


@given(documents, st.data())
def test_mutated_text_is_taken_where_python_takes_it(document: object, data: st.DataObject) -> None:
    text = json.dumps(document, indent=data.draw(st.sampled_from([None, 1])))
    at = data.draw(st.integers(0, len(text)))
    text = (
        text[:at]
        + data.draw(st.sampled_from([*'[]{},:"0-.eE\\u tn', ""]))
        + text[at + data.draw(st.integers(0, 2)) :]
    )
    found: Any = read_json(text)
    try:
        wanted = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except ValueError:
        assert found.con == "Err" or "\\u" in text
        return
    if found.con == "Ok":
        assert plain(found._0) == wanted
    else:
        assert "Str" in found._0.message_, "only a character that no Str holds may be refused"


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name comes twice")
    return dict(pairs)


def _refuse(name: str) -> None:
    raise ValueError(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1, column 1: expected a value, found the end"),
        ("[1 2]", "expected `,` or `]`, found another value"),
        ("[1,]", "line 1, column 4: expected a value, found `]`"),
        ('{"a" 1}', "expected `:`"),
        ("{a: 1}", "expected a value, found `a`"),
        ("{1: 1}", "expected a name in quotes"),
        ('{"a": 1,}', "expected a name in quotes"),
        ('"a', "never closed"),
        ('"a\nb"', "never closed"),
        ("'a'", "double quotes"),
        ("// x\n1", "no comments"),
        ("01", "nothing more"),
        ("1.", "expected a value, found `.`"),
        ("NaN", "expected a value, found `N`"),
        ('"\\x"', "no escape \\x"),
        ('"\\ud800"', "no character that a Str can hold"),
        ('"\\u0000"', "no character that a Str can hold"),
        ("\n\n  nul", "line 3, column 3"),
        ("\x00", "the character U+0000"),
        ("1 1", "nothing more"),
        ("9" * 4001, "more than 4000 digits"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    assert words in message(text)


def test_pairs_of_surrogates_are_one_character() -> None:
    assert plain(taken('"\\ud83d\\ude00"')) == "😀"


def test_numbers_that_are_not_whole_stay_as_they_are_written() -> None:
    assert [item._0 for item in taken("[1.50, 1e3, -0.0]")._0] == ["1.50", "1e3", "-0.0"]  # type: ignore[attr-defined]


def test_depth() -> None:
    depth = 100_000
    value: Any = taken("[" * depth + "]" * depth)
    for _ in range(depth - 1):
        (value,) = value._0
    assert value._0 == ()


def test_deep_json_is_written() -> None:
    program = evaluator(
        'import "std/json" as json;\nimport "std/string" as string;\nimport "std/result" as result;\n'
        'let text = string.repeat("[", 20000) ++ string.repeat("]", 20000);\n'
        "let same = match json.read(text) {\n"
        "  result.Ok(value) => json.write(value) == text,\n"
        "  result.Err(_) => false,\n};\n"
    )
    assert program.value(ROOT, "same") is True

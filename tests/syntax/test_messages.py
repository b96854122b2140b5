"""Whole messages, as golden files; each code's explanation; one report a declaration."""

from __future__ import annotations

import os
import re

import pytest
from syntax_cases import FOLDER, Case, check_case, read_cases

from kiln.lang.report import CompileError, render
from kiln.lang.syntax import messages, mistakes, words
from kiln.lang.syntax.codes import CODES
from kiln.lang.syntax.parser import decode_source, parse_module

FILES = sorted(name for name in os.listdir(FOLDER) if name.startswith("mistakes-"))


def rendered(text: str) -> str:
    _, reports = parse_module("app.kiln", text)
    return "\n\n".join(render(report) for report in reports) or "no mistake"


@pytest.mark.parametrize("case", read_cases(*FILES), ids=lambda case: case.name)
def test_message(case: Case) -> None:
    check_case(case, rendered)
    assert "no mistake" not in case.expected
    # the names of the grammar's symbols are no words for a reader
    assert not re.search(r"UNAME|KEYLABEL|STR_|_END|HOLE|\$END|QCOLON|commas|__ANON", case.expected)


def test_there_are_enough_of_what_newcomers_write() -> None:
    assert len(read_cases("mistakes-newcomers.txt")) >= 110


def test_each_golden_message_has_an_explanation() -> None:
    shown = {code for case in read_cases(*FILES) for code in re.findall(r"error\[(K\d+)\]", case.expected)}
    assert shown - {"K0115"} == set(CODES) - {"K0115"}


def test_each_code_in_the_sources_is_explained() -> None:
    used = set()
    for module in (messages, words):
        with open(module.__file__, encoding="utf-8") as file:
            used |= set(re.findall(r'"(K\d{4})"', file.read()))
    assert used == set(CODES)


def examples(code: str, kind: str) -> str:
    part = re.search(rf"{kind}:\n((?:    .*\n)+)", CODES[code][1])
    return re.sub(r"^    ", "", part[1], flags=re.MULTILINE) if part else ""


@pytest.mark.parametrize("code", sorted(set(CODES) - {"K0115"}))
def test_the_examples_of_an_explanation(code: str) -> None:
    _, reports = parse_module("app.kiln", examples(code, "Wrong"))
    assert [report.code for report in reports] == [code]
    module, reports = parse_module("app.kiln", examples(code, "Right"))
    assert len(module.chunks) == 1 and not reports


def test_every_kind_of_mistake_is_shown_in_a_golden_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each class of mistakes.py is made by some golden case (NotUtf8 by its own test)."""
    made: set[str] = set()
    original = messages._words

    def note(mistake: mistakes.Mistake) -> words.Words:
        made.add(type(mistake).__name__)
        return original(mistake)

    monkeypatch.setattr(messages, "_words", note)
    for case in read_cases(*FILES):
        parse_module("app.kiln", case.source)
    assert made | {"NotUtf8", "ForbiddenCharacter"} == {kind.__name__ for kind in mistakes.Mistake.__args__}


@pytest.mark.parametrize("char", ["\0", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\ud800", "\ufeff", "\r"])
@pytest.mark.parametrize("around", ["let x = %s1;", 'let x = "%s";', "let x = 1; # %sc", "let x = `%s`;"])
def test_forbidden_characters_are_refused_and_shown_by_number(char: str, around: str) -> None:
    module, reports = parse_module("app.kiln", "let y = 1;\n" + around.replace("%s", char))
    assert [report.code for report in reports] == ["K0115"]
    assert [chunk.start for chunk in module.chunks] == [0]
    message = render(reports[0])
    assert char not in message
    assert f"{ord(char):x}" in message or char == "\0"


def test_comments_before_the_first_declaration_are_looked_at_too() -> None:
    module, reports = parse_module("app.kiln", "# \u202e\nlet x = 1;")
    assert [report.code for report in reports] == ["K0115"]
    assert len(module.chunks) == 1


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(CompileError) as caught:
        decode_source("app.kiln", "let é = 1;\nlet x = ".encode() + b"\xff\xfe;\n")
    (report,) = caught.value.reports
    assert render(report) == (
        "error[K0115]: a build file is UTF-8 text\n"
        "  --> app.kiln:2:9\n"
        "2| let x = \\xff\\xfe;\n"
        "           ^^^^ bytes ff are not\n"
        "help: save it as UTF-8"
    )


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert decode_source("app.kiln", b"\xef\xbb\xbflet x = 1;") == "let x = 1;"

"""The session under any text: what it takes, what it refuses, and that nothing else is raised."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiln.interpreter.derivation import SourceObject
from kiln.interpreter.evaluate.packages import Selection
from kiln.interpreter.session import Session
from kiln.lang.report import CompileError, render
from kiln.lang.syntax.complete import Reader, Reading

READER = Reader()


class NoSources:
    def add_source(self, path: str, name: str, selection: Selection) -> SourceObject:
        raise AssertionError(path)

    def add_source_file(self, path: str, name: str) -> SourceObject:
        raise AssertionError(path)


@pytest.fixture
def session() -> Session:
    return Session("/nowhere", NoSources())


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("", Reading.BLANK),
        ("# only this", Reading.BLANK),
        ("## of what follows", Reading.UNFINISHED),
        ("1 + 2", Reading.EXPRESSION),
        ("1 +", Reading.UNFINISHED),
        ("f(1,", Reading.UNFINISHED),
        ("[1, 2", Reading.UNFINISHED),
        ('"""', Reading.UNFINISHED),
        ('"open', Reading.EXPRESSION),
        ("let x = 1", Reading.UNFINISHED),
        ("let x = 1;", Reading.DECLARATION),
        ("let x = 1; x", Reading.EXPRESSION),
        ("fn(x) => x", Reading.EXPRESSION),
        ("fn f(x) = x;", Reading.DECLARATION),
        ("fn f(x) =", Reading.UNFINISHED),
        ("pub", Reading.UNFINISHED),
        ("type T = | A;", Reading.DECLARATION),
        ("type T == | A;", Reading.DECLARATION),
        ("1 2", Reading.EXPRESSION),
        ("set P { a = 1; }", Reading.DECLARATION),
        (")", Reading.EXPRESSION),
    ],
)
def test_what_a_text_is(text: str, reading: Reading) -> None:
    assert READER.reading(text) is reading


def test_a_declaration_needs_its_sign_at_the_end_only() -> None:
    assert READER.closes("let x = 1")
    assert READER.closes("fn f(x) = x + 1")
    assert not READER.closes("let x =")
    assert not READER.closes("let x = if true then 1")


def test_what_is_declared_anew_is_seen_by_what_uses_it(session: Session) -> None:
    session.declare("let x = 1;")
    session.declare("fn f(n: Int) -> Int = n + x;")
    assert session.expression("f(1)").show() == "2"
    session.declare("let x = 10;")
    assert session.expression("f(1)").show() == "11"
    assert session.names == ["f", "x"]


def test_what_does_not_check_changes_nothing(session: Session) -> None:
    session.declare("let x = 1;")
    session.declare("fn f(n: Int) -> Int = n + x;")
    before = session.text
    for text in ('let x = "a";', "let y = nope;", "type T = Nope;", "let z = ;", 'import "std/nope" as n;'):
        with pytest.raises(CompileError):
            session.declare(text)
        assert session.text == before


def test_a_type_and_a_value_have_names_of_their_own(session: Session) -> None:
    session.declare("type Colour = | Red;")
    session.declare("let colour: Colour = Red;")
    session.declare("type Colour = | Red | Green;")
    assert session.expression("[colour, Green]").show() == "[Red, Green]"


def test_a_mistake_stands_in_what_was_typed(session: Session) -> None:
    session.declare("let x = 1;")
    with pytest.raises(CompileError) as caught:
        session.expression("[x,\n  nope]")
    assert "--> what you typed:2:3" in render(caught.value.reports[0])


def test_an_expression_may_use_the_name_that_it_is_given(session: Session) -> None:
    session.declare("let it = 5;")
    assert session.expression("it + 1").show() == "6"


words = st.sampled_from(
    ["let", "fn", "x", "X", "=", ";", "(", ")", "{", "}", "[", "]", "=>", "1", '"', '"""', "%{", "}", "\n", "\n  ",
     "#", "##", "match", "if", "then", "else", "type", "|", "import", "set", "test", ":", ",", "..", "for", "in",
     "sh", "\\", "pub", "extern", "with", "`", "\x00", "\ud800", "é", "it", "self", "true", "Some", "raw", "assert"]
)  # fmt: skip
texts = st.lists(words, max_size=12).map(" ".join) | st.text(max_size=20)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_any_text_ends_in_an_answer_or_in_mistakes(text: str) -> None:
    session = Session("/nowhere", NoSources())
    session.declare("let x = 1;")
    found = READER.reading(text)
    try:
        if found is Reading.DECLARATION:
            session.declare(text)
        elif found is not Reading.BLANK:
            session.expression(text).show()
    except CompileError as error:
        for report in error.reports:
            assert render(report)

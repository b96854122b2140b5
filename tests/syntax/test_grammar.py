"""The grammar has no conflict, and grammar, table, lexer and actions know the same names."""

from __future__ import annotations

import inspect

import pytest
from lark.exceptions import GrammarError

from kiln.lang.syntax import actions, grammar, table
from kiln.lang.syntax.tokens import KEYWORDS, KINDS


def text() -> str:
    with open(table.GRAMMAR_PATH, encoding="utf-8") as file:
        return file.read()


def test_grammar_builds_without_a_conflict() -> None:
    assert grammar.build_lark(text()).options.strict


@pytest.mark.parametrize(
    "production",
    ['?expr: expr "+" expr | NAME', "?expr: NAME | other\nother: NAME"],
    ids=["shift/reduce", "reduce/reduce"],
)
def test_a_conflict_would_be_seen(production: str) -> None:
    with pytest.raises(GrammarError):
        grammar.build(f"start: expr\n{production}\n%declare NAME\n")


def test_each_action_takes_what_its_productions_hand_over() -> None:
    built = grammar.build(text())
    for production in built.productions:
        if production.action != table.PASS:
            function = getattr(actions, production.action)
            handed = 2 + production.values + len(production.pads)
            assert len(inspect.signature(function).parameters) == handed, production


def test_each_kind_of_token_is_used() -> None:
    built = grammar.build(text())
    used = {
        KINDS[column]
        for row in range(0, len(built.cells), built.width)
        for column in range(len(KINDS))
        if built.cells[row + column]
    }
    # ERROR and null are there to be refused
    assert set(KINDS) - used == {"ERROR", "null"}


def test_a_unit_chain_passes_its_value_on() -> None:
    built = grammar.build(text())
    for production in built.productions[2:]:
        if production.action == table.PASS:
            assert production.values == 1 and not production.pads


def test_keywords_are_lower_case_words() -> None:
    assert all(word.isalpha() and word.islower() for word in KEYWORDS)

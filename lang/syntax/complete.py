"""Whether typed text is a declaration, an expression, the beginning of one, or neither: what a session has to know.

A text is unfinished if the parser is stuck at its end, or a block string is still open there: more text may help.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, TypeAlias

from kiln.lang.syntax import actions
from kiln.lang.syntax.lalr import Parser, Stuck
from kiln.lang.syntax.lexer import lex
from kiln.lang.syntax.mistakes import UnclosedString
from kiln.lang.syntax.table import load
from kiln.lang.syntax.tokens import DECLARATION_WORDS, KIND, Tokens

_State: TypeAlias = Literal["whole", "unfinished", "wrong"]
_HEAD: Final = "let it =\n  "
_TAIL: Final = "\n  ;"
_WORDS: Final = frozenset(KIND["PUB"] if word == "pub" else KIND[word] for word in DECLARATION_WORDS)


class Reading(Enum):
    """What a text is."""

    BLANK = "blank"
    DECLARATION = "declaration"
    EXPRESSION = "expression"
    UNFINISHED = "unfinished"


class Reader:
    """Reads what is typed. `DECLARATION` and `EXPRESSION` may still hold mistakes: whoever loads the text is told."""

    def __init__(self) -> None:
        self._parser = Parser(load(), lambda name: actions.__dict__[name])

    def reading(self, text: str) -> Reading:
        """What the text is."""
        tokens = lex(text)
        if len(tokens.kinds) == 1:
            return Reading.BLANK
        if tokens.kinds[0] == KIND["DOC"] and len(tokens.kinds) == 2:
            return Reading.UNFINISHED
        declaration = self._state(tokens, 1)
        if declaration == "whole":
            return Reading.DECLARATION
        expression = self._state(lex(f"{_HEAD}{text}{_TAIL}"), 2)
        if expression == "whole":
            return Reading.EXPRESSION
        if "unfinished" in (declaration, expression):
            return Reading.UNFINISHED
        return Reading.DECLARATION if self._begins_one(tokens) else Reading.EXPRESSION

    def closes(self, text: str) -> bool:
        """Whether the text is a declaration without mistakes but for the `;` at its end."""
        try:
            self._parser.parse(lex(f"{text}{_TAIL}"))
        except (Stuck, actions.Refused):
            return False
        return True

    def _state(self, tokens: Tokens, end: int) -> _State:
        """`end` is how many tokens stand behind what was typed. What an action refuses, the whole parser words."""
        try:
            self._parser.parse(tokens)
        except Stuck as stuck:
            if isinstance(tokens.fault, UnclosedString):
                return "unfinished" if tokens.fault.quotes == '"""' else "wrong"
            return "unfinished" if tokens.fault is None and stuck.index >= len(tokens.kinds) - end else "wrong"
        except actions.Refused:
            return "whole"
        return "whole"

    @staticmethod
    def _begins_one(tokens: Tokens) -> bool:
        first, second = tokens.kinds[0], tokens.kinds[1]
        return first == KIND["DOC"] or (first in _WORDS and not (first == KIND["fn"] and second == KIND["("]))

"""The kinds of token, as small integers, and what the lexer hands to the parser.

A kind's name is what the grammar calls it: a literal token is its own spelling (`let`, `=>`), any other has a name
in capitals. The number of a kind is its place in KINDS, which the parse table shares (table.py), so that
neither lexer nor parser ever compares a string.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kiln.lang.syntax.mistakes import Mistake

SOFT_KEYWORDS: Final = ("as", "from", "where", "extends", "extern")
KEYWORDS: Final = (
    "import", "type", "fn", "let", "set", "test", "true", "false", "if", "then", "else", "match", "with",
    "for", "in", "assert", "null", *SOFT_KEYWORDS,
)  # fmt: skip
PUNCTUATION: Final = (
    "(", ")", "[", "]", "{", "}", ",", ";", ":", ".", "..", "=", "=>", "->", "|", "|>", "+=", "@", "!",
)  # fmt: skip
NAMED: Final = (
    "NAME", "UNAME", "KEYLABEL", "INT", "PATH", "DOC", "PUB", "STRING", "STR_BEGIN", "STR_TEXT", "_STR_END",
    "_HOLE_BEGIN", "_HOLE_END", "OR", "AND", "CMP", "CONCAT", "PLUS", "MINUS", "MULOP", "_QCOLON", "_OPTEQ",
)  # fmt: skip

# ERROR stands where the lexer could not go on; no production has it, so the parser stops there at the latest.
KINDS: Final = ("$END", "ERROR", "_", *NAMED, *KEYWORDS, *PUNCTUATION)
KIND: Final = {name: number for number, name in enumerate(KINDS)}

OPERATORS: Final = {
    "||": KIND["OR"], "&&": KIND["AND"], "++": KIND["CONCAT"], "+": KIND["PLUS"], "-": KIND["MINUS"],
    "*": KIND["MULOP"], "/": KIND["MULOP"], "%": KIND["MULOP"],
    "==": KIND["CMP"], "!=": KIND["CMP"], "<": KIND["CMP"], "<=": KIND["CMP"], ">": KIND["CMP"], ">=": KIND["CMP"],
}  # fmt: skip
OPENERS: Final = {
    KIND["("]: KIND[")"],
    KIND["["]: KIND["]"],
    KIND["{"]: KIND["}"],
    KIND["_HOLE_BEGIN"]: KIND["_HOLE_END"],
}
CLOSERS: Final = frozenset(OPENERS.values())
OPERAND_STARTS: Final = frozenset(
    ("NAME", "UNAME", "INT", "PATH", "STRING", "STR_BEGIN", "true", "false", "match", "if", "let", "fn", "assert",
     "(", "[", "{", "!")
)  # fmt: skip
OPERAND_ENDS: Final = frozenset(
    ("NAME", "UNAME", "INT", "PATH", "STRING", "_STR_END", "true", "false", ")", "]", "}")
)  # fmt: skip
DECLARATION_WORDS: Final = ("import", "type", "fn", "let", "set", "test", "pub", "extern")
RESERVED: Final = frozenset(KEYWORDS) - frozenset(SOFT_KEYWORDS) | {"pub"}


class Tokens:
    """The tokens of one chunk, by column: kind, first offset, offset behind the last character, value.

    A value is None for a token that no action looks at; of an operator it is `(start, spelling)`, of STR_BEGIN
    `(tag or None, quotes)`, of any other token its text. The last token is always $END. `fault` is the mistake
    that made the lexer stop, at the ERROR token.
    """

    __slots__ = ("ends", "fault", "kinds", "starts", "values")

    def __init__(self) -> None:
        self.kinds: list[int] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.values: list[object] = []
        self.fault: Mistake | None = None

    def add(self, kind: int, start: int, end: int, value: object = None) -> None:
        self.kinds.append(kind)
        self.starts.append(start)
        self.ends.append(end)
        self.values.append(value)

    def name(self, index: int) -> str:
        """The kind of a token by its name in the grammar."""
        return KINDS[self.kinds[index]]

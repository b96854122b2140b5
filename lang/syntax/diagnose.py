"""From the token that doesn't fit to the mistake that a person made there.

RULES are tried in their order, and the first that knows the situation answers. The order goes from what is certain
(the lexer's fault, words of other languages) to what is guessed (a missing comma), and ends in Unexpected. A rule
asks what the table would accept and what is open on the stack; none of them shows a list of tokens.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Final

from kiln.lang.syntax import habits, names, signs
from kiln.lang.syntax import mistakes as m
from kiln.lang.syntax.situation import Situation
from kiln.lang.syntax.table import ParseTable
from kiln.lang.syntax.tokens import DECLARATION_WORDS, KIND, OPERAND_ENDS, OPERATORS, RESERVED, Tokens

_FOREIGN_DECLARATIONS: Final = {
    "def": "fn", "func": "fn", "function": "fn", "fun": "fn", "const": "let", "var": "let", "val": "let",
    "struct": "type", "enum": "type", "data": "type", "record": "type", "class": "type", "interface": "type",
    "use": "import", "include": "import", "require": "import", "from": "import", "load": "import",
    "package": "set", "public": "pub", "export": "pub", "assert": "test",
}  # fmt: skip


def diagnose(table: ParseTable, tokens: Tokens, index: int, text: str) -> m.Mistake:
    """The mistake in front of which the parser stopped: the token at `index` doesn't fit."""
    situation = Situation(table, tokens, index, text)
    for rule in RULES:
        mistake = rule(situation)
        if mistake is not None:
            return mistake
    return _unexpected(situation)


# ---- what the lexer and the beginning of the declaration say ------------------------------------


def _lexical(s: Situation) -> m.Mistake | None:
    return s.tokens.fault if s.found == "ERROR" else None


def _not_a_declaration(s: Situation) -> m.Mistake | None:
    first = next((i for i in range(s.index) if s.tokens.name(i) != "DOC"), s.index)
    if s.index > first + (s.tokens.name(first) == "PUB"):
        return None
    if first > 0 and s.found in ("import", "test"):
        return m.DocMisplaced(s.tokens.starts[0], s.tokens.ends[0])
    if s.found == "DOC":
        return m.DocMisplaced(s.start, s.end)
    if s.before == "PUB" and s.found in ("import", "test", "$END"):
        return m.Unexpected(s.start, s.end, "`type`, `fn`, `let` or `set`", _words(s, s.index), "after `pub`", "")
    word = s.spelling(s.index)
    if s.found == "KEYLABEL" and word in DECLARATION_WORDS:
        at, to = s.tokens.starts[s.index + 1], s.tokens.ends[s.index + 1]
        wanted = "a string" if word in ("test", "import") else "a name"
        return m.Unexpected(at, to, wanted, _words(s, s.index + 1), f"after `{word}`", "")
    nearest = _FOREIGN_DECLARATIONS.get(word) or next(
        iter(difflib.get_close_matches(word[:40], DECLARATION_WORDS, 1)), ""
    )
    if nearest == word or (s.behind == ":" and word not in _FOREIGN_DECLARATIONS):
        nearest = ""
    return m.NotADeclaration(s.start, s.end, word, nearest)


def _behind_the_end(s: Situation) -> m.Mistake | None:
    if not s.accepts("$END"):
        return None
    if s.found in signs.CLOSING:
        return m.StrayCloser(s.start, s.end, s.spelling(s.index))
    if s.found == "DOC":
        return m.DocMisplaced(s.start, s.end)
    if s.new_line and s.spelling(s.index) in DECLARATION_WORDS:
        return m.IndentedDeclaration(s.start, s.end, s.spelling(s.index))
    return m.SecondDeclaration(s.start, s.end, s.spelling(s.index))


def _next_declaration(s: Situation) -> m.Mistake | None:
    """An indented `pub`, `type`, … begins a line: what is before it was meant to be complete."""
    if not s.new_line or s.found not in ("PUB", "type", "set", "test", "import"):
        return None
    if s.frame is not None:
        return signs.unclosed(s)
    if s.accepts(";"):
        return _separated(s, ";", "a declaration")
    return None


# ---- branches -----------------------------------------------------------------------------------


def _branch(s: Situation) -> m.Mistake | None:
    if s.accepts("then") and s.before in OPERAND_ENDS:
        return m.MissingThen(s.start, s.end, s.tokens.starts[s.token_of("if")])
    if s.accepts("else") and s.keyword == "then" and s.before in OPERAND_ENDS:
        return m.MissingElse(s.before_end, s.before_end, s.tokens.starts[s.token_of("if")])
    return None


def _conditional_item(s: Situation) -> m.Mistake | None:
    if s.found == "if" and s.item == "list_item" and s.accepts("for"):
        return m.ConditionalItem(s.start, s.end)
    return None


def _parentheses(s: Situation) -> m.Mistake | None:
    if s.found in ("if", "let", "fn", "assert") and s.operand and s.index:
        return m.NeedsParentheses(s.start, s.end, s.found, s.spelling(s.index - 1))
    return None


def _comparison(s: Situation) -> m.Mistake | None:
    if s.found == "CMP" and s.before in OPERAND_ENDS and s.accepts("AND"):
        return m.ChainedComparison(s.start, s.end, s.spelling(s.index))
    return None


def _variants(s: Situation) -> m.Mistake | None:
    if s.found == "|" and s.declaration == "type" and s.frame is None:
        equals = next((i for i in range(s.index) if s.tokens.name(i) == "="), s.index)
        return m.VariantsWithoutBar(s.start, s.end, s.tokens.starts[equals + 1])
    return None


# ---- what is missing ----------------------------------------------------------------------------


def _missing_separator(s: Situation) -> m.Mistake | None:
    if s.found == "$END" and s.accepts(";"):
        return _separated(s, ";", "a declaration")
    begins = s.side_by_side or (s.found in ("DOC", "|") and s.before in OPERAND_ENDS)
    if not begins and not (s.found == "MINUS" and s.before in OPERAND_ENDS):
        return None
    if s.frame is not None and s.accepts(","):
        return _separated(s, ",", s.frame.where)
    if s.accepts(";") and s.new_line:
        where = "a `let`" if s.keyword == "let" else s.frame.where if s.frame else "a declaration"
        return _separated(s, ";", where)
    if s.before in ("NAME", "UNAME") and not s.new_line and s.accepts("("):
        return m.CallWithoutParentheses(s.start, s.end, s.spelling(s.index - 1), s.spelling(s.index))
    return None


def _separated(s: Situation, separator: str, where: str) -> m.MissingSeparator:
    next_end = s.end if s.new_line and s.found != "$END" else s.start
    return m.MissingSeparator(s.before_end, s.before_end, separator, where, s.start, next_end)


def _documentation(s: Situation) -> m.Mistake | None:
    return m.DocMisplaced(s.start, s.end) if s.found == "DOC" else None


# ---- the rest -----------------------------------------------------------------------------------

_SIGNS: Final = ("=", "then", "else", "in", "as", "from", "fn", "=>", "->", ";", "(", "{", ":", ",", ")", "]", "}")


def _unexpected(s: Situation) -> m.Unexpected:
    return m.Unexpected(s.start, s.end, _wanted(s), _words(s, s.index), _where(s), _advice(s))


def _advice(s: Situation) -> str:
    if s.declaration == "import":
        return 'an import is `import "std/c" as c;` or `import { a, B } from "./lib.kiln";`'
    if s.declaration == "test" and s.index < 3:
        return 'a test is `test "what it shows" = 1 + 1 == 2;`'
    if s.accepts("=>") and s.keyword == "fn":
        return "a function is `fn(x) => e`; after `->` stands the type of its result, `fn(x) -> Int => e`"
    if s.keyword == "assert" and s.accepts("else"):
        return '`assert c else "what is wrong"; e`'
    return ""


def _wanted(s: Situation) -> str:
    """The one thing to name of all that would fit."""
    for nonterminal, words in (("atom", "an expression"), ("type_atom", "a type"), ("pattern_atom", "a pattern")):
        if s.wants(nonterminal):
            return words
    if s.wants("string"):
        return "a string"
    if s.accepts("NAME"):
        return "a name"
    if s.accepts("UNAME"):
        return "a name that begins with a capital"
    if s.frame is not None and s.accepts("_HOLE_END" if s.frame.opener == "%{" else s.frame.closer):
        return f"`,` or `{s.frame.closer}`" if s.frame.separator == "," else f"`{s.frame.closer}`"
    if s.accepts(";") and s.accepts("PLUS"):
        return "an operator or `;`"
    return next((f"`{sign}`" for sign in _SIGNS if s.accepts(sign)), "something else")


def _where(s: Situation) -> str:
    if s.index == 0:
        return ""
    if s.before in KIND and s.spelling(s.index - 1):
        return f"after `{s.spelling(s.index - 1)}`" if len(s.spelling(s.index - 1)) <= 40 else ""
    return ""


def _words(s: Situation, index: int) -> str:
    name, spelling = s.tokens.name(index), s.spelling(index)
    match name:
        case "NAME" | "UNAME" | "KEYLABEL":
            return f"the name `{spelling}`" if spelling not in RESERVED else f"the word `{spelling}`"
        case "INT":
            return "a number"
        case "STRING" | "STR_BEGIN" | "STR_TEXT":
            return "a string"
        case "_STR_END":
            return "the end of the string"
        case "_HOLE_END":
            return "the end of the hole"
        case "PATH":
            return "a path"
        case "$END":
            return "the end of the declaration"
        case _ if spelling in OPERATORS:
            return f"the operator `{spelling}`"
        case _ if spelling.isalpha():
            return f"the word `{spelling}`"
        case _:
            return f"`{spelling}`"


RULES: Final[tuple[Callable[[Situation], m.Mistake | None], ...]] = (
    *habits.FIRST,
    _lexical,
    _not_a_declaration,
    _behind_the_end,
    _next_declaration,
    *habits.RULES,
    signs.foreign,
    signs.dots,
    signs.edit_sign,
    signs.equals,
    signs.colon,
    signs.arrow,
    signs.quoted_label,
    signs.separator,
    signs.bracket,
    _branch,
    _conditional_item,
    _parentheses,
    _comparison,
    names.reserved,
    names.wrong_case,
    _variants,
    _missing_separator,
    _documentation,
)

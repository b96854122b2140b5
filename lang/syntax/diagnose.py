"""From the token that doesn't fit to the mistake that a person made there.

RULES are tried in their order, and the first that knows the situation answers. The order goes from what is certain (the
lexer's fault, words of other languages) to what is guessed (a missing comma), and ends in Unexpected. A rule asks what
the table would accept and what is open on the stack; none of them shows a list of tokens.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Final

from kiln.lang.syntax import mistakes as m
from kiln.lang.syntax.situation import Situation
from kiln.lang.syntax.table import ParseTable
from kiln.lang.syntax.tokens import DECLARATION_WORDS, KEYWORDS, KIND, OPERAND_ENDS, OPERATORS, RESERVED, Tokens

_FOREIGN_WORDS: Final = {
    "and": "and is `&&`",
    "or": "or is `||`",
    "not": "not is `!`",
    "is": "equality is `==`",
    "elif": "write `else if`",
    "elsif": "write `else if`",
    "elseif": "write `else if`",
    "return": "there is no `return`: a function's value is its body, `fn f(x: Int) -> Int = x + 1;`",
    "def": "a function is `fn f(x: Int) -> Int = x + 1;`",
    "func": "a function is `fn f(x: Int) -> Int = x + 1;`",
    "function": "a function is `fn(x) => x + 1`",
    "lambda": "a function is `fn(x) => x + 1`",
    "var": "a name is bound with `let`, and keeps its value",
    "const": "a name is bound with `let`",
    "val": "a name is bound with `let`",
    "mut": "nothing changes once it is bound: leave `mut` out",
    "rec": "named functions may call themselves: leave `rec` out",
    "inherit": "write the name alone, `{ name }`, or `..record` for all of its fields",
    "case": "a choice is `match x { Some(y) => y, None => 0 }`",
    "switch": "a choice is `match x { Some(y) => y, None => 0 }`",
    "while": "there are no loops: use `[f(x) for x in xs]` or `fold`",
    "do": "there are no statements: a body is one expression, with `let p = e; …` before it",
}
_FOREIGN_DECLARATIONS: Final = {
    "def": "fn", "func": "fn", "function": "fn", "fun": "fn", "const": "let", "var": "let", "val": "let",
    "struct": "type", "enum": "type", "data": "type", "record": "type", "class": "type", "interface": "type",
    "use": "import", "include": "import", "require": "import", "from": "import", "load": "import",
    "package": "set", "public": "pub", "export": "pub", "assert": "test",
}  # fmt: skip
_CLOSING: Final = (")", "]", "}", "_HOLE_END")


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
        return m.Unexpected(s.start, s.end, "`type`, `fn`, `let` or `set`", _words(s, s.index), "behind `pub`")
    word = s.spelling(s.index)
    nearest = _FOREIGN_DECLARATIONS.get(word) or next(iter(difflib.get_close_matches(word, DECLARATION_WORDS, 1)), "")
    return m.NotADeclaration(s.start, s.end, word, "" if nearest == word else nearest)


def _behind_the_end(s: Situation) -> m.Mistake | None:
    if not s.accepts("$END"):
        return None
    if s.found in _CLOSING:
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
        return _unclosed(s)
    if s.accepts(";"):
        return m.MissingSeparator(s.before_end, s.before_end, ";", "a declaration", s.start, s.end)
    return None


# ---- other languages ----------------------------------------------------------------------------


def _foreign(s: Situation) -> m.Mistake | None:
    if s.found == "null":
        return m.ForeignSyntax(s.start, s.end, "null", "there is no null: what may be absent is an `Option`, `None`")
    if s.found == "in" and s.accepts(";"):
        return m.ForeignSyntax(s.start, s.end, "in", "a `;` parts a `let` from what it is for: `let x = 1; x + 1`")
    for index in (s.index, s.index - 1):
        word = s.spelling(index) if index >= 0 and s.tokens.name(index) == "NAME" else ""
        if word in _FOREIGN_WORDS and (index == s.index or s.side_by_side):
            return m.ForeignSyntax(s.tokens.starts[index], s.tokens.ends[index], word, _FOREIGN_WORDS[word])
    return None


def _dots(s: Situation) -> m.Mistake | None:
    if s.found in (".", "..") and s.before in (".", "..") and s.before_end == s.start:
        return m.ForeignSyntax(s.start - len(s.before), s.end, "...", "a spread is written `..xs`")
    if s.found == "INT" and s.before == ".":
        return m.ForeignSyntax(
            s.start - 1, s.end, f".{s.spelling(s.index)}", "there are no tuples: a record has named fields"
        )
    if s.found == ".." and s.operand and s.item not in ("list_item", "field"):
        return m.ForeignSyntax(s.start, s.end, "..", "a spread stands in a list, `[..xs]`, or in a record, `{..r}`")
    return None


def _edit_sign(s: Situation) -> m.Mistake | None:
    if s.found == "+=" and s.before in OPERAND_ENDS | {"KEYLABEL"}:
        return m.ForeignSyntax(
            s.start, s.end, "+=", "`+=` stands in `with { xs += [x] }` alone; sums are `+`, lists `++`"
        )
    return None


# ---- one sign for another -----------------------------------------------------------------------


def _equals(s: Situation) -> m.Mistake | None:
    if s.found != "=":
        return None
    if s.item in ("param", "row_item", "type_param") and _item_is_optional(s):
        return m.OptionalWithDefault(s.start, s.end, "parameter" if s.item == "param" else "field")
    if s.item == "param" and s.before == "NAME":
        return m.DefaultWithoutType(s.start, s.end, s.spelling(s.index - 1))
    if s.item in ("row_item", "type_param"):
        return m.WrongSign(s.start, s.end, "=", ":", "a type", "{ name: Str }")
    if s.item in ("arg", "field") and s.before == "UNAME":
        return _case(s, s.index - 1, "a label", upper=False)
    if s.accepts("=>"):
        where = (
            "the arm of a match"
            if s.item == "arm"
            else "an entry of a map"
            if s.item == "list_item"
            else "a function"
        )
        return m.WrongSign(
            s.start,
            s.end,
            "=",
            "=>",
            where,
            {"a function": "fn(x) => x + 1", "the arm of a match": "None => 0"}.get(where, '["a" => 1]'),
        )
    if s.accepts("CMP") or s.accepts("AND"):
        return m.SingleEquals(s.start, s.end)
    return None


def _item_is_optional(s: Situation) -> bool:
    """Whether the present item of the innermost bracket began with `name?:`."""
    first = s.frame.token + 1 if s.frame is not None else 0
    item = [s.tokens.name(index) for index in range(first, s.index)]
    while "," in item:
        item = item[item.index(",") + 1 :]
    return "_QCOLON" in item


def _colon(s: Situation) -> m.Mistake | None:
    if s.found not in (":", "_QCOLON"):
        return None
    if s.accepts("then") or s.accepts("else"):
        wanted = "then" if s.accepts("then") else "else"
        return m.WrongSign(s.start, s.end, ":", wanted, "an `if`", "if a then b else c")
    wanted = "=" if s.found == ":" else "? ="
    match s.item:
        case "arm":
            return m.WrongSign(s.start, s.end, ":", "=>", "the arm of a match", "None => 0")
        case "list_item":
            return m.WrongSign(s.start, s.end, ":", "=>", "a map", '["a" => 1]')
        case "field":
            return m.WrongSign(s.start, s.end, s.spelling(s.index), wanted, "a record", '{ name = "x" }')
        case "edit":
            return m.WrongSign(s.start, s.end, s.spelling(s.index), wanted, "an edit", 'with { version = "2" }')
        case "arg":
            return m.WrongSign(s.start, s.end, s.spelling(s.index), wanted, "an argument", 'f(name = "x")')
        case "pattern_arg" | "pattern_field":
            return m.WrongSign(s.start, s.end, ":", "=", "a pattern", "{ name = n }")
        case _:
            return None


def _arrow(s: Situation) -> m.Mistake | None:
    if s.found == "->" and s.accepts("=>"):
        where, example = ("the arm of a match", "None => 0") if s.item == "arm" else ("a function", "fn(x) => x + 1")
        return m.WrongSign(s.start, s.end, "->", "=>", where, example)
    if s.found == "=>":
        if s.accepts("="):
            where, example = (
                ("a record", "{ a = 1 }") if s.item else ("a declaration", "fn f(x: Int) -> Int = x + 1;")
            )
            return m.WrongSign(s.start, s.end, "=>", "=", where, example)
        if s.item == "field":
            return m.WrongSign(s.start, s.end, "=>", "=", "a record", "{ a = 1 }")
        if s.accepts("->"):
            return m.WrongSign(s.start, s.end, "=>", "->", "the type of a function", "fn(Int) -> Int")
    if s.found == "{" and s.accepts("=") and not s.frame:
        return m.WrongSign(s.start, s.end, "{", "=", "a function", "fn f(x: Int) -> Int = x + 1;")
    if s.found == "{" and s.accepts("=>"):
        return m.WrongSign(s.start, s.end, "{", "=>", "a function", "fn(x) => x + 1")
    return None


def _quoted_label(s: Situation) -> m.Mistake | None:
    if s.found in ("STRING", "STR_BEGIN") and s.item == "field" and s.before in ("{", ","):
        instead = 'a field\'s name stands without quotes; a map is `["k" => v]`'
        return m.ForeignSyntax(s.start, s.end, s.spelling(s.index), instead)
    return None


def _separator(s: Situation) -> m.Mistake | None:
    if s.found == ";" and s.frame is not None and s.frame.separator != ";":
        finished = s.before in OPERAND_ENDS or s.before == ","
        if finished and s.frame.separator and s.closes_later(s.frame):
            return m.WrongSign(s.start, s.end, ";", ",", s.frame.where, "")
        if finished:
            return _unclosed(s)
    if s.found == "," and s.accepts(";"):
        keyword, _ = s.keyword
        where = "a `let` and what it is for" if keyword == "let" and s.frame else s.frame.where if s.frame else ""
        return m.WrongSign(s.start, s.end, ",", ";", where or "a declaration", "")
    return None


# ---- brackets -----------------------------------------------------------------------------------


def _unclosed(s: Situation) -> m.Mistake | None:
    frame = s.frame
    if frame is None:
        return None
    start, end = s.tokens.starts[frame.token], s.tokens.ends[frame.token]
    found = "" if s.found == "$END" else s.spelling(s.index)
    at, to = (s.before_end, s.before_end) if s.found == "$END" else (s.start, s.end)
    return m.UnclosedBracket(start, end, frame.opener, frame.closer, found, at, to)


def _bracket(s: Situation) -> m.Mistake | None:
    if s.found in _CLOSING:
        if s.frame is None:
            return m.StrayCloser(s.start, s.end, s.spelling(s.index))
        return _unclosed(s) if s.frame.closer != s.spelling(s.index) else None
    return _unclosed(s) if s.found == "$END" else None


# ---- branches -----------------------------------------------------------------------------------


def _branch(s: Situation) -> m.Mistake | None:
    if s.accepts("then"):
        return m.MissingThen(s.start, s.end, s.tokens.starts[s.keyword[1]])
    if s.accepts("else") and s.keyword[0] == "then" and s.before in OPERAND_ENDS:
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


# ---- names --------------------------------------------------------------------------------------


def _reserved(s: Situation) -> m.Mistake | None:
    word = s.spelling(s.index)
    if word not in RESERVED or not s.accepts("NAME"):
        return None
    if s.operand and word in ("then", "else", "in", "with", "for", "if", "let", "fn", "assert"):
        return None
    pun = s.item in ("field", "pattern_field") and s.behind in (",", "}")
    return m.ReservedWord(s.start, s.end, word, pun)


_NAMED_BY: Final = {
    "fn": "a function", "let": "a value", "type": "a type", "set": "a set", "|": "a variant", "as": "a module's alias",
    "extends": "a set", "for": "a variable",
}  # fmt: skip
_NAMED_IN: Final = {
    "param": "a parameter", "field": "a field", "row_item": "a field", "edit": "a field", "member": "a member",
    "pattern_field": "a field", "commas{name}": "a type parameter", "arg": "a label",
}  # fmt: skip


def _wrong_case(s: Situation) -> m.Mistake | None:
    if s.found == "UNAME" and s.accepts("NAME"):
        return _case(s, s.index, _NAMED_BY.get(s.before) or _NAMED_IN.get(s.item, "this"), upper=False)
    if s.found in ("NAME", "KEYLABEL") and s.accepts("UNAME") and not s.accepts("NAME"):
        what = _NAMED_BY.get(s.before, "a constraint" if s.before == ":" else "this")
        return _case(s, s.index, what, upper=True)
    return None


def _case(s: Situation, index: int, what: str, *, upper: bool) -> m.WrongCase:
    name = s.spelling(index)
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[0-9]+", name)
    suggestion = "".join(word[:1].upper() + word[1:].lower() for word in words)
    if not upper:
        suggestion = "_".join(word.lower() for word in words)
    if suggestion in KEYWORDS or not suggestion[:1].isalpha():
        suggestion = ""
    return m.WrongCase(s.tokens.starts[index], s.tokens.ends[index], name, what, upper, suggestion)


def _variants(s: Situation) -> m.Mistake | None:
    if s.found == "|" and s.declaration == "type" and s.frame is None:
        equals = next((i for i in range(s.index) if s.tokens.name(i) == "="), s.index)
        return m.VariantsWithoutBar(s.start, s.end, s.tokens.starts[equals + 1])
    return None


# ---- what is missing ----------------------------------------------------------------------------


def _missing_separator(s: Situation) -> m.Mistake | None:
    if s.found == "$END" and s.accepts(";"):
        return m.MissingSeparator(s.before_end, s.before_end, ";", "a declaration", s.before_end, s.before_end)
    begins = s.side_by_side or (s.found in ("DOC", "|") and s.before in OPERAND_ENDS)
    if not begins and not (s.found == "MINUS" and s.before in OPERAND_ENDS):
        return None
    if s.frame is not None and s.accepts(","):
        return m.MissingSeparator(s.before_end, s.before_end, ",", s.frame.where, s.start, s.end)
    if s.accepts(";") and s.new_line:
        where = "a `let`" if s.keyword[0] == "let" else s.frame.where if s.frame else "a declaration"
        return m.MissingSeparator(s.before_end, s.before_end, ";", where, s.start, s.end)
    if s.before in ("NAME", "UNAME") and not s.new_line and s.accepts("("):
        return m.CallWithoutParentheses(s.start, s.end, s.spelling(s.index - 1), s.spelling(s.index))
    return None


def _documentation(s: Situation) -> m.Mistake | None:
    return m.DocMisplaced(s.start, s.end) if s.found == "DOC" else None


# ---- the rest -----------------------------------------------------------------------------------

_SIGNS: Final = ("=", "then", "else", "in", "as", "from", "fn", "=>", "->", "(", "{", ":", ";", ",", ")", "]", "}")


def _unexpected(s: Situation) -> m.Unexpected:
    return m.Unexpected(s.start, s.end, _wanted(s), _words(s, s.index), _where(s))


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
    return next((f"`{sign}`" for sign in _SIGNS if s.accepts(sign)), "something else")


def _where(s: Situation) -> str:
    if s.index == 0:
        return ""
    if s.before in KIND and s.spelling(s.index - 1):
        return f"behind `{s.spelling(s.index - 1)}`" if len(s.spelling(s.index - 1)) <= 40 else ""
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
    _lexical,
    _not_a_declaration,
    _behind_the_end,
    _next_declaration,
    _foreign,
    _dots,
    _edit_sign,
    _equals,
    _colon,
    _arrow,
    _quoted_label,
    _separator,
    _bracket,
    _branch,
    _conditional_item,
    _parentheses,
    _comparison,
    _reserved,
    _wrong_case,
    _variants,
    _missing_separator,
    _documentation,
)


# ---- files --------------------------------------------------------------------------------------


def stray_text(preamble: str, at: int) -> m.Mistake:
    """The mistake at the first thing in a file that isn't a comment and doesn't stand in column 0."""
    if preamble[at] in ")]}":
        return m.StrayCloser(at, at + 1, preamble[at])
    word = re.compile(r"\w+|.").match(preamble, at)
    text = word[0] if word is not None else preamble[at]
    if text in DECLARATION_WORDS:
        return m.IndentedDeclaration(at, at + len(text), text)
    return m.NotADeclaration(at, at + len(text), text, "")


def is_continuation(text: str, at: int) -> bool:
    """Whether what stands in column 0 at `at` can't begin a declaration, and so was meant to go on with the one before."""
    word = re.compile(r"[A-Za-z_]*").match(text, at)
    return word is None or (word[0] not in DECLARATION_WORDS and not text.startswith("##", at))

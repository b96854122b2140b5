"""Rules of diagnose.py about signs: those of other languages, one in the place of another, brackets without a
pair."""

from __future__ import annotations

from typing import Final

from kiln.lang.syntax import mistakes as m
from kiln.lang.syntax import names
from kiln.lang.syntax.situation import Situation
from kiln.lang.syntax.tokens import OPERAND_ENDS

CLOSING: Final = (")", "]", "}", "_HOLE_END")
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
    "try": "nothing is caught: what may be absent is an `Option`, and `match` takes it apart",
    "await": "nothing is waited for: outputs are named, and made when they are asked for",
    "new": "a value is made by its constructor alone: `Circle(1)`",
    "mod": "the remainder is `%`",
    "div": "`/` divides, and rounds down",
    "while": "there are no loops: use `[f(x) for x in xs]` or `fold`",
    "do": "there are no statements: a body is one expression, with `let p = e; …` before it",
}

# ---- other languages ----------------------------------------------------------------------------


def foreign(s: Situation) -> m.Mistake | None:
    if s.found == "null":
        return m.ForeignSyntax(s.start, s.end, "null", "there is no null: what may be absent is an `Option`, `None`")
    if s.found == "for" and s.operand:
        instead = "there are no loops: a list is made from another by `[f(x) for x in xs]`"
        return m.ForeignSyntax(s.start, s.end, "for", instead)
    if s.found == "in" and s.accepts(";"):
        return m.ForeignSyntax(s.start, s.end, "in", "a `;` ends the `let` before what it is for: `let x = 1; x + 1`")
    for index in (s.index, s.index - 1):
        word = s.spelling(index) if index >= 0 and s.tokens.name(index) == "NAME" else ""
        if word in _FOREIGN_WORDS and (index == s.index or s.side_by_side):
            return m.ForeignSyntax(s.tokens.starts[index], s.tokens.ends[index], word, _FOREIGN_WORDS[word])
    return None


def dots(s: Situation) -> m.Mistake | None:
    if s.found in (".", "..") and s.before in (".", "..") and s.before_end == s.start:
        return m.ForeignSyntax(s.start - len(s.before), s.end, "...", "a spread is written `..xs`")
    if s.found == "INT" and s.before == ".":
        return m.ForeignSyntax(
            s.start - 1, s.end, f".{s.spelling(s.index)}", "there are no tuples: a record has named fields"
        )
    if s.found == "." and s.item == "field":
        instead = "a path stands after `with`; a record in a record is written out: `{ a = { b = 1 } }`"
        return m.ForeignSyntax(s.start, s.end, ".", instead)
    if s.found == "," and s.frame is not None and s.frame.where == "parentheses" and s.accepts(")"):
        return m.ForeignSyntax(
            s.start, s.end, "(a, b)", "there are no tuples: a record has named fields, `{ a = 1, b = 2 }`"
        )
    if s.found == ".." and s.operand and s.item not in ("list_item", "field"):
        return m.ForeignSyntax(s.start, s.end, "..", "a spread stands in a list, `[..xs]`, or in a record, `{..r}`")
    return None


def edit_sign(s: Situation) -> m.Mistake | None:
    if s.found == "+=" and s.before in OPERAND_ENDS | {"KEYLABEL"}:
        return m.ForeignSyntax(
            s.start, s.end, "+=", "`+=` stands in `with { xs += [x] }` alone; sums are `+`, lists `++`"
        )
    return None


# ---- one sign for another -----------------------------------------------------------------------


def equals(s: Situation) -> m.Mistake | None:
    if s.found == "_OPTEQ" and s.accepts("="):
        return m.ForeignSyntax(s.start, s.start + 1, "?", "an optional type is `Option(T)`")
    if s.found != "=":
        return None
    if s.item in ("param", "row_item", "type_param") and _item_is_optional(s):
        return m.OptionalWithDefault(s.start, s.end, "parameter" if s.item == "param" else "field")
    if s.item == "param" and s.before == "NAME":
        return m.DefaultWithoutType(s.start, s.end, s.spelling(s.index - 1))
    if s.item in ("row_item", "type_param"):
        return m.WrongSign(s.start, s.end, "=", ":", "a type", "{ name: Str }")
    if s.item in ("arg", "field") and s.before == "UNAME":
        return names.case(s, s.index - 1, "a label", upper=False)
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
    first = s.frame.token if s.frame is not None else 0
    for index in range(s.index - 1, first, -1):
        if s.tokens.name(index) in (",", "_QCOLON"):
            return s.tokens.name(index) == "_QCOLON"
    return False


def colon(s: Situation) -> m.Mistake | None:
    if s.found not in (":", "_QCOLON"):
        return None
    if s.accepts("->"):
        return m.WrongSign(s.start, s.end, ":", "->", "the result of a function", "fn f(x: Int) -> Int")
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


def arrow(s: Situation) -> m.Mistake | None:
    if s.found == "->" and s.item == "param" and s.frame is not None and s.accepts(s.frame.closer):
        return unclosed(s)
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


def quoted_label(s: Situation) -> m.Mistake | None:
    if s.found in ("STRING", "STR_BEGIN") and s.item == "field" and s.before in ("{", ","):
        instead = 'a field\'s name stands without quotes; a map is `["k" => v]`'
        return m.ForeignSyntax(s.start, s.end, s.spelling(s.index), instead)
    return None


def separator(s: Situation) -> m.Mistake | None:
    if s.found == ";" and s.frame is not None and s.frame.separator != ";":
        finished = s.before in OPERAND_ENDS or s.before == ","
        if finished and s.frame.separator and s.closes_later(s.frame):
            return m.WrongSign(s.start, s.end, ";", ",", s.frame.where, "")
        if finished:
            return unclosed(s)
    if s.found == "," and s.accepts(";"):
        where = "a `let`" if s.keyword == "let" else s.frame.where if s.frame else ""
        return m.WrongSign(s.start, s.end, ",", ";", where or "a declaration", "")
    return None


# ---- brackets -----------------------------------------------------------------------------------


def unclosed(s: Situation) -> m.Mistake | None:
    frame = s.frame
    if frame is None:
        return None
    start, end = s.tokens.starts[frame.token], s.tokens.ends[frame.token]
    found = "" if s.found == "$END" else s.spelling(s.index)
    at, to = (s.before_end, s.before_end) if s.found == "$END" else (s.start, s.end)
    return m.UnclosedBracket(start, end, frame.opener, frame.closer, found, at, to)


def bracket(s: Situation) -> m.Mistake | None:
    if s.found in CLOSING:
        if s.frame is None:
            return m.StrayCloser(s.start, s.end, s.spelling(s.index))
        return unclosed(s) if s.frame.closer != s.spelling(s.index) else None
    in_hole = s.frame is not None and s.frame.opener == "%{" and s.before in OPERAND_ENDS
    if in_hole and s.found in ("STRING", "STR_BEGIN") and not s.new_line and s.frame is not None:
        hole = s.tokens.starts[s.frame.token]
        return m.UnclosedHole(hole, hole + 2, s.start)
    return unclosed(s) if s.found == "$END" else None

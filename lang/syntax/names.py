"""Rules of diagnose.py about names: reserved words, capitals and small letters."""

from __future__ import annotations

import re
from typing import Final

from kiln.lang.syntax import mistakes as m
from kiln.lang.syntax.situation import Situation
from kiln.lang.syntax.tokens import KEYWORDS, RESERVED


def reserved(s: Situation) -> m.Mistake | None:
    word = s.spelling(s.index)
    if word not in RESERVED or not s.accepts("NAME"):
        return None
    if s.operand and word in ("then", "else", "in", "with", "for", "if", "let", "fn", "assert"):
        return None
    pun = s.item in ("field", "pattern_field") and s.behind in (",", "}")
    return m.ReservedWord(s.start, s.end, word, pun)


_NAMED_BY: Final = {
    "fn": "a function", "let": "a value", "type": "a type", "set": "a set", "|": "a variant",
    "as": "a module's alias", "extends": "a set", "for": "a variable",
}  # fmt: skip
_NAMED_IN: Final = {
    "param": "a parameter", "field": "a field", "row_item": "a field", "edit": "a field", "member": "a member",
    "pattern_field": "a field", "commas{name}": "a type parameter", "arg": "a label",
}  # fmt: skip


def wrong_case(s: Situation) -> m.Mistake | None:
    if s.found == "UNAME" and s.accepts("NAME"):
        return case(s, s.index, _NAMED_BY.get(s.before) or _NAMED_IN.get(s.item, "this"), upper=False)
    if s.found in ("NAME", "KEYLABEL") and s.accepts("UNAME") and not s.accepts("NAME"):
        what = _NAMED_BY.get(s.before, "a constraint" if s.before == ":" else "this")
        return case(s, s.index, what, upper=True)
    return None


def case(s: Situation, index: int, what: str, *, upper: bool) -> m.WrongCase:
    name = s.spelling(index)
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[0-9]+", name)
    suggestion = "".join(word[:1].upper() + word[1:].lower() for word in words)
    if not upper:
        suggestion = "_".join(word.lower() for word in words)
    if suggestion in KEYWORDS or not suggestion[:1].isalpha():
        suggestion = ""
    return m.WrongCase(s.tokens.starts[index], s.tokens.ends[index], name, what, upper, suggestion)

"""A signature in pieces: its words as they stand, those that name a type with where that is declared."""

from __future__ import annotations

from typing import Literal, NamedTuple

from kiln.lang.core import ModuleId
from kiln.lang.syntax.lexer import lex
from kiln.lang.syntax.tokens import KEYWORDS, KIND
from kiln.pages.module import Names

_KEYWORDS = frozenset(KIND[word] for word in KEYWORDS)


class Piece(NamedTuple):
    """`target` is the module and the name of a declared type."""

    text: str
    kind: Literal["plain", "keyword", "type", "comment"]
    target: tuple[ModuleId, str] | None = None


def pieces(signature: str, names: Names) -> list[Piece]:
    """The signature in pieces that make it up again."""
    tokens = lex(signature)
    found: list[Piece] = []
    at = 0
    for place, kind in enumerate(tokens.kinds):
        start, end = tokens.starts[place], tokens.ends[place]
        if start > at:
            between = signature[at:start]
            found.append(Piece(between, "comment" if "#" in between else "plain"))
        text = signature[start:end]
        if kind == KIND["UNAME"]:
            found.append(Piece(text, "type", _target(tokens.values, tokens.kinds, place, names)))
        else:
            found.append(Piece(text, _kind(kind)))
        at = end
    return [piece for piece in found if piece.text]


def _kind(kind: int) -> Literal["plain", "keyword", "comment"]:
    if kind == KIND["DOC"]:
        return "comment"
    return "keyword" if kind in _KEYWORDS else "plain"


def _target(values: list[object], kinds: list[int], place: int, names: Names) -> tuple[ModuleId, str] | None:
    name = str(values[place])
    if place > 1 and kinds[place - 1] == KIND["."] and kinds[place - 2] == KIND["NAME"]:
        name = f"{values[place - 2]}.{name}"
    return names.types.get(name)

"""What can be wrong with the text of a declaration: one value a mistake.

Every mistake has the place that its error points at, `start` to before `end`, counted like the places of nodes from
the start of the declaration's chunk, so that a mistake is a function of the chunk's text too. What is said about it
is in messages.py alone. A field that ends in `_at` is the offset of a second place, shown beside the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Unexpected:
    """Nothing more special is known: `wanted` and `found` are in words; `where` (it is behind what?) and `advice`
    may be ""."""

    start: int
    end: int
    wanted: str
    found: str
    where: str
    advice: str


@dataclass(frozen=True, slots=True)
class MissingSeparator:
    """`start` is the end of the token before, `where` what `,` or `;` would part; `next_at` where the next line
    goes on.

    `next_at` is `next_end` where that is on the same line.
    """

    start: int
    end: int
    separator: str
    where: str
    next_at: int
    next_end: int


@dataclass(frozen=True, slots=True)
class CallWithoutParentheses:
    """`f x`: two operands side by side on one line."""

    start: int
    end: int
    fn: str
    arg: str


@dataclass(frozen=True, slots=True)
class UnclosedBracket:
    """`start` is the opener's; `found` stands at `found_at` where `closer` was wanted, "" at the end."""

    start: int
    end: int
    opener: str
    closer: str
    found: str
    found_at: int
    found_end: int


@dataclass(frozen=True, slots=True)
class StrayCloser:
    start: int
    end: int
    closer: str


@dataclass(frozen=True, slots=True)
class UnclosedString:
    """`at_end` is whether its text reaches to the end of the declaration, not only of a line."""

    start: int
    end: int
    quotes: str
    at_end: bool


@dataclass(frozen=True, slots=True)
class UnclosedHole:
    start: int
    end: int
    found_at: int


@dataclass(frozen=True, slots=True)
class ShellHole:
    """`${inner}` in a plain string."""

    start: int
    end: int
    inner: str


@dataclass(frozen=True, slots=True)
class SingleEquals:
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WrongSign:
    """`found` where `wanted` is written in Kiln; `where` names the construct, `example` shows it."""

    start: int
    end: int
    found: str
    wanted: str
    where: str
    example: str


@dataclass(frozen=True, slots=True)
class MissingElse:
    """`if_at` is where the `if` begins."""

    start: int
    end: int
    if_at: int


@dataclass(frozen=True, slots=True)
class MissingThen:
    start: int
    end: int
    if_at: int


@dataclass(frozen=True, slots=True)
class UnknownEscape:
    start: int
    end: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReservedWord:
    """`pun` is set where a record's `{type}` would have to bind the word."""

    start: int
    end: int
    word: str
    pun: bool


@dataclass(frozen=True, slots=True)
class WrongCase:
    """`what` needs a name that begins with a capital (`upper`) or not; `suggestion` is the name so written."""

    start: int
    end: int
    name: str
    what: str
    upper: bool
    suggestion: str


@dataclass(frozen=True, slots=True)
class SingleQuotes:
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class ForeignComment:
    start: int
    end: int
    sign: str


@dataclass(frozen=True, slots=True)
class ForbiddenCharacter:
    start: int
    end: int
    char: str


@dataclass(frozen=True, slots=True)
class NotUtf8:
    """`found` is the bytes in hexadecimal."""

    start: int
    end: int
    found: str


@dataclass(frozen=True, slots=True)
class StrayCharacter:
    """A character that begins no token; `advice` is a sentence, or ""."""

    start: int
    end: int
    char: str
    advice: str


@dataclass(frozen=True, slots=True)
class BadNumber:
    start: int
    end: int
    text: str
    reason: str
    advice: str


@dataclass(frozen=True, slots=True)
class NotADeclaration:
    """The first word of a chunk begins no declaration; `nearest` is a word that would, or ""."""

    start: int
    end: int
    word: str
    nearest: str


@dataclass(frozen=True, slots=True)
class StringAtColumn0:
    """`string_at` is where the string begins."""

    start: int
    end: int
    string_at: int


@dataclass(frozen=True, slots=True)
class IndentedDeclaration:
    start: int
    end: int
    word: str


@dataclass(frozen=True, slots=True)
class SecondDeclaration:
    """More text behind the end of a declaration."""

    start: int
    end: int
    found: str


@dataclass(frozen=True, slots=True)
class ForeignSyntax:
    """Another language's way to say it; `instead` says Kiln's."""

    start: int
    end: int
    found: str
    instead: str


@dataclass(frozen=True, slots=True)
class DocMisplaced:
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DocBehind:
    """A `##` comment behind code on its line."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MixedIndentation:
    """Lines of a string in three quotes whose least indented one isn't the beginning of all others."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class HoleInConstant:
    start: int
    end: int
    what: str


@dataclass(frozen=True, slots=True)
class TagOnConstant:
    start: int
    end: int
    tag: str
    what: str


@dataclass(frozen=True, slots=True)
class UnknownTag:
    start: int
    end: int
    tag: str
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SecondSpread:
    start: int
    end: int
    first_at: int
    first_end: int
    where: str


@dataclass(frozen=True, slots=True)
class RestNotLast:
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class BadRowRest:
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class OverlayEdit:
    start: int
    end: int
    member: str
    super_name: str


@dataclass(frozen=True, slots=True)
class ChainedComparison:
    start: int
    end: int
    op: str


@dataclass(frozen=True, slots=True)
class NeedsParentheses:
    start: int
    end: int
    word: str
    before: str


@dataclass(frozen=True, slots=True)
class DefaultWithoutType:
    start: int
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class OptionalWithDefault:
    start: int
    end: int
    where: str


@dataclass(frozen=True, slots=True)
class ConditionalItem:
    """`[x if c]`: a comprehension begins with `for`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class VariantsWithoutBar:
    """`type T = A | B`."""

    start: int
    end: int
    first_at: int


Mistake: TypeAlias = (
    Unexpected | MissingSeparator | CallWithoutParentheses | UnclosedBracket | StrayCloser | UnclosedString
    | UnclosedHole | ShellHole | SingleEquals | WrongSign | MissingElse | MissingThen | UnknownEscape | ReservedWord
    | WrongCase | SingleQuotes | ForeignComment | ForbiddenCharacter | NotUtf8 | StrayCharacter | BadNumber
    | NotADeclaration | StringAtColumn0 | IndentedDeclaration | SecondDeclaration | ForeignSyntax | DocMisplaced
    | DocBehind | HoleInConstant | TagOnConstant | UnknownTag | SecondSpread | RestNotLast | BadRowRest | OverlayEdit
    | ChainedComparison | NeedsParentheses | DefaultWithoutType | OptionalWithDefault | ConditionalItem
    | VariantsWithoutBar | MixedIndentation
)  # fmt: skip

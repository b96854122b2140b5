"""What can be wrong with the text of a declaration: one value a mistake.

Every mistake has the place that its error points at, `start` to before `end`, counted like the places of nodes from
the start of the declaration's chunk, so that a mistake is a function of the chunk's text too. What is said about it
is in messages.py alone. A field that ends in `_at` is the offset of a second place, shown beside the first.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class Unexpected(NamedTuple):
    """Nothing more special is known: `wanted` and `found` are in words; `where` (it is behind what?) and `advice`
    may be ""."""

    start: int
    end: int
    wanted: str
    found: str
    where: str
    advice: str


class MissingSeparator(NamedTuple):
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


class CallWithoutParentheses(NamedTuple):
    """`f x`: two operands side by side on one line."""

    start: int
    end: int
    fn: str
    arg: str


class UnclosedBracket(NamedTuple):
    """`start` is the opener's; `found` stands at `found_at` where `closer` was wanted, "" at the end."""

    start: int
    end: int
    opener: str
    closer: str
    found: str
    found_at: int
    found_end: int


class StrayCloser(NamedTuple):
    start: int
    end: int
    closer: str


class UnclosedString(NamedTuple):
    """`at_end` is whether its text reaches to the end of the declaration, not only of a line."""

    start: int
    end: int
    quotes: str
    at_end: bool


class UnclosedHole(NamedTuple):
    start: int
    end: int
    found_at: int


class ShellHole(NamedTuple):
    """`${inner}` in a plain string."""

    start: int
    end: int
    inner: str


class SingleEquals(NamedTuple):
    start: int
    end: int


class WrongSign(NamedTuple):
    """`found` where `wanted` is written in Kiln; `where` names the construct, `example` shows it."""

    start: int
    end: int
    found: str
    wanted: str
    where: str
    example: str


class MissingElse(NamedTuple):
    """`if_at` is where the `if` begins."""

    start: int
    end: int
    if_at: int


class MissingThen(NamedTuple):
    start: int
    end: int
    if_at: int


class UnknownEscape(NamedTuple):
    start: int
    end: int
    text: str
    reason: str


class ReservedWord(NamedTuple):
    """`pun` is set where a record's `{type}` would have to bind the word."""

    start: int
    end: int
    word: str
    pun: bool


class WrongCase(NamedTuple):
    """`what` needs a name that begins with a capital (`upper`) or not; `suggestion` is the name so written."""

    start: int
    end: int
    name: str
    what: str
    upper: bool
    suggestion: str


class SingleQuotes(NamedTuple):
    start: int
    end: int
    text: str


class ForeignComment(NamedTuple):
    start: int
    end: int
    sign: str


class ForbiddenCharacter(NamedTuple):
    start: int
    end: int
    char: str


class NotUtf8(NamedTuple):
    """`found` is the bytes in hexadecimal."""

    start: int
    end: int
    found: str


class StrayCharacter(NamedTuple):
    """A character that begins no token; `advice` is a sentence, or ""."""

    start: int
    end: int
    char: str
    advice: str


class BadNumber(NamedTuple):
    start: int
    end: int
    text: str
    reason: str
    advice: str


class NotADeclaration(NamedTuple):
    """The first word of a chunk begins no declaration; `nearest` is a word that would, or ""."""

    start: int
    end: int
    word: str
    nearest: str


class StringAtColumn0(NamedTuple):
    """`string_at` is where the string begins."""

    start: int
    end: int
    string_at: int


class IndentedDeclaration(NamedTuple):
    start: int
    end: int
    word: str


class SecondDeclaration(NamedTuple):
    """More text behind the end of a declaration."""

    start: int
    end: int
    found: str


class ForeignSyntax(NamedTuple):
    """Another language's way to say it; `instead` says Kiln's."""

    start: int
    end: int
    found: str
    instead: str


class DocMisplaced(NamedTuple):
    start: int
    end: int


class DocBehind(NamedTuple):
    """A `##` comment behind code on its line."""

    start: int
    end: int


class MixedIndentation(NamedTuple):
    """Lines of a string in three quotes whose least indented one isn't the beginning of all others."""

    start: int
    end: int


class HoleInConstant(NamedTuple):
    start: int
    end: int
    what: str


class TagOnConstant(NamedTuple):
    start: int
    end: int
    tag: str
    what: str


class UnknownTag(NamedTuple):
    start: int
    end: int
    tag: str
    known: tuple[str, ...]


class SecondSpread(NamedTuple):
    start: int
    end: int
    first_at: int
    first_end: int
    where: str


class RestNotLast(NamedTuple):
    start: int
    end: int


class BadRowRest(NamedTuple):
    start: int
    end: int


class OverlayEdit(NamedTuple):
    start: int
    end: int
    member: str
    super_name: str


class ChainedComparison(NamedTuple):
    start: int
    end: int
    op: str


class NeedsParentheses(NamedTuple):
    start: int
    end: int
    word: str
    before: str


class DefaultWithoutType(NamedTuple):
    start: int
    end: int
    name: str


class OptionalWithDefault(NamedTuple):
    start: int
    end: int
    where: str


class ConditionalItem(NamedTuple):
    """`[x if c]`: a comprehension begins with `for`."""

    start: int
    end: int


class VariantsWithoutBar(NamedTuple):
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

"""Where the parser stood when it could go no further, for the rules of diagnose.py to ask about.

The tokens before the one that doesn't fit are parsed again without actions, so that the stack is the one of the last
token that did fit: on a wrong token LALR(1) may already have reduced a part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from kiln.lang.syntax.table import ACCEPT, ParseTable
from kiln.lang.syntax.tokens import CLOSERS, KIND, KINDS, OPENERS, OPERAND_ENDS, OPERAND_STARTS, Tokens

# The nonterminal that may come behind an opening bracket, what the bracket holds, and what parts its items.
_HOLDS: Final = (
    ("arm", "a match", ","),
    ("field", "a record", ","),
    ("edit", "the edits after `with`", ","),
    ("member", "a set", ";"),
    ("import_name", "an import", ","),
    ("arg", "the arguments of a call", ","),
    ("param", "the parameters", ","),
    ("type_param", "the parameters of a type", ","),
    ("row_item", "a record type", ","),
    ("pattern_arg", "a pattern", ","),
    ("pattern_field", "a record pattern", ","),
    ("pattern_item", "a list pattern", ","),
    ("list_item", "a list", ","),
    ("commas{type}", "the arguments of a type", ","),
    ("commas{name}", "the parameters of a type", ","),
)

_UNFINISHED: Final = ("if", "then", "else", "let", "fn", "assert", "for", "in", "test", "match")


class Frame(NamedTuple):
    """The innermost bracket that is open: its token, the nonterminal it holds, that in words, and the separator."""

    token: int
    opener: str
    closer: str
    item: str
    where: str
    separator: str


@dataclass
class Situation:
    """The parser's stack in front of the token at `index`, which doesn't fit. Kinds are given by their names."""

    table: ParseTable
    tokens: Tokens
    index: int
    text: str

    def __post_init__(self) -> None:
        self._states, self._first = self._replay()

    def _replay(self) -> tuple[list[int], list[int]]:
        """The states in front of the token, and the index of the first token of each symbol on the stack."""
        cells, productions = self.table.cells, self.table.productions
        states, first = [0], [0]
        for index in range(self.index):
            kind = self.tokens.kinds[index]
            while (cell := cells[states[-1] + kind]) < 0:
                production = productions[-cell]
                del states[-production.symbols :]
                del first[len(states) + 1 :]
                states.append(cells[states[-1] + production.target])
            states.append(cell)
            first.append(index)
        return states, first

    # ---- tokens ---------------------------------------------------------------------------------

    @property
    def found(self) -> str:
        return self.tokens.name(self.index)

    @property
    def before(self) -> str:
        return self.tokens.name(self.index - 1) if self.index else ""

    @property
    def behind(self) -> str:
        return self.tokens.name(self.index + 1) if self.index + 1 < len(self.tokens.kinds) else "$END"

    @property
    def start(self) -> int:
        return self.tokens.starts[self.index]

    @property
    def end(self) -> int:
        return self.tokens.ends[self.index]

    @property
    def before_end(self) -> int:
        return self.tokens.ends[self.index - 1] if self.index else 0

    def spelling(self, index: int) -> str:
        """A token as it is written."""
        return self.text[self.tokens.starts[index] : self.tokens.ends[index]]

    @cached_property
    def new_line(self) -> bool:
        """Whether the token is the first of its line."""
        line = self.text.rfind("\n", 0, self.start) + 1
        return not self.text[line : self.start].strip()

    @property
    def side_by_side(self) -> bool:
        """Whether an operand ends in front of the token and another begins with it."""
        return self.before in OPERAND_ENDS and (self.found in OPERAND_STARTS or self.found in ("KEYLABEL", ".."))

    # ---- the stack ------------------------------------------------------------------------------

    def accepts(self, name: str) -> bool:
        """Whether a token of this kind would fit here."""
        cells, productions = self.table.cells, self.table.productions
        kind = KIND[name]
        popped = len(self._states)  # how much of the stack is still the stack's; pushed states stand in `extra`
        extra: list[int] = []
        while True:
            top = extra[-1] if extra else self._states[popped - 1]
            cell = cells[top + kind]
            if cell >= 0 or cell == ACCEPT:
                return cell != 0
            production = productions[-cell]
            inside = min(production.symbols, len(extra))
            del extra[len(extra) - inside :]
            popped -= production.symbols - inside
            below = extra[-1] if extra else self._states[popped - 1]
            extra.append(cells[below + production.target])

    def wants(self, nonterminal: str) -> bool:
        """Whether the nonterminal may begin here."""
        return self.table.cells[self._states[-1] + self.table.symbols.index(nonterminal)] > 0

    @cached_property
    def operand(self) -> bool:
        return self.wants("atom")

    @cached_property
    def frame(self) -> Frame | None:
        for depth in self._open_symbols():
            kind = self._symbol(depth)
            if kind in OPENERS:
                return self._frame(self._states[depth], self._first[depth], kind)
        return None

    def _symbol(self, depth: int) -> int:
        return self.table.access[self._states[depth] // self.table.width]

    def _open_symbols(self) -> Iterator[int]:
        """Depths of the stack from the top, without what stands in brackets that are closed already."""
        closed = 0
        for depth in range(len(self._states) - 1, 0, -1):
            kind = self._symbol(depth)
            if kind in CLOSERS:
                closed += 1
            elif closed:
                closed -= kind in OPENERS
            else:
                yield depth

    def _frame(self, state: int, token: int, kind: int) -> Frame:
        opener, closer = self.spelling(token), KINDS[OPENERS[kind]].replace("_HOLE_END", "}")
        for item, where, separator in _HOLDS:
            if self.table.cells[state + self.table.symbols.index(item)] > 0:
                return Frame(token, opener, closer, item, where, separator)
        where = "a `%{…}` hole" if opener == "%{" else "parentheses"
        return Frame(token, opener, closer, "", where, "")

    @property
    def item(self) -> str:
        """The nonterminal that the innermost open bracket holds, "" outside brackets."""
        return self.frame.item if self.frame is not None else ""

    @cached_property
    def keyword(self) -> str:
        """The innermost keyword whose construct is unfinished, inside the innermost bracket; or ""."""
        for depth in self._open_symbols():
            kind = self._symbol(depth)
            if kind in OPENERS:
                break
            if self.table.symbols[kind] in _UNFINISHED:
                return self.table.symbols[kind]
        return ""

    def token_of(self, name: str) -> int:
        """The token of the innermost unfinished keyword of that name; the present one if there is none."""
        for depth in self._open_symbols():
            if self.table.symbols[self._symbol(depth)] == name:
                return self._first[depth]
        return self.index

    @property
    def declaration(self) -> str:
        """The declaration's own word."""
        for index in range(min(self.index + 1, len(self.tokens.kinds))):
            name = self.tokens.name(index)
            if name not in ("DOC", "PUB", "extern"):
                return name
        return ""

    def closes_later(self, frame: Frame) -> bool:
        """Whether the bracket's own closing one comes behind the token, all others between being in pairs."""
        depth = 0
        for kind in self.tokens.kinds[self.index + 1 :]:
            if kind in OPENERS:
                depth += 1
            elif kind in OPENERS.values():
                if depth == 0:
                    return KINDS[kind].replace("_HOLE_END", "}") == frame.closer
                depth -= 1
        return False

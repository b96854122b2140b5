"""From the grammar to the parse table, with lark; and `python -m kiln.lang.syntax.grammar`, which keeps the table.

The file's form is in table.py. Kiln itself runs on what is kept there, and needs nothing of this.
"""

from __future__ import annotations

import re
import sys
import zlib
from array import array
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from kiln.lang.syntax.table import (
    ACCEPT,
    GRAMMAR_PATH,
    HEAD,
    MAGIC,
    PASS,
    TABLE_PATH,
    ParseTable,
    Production,
    grammar_digest,
)
from kiln.lang.syntax.tokens import KIND, KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lark import Lark
    from lark.grammar import Rule


def build_lark(grammar: str) -> Lark:
    """lark's own object for a grammar; raises lark's GrammarError for any conflict."""
    from lark import Lark
    from lark.lexer import Lexer

    class NoLexer(Lexer):
        __future_interface__ = 1

        def __init__(self, _conf: object) -> None:
            pass

        def lex(self, _state: object, _parser_state: object) -> Iterator[Any]:
            return iter(())

    return Lark(grammar, parser="lalr", lexer=NoLexer, strict=True, maybe_placeholders=True)


def build(grammar: str) -> ParseTable:
    """Make the table. Its numbers depend on the grammar alone: lark's own order of states varies."""
    lark = build_lark(grammar)
    spelling = {t.name: str(t.pattern.value) if t.pattern is not None else t.name for t in lark.terminals}
    raw = lark.parser.parser._parse_table
    kind = {
        name: KIND[spelling.get(name, name)]
        for actions in raw.states.values()
        for name in actions
        if _is_terminal(name)
    }
    rules = sorted(
        {a[1] for acts in raw.states.values() for a in acts.values() if hasattr(a[1], "expansion")}, key=str
    )
    nonterminals = sorted({str(rule.origin.name) for rule in rules})
    column = kind | {name: len(KINDS) + i for i, name in enumerate(nonterminals)}
    width = len(KINDS) + len(nonterminals)
    number = {rule: i + 2 for i, rule in enumerate(rules)}
    order, access = _number_states(raw, column)
    cells = [0] * (width * len(order))
    for state, row in order.items():
        for name, (_, target) in raw.states[state].items():
            cell = -number[target] if hasattr(target, "expansion") else order[target] * width
            cells[row * width + column[name]] = cell
    cells[order[raw.end_states["start"]] * width + KIND["$END"]] = ACCEPT
    none = Production(0, 0, 0, PASS, ())
    productions = (none, none, *(_production(rule, column) for rule in rules))
    return ParseTable(cells, width, productions, (*KINDS, *nonterminals), access)


def _is_terminal(name: str) -> bool:
    return name == "$END" or name.isupper() or name.startswith("__ANON")


def _number_states(raw: Any, column: dict[str, int]) -> tuple[dict[int, int], tuple[int, ...]]:
    """States in the order of a breadth-first walk by column, and the column that leads to each."""
    order = {raw.start_states["start"]: 0}
    access = [-1]
    queue = list(order)
    for state in queue:
        for name, (_, target) in sorted(raw.states[state].items(), key=lambda item: column.get(item[0], -1)):
            if not hasattr(target, "expansion") and target not in order:
                order[target] = len(order)
                access.append(column[name])
                queue.append(target)
    return order, tuple(access)


def _production(rule: Rule, column: dict[str, int]) -> Production:
    kept = [not getattr(symbol, "filter_out", False) for symbol in rule.expansion]
    values = sum(kept)
    pads = _pads(rule.options.empty_indices, kept)
    passes = rule.alias is None and rule.options.expand1 and values == 1 and not pads
    name = PASS if passes else rule.alias or _plain_name(str(rule.origin.name))
    return Production(len(kept), values, column[str(rule.origin.name)], str(name), pads)


def _plain_name(origin: str) -> str:
    return str(re.sub(r"\{.*", "", origin))


def _pads(empty: tuple[bool, ...], kept: list[bool]) -> tuple[int, ...]:
    """Where lark's placeholders stand among the values: True is an absent `[x]`, False the next symbol."""
    pads: list[int] = []
    symbols = iter(kept)
    at = 0
    for absent in empty:
        if absent:
            pads.append(at)
            at += 1
        elif next(symbols):
            at += 1
    return tuple(pads)


def encode(table: ParseTable, grammar: str) -> bytes:
    """The file's bytes of a grammar's table."""
    shapes = [n for p in table.productions for n in (p.symbols, p.values, p.target, len(p.pads))]
    names = [p.action for p in table.productions] + list(table.symbols[len(KINDS) :])
    body = b"".join(
        (
            _numbers("i", table.cells),
            _numbers("h", table.access),
            _numbers("h", shapes),
            _numbers("h", [pad for p in table.productions for pad in p.pads]),
            "\n".join(names).encode(),
        )
    )
    head = HEAD.pack(len(body), len(table.access), len(table.symbols) - len(KINDS), len(table.productions))
    rest = grammar_digest(grammar) + head + zlib.compress(body, 6)
    return MAGIC + blake3(rest).digest() + rest


def _numbers(code: str, values: Any) -> bytes:
    numbers = array(code, values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def main() -> None:
    with open(GRAMMAR_PATH, encoding="utf-8") as file:
        grammar = file.read()
    data = encode(build(grammar), grammar)
    with open(TABLE_PATH, "wb") as kept:
        kept.write(data)


if __name__ == "__main__":
    main()

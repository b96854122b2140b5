"""The LALR(1) parse table: made by lark from kiln.lark, kept as integers, cached between runs.

In memory a state is the offset of its row in `cells`; a row has a cell for every kind of token (KINDS) and then one
for every nonterminal:

    0            an error
    state > 0    shift the token, or go there after a reduction to the nonterminal
    -p           reduce by production p; production 0 is never reduced by, ACCEPT is -1

The file `$XDG_CACHE_HOME/kiln/grammar-<key>.table`, little-endian:

    8 bytes    b"KILNLR01"
    32 bytes   BLAKE3 of the rest
    4 x u32    size of the zlib stream when unpacked, states, nonterminals, productions
    zlib of:
      i32 cells[states * width]            width = len(KINDS) + nonterminals
      i16 access[states]                   the symbol that leads to each state (its column), -1 for the first
      i16 shapes[productions * 4]          symbols, values among them, column of the left side, number of pads
      i16 pads[...]                        where None is put in between the values, production by production
      text                                 names of actions, then of nonterminals, one a line

The key is BLAKE3 over this format's version, lark's version, KINDS and the grammar, so a file can only be right,
damaged or unused. A damaged or unreadable file is made again; a folder that can't be written costs lark's time in
each run.
"""

from __future__ import annotations

import os
import re
import struct
import sys
import zlib
from array import array
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from blake3 import blake3

from kiln.lang.syntax.tokens import KIND, KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lark import Lark
    from lark.grammar import Rule

_MAGIC: Final = b"KILNLR01"
_HEAD: Final = struct.Struct("<4I")
GRAMMAR_PATH: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kiln.lark")
PASS: Final = ""
ACCEPT: Final = -1


class Production(NamedTuple):
    """`symbols` on the stack make way for one; `values` of them carry a value; `pads` as for list.insert."""

    symbols: int
    values: int
    target: int
    action: str
    pads: tuple[int, ...]


class ParseTable(NamedTuple):
    """`cells` as above; `symbols` names every column; `access[state // width]` is the column that leads to a
    state."""

    cells: list[int]
    width: int
    productions: tuple[Production, ...]
    symbols: tuple[str, ...]
    access: tuple[int, ...]


class BadTable(Exception):
    """A cached table that is damaged, or no table at all."""


# ---- from lark ----------------------------------------------------------------------------------


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


# ---- bytes --------------------------------------------------------------------------------------


def _numbers(code: str, values: Any) -> bytes:
    numbers = array(code, values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _read(code: str, data: bytes) -> list[int]:
    numbers = array(code)
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def encode(table: ParseTable) -> bytes:
    """The bytes of a table, as the module's text describes them."""
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
    head = _HEAD.pack(len(body), len(table.access), len(table.symbols) - len(KINDS), len(table.productions))
    rest = head + zlib.compress(body, 6)
    return _MAGIC + blake3(rest).digest() + rest


def decode(data: bytes) -> ParseTable:
    """Read what `encode` wrote. Raises BadTable."""
    start = len(_MAGIC) + 32
    if data[: len(_MAGIC)] != _MAGIC or blake3(data[start:]).digest() != data[len(_MAGIC) : start]:
        raise BadTable
    size, states, nonterminals, count = _HEAD.unpack_from(data, start)
    try:
        body = zlib.decompress(data[start + _HEAD.size :], bufsize=size)
    except zlib.error as error:
        raise BadTable from error
    width = len(KINDS) + nonterminals
    at = 4 * states * width
    cells = _read("i", body[:at])
    access = _read("h", body[at : at + 2 * states])
    at += 2 * states
    shapes = _read("h", body[at : at + 8 * count])
    at += 8 * count
    pads = _read("h", body[at : at + 2 * sum(shapes[3::4])])
    names = body[at + 2 * len(pads) :].decode().split("\n")
    productions = []
    for i, first in enumerate(range(0, 4 * count, 4)):
        symbols, values, target, padded = shapes[first : first + 4]
        productions.append(Production(symbols, values, target, names[i], tuple(pads[:padded])))
        del pads[:padded]
    return ParseTable(cells, width, tuple(productions), (*KINDS, *names[count:]), tuple(access))


# ---- the cache ----------------------------------------------------------------------------------


def lark_version() -> str:
    """lark's version, read from its text without importing it (that would cost 60 to 130 ms)."""
    for folder in sys.path:
        try:
            with open(os.path.join(folder or ".", "lark", "__init__.py"), encoding="utf-8") as file:
                found = re.search(r"""^__version__[^=\n]*=\s*["']([^"'\n]+)""", file.read(), re.MULTILINE)
        except (OSError, UnicodeDecodeError):
            continue
        if found:
            return found[1]
    import lark

    return lark.__version__


def cache_key(grammar: str) -> str:
    parts = (_MAGIC.decode(), lark_version(), " ".join(KINDS), grammar)
    return blake3("\0".join(parts).encode()).hexdigest()[:40]


def cache_folder() -> str:
    """`$XDG_CACHE_HOME/kiln`, or `~/.cache/kiln`; a relative XDG_CACHE_HOME is ignored, as its specification says."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "kiln")


def load() -> ParseTable:
    """The table of kiln.lark: from the cache if it is there and whole, else from lark (and into the cache)."""
    with open(GRAMMAR_PATH, encoding="utf-8") as file:
        grammar = file.read()
    path = os.path.join(cache_folder(), f"grammar-{cache_key(grammar)}.table")
    try:
        with open(path, "rb") as cached:
            return decode(cached.read())
    except (OSError, BadTable):
        table = build(grammar)
        _store(path, encode(table))
        return table


def _store(path: str, data: bytes) -> None:
    """Write whole or not at all; a failure only means that lark is asked again next time."""
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            return

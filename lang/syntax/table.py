"""The LALR(1) parse table: made by lark from kiln.lark, kept as integers in a file beside it.

In memory a state is the offset of its row in `cells`; a row has a cell for every kind of token (KINDS) and then one
for every nonterminal:

    0            an error
    state > 0    shift the token, or go there after a reduction to the nonterminal
    -p           reduce by production p; production 0 is never reduced by, ACCEPT is -1

The file `table.bin`, little-endian:

    8 bytes    b"KILNLR02"
    32 bytes   BLAKE3 of the rest
    32 bytes   BLAKE3 of this format's version, KINDS and the grammar that the table is of
    4 x u32    size of the zlib stream when unpacked, states, nonterminals, productions
    zlib of:
      i32 cells[states * width]            width = len(KINDS) + nonterminals
      i16 access[states]                   the symbol that leads to each state (its column), -1 for the first
      i16 shapes[productions * 4]          symbols, values among them, column of the left side, number of pads
      i16 pads[...]                        where None is put in between the values, production by production
      text                                 names of actions, then of nonterminals, one a line

`python -m kiln.lang.syntax.grammar` writes it. Where it is damaged, or of another grammar because someone is at work
on that, lark makes the table in each run, which takes a fifth of a second.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from array import array
from typing import Final, NamedTuple

from blake3 import blake3

from kiln.lang.syntax.tokens import KINDS

MAGIC: Final = b"KILNLR02"
HEAD: Final = struct.Struct("<4I")
_FOLDER: Final = os.path.dirname(os.path.abspath(__file__))
GRAMMAR_PATH: Final = os.path.join(_FOLDER, "kiln.lark")
TABLE_PATH: Final = os.path.join(_FOLDER, "table.bin")
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
    """Bytes that are no table, or that of another grammar."""


def load() -> ParseTable:
    """The table of kiln.lark."""
    with open(GRAMMAR_PATH, encoding="utf-8") as file:
        grammar = file.read()
    try:
        with open(TABLE_PATH, "rb") as kept:
            return decode(kept.read(), grammar)
    except (OSError, BadTable):
        from kiln.lang.syntax.grammar import build

        return build(grammar)


def grammar_digest(grammar: str) -> bytes:
    return blake3("\0".join((MAGIC.decode(), " ".join(KINDS), grammar)).encode()).digest()


def decode(data: bytes, grammar: str) -> ParseTable:
    """The table of a grammar from its file's bytes. Raises BadTable."""
    start = len(MAGIC) + 32
    if data[: len(MAGIC)] != MAGIC or blake3(data[start:]).digest() != data[len(MAGIC) : start]:
        raise BadTable
    if data[start : start + 32] != grammar_digest(grammar):
        raise BadTable
    start += 32
    size, states, nonterminals, count = HEAD.unpack_from(data, start)
    try:
        body = zlib.decompress(data[start + HEAD.size :], bufsize=size)
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


def _read(code: str, data: bytes) -> list[int]:
    numbers = array(code)
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()

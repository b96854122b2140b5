"""placeholder"""

from __future__ import annotations
from kiln.lang.syntax.mistakes import Mistake, Unexpected
from kiln.lang.syntax.table import ParseTable
from kiln.lang.syntax.tokens import Tokens


def diagnose(table: ParseTable, tokens: Tokens, index: int, text: str) -> Mistake:
    if tokens.fault is not None and tokens.name(index) == "ERROR":
        return tokens.fault
    return Unexpected(tokens.starts[index], tokens.ends[index], "?", tokens.name(index), "")


def stray_text(preamble: str, at: int) -> Mistake:
    return Unexpected(at, at + 1, "a declaration", preamble[at], "")


def is_continuation(text: str, at: int) -> bool:
    return False

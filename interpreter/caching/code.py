"""Compiled Python that is kept: a piece of generated source, and the code object that CPython made of it.

The entry is the marshalled code object. Its key has the source and the file name that it was compiled under, which
tell everything that is in it, places too; Python's own number for its bytecode; and its level of optimisation. Names
in the source are numbered in the order of demand, so that an edit leaves the pieces alone that it does not reach.
A small piece is compiled again: that is as quick as to open a file.
"""

from __future__ import annotations

import marshal
import sys
from importlib.util import MAGIC_NUMBER
from types import CodeType

from kiln.interpreter.answers import is_off
from kiln.interpreter.caching.shelf import Shelf, key

FEW_LINES = 60
"""Of fewer lines a piece is not kept."""


class CodeCache:
    """The code of one program."""

    def __init__(self) -> None:
        self._shelf = Shelf("code")

    def compiled(self, lines: list[str], filename: str) -> CodeType:
        """The code of a module with these lines, whose frames name this file."""
        source = "\n".join([*lines, ""])
        if len(lines) < FEW_LINES or is_off():
            return _compile(source, filename)
        name = _name(source, filename)
        data = self._shelf.read(name)
        code = None if data is None else _code(data)
        if code is None:
            code = _compile(source, filename)
            self._shelf.write(name, marshal.dumps(code))
        return code


def _compile(source: str, filename: str) -> CodeType:
    made: CodeType = compile(source, filename, "exec", dont_inherit=True)
    return made


def _code(data: bytes) -> CodeType | None:
    try:
        found = marshal.loads(data)
    except (ValueError, TypeError, EOFError):
        return None
    return found if isinstance(found, CodeType) else None


def _name(source: str, filename: str) -> str:
    python = MAGIC_NUMBER + bytes([sys.flags.optimize])
    return key(b"code", python, filename.encode(), source.encode("utf-8", "surrogatepass"))

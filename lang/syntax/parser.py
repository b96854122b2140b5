"""Text to syntax tree: the whole syntax phase.

    text --chunks.split--> declarations' texts --lexer.lex--> tokens --lalr.Parser.parse--> ast.Decl
                                                                |  stuck
                                                                v
                                     diagnose.diagnose --> Mistake --recovery.reports--> Report

A declaration is parsed from its own text alone, so an error in one leaves the others, and the result of
`parse_chunk` may be kept under its text. What is needed for errors alone is imported when there is one.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from kiln.lang.syntax import actions, ast, chunks, lalr, table
from kiln.lang.syntax.lexer import find_forbidden, lex

if TYPE_CHECKING:
    from kiln.lang.report import Report
    from kiln.lang.syntax.mistakes import Mistake


@functools.cache
def _parser() -> lalr.Parser:
    return lalr.Parser(table.load(), lambda name: actions.__dict__[name])


def decode_source(path: str, data: bytes) -> str:
    """The text of a build file, without a byte order mark. Raises CompileError where it isn't UTF-8."""
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        from kiln.lang.syntax import recovery

        raise recovery.not_utf8(path, data, error.start, error.end) from error


def parse_chunk(text: str) -> ast.Decl | Mistake:
    """One declaration from its text, or what is wrong with it; places count from the text's start."""
    parser = _parser()
    tokens = lex(text)
    try:
        decl: ast.Decl = parser.parse(tokens)
    except lalr.Stuck as stuck:
        from kiln.lang.syntax import diagnose

        return diagnose.diagnose(parser.table, tokens, stuck.index, text)
    except actions.Refused as refused:
        return refused.mistake
    return decl


def parse_module(path: str, text: str) -> tuple[ast.Module, tuple[Report, ...]]:
    """The declarations of a file that can be read, and one report for each that can't. Never raises on bad input.

    `path` is the name that messages show.
    """
    preamble, parts = chunks.split(text)
    results = [parse_chunk(text[part.start : part.end]) for part in parts]
    found: list[ast.Chunk] = []
    mistakes: dict[int, Mistake] = {}
    for index, (part, result) in enumerate(zip(parts, results, strict=True)):
        if isinstance(result, ast.Decl):
            found.append(ast.Chunk(part.start, part.end, result))
        else:
            mistakes[index] = result
    reports: tuple[Report, ...] = ()
    in_order = chunks.preamble_stray(text, preamble) == preamble and find_forbidden(text, preamble) is None
    if mistakes or not in_order:
        from kiln.lang.syntax import recovery

        reports = recovery.reports(path, text, preamble, parts, mistakes)
    return ast.Module(path, text, chunks.preamble_doc(text, preamble), tuple(found)), reports

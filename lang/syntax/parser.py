"""Text to syntax tree: the whole syntax phase.

    text --chunks.split--> declarations' texts --lexer.lex--> tokens --lalr.Parser.parse--> ast.Decl
                                                                |  stuck
                                                                v
                                      diagnose.diagnose --> Mistake --messages.report--> Report

A declaration is parsed from its own text alone, so an error in one leaves the others, and the result of `parse_chunk` may be
kept under its text.
"""

from __future__ import annotations

import functools

from kiln.lang.report import Report
from kiln.lang.syntax import actions, ast, chunks, diagnose, lalr, messages, table
from kiln.lang.syntax.lexer import lex
from kiln.lang.syntax.mistakes import Mistake, UnclosedBracket, UnclosedHole, UnclosedString


@functools.cache
def _parser() -> lalr.Parser:
    return lalr.Parser(table.load(), lambda name: actions.__dict__[name])  # type: ignore[no-any-return]


def parse_chunk(text: str) -> ast.Decl | Mistake:
    """One declaration from its text, or what is wrong with it; places count from the text's start."""
    parser = _parser()
    tokens = lex(text)
    try:
        decl: ast.Decl = parser.parse(tokens)
    except lalr.Stuck as stuck:
        return diagnose.diagnose(parser.table, tokens, stuck.index, text)
    except actions.Refused as refused:
        return refused.mistake
    return decl


def parse_module(path: str, text: str) -> tuple[ast.Module, tuple[Report, ...]]:
    """The declarations of a file that can be read, and one report for each that can't. Never raises on bad input.

    `path` is the name that messages show.
    """
    first, parts = chunks.split(text)
    found: list[ast.Chunk] = []
    reports: list[Report] = []
    stray = chunks.preamble_stray(text, first)
    if stray < first:
        reports.append(messages.report(diagnose.stray_text(text[:first], stray), path, text, 0))
    cut_off = False
    for index, part in enumerate(parts):
        result = parse_chunk(text[part.start : part.end])
        if not isinstance(result, ast.Decl):
            if cut_off and diagnose.is_continuation(text, part.start):
                continue
            cut_off = isinstance(result, UnclosedBracket | UnclosedHole | UnclosedString)
            at = parts[index + 1].start if index + 1 < len(parts) else None
            follows = at if at is not None and cut_off and diagnose.is_continuation(text, at) else None
            reports.append(messages.report(result, path, text, part.start, follows))
        else:
            cut_off = False
            found.append(ast.Chunk(part.start, part.end, result))
    return ast.Module(path, text, chunks.preamble_doc(text, first), tuple(found)), tuple(reports)

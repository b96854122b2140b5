"""Text to syntax tree: the whole syntax phase.

    text --chunks.split--> declarations' texts --lexer.lex--> tokens --lalr.Parser.parse--> ast.Decl
                                                                |  stuck
                                                                v
                                      diagnose.diagnose --> Mistake --messages.report--> Report

A declaration is parsed from its own text alone, so an error in one leaves the others, and the result of
`parse_chunk` may be kept under its text.
"""

from __future__ import annotations

import functools

from kiln.lang.report import CompileError, Report
from kiln.lang.syntax import actions, ast, chunks, diagnose, lalr, messages, table
from kiln.lang.syntax.lexer import lex
from kiln.lang.syntax.mistakes import Mistake, NotUtf8, UnclosedBracket, UnclosedString


@functools.cache
def _parser() -> lalr.Parser:
    return lalr.Parser(table.load(), lambda name: actions.__dict__[name])


def decode_source(path: str, data: bytes) -> str:
    """The text of a build file, without a byte order mark. Raises CompileError where it isn't UTF-8."""
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        text = before + data[error.start :].decode("utf-8", "backslashreplace")
        bad = data[error.start : error.end]
        mistake = NotUtf8(len(before), len(before) + len(bad) * len("\\xff"), bad.hex(" "))
        raise CompileError((messages.report(mistake, path, text, 0),)) from error


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


def _reaches_end(mistake: Mistake, part: chunks.Part) -> bool:
    """Whether something was still open at the end of the declaration."""
    match mistake:
        case UnclosedString(at_end=at_end):
            return at_end
        case UnclosedBracket(found=found):
            return not found
        case _:
            return mistake.start >= part.end - part.start


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
    failed = False
    for index, part in enumerate(parts):
        result = parse_chunk(text[part.start : part.end])
        if not isinstance(result, ast.Decl):
            if failed and diagnose.is_continuation(text, part.start):
                continue  # it belongs to the declaration before, whose report stands for both
            failed = True
            after = parts[index + 1].start if index + 1 < len(parts) else len(text)
            cut_off = _reaches_end(result, part) and diagnose.is_continuation(text, after)
            reports.append(messages.report(result, path, text, part.start, after if cut_off else None))
        else:
            failed = False
            found.append(ast.Chunk(part.start, part.end, result))
    return ast.Module(path, text, chunks.preamble_doc(text, first), tuple(found)), tuple(reports)

"""The reports of a file whose declarations were parsed one by one: one for each that failed.

Text in column 0 that can't begin a declaration was cut off from the one before. If that one failed, its report stands
for both, and says so if something was still open where it was cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from kiln.lang.report import CompileError, Report
from kiln.lang.syntax import chunks, messages
from kiln.lang.syntax import mistakes as m
from kiln.lang.syntax.lexer import find_forbidden
from kiln.lang.syntax.tokens import DECLARATION_WORDS


def reports(
    path: str, text: str, preamble: int, parts: Sequence[chunks.Part], mistakes: Mapping[int, m.Mistake]
) -> tuple[Report, ...]:
    """Reports in the order of the file; `mistakes` are by the index of their part, `preamble` is where the first
    begins."""
    found: list[Report] = []
    in_preamble = _preamble_mistake(text, preamble)
    if in_preamble is not None:
        found.append(messages.report(in_preamble, path, text, 0))
    for index, mistake in mistakes.items():
        part = parts[index]
        if index - 1 in mistakes and _is_continuation(text, part.start):
            continue
        after = parts[index + 1].start if index + 1 < len(parts) else len(text)
        cut_off = _reaches_end(mistake, part) and _is_continuation(text, after)
        found.append(messages.report(mistake, path, text, part.start, after if cut_off else None))
    return tuple(found)


def not_utf8(path: str, data: bytes, start: int, end: int) -> CompileError:
    """The error for a file whose bytes from `start` to before `end` are not UTF-8."""
    before = data[:start].decode("utf-8")
    text = before + data[start:].decode("utf-8", "backslashreplace")
    shown = (end - start) * len("\\xff")
    mistake = m.NotUtf8(len(before), len(before) + shown, data[start:end].hex(" "))
    return CompileError((messages.report(mistake, path, text, 0),))


def _reaches_end(mistake: m.Mistake, part: chunks.Part) -> bool:
    """Whether something was still open at the end of the declaration."""
    match mistake:
        case m.UnclosedString(at_end=at_end):
            return at_end
        case m.UnclosedBracket(found=found):
            return not found
        case _:
            return mistake.start >= part.end - part.start


def _preamble_mistake(text: str, end: int) -> m.Mistake | None:
    forbidden = find_forbidden(text, end)
    if forbidden is not None:
        return m.ForbiddenCharacter(*forbidden.span(), forbidden[0])
    stray = chunks.preamble_stray(text, end)
    return _stray_text(text[:end], stray) if stray < end else None


def _stray_text(preamble: str, at: int) -> m.Mistake:
    """The mistake at the first thing in a file that isn't a comment and doesn't stand in column 0."""
    if preamble[at] in ")]}":
        return m.StrayCloser(at, at + 1, preamble[at])
    word = re.compile(r"\w+|.").match(preamble, at)
    text = word[0] if word is not None else preamble[at]
    if text in DECLARATION_WORDS:
        return m.IndentedDeclaration(at, at + len(text), text)
    return m.NotADeclaration(at, at + len(text), text, "")


def _is_continuation(text: str, at: int) -> bool:
    """Whether what stands in column 0 at `at` can't begin a declaration, and so was meant to go on with the one
    before."""
    if at >= len(text):
        return False
    word = re.compile(r"[A-Za-z_]*").match(text, at)
    return word is None or (word[0] not in DECLARATION_WORDS and not text.startswith("##", at))

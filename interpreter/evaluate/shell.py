"""Holes of shell scripts: how a value is written so that the shell reads back exactly its bytes.

    bare      make -j %{n} PREFIX=%{p}     a word: as it is if all its characters are safe, else '…'
    double    "-I%{p}/include"             a backslash before each of \\ $ ` "
    single    '%{p}'                       each ' becomes '\\''
    heredoc   <<END                        a backslash before each of \\ $ `
    verbatim  <<'END'                      as it is
    comment   # built for %{p}             line ends become blanks, as the shell reads none of it

A store path is made of safe characters, whatever it will be; the path below an output is quoted like text. The rules
are those of POSIX.1-2017, Shell Command Language, 2.2 Quoting, 2.4 Reserved Words and 2.7.4 Here-Document, and
tests run them through /bin/sh.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from kiln.interpreter.evaluate.mistakes import Failure, UnsafeHole
from kiln.interpreter.evaluate.values import OutValue, Text, text_of

Piece = str | Text | OutValue

_SAFE = re.compile(r"[A-Za-z0-9_@%+:./-]+")
_RESERVED: Final = frozenset((
    "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then",
    "time", "until", "while",
))  # fmt: skip
_DOUBLE = re.compile(r'[\\$`"]')
_HEREDOC = re.compile(r"[\\$`]")
_LINE_ENDS = re.compile(r"[\r\n]+")


def word(text: str) -> str:
    """A word of its own, or a part of one."""
    if _SAFE.fullmatch(text) and text not in _RESERVED:
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def part_of_word(text: str) -> str:
    """What stands beside other text in a word, where an empty string adds nothing."""
    return word(text) if text else ""


def redirected_word(text: str) -> str:
    """A word with `<` or `>` right behind it: digits would be read as a file descriptor."""
    return f"'{text}'" if text.isdigit() else word(text)


def in_double(text: str) -> str:
    return _DOUBLE.sub(r"\\\g<0>", text)


def in_single(text: str) -> str:
    return text.replace("'", "'\\''")


def in_heredoc(text: str) -> str:
    return _HEREDOC.sub(r"\\\g<0>", text)


def verbatim(text: str) -> str:
    return text


def in_wrapping(text: str) -> str:
    """Inside backquotes or `"${…}"`, which no quoting passes through alike in all shells. Raises Failure."""
    if text and not _SAFE.fullmatch(text):
        raise Failure(UnsafeHole('inside backquotes or "${…}" it may hold letters, digits and @ % + : . / - _ alone'))
    return text


def in_comment(text: str) -> str:
    return _LINE_ENDS.sub(" ", text)


Quote = Callable[[str], str]


def quote(value: Piece, rule: Quote) -> Piece:
    """The value of one hole, written by `rule`."""
    if type(value) is str:
        return rule(value)
    parts = value.parts if type(value) is Text else (value,)
    inner = part_of_word if rule in (word, redirected_word) else rule
    pieces: list[Piece] = []
    for part in parts:
        if type(part) is str:
            pieces.append(inner(part))
            continue
        assert isinstance(part, OutValue)
        if not part.sub:
            pieces.append(part)
            continue
        pieces.append(OutValue(part.owner, part.output))
        pieces.append(inner("/" + part.sub))
    return text_of(tuple(pieces))


def quote_list(values: tuple[Piece, ...], rule: Quote = word) -> str | Text:
    """A list as words, with a blank between them; of no items, nothing."""
    pieces: list[Piece] = []
    for value in values:
        if pieces:
            pieces.append(" ")
        pieces.append(quote(value, rule))
    return text_of(tuple(pieces))


def check_heredoc(value: Piece, delimiter: str, starts: bool, ends: bool) -> Piece:
    """The value itself. Raises Failure if one of its lines would end the here-document.

    `starts` and `ends` say whether the hole begins and ends a line of the script.
    """
    parts = (value,) if type(value) is str else getattr(value, "parts", ())
    plain = "".join([part if type(part) is str else "\0" for part in parts])
    if delimiter not in plain:
        return value
    lines = plain.split("\n")
    whole = lines[0 if starts else 1 : None if ends else -1]
    if any(line.lstrip("\t") == delimiter for line in whole):
        raise Failure(UnsafeHole(f"one of its lines is `{delimiter}`, which ends the here-document"))
    return value


# ---- what stands around a hole ------------------------------------------------------------------


def behind_backslash(before: str) -> bool:
    """Whether the script up to a hole ends in a backslash that would take the hole's first character."""
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1

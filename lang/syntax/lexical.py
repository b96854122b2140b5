"""What the lexer can't read, made into mistakes: numbers, escapes, characters of other languages."""

from __future__ import annotations

import re
from typing import Final

from kiln.lang.syntax.lexer import MAX_DIGITS
from kiln.lang.syntax.mistakes import (
    BadNumber,
    ForeignComment,
    ForeignSyntax,
    Mistake,
    SingleQuotes,
    StrayCharacter,
    UnknownEscape,
)

_NUMBER = re.compile(r"[0-9][0-9A-Za-z_]*(?:\.[0-9][0-9A-Za-z_]*)*")
_QUOTED = re.compile(r"'(?:[^'\\\n]|\\.)*'")
_FOREIGN: Final = {
    "==>": "the arrow of a match arm and of `fn(x) => …` is `=>`",
    "===": "equality is `==`",
    "&": "and is `&&`",
    "~": "not is `!`, and there are no operators on bits",
    "^": "there is no power operator and there are no operators on bits",
    "\\": "a function is written `fn(x) => …`, and a line needs no sign to go on in the next",
    "?": "an optional type is `Option(T)`, what may be left out is `name?: T`, a choice is `if a then b else c`",
}
_LOOKALIKES: Final = {
    "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": '"', "’": '"', "–": "-", "—": "-", "−": "-",
    "…": "..", "×": "*", "÷": "/", "≠": "!=", "≤": "<=", "≥": ">=", "→": "->", "⇒": "=>", "，": ",", "；": ";",
    "：": ":", "（": "(", "）": ")", "\xa0": " ", "\u3000": " ",
}  # fmt: skip


def _number_mistake(text: str, start: int, end: int) -> BadNumber | None:
    """What is wrong with digits and underscores, if anything is."""
    if text.endswith("_") or "__" in text:
        return BadNumber(start, end, text, "an underscore stands between two digits", "")
    if len(text) > 1 and text[0] == "0":
        digits = text.replace("_", "")
        octal = f", or {int(digits, 8)} if it was meant to be octal" if set(digits) <= set("01234567") else ""
        advice = f"write {text.lstrip('0_') or '0'}{octal if digits.strip('0') else ''}"
        return BadNumber(start, end, text, "a number doesn't begin with 0: Kiln has no octal numbers", advice)
    if len(text) > MAX_DIGITS:
        return BadNumber(start, end, text[:12] + "…", f"a number has at most {MAX_DIGITS} digits", "")
    return None


def stray_character(text: str, at: int) -> Mistake:
    """The mistake at a character that begins no token."""
    char = text[at]
    if char.isdigit() and char.isascii():
        return _bad_number(text, at)
    if char == "'":
        quoted = _QUOTED.match(text, at)
        end = quoted.end() if quoted is not None else at + 1
        return SingleQuotes(at, end, text[at + 1 : end - 1] if quoted is not None else "")
    if text.startswith(("//", "/*"), at):
        return ForeignComment(at, at + 2, text[at : at + 2])
    if char == "`":
        return StrayCharacter(at, at + 1, char, "a path is written between two backticks on one line: `./src`")
    for sign, instead in _FOREIGN.items():
        if text.startswith(sign, at):
            return ForeignSyntax(at, at + len(sign), sign, instead)
    return StrayCharacter(at, at + 1, char, _advice(char))


def _advice(char: str) -> str:
    if char in _LOOKALIKES:
        plain = _LOOKALIKES[char]
        return "it only looks like a blank: put an ordinary one" if plain == " " else f"did you mean `{plain}`?"
    if char.isalpha():
        return "names are made of a-z, A-Z, 0-9 and _; other letters go into strings"
    if char == "$":
        return "a value is put into a string with `%{…}`; `$` belongs to the shell"
    return ""


def _bad_number(text: str, at: int) -> BadNumber:
    match = _NUMBER.match(text, at)
    end = match.end() if match is not None else at + 1
    number = text[at:end]
    if re.fullmatch(r"[0-9_]+", number) and (mistake := _number_mistake(number, at, end)) is not None:
        return mistake
    if re.fullmatch(r"[0-9_]+\.[0-9_]+(?:[eE][0-9]+)?", number):
        advice = f'write it as a string, "{number}", or count a smaller unit as an Int'
        return BadNumber(at, end, number, "Kiln has whole numbers only", advice)
    if number.count(".") > 1:
        return BadNumber(at, end, number, "this is no number", f'write a version as a string: "{number}"')
    if re.fullmatch(r"0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+", number):
        return BadNumber(at, end, number, "numbers are decimal", f"write {int(number, 0)}")
    return BadNumber(at, end, number, "a letter can't touch a number", "")


def escape_mistake(text: str, at: int) -> UnknownEscape:
    """The mistake at a backslash in a "…" string that begins no escape."""
    rest = text[at : at + 2]
    if rest == "\\u":
        match = re.compile(r"\\u\{?[0-9A-Fa-f]*\}?").match(text, at)
        end = match.end() if match is not None else at + 2
        if re.fullmatch(r"\\u\{[0-9A-Fa-f]+\}", text[at:end]):
            reason = "a string holds any character of Unicode but NUL: \\u{1} to \\u{10ffff}, without d800 to dfff"
            return UnknownEscape(at, end, text[at:end][:20], reason)
        return UnknownEscape(at, end, text[at:end], "a code point is written \\u{1f600}, with up to six digits")
    if rest == "\\\n" or len(rest) == 1:
        return UnknownEscape(at, at + 1, "\\", "a string on several lines is written in three quotes")
    if rest[1] in "0x":
        return UnknownEscape(at, at + 2, rest, "a character by its number is \\u{1b}; a string holds no NUL")
    return UnknownEscape(at, at + 2, rest, "")

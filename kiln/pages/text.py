"""The text of a doc comment, in blocks: the part of Markdown that the library's comments use.

    a paragraph         lines up to an empty one; `code` and ``code with ` in it`` inside it
    - a list            each item begins with `- `; lines that are indented go on with it
        code            lines indented by four blanks

Everything else is text as it stands.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias


class Paragraph(NamedTuple):
    text: str


class Bullets(NamedTuple):
    items: tuple[str, ...]


class Code(NamedTuple):
    text: str


class Word(NamedTuple):
    """Part of a paragraph: plain text, or code."""

    text: str
    code: bool


Block: TypeAlias = Paragraph | Bullets | Code

_CODE = re.compile(r"``\s?(.+?)\s?``|`([^`]+)`", re.DOTALL)
_INDENT = "    "


def blocks(text: str) -> list[Block]:
    """The blocks of a doc comment."""
    found: list[Block] = []
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif line.startswith(_INDENT):
            end = _code_end(lines, at)
            found.append(Code("\n".join(part.removeprefix(_INDENT) for part in lines[at:end])))
            at = end
        else:
            end = next((i for i in range(at, len(lines)) if not lines[i].strip()), len(lines))
            found += _prose(lines[at:end])
            at = end
    return found


def _code_end(lines: list[str], start: int) -> int:
    """Behind the last line of the code that begins at `start`; empty lines inside belong to it."""
    end = start
    for place in range(start, len(lines)):
        if lines[place].startswith(_INDENT):
            end = place + 1
        elif lines[place].strip():
            break
    return end


def _prose(lines: list[str]) -> list[Block]:
    first = next((place for place, line in enumerate(lines) if line.startswith("- ")), len(lines))
    found: list[Block] = [Paragraph("\n".join(lines[:first]))] if first else []
    items: list[str] = []
    for line in lines[first:]:
        if line.startswith("- "):
            items.append(line[2:])
        else:
            items[-1] += "\n" + line.strip()
    return [*found, Bullets(tuple(items))] if items else found


def words(text: str) -> list[Word]:
    """A paragraph's text and code, in turn."""
    found: list[Word] = []
    at = 0
    for match in _CODE.finditer(text):
        found.append(Word(text[at : match.start()], False))
        found.append(Word(match[1] or match[2], True))
        at = match.end()
    return [word for word in [*found, Word(text[at:], False)] if word.text]


def summary(text: str | None) -> str:
    """The first sentence of the first paragraph, on one line."""
    first = next((block for block in blocks(text or "") if isinstance(block, Paragraph)), None)
    if first is None:
        return ""
    line = " ".join(first.text.split())
    return re.split(r"(?<=[.!?]) ", line, maxsplit=1)[0]

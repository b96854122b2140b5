"""A file into declarations, by its column 0.

In column 0 stand only a declaration's first word, comments and closing brackets, and the body of a string is
indented. So a declaration begins where a line begins with anything but a blank, `#` or a closing bracket, and takes
the `##` lines that touch it with it; it reaches to the next. What stands before the first is the preamble, and `##`
lines there document the file (so do those that touch an import, if it is the first declaration). That needs no
lexer, holds in a file full of errors, and makes a declaration's text independent of what stands around it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from kiln.lang.syntax import strings

# A run of comment lines (one match, so that a long run costs one step), or a declaration's first character.
_COLUMN_0: Final = re.compile(r"^(?:((?:#[^\n]*+(?:\n|\Z))+)|[^\s#)\]}])", re.MULTILINE)
_DOC_LINE: Final = re.compile(r"^##(?!#)", re.MULTILINE)
_DOC_BLOCK: Final = re.compile(r"^##(?!#)[^\n]*(?:\n##(?!#)[^\n]*+)*", re.MULTILINE)
_BLANK: Final = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*")


class Part(NamedTuple):
    """`text[start:end]` of a file: one declaration, its documentation included."""

    start: int
    end: int


def preamble_doc(text: str, end: int) -> str | None:
    """The documentation of a file: the `##` lines of its preamble, which ends at `end`."""
    blocks = [strings.doc_text(match[0]) for match in _DOC_BLOCK.finditer(text, 0, end)]
    return "\n\n".join(blocks) if blocks else None


def preamble_stray(text: str, end: int) -> int:
    """The offset of the first thing in a preamble that is neither blank nor comment, or `end`."""
    match = _BLANK.match(text, 0, end)
    return match.end() if match is not None else 0


def split(text: str) -> tuple[int, list[Part]]:
    """Where the first declaration begins (the file's end if there is none), and all of them."""
    starts: list[int] = []
    comment: re.Match[str] | None = None
    for match in _COLUMN_0.finditer(text):
        if match[1] is not None:
            comment = match
            continue
        start = match.start()
        if comment is not None and comment.end() == start:
            doc = _DOC_LINE.search(text, comment.start(), start)
            if doc is not None and (starts or not text.startswith("import", start)):
                start = doc.start()
        starts.append(start)
    ends = [*starts[1:], len(text)]
    parts = [Part(start, start + len(text[start:end].rstrip())) for start, end in zip(starts, ends, strict=False)]
    return (starts[0] if starts else len(text)), parts

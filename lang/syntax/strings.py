"""From what stands between quotes to the text it means: escapes, `%%{`, line ends, indentation; and doc comments.

Indentation (strings in `\"\"\"` alone). The line of the opening quotes is not counted, and if nothing but blanks
stands on it, it is left out with its line end. What all other lines begin with in common, blanks and tabs, is taken
away: lines of blanks alone don't count, except the last one, before the closing quotes. A line begins in the
literal text, so what a hole holds is never looked at and never stripped. An indented closing quote is therefore a
margin:

        sh\"\"\"
          make
        \"\"\"            means "  make\\n"
"""

from __future__ import annotations

import re

from kiln.lang.syntax.ast import Hole

_ESCAPE = re.compile(r"%%\{|\\(?:u\{([0-9A-Fa-f]+)\}|(.))", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "%": "%", "$": "$"}
# A line's blanks, and whether anything but the line's end comes behind them.
_MARGIN = re.compile(r"\n([ \t]*)(?=([^\n])?)")


def literal(tag: str | None, quotes: str, parts: list[str | Hole]) -> tuple[str | Hole, ...]:
    """The parts of a string as the tree has them: no empty text, none beside another."""
    plain = [part.replace("\r\n", "\n") if isinstance(part, str) else part for part in parts]
    if quotes == '"""':
        plain = _strip_indentation(plain)
    decode = _unescape if quotes == '"' and tag is None else _unpercent
    return tuple(part if isinstance(part, Hole) else decode(part) for part in plain if part != "")


def _unpercent(text: str) -> str:
    return text.replace("%%{", "%{")


def _unescape(text: str) -> str:
    return _ESCAPE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    if match[1] is not None:
        return chr(int(match[1], 16))
    return _SIMPLE[match[2]] if match[2] is not None else "%{"


def mixes_indentation(quotes: str, parts: list[str | Hole]) -> bool:
    """Whether the least indented line of a string is indented by other characters than some other line."""
    if quotes != '"""':
        return False
    margins = _margins([part.replace("\r\n", "\n") if isinstance(part, str) else part for part in parts])
    return len(_common(margins)) < min(map(len, margins), default=0)


def margin_of(parts: list[str | Hole]) -> str:
    """The blanks that are taken from the lines of a string in three quotes, whose line ends are `\\n` alone."""
    return _common(_margins(parts))


def _strip_indentation(parts: list[str | Hole]) -> list[str | Hole]:
    margin = margin_of(parts)
    stripped = [part if isinstance(part, Hole) else _cut(part, margin) for part in parts]
    if stripped and isinstance(stripped[0], str):
        head, newline, rest = stripped[0].partition("\n")
        if newline and not head.strip(" \t"):
            stripped[0] = rest
    return stripped


def _margins(parts: list[str | Hole]) -> list[str]:
    """The blanks that each line begins with, of the lines that count."""
    margins: list[str] = []
    for part in parts:
        if isinstance(part, str):
            # a line of blanks counts where the literal ends: a hole stands behind it, or the closing quotes
            margins += [m[1] for m in _MARGIN.finditer(part) if m[2] is not None or m.end() == len(part)]
    return margins


def _common(margins: list[str]) -> str:
    """What all begin with: as far as the least and the greatest in order agree, for all others stand between them."""
    if not margins:
        return ""
    least, greatest = min(margins), max(margins)
    size = 0
    while size < len(least) and least[size] == greatest[size]:
        size += 1
    return least[:size]


def _cut(text: str, margin: str) -> str:
    if not margin:
        return text
    size = len(margin)
    return _MARGIN.sub(lambda m: "\n" + (m[1][size:] if m[1].startswith(margin) else ""), text)


def doc_text(block: str) -> str:
    """The text of consecutive `##` lines: without the signs, and without the blank behind them."""
    lines = (line.strip(" \t\r")[2:] for line in block.split("\n"))
    return "\n".join(line.removeprefix(" ").rstrip() for line in lines)

"""Strings: printed as they were written, but for the indentation of `\"\"\"…\"\"\"` and the blanks inside holes.

The lines of a string in three quotes are moved together: what all have in common before them, which is no part of the
text (lang/syntax/strings.py), is replaced by the indentation of the place. A hole is formatted if it is on one line.
"""

from __future__ import annotations

from kiln.lang.format.document import TEXT, Block, BlockLine, Document
from kiln.lang.format.writer import Steps, Writer
from kiln.lang.syntax import ast, strings
from kiln.lang.syntax.tokens import KIND

_STRING, _TEXT, _END = KIND["STRING"], KIND["STR_TEXT"], KIND["_STR_END"]
_DUMMY = ast.Hole(0, 0, ast.Bool(0, 0, True))


def string(w: Writer, parts: tuple[str | ast.Hole, ...] = ()) -> Steps:
    """The string that comes next; `parts` are its tree's, none if it can have no holes."""
    if w.kinds[w.at] == _STRING:
        w.word()
        return
    w.lead()
    start, hugs = w.starts[w.at], w.take_hugs()
    pieces: list[_Piece] = [_Piece(w.spelling(w.at), "quotes")]
    w.at += 1
    holes = iter([part for part in parts if isinstance(part, ast.Hole)])
    while w.kinds[w.at] != _END:
        if w.kinds[w.at] == _TEXT:
            pieces.append(_Piece(w.spelling(w.at), "text"))
            w.at += 1
        else:
            yield _hole(w, next(holes), pieces)
    pieces.append(_Piece(w.spelling(w.at), "quotes"))
    if "\n" in w.text[start : w.ends[w.at]]:
        w.give_hugs(hugs)
        w.doc.block(_block(pieces))
    else:
        w.doc.add(TEXT, "".join(piece.text for piece in pieces))
    w.passed()


class _Piece:
    """Part of a string as it will be printed: its quotes, its text, or a hole."""

    __slots__ = ("kind", "text")

    def __init__(self, text: str, kind: str) -> None:
        self.text = text
        self.kind = kind


def _hole(w: Writer, hole: ast.Hole, pieces: list[_Piece]) -> Steps:
    if "\n" in w.text[hole.start : hole.end]:
        pieces.append(_Piece(w.text[hole.start : hole.end], "hole"))
        while w.starts[w.at] < hole.end:
            w.at += 1
        return
    document, w.doc = w.doc, Document()
    w.flat += 1
    w.sign("%{")
    yield hole.expr
    w.sign("}")
    w.flat -= 1
    made, w.doc = w.doc, document
    pieces.append(_Piece("".join(made.texts), "hole"))


def _block(pieces: list[_Piece]) -> Block:
    raw: list[str | ast.Hole] = [
        piece.text if piece.kind == "text" else _DUMMY for piece in pieces if piece.kind != "quotes"
    ]
    margin = strings.margin_of(raw) if pieces[0].text.endswith('"""') else ""
    lines = [BlockLine("", False)]
    for piece in pieces:
        first, *rest = piece.text.split("\n")
        lines[-1] = lines[-1]._replace(text=lines[-1].text + first)
        for number, line in enumerate(rest):
            if piece.kind == "hole":
                lines.append(BlockLine(line, False))
            else:
                text = line[len(margin) :] if line.startswith(margin) else ""
                lines.append(BlockLine(text, text != "" or number == len(rest) - 1))
    head = lines[0].text
    quotes = pieces[0].text
    return Block(quotes if head.rstrip(" \t") == quotes else head, tuple(lines[1:]))

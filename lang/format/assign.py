"""What stands behind `=` and `=>`: on the same line, hugged, or on the next, indented.

name = value                on one line, if it fits
name = f({                  hugged: the value begins with words and a bracket, and breaks inside
  …
})
name =                      anything else that doesn't fit, and a call that fits here
  f(a, b, c)
"""

from __future__ import annotations

from typing import Any

from kiln.lang.format import document as d
from kiln.lang.format.writer import Steps, Writer
from kiln.lang.syntax import ast

_BRACKETS = (ast.Record, ast.ListLit, ast.ListComp, ast.MapLit, ast.MapComp)
_BLOCKS = (*_BRACKETS, ast.Lambda, ast.Match, ast.With, ast.Overlay)
_POSTFIX = (ast.Get, ast.GetCon, ast.Call)
_TYPES = (ast.TypeRecord, ast.TypeFn)


def bracketed(node: Any) -> bool:
    """Whether a value is a record, list or map that isn't empty."""
    return isinstance(node, _BRACKETS) and not _is_empty(node)


def is_block(w: Writer, node: Any) -> bool:
    """Whether a value, as an argument, may break alone while the call around it stays on its line."""
    if isinstance(node, ast.Str):
        return "\n" in w.text[node.start : node.end]
    return isinstance(node, _BLOCKS) and not _is_empty(node)


def huggable(w: Writer, node: Any) -> bool:
    """Whether a value may begin behind its sign and break inside."""
    if isinstance(node, _POSTFIX):
        while isinstance(node, _POSTFIX):
            if isinstance(node, ast.Call) and node.args:
                return True
            node = node.fn if isinstance(node, ast.Call) else node.base
        return False
    if isinstance(node, ast.TypeName):
        return bool(node.args)
    return is_block(w, node) or (isinstance(node, _TYPES) and len(w.text[node.start : node.end]) > len("fn()"))


def _is_empty(node: Any) -> bool:
    match node:
        case ast.Record():
            return not node.fields and node.rest is None
        case ast.ListLit():
            return not node.items
        case ast.MapLit():
            return not node.entries
        case _:
            return False


def assign(w: Writer, value: Any, *, hug: bool = True, keep: bool = False, tail: int = -1) -> Steps:
    """The value behind a sign that was just printed.

    `hug`: it may be hugged if it can be; `keep`: a line end of the author's stays; `tail`: a line ends behind the
    value, if it is not hugged, while this group is.
    """
    number = w.open(inside=True)
    if keep and w.next_gap.newline and not w.flat:
        w.force()
    elif hug and w.next_gap.empty and not w.parenthesised(value.start) and huggable(w, value):
        w.hugs.append(number)
        w.doc.groups[number].late = keep or isinstance(value, _POSTFIX)
    else:
        w.hugs.clear()
    w.indent()
    w.line()
    yield value
    w.dedent()
    if tail >= 0:
        w.doc.add(d.TAIL, "", tail)
    w.close()

"""Operators: a chain of equal rank is one group, with each operator at the beginning of a line if it breaks."""

from __future__ import annotations

from typing import Final

from kiln.lang.format.writer import Steps, Writer
from kiln.lang.syntax import ast

_RANK: Final = {"||": 1, "&&": 2, "++": 4, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6}
_COMPARISON: Final = 3


def binary(w: Writer, node: ast.Binary) -> Steps:
    """A chain of operators that lean to one side. A pair of parentheses ends it."""
    operands = _leaning_right(node) if node.op == "++" else _leaning_left(node)
    return _chain(w, operands)


def pipe(w: Writer, node: ast.Pipe) -> Steps:
    """`a |> f |> g`."""
    operands = [node.right]
    left = node.left
    while isinstance(left, ast.Pipe) and left.start == node.start:
        operands.append(left.right)
        left = left.left
    return _chain(w, [left, *reversed(operands)])


def _leaning_left(node: ast.Binary) -> list[ast.Expr]:
    """`a - b + c`: its operands. Parentheses around the left side begin before it."""
    rank = _RANK.get(node.op, _COMPARISON)
    operands = [node.right]
    left, start = node.left, node.start
    while isinstance(left, ast.Binary) and _RANK.get(left.op, _COMPARISON) == rank and left.start == start:
        operands.append(left.right)
        left = left.left
    return [left, *reversed(operands)]


def _leaning_right(node: ast.Binary) -> list[ast.Expr]:
    """`a ++ b ++ c`: its operands. Parentheses around the right side end behind it."""
    operands = [node.left]
    right, end = node.right, node.end
    while isinstance(right, ast.Binary) and right.op == node.op and right.end == end:
        operands.append(right.left)
        right = right.right
    return [*operands, right]


def _chain(w: Writer, operands: list[ast.Expr]) -> Steps:
    w.lead()
    w.open()
    yield operands[0]
    w.indent()
    for operand in operands[1:]:
        w.line()
        w.word()
        w.text_(" ")
        yield operand
    w.dedent()
    w.close()

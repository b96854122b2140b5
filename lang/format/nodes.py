"""From a node to its writer."""

from __future__ import annotations

from typing import Any

from kiln.lang.format.expressions import expr, spread
from kiln.lang.format.patterns import pattern, rest
from kiln.lang.format.types import type_
from kiln.lang.format.writer import Steps, Writer
from kiln.lang.syntax import ast


def steps_of(w: Writer, node: Any) -> Steps:
    """The writer of a type, a pattern, or an expression."""
    if isinstance(node, ast.Type):
        return type_(w, node)
    if isinstance(node, ast.Pattern):
        return pattern(w, node)
    if isinstance(node, ast.PRest):
        return rest(w, node)
    if isinstance(node, ast.Spread):
        return spread(w, node)
    return expr(w, node)

"""Types, and what they are written in: fields and parameters."""

from __future__ import annotations

from typing import assert_never

from kiln.lang.format.assign import assign
from kiln.lang.format.brackets import SPACED, brackets, in_order, parentheses
from kiln.lang.format.writer import Steps, Writer
from kiln.lang.syntax import ast


def type_(w: Writer, node: ast.Type) -> Steps:
    """The type that comes next."""
    if w.parenthesised(node.start):
        yield parentheses(w, node)
        return
    match node:
        case ast.TypeName():
            if node.qualifier is not None:
                w.word()
                w.sign(".")
            w.word()
            if node.args:
                yield brackets(w, node.args, as_it_is)
        case ast.TypeVar():
            w.word()
        case ast.TypeRecord():
            yield brackets(w, in_order(node.fields, node.rest), _row_item, SPACED)
        case ast.TypeFn():
            w.sign("fn")
            yield brackets(w, node.params, type_param)
            w.text_(" ")
            w.sign("->")
            w.text_(" ")
            yield node.result
        case _:
            assert_never(node)


def as_it_is(_w: Writer, node: object) -> Steps:
    """An item that is a node of its own."""
    yield node


def _row_item(w: Writer, item: ast.RowField | ast.Type) -> Steps:
    if not isinstance(item, ast.RowField):
        w.sign("..")
        yield item
        return
    w.word()
    yield annotation(w, item.type)
    if item.default is not None:
        yield default(w, item.default)


def type_param(w: Writer, param: ast.TypeParam) -> Steps:
    """A parameter of a function type or of a constructor."""
    if param.label is not None:
        w.word()
        yield annotation(w, param.type)
    else:
        yield param.type


def annotation(w: Writer, type_: ast.Type) -> Steps:
    """`: T` or `?: T`."""
    w.word("?:" if w.spelling(w.at).startswith("?") else None)
    w.text_(" ")
    yield type_


def default(w: Writer, value: ast.Expr) -> Steps:
    """`= value` behind a type."""
    w.text_(" ")
    w.sign("=")
    yield assign(w, value)


def param(w: Writer, node: ast.Param) -> Steps:
    """A parameter of a function or a set."""
    w.word()
    if node.type is not None:
        yield annotation(w, node.type)
    if node.default is not None:
        yield default(w, node.default)

"""Patterns."""

from __future__ import annotations

from typing import assert_never

from kiln.lang.format.brackets import SPACED, brackets, in_order, parentheses
from kiln.lang.format.texts import string
from kiln.lang.format.types import as_it_is
from kiln.lang.format.writer import Steps, Writer
from kiln.lang.syntax import ast


def pattern(w: Writer, node: ast.Pattern) -> Steps:
    """The pattern that comes next."""
    if w.parenthesised(node.start):
        yield parentheses(w, node)
        return
    match node:
        case ast.PVar() | ast.PWild() | ast.PBool():
            w.word()
        case ast.PInt():
            if w.sees("MINUS"):
                w.word()
            w.word()
        case ast.PStr():
            yield string(w)
        case ast.PCon():
            if node.qualifier is not None:
                w.word()
                w.sign(".")
            w.word()
            if node.args or w.ends[w.at] <= node.end:
                yield brackets(w, node.args, _arg)
        case ast.PRecord():
            yield brackets(w, node.fields, _field, SPACED)
        case ast.PList():
            yield brackets(w, in_order(node.items, node.rest), as_it_is)
        case ast.POr():
            yield _options(w, node)
        case _:
            assert_never(node)


def rest(w: Writer, node: ast.PRest) -> Steps:
    """`..` or `..name` at the end of a list's pattern."""
    w.sign("..")
    if node.name is not None:
        w.word()
    yield from ()


def _arg(w: Writer, arg: ast.PArg) -> Steps:
    if arg.label is not None:
        w.word()
        w.text_(" ")
        w.sign("=")
        w.text_(" ")
    yield arg.pattern


def _field(w: Writer, field: ast.PField) -> Steps:
    if w.spelling(w.at + 1) != "=":
        w.word()
        return
    w.word()
    w.text_(" ")
    w.sign("=")
    w.text_(" ")
    yield field.pattern


def _options(w: Writer, node: ast.POr) -> Steps:
    w.lead()
    w.open()
    yield node.options[0]
    for option in node.options[1:]:
        w.line()
        w.sign("|")
        w.text_(" ")
        yield option
    w.close()

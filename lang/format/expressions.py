"""Expressions."""

from __future__ import annotations

from typing import assert_never

from kiln.lang.format.align import pad_sign
from kiln.lang.format.assign import assign
from kiln.lang.format.brackets import ARMS, PLAIN, SPACED, brackets, in_order, parentheses
from kiln.lang.format.operators import binary, pipe
from kiln.lang.format.postfix import postfix, record_field, with_edits
from kiln.lang.format.texts import string
from kiln.lang.format.types import as_it_is, param
from kiln.lang.format.writer import Steps, Writer
from kiln.lang.syntax import ast

_ALONE = PLAIN._replace(rows=False, comma=False)


def expr(w: Writer, node: ast.Expr) -> Steps:
    """The expression that comes next."""
    w.lead()
    if w.parenthesised(node.start):
        return parentheses(w, node)
    match node:
        case ast.Int() | ast.Bool() | ast.PathLit() | ast.Var() | ast.Con():
            return _word(w)
        case ast.Str():
            return string(w, node.parts)
        case ast.Get() | ast.GetCon() | ast.Call():
            return postfix(w, node)
        case ast.ListLit():
            return brackets(w, node.items, as_it_is)
        case ast.MapLit():
            return brackets(w, node.entries, _entry) if node.entries else _empty_map(w)
        case ast.ListComp() | ast.MapComp():
            return brackets(w, [node], _comprehension, _ALONE)
        case ast.Record():
            return brackets(w, in_order(node.fields, node.rest), record_field, SPACED)
        case ast.Lambda():
            return _lambda(w, node)
        case ast.Let() | ast.Assert():
            return _statements(w, node)
        case ast.If():
            return _if(w, node)
        case ast.Match():
            return _match(w, node)
        case ast.Binary():
            return binary(w, node)
        case ast.Unary():
            return _unary(w, node)
        case ast.Pipe():
            return pipe(w, node)
        case ast.Annotated():
            return _annotated(w, node)
        case ast.With() | ast.Overlay():
            return with_edits(w, node)
        case _:
            assert_never(node)


def _word(w: Writer) -> Steps:
    w.word()
    yield from ()


def spread(w: Writer, node: ast.Spread) -> Steps:
    """`..e`."""
    w.sign("..")
    yield node.expr


def _unary(w: Writer, node: ast.Unary) -> Steps:
    w.word()
    yield node.operand


def _annotated(w: Writer, node: ast.Annotated) -> Steps:
    w.sign("(")
    yield node.expr
    w.sign(":")
    w.text_(" ")
    yield node.type
    w.sign(")")


# ---- collections --------------------------------------------------------------------------------


def _empty_map(w: Writer) -> Steps:
    w.sign("[")
    w.sign("=>")
    w.sign("]")
    yield from ()


def _entry(w: Writer, entry: ast.MapEntry) -> Steps:
    w.lead()
    start = w.mark()
    yield entry.key
    pad_sign(w, start)
    w.text_(" ")
    w.sign("=>")
    yield assign(w, entry.value)


def _comprehension(w: Writer, node: ast.ListComp | ast.MapComp) -> Steps:
    if isinstance(node, ast.ListComp):
        yield node.item
    else:
        yield node.key
        w.text_(" ")
        w.sign("=>")
        yield assign(w, node.value)
    for clause in node.clauses:
        w.line()
        w.word()
        w.text_(" ")
        if isinstance(clause, ast.When):
            yield clause.condition
        else:
            yield clause.pattern
            w.text_(" ")
            w.sign("in")
            w.text_(" ")
            yield clause.source


# ---- functions and branches ---------------------------------------------------------------------


def _lambda(w: Writer, node: ast.Lambda) -> Steps:
    hugs = w.take_hugs()
    w.sign("fn")
    yield brackets(w, node.params, param)
    if node.result is not None:
        w.text_(" ")
        w.sign("->")
        w.text_(" ")
        yield node.result
    w.text_(" ")
    w.sign("=>")
    w.give_hugs(hugs)
    yield assign(w, node.body, tail=next((hug for hug in hugs if w.doc.groups[hug].call), -1))


def _statements(w: Writer, node: ast.Expr) -> Steps:
    """`let`s and `assert`s, each on a line of its own, and the value behind them."""
    while isinstance(node, (ast.Let, ast.Assert)) and not w.parenthesised(node.start):
        if isinstance(node, ast.Let):
            yield _let(w, node)
        else:
            yield _assert(w, node)
        w.separator(";")
        w.hard(blank=w.next_gap.blank_first)
        node = node.body
    yield node


def _let(w: Writer, node: ast.Let) -> Steps:
    w.sign("let")
    w.text_(" ")
    yield node.pattern
    if node.type is not None:
        w.sign(":")
        w.text_(" ")
        yield node.type
    w.text_(" ")
    w.sign("=")
    yield assign(w, node.value)


def _assert(w: Writer, node: ast.Assert) -> Steps:
    w.lead()
    w.open()
    w.sign("assert")
    w.text_(" ")
    yield node.condition
    w.indent()
    w.line()
    w.sign("else")
    w.text_(" ")
    yield node.message
    w.dedent()
    w.close()


def _if(w: Writer, node: ast.If) -> Steps:
    """`if` with all of its `else if`."""
    w.open()
    end = node.end
    while True:
        w.sign("if")
        w.text_(" ")
        yield node.condition
        w.text_(" ")
        w.sign("then")
        yield assign(w, node.then)
        w.line()
        w.sign("else")
        rest = node.otherwise
        if not isinstance(rest, ast.If) or rest.end != end or not w.next_gap.empty:
            break
        w.text_(" ")
        node = rest
    yield assign(w, rest)
    w.close()


def _match(w: Writer, node: ast.Match) -> Steps:
    hugs = w.take_hugs()
    w.sign("match")
    w.text_(" ")
    yield node.subject
    w.text_(" ")
    w.hugs = hugs
    yield brackets(w, node.arms, _arm, ARMS)


def _arm(w: Writer, arm: ast.Arm) -> Steps:
    w.lead()
    start = w.mark()
    yield arm.pattern
    if arm.guard is not None:
        w.text_(" ")
        w.sign("if")
        w.text_(" ")
        yield arm.guard
    pad_sign(w, start)
    w.text_(" ")
    w.sign("=>")
    yield assign(w, arm.body)

"""Declarations, from their documentation to their last sign."""

from __future__ import annotations

from typing import assert_never

from kiln.lang.format.align import align_signs, pad_sign
from kiln.lang.format.assign import assign, bracketed
from kiln.lang.format.brackets import SPACED, brackets
from kiln.lang.format.texts import string
from kiln.lang.format.types import annotation, param, type_param
from kiln.lang.format.writer import Steps, Writer
from kiln.lang.syntax import ast


def declaration(w: Writer, node: ast.Decl) -> Steps:
    """The whole declaration, and the comment on its last line."""
    w.lead(first=True)
    match node:
        case ast.Import():
            yield _import(w, node)
        case ast.TypeDecl():
            yield _type(w, node)
        case ast.FnDecl():
            yield _fn(w, node)
        case ast.LetDecl():
            yield _let(w, node)
        case ast.SetDecl():
            yield _set(w, node)
        case ast.TestDecl():
            yield _test(w, node)
        case _:
            assert_never(node)
    w.finish()


def _space(w: Writer, sign: str) -> None:
    w.text_(" ")
    w.sign(sign)


def _visible(w: Writer, pub: bool) -> None:
    if pub:
        w.sign("pub")
        w.text_(" ")


# ---- import -------------------------------------------------------------------------------------


def _import(w: Writer, node: ast.Import) -> Steps:
    start = w.mark()
    w.sign("import")
    w.text_(" ")
    if node.alias is None:
        yield brackets(w, node.names, _imported, SPACED)
        _space(w, "from")
        w.text_(" ")
    yield string(w)
    if node.pin is not None:
        _space(w, "@")
        w.text_(" ")
        yield string(w)
    if node.alias is not None:
        pad_sign(w, start)
        _space(w, "as")
        w.text_(" ")
        w.word()
    w.separator(";")


def _imported(w: Writer, name: ast.ImportName) -> Steps:
    w.word()
    if name.end != name.name.end:
        _space(w, "as")
        w.text_(" ")
        w.word()
    yield from ()


# ---- types --------------------------------------------------------------------------------------


def _type(w: Writer, node: ast.TypeDecl) -> Steps:
    _visible(w, node.pub)
    w.sign("type")
    w.text_(" ")
    w.word()
    if node.params:
        yield brackets(w, node.params, _name)
    _space(w, "=")
    if isinstance(node.body, tuple) and not hasattr(node.body, "_fields"):
        yield _variants(w, node.body)
    else:
        yield assign(w, node.body)
    w.separator(";")


def _name(w: Writer, _node: ast.Name) -> Steps:
    w.word()
    yield from ()


def _variants(w: Writer, variants: tuple[ast.Variant, ...]) -> Steps:
    w.open(inside=True)
    if w.next_gap.newline:
        w.force()
    w.indent()
    for variant in variants:
        w.line(blank=w.next_gap.blank_first and variant is not variants[0])
        w.lead(first=variant is variants[0])
        w.bar()
        w.text_(" ")
        w.word()
        if variant.params:
            yield brackets(w, variant.params, type_param)
    w.dedent()
    w.close()


# ---- functions and values -----------------------------------------------------------------------


def _fn(w: Writer, node: ast.FnDecl) -> Steps:
    _visible(w, node.pub)
    if node.body is None:
        w.sign("extern")
        w.text_(" ")
    w.sign("fn")
    w.text_(" ")
    w.word()
    yield brackets(w, node.params, param)
    if node.result is not None:
        _space(w, "->")
        w.text_(" ")
        yield _result(w, node.result)
    for bound in node.where:
        if bound is node.where[0]:
            _space(w, "where")
        else:
            w.separator(",")
        w.text_(" ")
        w.word()
        w.sign(":")
        w.text_(" ")
        w.word()
    if node.body is not None:
        _space(w, "=")
        yield assign(w, node.body, hug=bracketed(node.body), keep=True)
    w.separator(";")


def _result(w: Writer, result: ast.Type) -> Steps:
    """A function's result, on one line if it can be: so that the parameters break first."""
    flat = w.next_gap.empty and not w.has_comments(result.end)
    w.lead()
    w.flat += flat
    yield result
    w.flat -= flat
    w.resume()


def _let(w: Writer, node: ast.LetDecl) -> Steps:
    start = w.mark()
    _visible(w, node.pub)
    w.sign("let")
    w.text_(" ")
    w.word()
    if node.type is not None:
        yield annotation(w, node.type)
    pad_sign(w, start, "typed let" if node.type is not None else "let")
    _space(w, "=")
    yield assign(w, node.body)
    w.separator(";")


def _test(w: Writer, node: ast.TestDecl) -> Steps:
    start = w.mark()
    w.sign("test")
    w.text_(" ")
    yield string(w)
    pad_sign(w, start, "test")
    _space(w, "=")
    yield assign(w, node.body, hug=bracketed(node.body), keep=True)
    w.separator(";")


# ---- sets ---------------------------------------------------------------------------------------


def _set(w: Writer, node: ast.SetDecl) -> Steps:
    _visible(w, node.pub)
    w.sign("set")
    w.text_(" ")
    w.word()
    if w.spelling(w.at) == "(":
        yield brackets(w, node.params, param)
    if node.parent is not None:
        _space(w, "extends")
        w.text_(" ")
        yield node.parent
    w.text_(" ")
    w.lead()
    w.open()
    w.sign("{")
    w.indent()
    outer, w.pads = w.pads, []
    for number, member in enumerate(node.members):
        apart = bool(w.next_gap.comments) or w.next_gap.blank
        w.hard(blank=w.next_gap.blank_first and number > 0)
        w.lead(first=number == 0)
        yield _member(w, member)
        w.pads[-1].row, w.pads[-1].apart = number, apart
    align_signs(w.pads)
    w.pads = outer
    if not w.next_gap.empty:
        w.hard()
    w.lead(first=not node.members, last=True)
    w.dedent()
    w.line("")
    w.sign("}")
    w.close()


def _member(w: Writer, node: ast.Member) -> Steps:
    start = w.mark()
    w.word()
    if node.type is not None:
        yield annotation(w, node.type)
    pad_sign(w, start, "typed" if node.type is not None else "")
    _space(w, "=")
    yield assign(w, node.body)
    w.separator(";")

"""What follows a value: `.name`, arguments, `with`; and the fields and edits in their brackets."""

from __future__ import annotations

from typing import TypeAlias

from kiln.lang.format.align import pad_sign
from kiln.lang.format.assign import assign, is_block
from kiln.lang.format.brackets import ARGUMENTS, SPACED, brackets
from kiln.lang.format.writer import Mark, Steps, Writer
from kiln.lang.syntax import ast

Postfix: TypeAlias = ast.Get | ast.GetCon | ast.Call


def postfix(w: Writer, node: Postfix) -> Steps:
    """`a.b(c).d`: the value that it begins with, then each link."""
    links = [node]
    while isinstance(base := _base(links[-1]), Postfix) and base.start == node.start:
        links.append(base)
    hugs = w.take_hugs()
    w.lead()
    yield _base(links[-1])
    calls = 0
    for link in reversed(links):
        if not isinstance(link, ast.Call):
            w.sign(".")
            w.word()
            continue
        w.hugs, hugs = hugs, []
        if calls and _is_small(link):
            yield _on_one_line(w, link)
        else:
            yield call(w, link.args)
        calls += 1
    w.hugs.clear()


def _base(link: Postfix) -> ast.Expr:
    return link.fn if isinstance(link, ast.Call) else link.base


def _is_small(link: ast.Call) -> bool:
    """Whether a call behind another is better not broken: `.file("a")`."""
    if not link.args:
        return True
    first = link.args[0]
    leaf = isinstance(first.value, (ast.Var, ast.Con, ast.Int, ast.Bool, ast.Str, ast.PathLit))
    return len(link.args) == 1 and first.label is None and leaf and first.end - first.start < 40


def _on_one_line(w: Writer, link: ast.Call) -> Steps:
    """The arguments of a small call, unless there is a comment or a line end in them."""
    if "\n" in w.text[w.starts[w.at] : link.end]:
        yield call(w, link.args)
        return
    w.hugs.clear()
    w.sign("(")
    for item in link.args:
        yield arg(w, item)
        if w.spelling(w.at) == ",":
            w.skip()
    w.sign(")")


def call(w: Writer, args: tuple[ast.Arg, ...]) -> Steps:
    """Arguments in their brackets."""
    return brackets(w, args, arg, ARGUMENTS, hug=_hugged(w, args))


def _hugged(w: Writer, args: tuple[ast.Arg, ...]) -> int | None:
    """The argument that may break alone: the last, or else the first."""
    if not args:
        return None
    if _is_hug(w, args[-1]):
        return len(args) - 1
    first = args[0].value
    if isinstance(first, (ast.Record, ast.ListLit)) and _is_hug(w, args[0]):
        return None if any(is_block(w, other.value) for other in args[1:]) else 0
    return None


def _is_hug(w: Writer, item: ast.Arg) -> bool:
    """Whether an argument is a block, with no parentheses around it."""
    return is_block(w, item.value) and item.end == item.value.end


def arg(w: Writer, item: ast.Arg) -> Steps:
    """`e`, `l = e`, `l? = e`."""
    if item.label is None:
        yield item.value
        return
    yield labelled(w, item.optional, item.value)


def record_field(w: Writer, item: ast.Field | ast.Spread) -> Steps:
    """A field of a record, or its spread."""
    if isinstance(item, ast.Spread):
        yield item
    elif item.value is None:
        w.word()
    else:
        yield labelled(w, item.optional, item.value)


def labelled(w: Writer, optional: bool, value: ast.Expr) -> Steps:
    """`l = e` or `l? = e`."""
    w.lead()
    start = w.mark()
    hugs = w.take_hugs()
    w.word()
    yield _equals(w, start, optional, value, hugs)


def _equals(w: Writer, start: Mark, optional: bool, value: ast.Expr, hugs: list[int]) -> Steps:
    if optional:
        w.lead()
        w.text_("?")
    pad_sign(w, start)
    w.text_(" ")
    w.word("=" if optional else None)
    w.hugs = hugs
    return assign(w, value)


def with_edits(w: Writer, node: ast.With | ast.Overlay) -> Steps:
    """`base with { … }`, `base with (self, super) { … }`."""
    w.lead()
    hugs = w.take_hugs()
    yield node.base
    w.text_(" ")
    w.sign("with")
    w.text_(" ")
    if isinstance(node, ast.Overlay):
        w.sign("(")
        w.word()
        w.separator(",")
        w.text_(" ")
        w.word()
        w.sign(")")
        w.text_(" ")
    w.hugs = hugs
    yield brackets(w, node.edits, _edit, SPACED)


def _edit(w: Writer, item: ast.Edit) -> Steps:
    w.lead()
    start = w.mark()
    w.word()
    for _ in item.path[1:]:
        w.sign(".")
        w.word()
    yield _equals(w, start, item.op == "?=", item.value, [])

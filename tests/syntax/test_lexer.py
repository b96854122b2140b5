"""Tokens, as `kind` or `kind:text`, of lines that the sketches of the lexer got wrong, and of all that hangs on
neighbours."""

from __future__ import annotations

import pytest

from kiln.lang.syntax.lexer import lex
from kiln.lang.syntax.tokens import KINDS


def shown(text: str) -> str:
    tokens = lex(text)
    assert tokens.fault is None, tokens.fault
    parts = []
    for kind, start, end in zip(tokens.kinds, tokens.starts, tokens.ends, strict=True):
        name, spelling = KINDS[kind], text[start:end]
        parts.append(name if name == spelling or not spelling else f"{name}:{spelling}")
    return " ".join(parts[:-1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(b)==c", "( NAME:b ) CMP:== NAME:c"),
        ("f(x)==1", "NAME:f ( NAME:x ) CMP:== INT:1"),
        ('then"a"', 'then STR_BEGIN:" STR_TEXT:a _STR_END:"'),
        ('sh"a"', 'STR_BEGIN:sh" STR_TEXT:a _STR_END:"'),
        ("a=>b", "NAME:a => NAME:b"),
        ("a>=b", "NAME:a CMP:>= NAME:b"),
        ("a==-b", "NAME:a CMP:== MINUS:- NAME:b"),
        ("x<-1", "NAME:x CMP:< MINUS:- INT:1"),
        ("a||b|>c|d", "NAME:a OR:|| NAME:b |> NAME:c | NAME:d"),
        ("a++b+c+=d", "NAME:a CONCAT:++ NAME:b PLUS:+ NAME:c += NAME:d"),
        ("..a.b", ".. NAME:a . NAME:b"),
        ("a!=!b", "NAME:a CMP:!= ! NAME:b"),
        ("a%b", "NAME:a MULOP:% NAME:b"),
        ("a?:b", "NAME:a _QCOLON:?: NAME:b"),
        ("a ? : b", "NAME:a _QCOLON:? : NAME:b"),
        ("a?=b", "NAME:a _OPTEQ:?= NAME:b"),
        ("a ? = b", "NAME:a _OPTEQ:? = NAME:b"),
        ("1_000", "INT:1_000"),
        ("_ _a", "_ NAME:_a"),
        ("a # b\n# c\n d", "NAME:a NAME:d"),
        ("### a\nb", "NAME:b"),
        ("## a\n## b\nc", "DOC:## a\n## b NAME:c"),
        ("`./a b`", "PATH:`./a b`"),
        ('""', 'STRING:""'),
        ('"a$b%c"', 'STR_BEGIN:" STR_TEXT:a$b%c _STR_END:"'),
        ('""""""', 'STR_BEGIN:""" _STR_END:"""'),
        ('"""a"b"""', 'STR_BEGIN:""" STR_TEXT:a"b _STR_END:"""'),
        ('"%{a}"', 'STR_BEGIN:" _HOLE_BEGIN:%{ NAME:a _HOLE_END:} _STR_END:"'),
        ('"%%{a}"', 'STR_BEGIN:" STR_TEXT:%%{a} _STR_END:"'),
        ('"%%%{a}"', 'STR_BEGIN:" STR_TEXT:%%%{a} _STR_END:"'),
        ('"\\%%{a}"', 'STR_BEGIN:" STR_TEXT:\\% _HOLE_BEGIN:%{ NAME:a _HOLE_END:} _STR_END:"'),
        ('"%{ {a} }"', 'STR_BEGIN:" _HOLE_BEGIN:%{ { NAME:a } _HOLE_END:} _STR_END:"'),
        ('{"%{a}"}', '{ STR_BEGIN:" _HOLE_BEGIN:%{ NAME:a _HOLE_END:} _STR_END:" }'),
        (
            '"%{"%{"a"}"}"',
            'STR_BEGIN:" _HOLE_BEGIN:%{ STR_BEGIN:" _HOLE_BEGIN:%{ STRING:"a" _HOLE_END:} _STR_END:" '
            '_HOLE_END:} _STR_END:"',
        ),
        (
            '"%{sh"%{[{}]}"}"',
            'STR_BEGIN:" _HOLE_BEGIN:%{ STR_BEGIN:sh" _HOLE_BEGIN:%{ [ { } ] _HOLE_END:} _STR_END:" '
            '_HOLE_END:} _STR_END:"',
        ),
        ('sh"\\n"', 'STR_BEGIN:sh" STR_TEXT:\\n _STR_END:"'),
        ('"${A}"', 'STR_BEGIN:" STR_TEXT:${A} _STR_END:"'),
        ('"\\${a}"', 'STR_BEGIN:" STR_TEXT:\\${a} _STR_END:"'),
    ],
)  # fmt: skip
def test_tokens(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.type", "NAME:a . NAME:type"),
        ("a.\n  from", "NAME:a . NAME:from"),
        ("type = 1", "KEYLABEL:type = INT:1"),
        ("type == 1", "type CMP:== INT:1"),
        ("true => 1", "true => INT:1"),
        ("match ?= 1", "KEYLABEL:match _OPTEQ:?= INT:1"),
        ("in += 1", "KEYLABEL:in += INT:1"),
        ("in: T", "KEYLABEL:in : UNAME:T"),
        ("in ?: T", "KEYLABEL:in _QCOLON:?: UNAME:T"),
        ("test.a = 1", "KEYLABEL:test . NAME:a = INT:1"),
        ("else ..a", "else .. NAME:a"),
        ("(true : Bool)", "( true : UNAME:Bool )"),
        ("true = 1", "KEYLABEL:true = INT:1"),
        ("_ = 1", "_ = INT:1"),
        ("_: T", "_ : UNAME:T"),
        ("from", "NAME:from"),
        ("(from, as)", "( NAME:from , NAME:as )"),
        ("} from", "} from"),
        ("from = 1", "NAME:from = INT:1"),
        ("a as b", "NAME:a as NAME:b"),
        ("extern fn", "extern fn"),
        ("pub extern fn", "PUB:pub extern fn"),
        ("f(extern)", "NAME:f ( NAME:extern )"),
        ("T where a", "UNAME:T where NAME:a"),
        ("where + extends", "NAME:where PLUS:+ NAME:extends"),
    ],
)
def test_words_that_hang_on_their_neighbours(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize("depth", [1, 50, 20_000])
def test_holes_nest_to_any_depth(depth: int) -> None:
    tokens = lex('"%{' * depth + "a" + '}"' * depth)
    assert tokens.fault is None
    assert len(tokens.kinds) == 4 * depth + 2


def test_values_of_tokens() -> None:
    tokens = lex('pub a B 1_0 `p` "s" + sh"t"')
    assert tokens.values == ["pub", "a", "B", "1_0", "p", "s", (20, "+"), ("sh", '"'), "t", None, None]

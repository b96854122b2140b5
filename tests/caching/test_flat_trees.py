"""Trees to bytes and back."""

from __future__ import annotations

import marshal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln.interpreter.caching.core import CORE, StoredDecls, pack_decl
from kiln.interpreter.caching.flat import Damaged, Shape, Table
from kiln.lang.check import infos, interface, types
from kiln.lang.core import (
    BindPattern,
    CoreDefault,
    CoreLet,
    CoreTest,
    DefaultOf,
    Global,
    LetIn,
    Literal_,
    Local,
    MakeList,
)


class Leaf(NamedTuple):
    pass


class Pair(NamedTuple):
    left: object
    right: object


class Box:
    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held

    def __eq__(self, other):
        return isinstance(other, Box) and self.held == other.held

    __hash__ = None


TABLE = Table([Leaf, Pair], [Shape(Box, lambda box: (box.held,), 1, Box)])
SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.binary()
TREES = st.recursive(
    SCALARS | st.builds(Leaf),
    lambda t: (
        st.builds(Pair, t, t)
        | st.builds(Box, t)
        | st.lists(t).map(tuple)
        | st.frozensets(st.text())
        | st.dictionaries(st.text(), t)
    ),
)


def same(one, two):
    """Equal, and of the same classes all the way down: a named tuple equals a tuple, and True equals 1."""
    if type(one) is not type(two) or one != two:
        return False
    if isinstance(one, Box):
        return same(one.held, two.held)
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(one[k], two[k]) for k in one)
    return not isinstance(one, tuple) or all(map(same, one, two))


@given(TREES)
def test_there_and_back(tree):
    assert same(TABLE.unpack(TABLE.pack(tree)), tree)
    assert same(TABLE.unpack(TABLE.pack(tree, stable=True)), tree)


@given(TREES, TREES)
def test_parts_that_are_shared(one, two):
    """What was one object is one, and the digest is that of the tree."""
    box = Box(one)
    tree = (box, Pair(Box((two, box)), box), two)
    found = TABLE.unpack(TABLE.pack(tree, shared=True))
    assert same(found, tree)
    assert found[0] is found[1].right is found[1].left.held[1]
    assert TABLE.digest(found, {}) == TABLE.digest(TABLE.unpack(TABLE.pack(tree)), {})
    assert (TABLE.digest((one,), {}) == TABLE.digest((two,), {})) == same(one, two)


def test_a_tree_far_larger_than_its_parts():
    tree = Box(1)
    for _ in range(200):
        tree = Box((tree, tree))
    data = TABLE.pack(tree, shared=True)
    assert len(data) < 20_000
    assert TABLE.digest(TABLE.unpack(data), {}) == TABLE.digest(tree, {})


@given(TREES, TREES)
def test_stable_bytes_are_those_of_the_tree(one, two):
    again = TABLE.unpack(TABLE.pack(one))
    assert TABLE.pack(again, stable=True) == TABLE.pack(one, stable=True)
    assert (TABLE.pack(one, stable=True) == TABLE.pack(two, stable=True)) == same(one, two)


@given(TREES, st.data())
def test_less_than_all_of_it_is_damaged(tree, data):
    packed_ = TABLE.pack(tree)
    end = data.draw(st.integers(0, len(packed_) - 1))
    with pytest.raises(Damaged):
        TABLE.unpack(packed_[:end])


def test_what_no_tree_is():
    for codes, constants in (
        (b"", ()),
        (b"\0\0", (1, 2)),
        (b"\6", ()),
        (b"\4", (0,)),
        (b"\xff", ()),
        (b"\1", (3,)),
        (b"\0", ()),
    ):
        with pytest.raises(Damaged):
            TABLE.unpack(marshal.dumps((codes, constants, 0)))
    with pytest.raises(TypeError):
        TABLE.pack(object())


def test_depth():
    body = Local(0, "x")
    for _ in range(100_000):
        body = LetIn(0, BindPattern("x"), Literal_(0, 1), body)
    found = CORE.unpack(CORE.pack(CoreLet("deep", 0, body)))
    for _ in range(100_000):
        found, depth = found.body, found
        assert type(depth) in (CoreLet, LetIn)
    assert found.body == Local(0, "x")


def test_declarations_are_read_one_at_a_time():
    decls = (
        CoreLet("a", 0, MakeList(1, (Global(2, "m", "f"), DefaultOf(3, "m", "T", "l"), Global(4, "m", "f")))),
        CoreTest("a test", 5, Literal_(0, False)),
        CoreDefault("T", "l", 9, Literal_(0, "s")),
    )
    keys, blobs, facts = zip(*map(pack_decl, decls), strict=True)
    assert keys == (("a",), (), ("T", "l"))
    assert facts == (("let", ("m\0T\0l", "m\0f")), ("other", ()), ("other", ()))
    damaged = StoredDecls(keys, (b"damaged", *blobs[1:]), (0, 5, 9), facts)
    assert damaged[2] == decls[2] and damaged[-2:] == decls[1:]
    assert damaged[2] is damaged[2]
    kept = StoredDecls(keys, blobs, (0, 5, 9), facts)
    assert kept == decls and kept != decls[:2]
    assert StoredDecls(keys, blobs, (7, 12, 16), facts)[1] == CoreTest("a test", 12, Literal_(0, False))
    assert StoredDecls(keys, blobs, (0, 5, 9), facts, {1: decls[1]})[1] is decls[1]


def test_every_class_of_an_interface_is_known():
    """A field that is added to one of these is one that an entry has to hold."""
    known = {
        types.Con: {"name", "args", "alias", "ground"},
        types.Rec: {"row", "alias", "ground"},
        types.Fn: {"params", "result", "alias", "ground"},
        types.Row: {"fields", "tail", "sites", "ground"},
        types.RowMap: {"constructor", "row", "ground"},
        types.Scheme: {"vars", "type"},
    }
    for kind, slots in known.items():
        assert set(kind.__slots__) == slots
    assert set(interface.Interface.__slots__) == {
        "module", "path", "values", "types", "infos", "private", "sources", "doc",
    }  # fmt: skip
    assert set(infos.ValueInfo._fields) == {"name", "kind", "scheme", "params", "site", "doc"}

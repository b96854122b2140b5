"""Trees of immutable data to bytes and back, without recursion: a chain of 100,000 lets is as deep as it is long.

A tree is written in postorder for a machine with a stack, as two streams that are marshalled together:

    codes      0  push the next constant        1  a tuple of the next constant's many      2  the same, a frozenset
               3  a dict of the next constant's many keys and values
               4  what stands so far up in the stack as the next constant says
               5…  a node: the class with that number
    constants  str, int, bool and None, and the sizes

    (+ 1 x) as BinaryOn(0, "add", Literal_(4, 1), Local(6, "x")):
    codes      0 0 0 0 5 0 0 6 7     constants  0 "add" 4 1 6 "x"     with Literal_ 5, Local 6, BinaryOn 7

Types share their parts, and as trees may be far larger than they are. If asked, nodes that occur more than once, of
classes that say their fields, stand before the tree, the first at the bottom of the stack, and are named by 4; how
many those are is marshalled behind the streams.

A node's fields come in the order of its class; a class is a named tuple, or says its fields and how to make one.
The classes are closed tables, so that bytes can make nothing else; a table's numbers are Kiln's code, which stands in
every key. Bytes from outside the user's own cache must not come here: `marshal` trusts what it reads.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from blake3 import blake3

_CONSTANT: Final = 0
_TUPLE: Final = 1
_SET: Final = 2
_DICT: Final = 3
_SHARED: Final = 4
_FIRST: Final = 5
_END: Final = object()
"""Stands on a stack behind a node whose parts are done."""
_CONSTANTS: Final = (str, int, bool, bytes, type(None))


class Damaged(Exception):
    """Bytes that `Table.pack` of this very table did not write."""


class Shape(NamedTuple):
    """A class that is no named tuple: its fields, and what makes one of them."""

    kind: type[Any]
    fields: Callable[[Any], Sequence[object]]
    size: int
    make: Callable[..., Any]


class Table:
    """The classes that may occur, in an order that numbers them."""

    def __init__(
        self, tuples: Iterable[type[Any]], shapes: Iterable[Shape] = (), named: Iterable[type[Any]] = ()
    ) -> None:
        self._codes: dict[type[Any], int] = {}
        self._fields: dict[type[Any], Callable[[Any], Sequence[object]]] = {}
        self._makers: list[tuple[int, type[Any] | None, Callable[..., Any]]] = []
        for kind in tuples:
            self._add(kind, len(kind._fields), kind, tuple.__new__)
        self._plain = dict(self._codes)
        """Named tuples, whose parts are the node itself."""
        for shape in shapes:
            self._fields[shape.kind] = shape.fields
            self._add(shape.kind, shape.size, None, shape.make)
        self._named = frozenset([self._codes[kind] for kind in named])
        if len(self._makers) + _FIRST > 256:
            raise ValueError("more classes than a byte can number")

    def _add(self, kind: type[Any], size: int, tuple_type: type[Any] | None, make: Callable[..., Any]) -> None:
        self._codes[kind] = len(self._makers) + _FIRST
        self._makers.append((size, tuple_type, make))

    def pack(self, tree: object, stable: bool = False, named: list[Any] | None = None, shared: bool = False) -> bytes:
        """The bytes of a tree; if `stable`, equal ones for equal trees. Raises TypeError for a foreign class.

        Nodes of the classes that the table was told are put into `named`. `shared` is not for stable ones.
        """
        codes = bytearray()
        constants: list[Any] = []
        before = self._repeated(tree) if shared else []
        known = {id(node): place for place, node in enumerate(before)}
        self._write([tree], codes, constants, named, known)
        for node in reversed(before):
            code, parts = self._open(node, type(node))
            codes.append(code)
            self._write([*parts], codes, constants, named, known)
        codes.reverse()
        constants.reverse()
        # Version 2 writes each constant out; from 3 on equal objects that are one object are written once.
        return marshal.dumps((bytes(codes), tuple(constants), len(before)), 2 if stable else 4)

    def _write(
        self,
        stack: list[Any],
        codes: bytearray,
        constants: list[Any],
        named: list[Any] | None,
        known: Mapping[int, int],
    ) -> None:
        """The streams from their ends on; `known` are the places of nodes that stand elsewhere."""
        watched = self._named if named is not None else frozenset()
        plain = self._plain
        while stack:
            node = stack.pop()
            kind = type(node)
            if kind in _CONSTANTS:
                codes.append(_CONSTANT)
                constants.append(node)
                continue
            parts: Any
            if kind in plain:
                code, parts = plain[kind], node
            elif id(node) in known:
                codes.append(_SHARED)
                constants.append(known[id(node)])
                continue
            else:
                code, parts = self._open(node, kind)
            codes.append(code)
            if code < _FIRST:
                constants.append(len(parts))
            elif code in watched:
                named.append(node)  # type: ignore[union-attr]
            stack.extend(parts)

    def _repeated(self, tree: object) -> list[Any]:
        """The nodes, of classes that say their fields, that occur more than once, each behind those in it."""
        often: dict[int, bool] = {}
        order: list[Any] = []
        stack = [tree]
        while stack:
            node = stack.pop()
            kind = type(node)
            if kind in _CONSTANTS:
                continue
            if node is _END:
                order.append(stack.pop())
                continue
            if kind in self._fields:
                if id(node) in often:
                    often[id(node)] = True
                    continue
                often[id(node)] = False
                stack += node, _END
            stack.extend(self._open(node, kind)[1])
        return [node for node in order if often[id(node)]]

    def digest(self, tree: object, known: dict[int, tuple[object, bytes]]) -> bytes:
        """16 bytes, equal for equal trees; of no constant alone.

        `known` has the nodes of classes that say their fields that were met so far, by identity, each with its
        digest; they must not change while it is used.
        """
        stack: list[Any] = [tree]
        while stack:
            node = stack.pop()
            if node is _END:
                node = stack.pop()
                known[id(node)] = node, self._level(node, known)
            elif type(node) in self._fields:
                if id(node) not in known:
                    stack += node, _END
                    stack.extend(self._open(node, type(node))[1])
            elif type(node) not in _CONSTANTS:
                stack.extend(self._open(node, type(node))[1])
        found = known.get(id(tree))
        return self._level(tree, known) if found is None else found[1]

    def _level(self, root: Any, known: Mapping[int, tuple[object, bytes]]) -> bytes:
        """Of a tree in which the digest of each node that is known stands for it."""
        codes = bytearray()
        constants: list[Any] = []
        code, stack = self._open(root, type(root))
        codes.append(code)
        constants.append(len(stack))
        stack = [*stack]
        while stack:
            node = stack.pop()
            kind = type(node)
            if kind in _CONSTANTS:
                codes.append(_CONSTANT)
                constants.append(node)
            elif kind in self._fields:
                codes.append(_SHARED)
                constants.append(known[id(node)][1])
            else:
                code, parts = self._open(node, kind)
                codes.append(code)
                constants.append(len(parts))
                stack.extend(parts)
        return blake3(marshal.dumps((bytes(codes), tuple(constants)), 2)).digest(16)

    def _open(self, node: Any, kind: Any) -> tuple[int, Sequence[object]]:
        code = self._codes.get(kind)
        if code is not None:
            fields = self._fields.get(kind)
            return code, node if fields is None else fields(node)
        if kind is tuple:
            return _TUPLE, node
        if kind is frozenset:
            return _SET, sorted(node)
        if kind is dict:
            return _DICT, [part for item in node.items() for part in item]
        raise TypeError(f"no {kind.__name__} in this table")

    def unpack(self, data: bytes) -> Any:
        """The tree of `pack`'s bytes. Raises Damaged."""
        try:
            codes, constants, before = marshal.loads(data)
            *shared, tree = self._run(codes, constants)
        except (ValueError, TypeError, EOFError, IndexError, StopIteration, KeyError) as error:
            raise Damaged from error
        if len(shared) != before:
            raise Damaged
        return tree

    def _run(self, codes: bytes, constants: tuple[Any, ...]) -> list[Any]:
        makers = self._makers
        take = iter(constants).__next__
        stack: list[Any] = []
        push = stack.append
        for code in codes:
            if code == _CONSTANT:
                push(take())
                continue
            if code >= _FIRST:
                size, kind, make = makers[code - _FIRST]
                parts = stack[-size:] if size else []
                if size:
                    del stack[-size:]
                    if len(parts) != size:
                        raise Damaged
                push(make(*parts) if kind is None else make(kind, parts))
                continue
            size = take()
            if code == _SHARED:
                push(stack[size])
                continue
            if not 0 <= size <= len(stack):
                raise Damaged
            parts = stack[len(stack) - size :]
            del stack[len(stack) - size :]
            push(_collection(code, parts))
        return stack


def _collection(code: int, parts: list[Any]) -> Any:
    if code == _TUPLE:
        return tuple(parts)
    if code == _SET:
        return frozenset(parts)
    return dict(zip(parts[::2], parts[1::2], strict=True))

"""Trees of immutable data to bytes and back, without recursion: a chain of 100,000 lets is as deep as it is long.

A tree is written in postorder for a machine with a stack, as two streams that are marshalled together:

    codes      0  push the next constant        1  a tuple of the next constant's many      2  the same, a frozenset
               3  a dict of the next constant's many keys and values       4…  a node: the class with that number
    constants  str, int, bool and None, and the sizes

    (+ 1 x) as BinaryOn(0, "add", Literal_(4, 1), Local(6, "x")):
    codes      0 0 0 0 4 0 0 5 6     constants  0 "add" 4 1 6 "x"     with Literal_ 4, Local 5, BinaryOn 6

A node's fields come in the order of its class; a class is a named tuple, or says its fields and how to make one.
The classes are closed tables, so that bytes can make nothing else; a table's numbers are Kiln's code, which stands in
every key. Bytes from outside the user's own cache must not come here: `marshal` trusts what it reads.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

_CONSTANT: Final = 0
_TUPLE: Final = 1
_SET: Final = 2
_DICT: Final = 3
_FIRST: Final = 4
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

    def pack(self, tree: object, stable: bool = False, named: list[Any] | None = None) -> bytes:
        """The bytes of a tree; if `stable`, equal ones for equal trees. Raises TypeError for a foreign class.

        Nodes of the classes that the table was told are put into `named`.
        """
        codes = bytearray()
        constants: list[Any] = []
        stack = [tree]
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
            else:
                code, parts = self._open(node, kind)
            codes.append(code)
            if code < _FIRST:
                constants.append(len(parts))
            elif code in watched:
                named.append(node)  # type: ignore[union-attr]
            stack.extend(parts)
        codes.reverse()
        constants.reverse()
        # Version 2 writes each constant out; from 3 on equal objects that are one object are written once.
        return marshal.dumps((bytes(codes), tuple(constants)), 2 if stable else 4)

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
            codes, constants = marshal.loads(data)
            (tree,) = self._run(codes, constants)
        except (ValueError, TypeError, EOFError, IndexError, StopIteration, KeyError) as error:
            raise Damaged from error
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

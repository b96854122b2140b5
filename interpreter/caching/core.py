"""Core kept as bytes, a declaration at a time, and read when it is first looked at.

`StoredDecls` stands for `CoreModule.decls`: of a module with 10,000 declarations an evaluation reads what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias, overload

from kiln.interpreter.caching.flat import Table
from kiln.lang import core
from kiln.lang.core import CoreDecl, CoreLet, DeclKey, DefaultOf, Global, decl_key

CORE: Final = Table(
    sorted(
        (kind for kind in vars(core).values() if isinstance(kind, type) and hasattr(kind, "_fields")),
        key=lambda kind: kind.__name__,
    ),
    named=(Global, DefaultOf),
)


Facts: TypeAlias = "tuple[str, tuple[str, ...]]"
"""`let` or another word; and the declarations that core names: `module NUL name`, or, for a default of a record's
field, `module NUL type NUL field`; sorted."""


class StoredDecls(Sequence[CoreDecl]):
    """Equal to the tuple of the same declarations. `keys` has one entry a declaration, as `decl_key` gives it.

    A declaration's bytes don't say where it begins: `starts` does. `read` are those that need not be read, by place.
    """

    __slots__ = ("_found", "blobs", "facts", "keys", "starts")

    def __init__(
        self,
        keys: tuple[DeclKey, ...],
        blobs: tuple[bytes, ...],
        starts: tuple[int, ...],
        facts: tuple[Facts, ...],
        read: Mapping[int, CoreDecl] | None = None,
    ) -> None:
        self.keys = keys
        self.blobs = blobs
        self.starts = starts
        self.facts = facts
        self._found = {} if read is None else dict(read)

    def __len__(self) -> int:
        return len(self.blobs)

    @overload
    def __getitem__(self, place: int) -> CoreDecl: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[CoreDecl, ...]: ...
    def __getitem__(self, place: int | slice) -> CoreDecl | tuple[CoreDecl, ...]:
        if isinstance(place, slice):
            return tuple(self[i] for i in range(*place.indices(len(self))))
        place = range(len(self))[place]
        found = self._found.get(place)
        if found is None:
            decl: CoreDecl = CORE.unpack(self.blobs[place])
            found = self._found[place] = decl._replace(start=self.starts[place])
        return found

    def __iter__(self) -> Iterator[CoreDecl]:
        return (self[place] for place in range(len(self)))

    def lets(self) -> list[str]:
        """The names of the bindings, in the file's order; none is read for it."""
        return [key[0] for key, (kind, _) in zip(self.keys, self.facts, strict=True) if kind == "let"]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]


class PackedDecl(NamedTuple):
    key: DeclKey
    blob: bytes
    facts: Facts


def pack_decl(decl: CoreDecl) -> PackedDecl:
    named: list[Global | DefaultOf] = []
    blob = CORE.pack(decl._replace(start=0), named=named)
    names = {_name(node) for node in named}
    kind = "let" if isinstance(decl, CoreLet) else "other"
    return PackedDecl(decl_key(decl), blob, (kind, tuple(sorted(names))))


def _name(node: Global | DefaultOf) -> str:
    own = node.name if isinstance(node, Global) else f"{node.type_name}\0{node.label}"
    return f"{node.module}\0{own}"

"""Core kept as bytes, a declaration at a time, and read when it is first looked at.

`StoredDecls` stands for `CoreModule.decls`: of a module with 10,000 declarations an evaluation reads what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, overload

from kiln.interpreter.caching.flat import Table
from kiln.lang import core
from kiln.lang.core import CoreDecl, DeclKey, decl_key

CORE: Final = Table(
    sorted(
        (kind for kind in vars(core).values() if isinstance(kind, type) and hasattr(kind, "_fields")),
        key=lambda kind: kind.__name__,
    )
)


class StoredDecls(Sequence[CoreDecl]):
    """Equal to the tuple of the same declarations. `keys` has one entry a declaration, as `decl_key` gives it.

    A declaration's bytes don't say where it begins: `starts` does.
    """

    __slots__ = ("_found", "blobs", "keys", "starts")

    def __init__(self, keys: tuple[DeclKey, ...], blobs: tuple[bytes, ...], starts: tuple[int, ...]) -> None:
        self.keys = keys
        self.blobs = blobs
        self.starts = starts
        self._found: dict[int, CoreDecl] = {}

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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]


def pack_decl(decl: CoreDecl) -> bytes:
    return CORE.pack(decl._replace(start=0))


def stored(decls: Sequence[CoreDecl]) -> StoredDecls:
    if isinstance(decls, StoredDecls):
        return decls
    keys = tuple([decl_key(decl) for decl in decls])
    return StoredDecls(keys, tuple([pack_decl(decl) for decl in decls]), tuple([decl.start for decl in decls]))

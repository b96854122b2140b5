"""Core kept as bytes, a declaration at a time, and read when it is first looked at.

`StoredDecls` stands for `CoreModule.decls`: of a module with 10,000 declarations an evaluation reads what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, overload

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
    """Equal to the tuple of the same declarations. `keys` has one entry a declaration, as `decl_key` gives it."""

    __slots__ = ("_blobs", "_found", "keys")

    def __init__(self, keys: tuple[DeclKey, ...], blobs: tuple[bytes, ...]) -> None:
        self.keys = keys
        self._blobs = blobs
        self._found: dict[int, CoreDecl] = {}

    def __len__(self) -> int:
        return len(self._blobs)

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
            decl: CoreDecl = CORE.unpack(self._blobs[place])
            found = self._found[place] = decl
        return found

    def __iter__(self) -> Iterator[CoreDecl]:
        return (self[place] for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def blobs(self) -> tuple[bytes, ...]:
        return self._blobs


def packed(decls: Sequence[CoreDecl]) -> tuple[tuple[Any, ...], tuple[bytes, ...]]:
    """The keys and bytes that make `StoredDecls` of these."""
    if isinstance(decls, StoredDecls):
        return decls.keys, decls.blobs
    return tuple([decl_key(decl) for decl in decls]), tuple([CORE.pack(decl) for decl in decls])

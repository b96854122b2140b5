"""What the store knows of an object: the row in its index, and the small file beside it.

The index holds, for each id, the msgpack array

    [1, name, root digest, kind, size in bytes, references' ids one after the other as one `bin`]

and `objects-meta/<hash>-<name>` holds the same with what the id was computed from, so that the file proves
itself without the object, and the index can be made again from these files:

    [1, id, name, kind, size, [reference's id …], [[path, [offset …], modulo] …], root, [directory …]]

where `modulo` is an entry of a manifest under an empty name (see `manifest`), the directories are the
manifest's, and kind is 0 a tree, 1 a file, 2 a symlink.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

import msgpack

from kiln.store.digest import ObjectId, RootDigest
from kiln.store.errors import Damaged, StoreError
from kiln.store.paths import StorePath

ObjectKind: TypeAlias = Literal["tree", "file", "symlink"]
_KINDS: tuple[ObjectKind, ...] = ("tree", "file", "symlink")


class ObjectInfo(NamedTuple):
    """An object. `references` are sorted, without the object itself; `size` is the bytes of its files."""

    id: ObjectId
    root: RootDigest
    name: str
    size: int
    references: tuple[ObjectId, ...]
    kind: ObjectKind

    @property
    def path(self) -> StorePath:
        return StorePath.of(self.id, self.name)


def encode_row(info: ObjectInfo) -> bytes:
    packed: bytes = msgpack.packb(
        [1, info.name, info.root, _KINDS.index(info.kind), info.size, b"".join(info.references)]
    )
    return packed


def decode_row(object_id: bytes, data: bytes) -> ObjectInfo:
    """Read a row of the index. Raises Damaged."""
    try:
        version, name, root, kind, size, references = msgpack.unpackb(data)
        if version != 1 or len(references) % 32:
            raise ValueError("another version")
        ids = tuple(ObjectId(references[at : at + 32]) for at in range(0, len(references), 32))
        return ObjectInfo(ObjectId(object_id), RootDigest(root), name, size, ids, _KINDS[kind])
    except (ValueError, TypeError, IndexError, StoreError) as error:
        raise Damaged(
            "an object's row in the index does not parse",
            found=f"{object_id.hex()[:12]}: {error}",
            help="kiln store rebuild-index",
        ) from error


def sorted_references(references: Iterable[ObjectId], own: ObjectId | None = None) -> tuple[ObjectId, ...]:
    return tuple(sorted({item for item in references if item != own}))

"""An object's small file: `info` describes the format. Reading one proves it."""

from __future__ import annotations

from typing import NamedTuple, cast

import msgpack

from kiln.store.digest import ObjectId, RootDigest
from kiln.store.errors import Damaged, StoreError
from kiln.store.info import ObjectInfo, ObjectKind
from kiln.store.manifest import (
    DirNode,
    FileNode,
    LinkNode,
    Manifest,
    Node,
    SelfPlace,
    check_manifest,
    content_size,
    decode_directory,
    encode_directory,
    object_id,
    top,
)
from kiln.store.paths import check_name


class ObjectMeta(NamedTuple):
    """An object, its manifest, and where it mentions itself (sorted by path)."""

    info: ObjectInfo
    manifest: Manifest
    places: tuple[SelfPlace, ...]


def kind_of(node: Node) -> ObjectKind:
    match node:
        case DirNode():
            return "tree"
        case FileNode():
            return "file"
        case LinkNode():
            return "symlink"


def encode_meta(meta: ObjectMeta) -> bytes:
    info = meta.info
    packed: bytes = msgpack.packb(
        [
            1,
            info.id,
            info.name,
            ("tree", "file", "symlink").index(info.kind),
            info.size,
            list(info.references),
            [[place.path, list(place.offsets), encode_directory([(b"", place.modulo)])] for place in meta.places],
            info.root,
            list(meta.manifest.directories),
        ]
    )
    return packed


def decode_meta(data: bytes) -> ObjectMeta:
    """Read an object's small file, and check that its id follows from what it says. Raises Damaged.

    That the zeroed nodes of its self-references are those of its files only the files can show: see `verify`.
    """
    try:
        fields = cast(object, msgpack.unpackb(data, use_list=True, raw=False))
        meta = _decode(fields)
    except (StoreError, ValueError, TypeError, KeyError, AssertionError, OverflowError) as error:
        raise Damaged("an object's small file does not parse", found=str(error)) from error
    info = meta.info
    identity = object_id(info.name, meta.manifest, meta.places, info.references)
    if identity != info.id or encode_meta(meta) != data:
        raise Damaged("an object's small file contradicts its id", found=info.id.short)
    return meta


def _decode(fields: object) -> ObjectMeta:
    match fields:
        case [
            1,
            bytes(raw_id),
            str(name),
            int(),
            int(size),
            list(references),
            list(places),
            bytes(root),
            list(directories),
        ]:
            manifest = check_manifest(RootDigest(root), directories)
            info = ObjectInfo(
                ObjectId(raw_id),
                manifest.root,
                check_name(name),
                size,
                tuple(map(ObjectId, references)),
                kind_of(top(manifest)),
            )
            if content_size(manifest) != size:
                raise Damaged("a size that is not the content's")
            return ObjectMeta(info, manifest, tuple(map(_place, places)))
        case _:
            raise Damaged("not an object's small file of version 1")


def _place(fields: object) -> SelfPlace:
    match fields:
        case [bytes(path), list(offsets), bytes(modulo)]:
            [(_, node)] = decode_link_or_file(modulo)
            return SelfPlace(path, tuple(map(int, offsets)), node)
        case _:
            raise Damaged("not a place of a self-reference")


def decode_link_or_file(data: bytes) -> list[tuple[bytes, FileNode | LinkNode]]:
    return [(name, node) for name, node in decode_directory(data) if not isinstance(node, DirNode)]

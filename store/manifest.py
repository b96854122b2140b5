"""Manifests: an object's content as a Merkle tree, and the digests made of it.

A directory is one msgpack array of its entries in the bytewise order of their names (integers and lengths in
their shortest form, names and targets as `bin`):

    [[name, 0, directory's digest] |
     [name, 1, size, blob's digest] |         a file, mode 0444
     [name, 2, size, blob's digest] |         an executable file, mode 0555
     [name, 3, target] …]                     a symlink

Its digest is BLAKE3 of these bytes in the domain `directory manifest`. An object that is a directory has that
directory's digest as its **root**. An object that is one file or one symlink has the root of a directory that
holds it alone under the empty name, which no directory on disk can hold. For example, a directory with the
executable `hi` of 5 bytes:

    91 94 c4 02 68 69 02 05 c4 20 <32 bytes of BLAKE3>

The **id** of an object is BLAKE3, in the domain `object id`, of

    [1, name, root modulo self-references, [[path, [offset …]] …], [reference's id …]]

where the root is taken over the same tree with 32 zero bytes in each place where the object's own hash stands,
those places are named by path (components joined by `/`, empty for a single file) and offset, and references
to other objects are full ids; both lists are sorted bytewise, each element once.

A **manifest** is the bytes of every directory of an object, children before parents, each once; the last is
the root's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import msgpack

from kiln.store.digest import BlobDigest, Domain, ObjectId, RootDigest, digest_of
from kiln.store.errors import Damaged

HASH_BYTES = 32
ZEROS = bytes(HASH_BYTES)


class DirNode(NamedTuple):
    digest: RootDigest


class FileNode(NamedTuple):
    size: int
    digest: BlobDigest
    executable: bool


class LinkNode(NamedTuple):
    target: bytes


Node: TypeAlias = DirNode | FileNode | LinkNode
Entry: TypeAlias = tuple[bytes, Node]


class Manifest(NamedTuple):
    """`directories`: canonical bytes, children before parents, each once, the root's last."""

    root: RootDigest
    directories: tuple[bytes, ...]

    def by_digest(self) -> dict[bytes, bytes]:
        return {directory_digest(data): data for data in self.directories}


class SelfPlace(NamedTuple):
    """A file or symlink that mentions its own object, at these offsets (sorted).

    `modulo` is what stands in the manifest when the places are zeroed.
    """

    path: bytes
    offsets: tuple[int, ...]
    modulo: FileNode | LinkNode


def encode_directory(entries: Iterable[Entry]) -> bytes:
    """Canonical bytes. The entries must be in the order of their names."""
    packed: bytes = msgpack.packb([_encode(name, node) for name, node in entries])
    return packed


def directory_digest(data: bytes) -> RootDigest:
    return RootDigest(digest_of(Domain.DIRECTORY, data))


def decode_directory(data: bytes) -> list[Entry]:
    """Read canonical bytes, and nothing else. Raises Damaged."""
    try:
        entries = [_decode(fields) for fields in msgpack.unpackb(data, use_list=True, raw=False)]
        canonical = encode_directory(entries) == data
    except Damaged:
        raise
    except Exception as error:
        raise Damaged("not a directory of a manifest", found=str(error)) from error
    if not canonical or any(left[0] >= right[0] for left, right in itertools.pairwise(entries)):
        raise Damaged("a directory of a manifest that is not in canonical form")
    return entries


def _encode(name: bytes, node: Node) -> list[object]:
    match node:
        case FileNode(size, digest, executable):
            return [name, 2 if executable else 1, size, digest]
        case DirNode(digest):
            return [name, 0, digest]
        case LinkNode(target):
            return [name, 3, target]


def _decode(fields: object) -> Entry:
    match fields:
        case [bytes(name), 0, bytes(digest)]:
            return _name(name), DirNode(RootDigest(digest))
        case [bytes(name), (1 | 2) as kind, int(size), bytes(digest)]:
            return _name(name), FileNode(size, BlobDigest(digest), kind == 2)
        case [bytes(name), 3, bytes(target)] if target:
            return _name(name), LinkNode(target)
        case _:
            raise Damaged("not an entry of a manifest's directory", found=repr(fields)[:80])


def _name(name: bytes) -> bytes:
    if b"/" in name or b"\0" in name or name in (b".", b"..") or len(name) > 255:
        raise Damaged("a manifest with a name that no directory can hold", found=repr(name[:80]))
    return name


class ManifestBuilder:
    """Collects directories in the order in which a walk leaves them."""

    def __init__(self) -> None:
        self._directories: dict[RootDigest, bytes] = {}

    def add(self, entries: Iterable[Entry]) -> RootDigest:
        """One finished directory; what it holds has been added before. Entries in the order of their names."""
        data = encode_directory(entries)
        digest = directory_digest(data)
        self._directories.setdefault(digest, data)
        return digest

    def finish(self, node: Node) -> Manifest:
        """The manifest of the object whose top is `node`."""
        root = node.digest if isinstance(node, DirNode) else self.add([(b"", node)])
        return Manifest(root, tuple(self._directories.values()))


def top(manifest: Manifest) -> Node:
    """What the object is: a directory, or the one file or symlink."""
    entries = decode_directory(manifest.by_digest()[manifest.root])
    if len(entries) == 1 and entries[0][0] == b"":
        return entries[0][1]
    return DirNode(manifest.root)


def check_manifest(root: RootDigest, directories: Iterable[bytes]) -> Manifest:
    """A manifest whose every directory is canonical, reachable from `root` and in its place. Raises Damaged."""
    given = tuple(directories)
    found = Manifest(root, given)
    try:
        ordered = _post_order(root, found.by_digest())
    except KeyError as error:
        raise Damaged("a manifest that lacks one of its directories") from error
    if ordered != given:
        raise Damaged("a manifest whose directories are not in canonical order")
    return found


def _is_dir(node: Node) -> bool:
    return isinstance(node, DirNode)


def _post_order(root: RootDigest, known: Mapping[bytes, bytes]) -> tuple[bytes, ...]:
    done: dict[bytes, bytes] = {}
    stack: list[tuple[RootDigest, bool]] = [(root, False)]
    while stack:
        digest, children_done = stack.pop()
        if digest in done:
            continue
        if children_done:
            done[digest] = known[digest]
            continue
        stack.append((digest, True))
        entries = decode_directory(known[digest])
        if (
            entries
            and not entries[0][0]
            and (digest != root or len(entries) > 1 or isinstance(entries[0][1], DirNode))
        ):
            raise Damaged("a manifest with a name that is empty", expected="one file alone, if any")
        stack.extend((node.digest, False) for _, node in reversed(entries) if isinstance(node, DirNode))
    return tuple(done.values())


def entries_of(manifest: Manifest) -> Iterator[tuple[bytes, FileNode | LinkNode]]:
    """Every file and symlink with its path, directories first entered in the order of their names."""
    known = manifest.by_digest()
    stack: list[tuple[bytes, Node]] = [(b"", DirNode(manifest.root))]
    while stack:
        path, node = stack.pop()
        if not isinstance(node, DirNode):
            yield path, node
            continue
        prefix = path + b"/" if path else b""
        stack.extend((prefix + name, child) for name, child in reversed(decode_directory(known[node.digest])))


def replaced(manifest: Manifest, changes: Mapping[bytes, FileNode | LinkNode]) -> Manifest:
    """The manifest with other files or symlinks at these paths. Raises Damaged where it has none there."""
    if not changes:
        return manifest
    known = manifest.by_digest()
    at: dict[bytes, dict[bytes, Node]] = {}
    for path, node in changes.items():
        parent, _, name = path.rpartition(b"/")
        at.setdefault(parent, {})[name] = node
    places = _directories_at(manifest.root, known, at)
    for parent in sorted(places, key=lambda path: path.count(b"/") + bool(path), reverse=True):
        entries = decode_directory(known[places[parent]])
        new = at.get(parent, {})
        if not new.keys() <= {name for name, _ in entries}:
            raise Damaged("a manifest without a file that it should have", found=repr(parent[:200]))
        data = encode_directory((name, new.get(name, node)) for name, node in entries)
        digest = directory_digest(data)
        known[digest] = data
        places[parent] = digest
        if parent:
            above, _, name = parent.rpartition(b"/")
            at.setdefault(above, {})[name] = DirNode(digest)
    root = places[b""]
    return Manifest(root, _post_order(root, known))


def _directories_at(
    root: RootDigest, known: Mapping[bytes, bytes], wanted: Iterable[bytes]
) -> dict[bytes, RootDigest]:
    """The digest of each wanted directory and of all above it, by path."""
    places: dict[bytes, RootDigest] = {b"": root}
    listings: dict[bytes, dict[bytes, Node]] = {}
    for path in wanted:
        here = b""
        for name in path.split(b"/") if path else ():
            if here not in listings:
                listings[here] = dict(decode_directory(known[places[here]]))
            child = listings[here].get(name)
            if not isinstance(child, DirNode):
                raise Damaged("a manifest without a directory that it should have", found=repr(path[:200]))
            here = here + b"/" + name if here else name
            places[here] = child.digest
    return places


def object_id(name: str, manifest: Manifest, places: Iterable[SelfPlace], references: Iterable[ObjectId]) -> ObjectId:
    """The id of an object, from its content as it lies on disk, its own mentions, and its references."""
    own = sorted(places)
    modulo = replaced(manifest, {place.path: place.modulo for place in own})
    packed = msgpack.packb(
        [
            1,
            name,
            modulo.root,
            [[place.path, list(place.offsets)] for place in own],
            sorted(set(references)),
        ]
    )
    return ObjectId(digest_of(Domain.OBJECT, packed))


def content_size(manifest: Manifest) -> int:
    """Bytes of all files and symlink targets, each time they occur."""
    return sum(node.size if isinstance(node, FileNode) else len(node.target) for _, node in entries_of(manifest))

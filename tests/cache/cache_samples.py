"""A store with things to share, who pushes them, and a naive reader that takes a cache apart by the format alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kiln.store.cache import rows
from kiln.store.cache.backend import Backend
from kiln.store.cache.chunking import open_chunk
from kiln.store.cache.head import Head, head_path, open_head
from kiln.store.cache.objectrecord import BlobPlace, Chunked, ObjectRecord, Sliced, blobs_of, decode_record
from kiln.store.cache.pack import Place, cut, open_frame
from kiln.store.cache.push import Options, Pushed, push
from kiln.store.cache.segment import read_segment
from kiln.store.cache.selection import Selection, Wanted, select_all, select_targets
from kiln.store.cache.upstream import Identity, Upstream
from kiln.store.digest import BlobDigest, DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest, blob_digest
from kiln.store.info import ObjectInfo
from kiln.store.paths import OutputName
from kiln.store.provenance.keys import SecretKey
from kiln.store.records import Pin, Resolution, make_claim, sign_resolution, sign_witness
from kiln.store.store import Store
from tests.store.store_samples import Tree, add, built, scratch

NOW = int(time.time())
ME = SecretKey.of(b"m" * 32)
OTHER = SecretKey.of(b"o" * 32)


def identity(key: SecretKey = ME, name: str = "me") -> Identity:
    return Identity(key, name)


def digest(text: str) -> bytes:
    return bytes(blob_digest(text.encode()))


def envelope_of(info: ObjectInfo) -> bytes:
    return b'{"about":"%s"}\n' % info.id.hex().encode()


def record(
    store: Store,
    info: ObjectInfo,
    *,
    key: SecretKey = ME,
    pins: Iterable[ObjectInfo] = (),
    degraded: Iterable[str] = (),
) -> Resolution:
    """Say that the object was built, from these inputs; with an envelope."""
    claim = make_claim(
        ResolvedDigest(digest(f"resolved {info.id}")),
        OutputName("out"),
        info.id,
        info.root,
        info.size,
        info.references,
    )
    envelope = envelope_of(info)
    witness = sign_witness(
        key, claim, EnvelopeDigest(blob_digest(envelope)), degraded=degraded, started=1_000, finished=2_000
    )
    inputs = [Pin(DrvDigest(digest(f"drv {pin.id}")), OutputName("out"), pin.id, pin.name) for pin in pins]
    resolution = sign_resolution(key, DrvDigest(digest(f"drv {info.id}")), claim.resolved, inputs, made=5)
    store.commit(witnesses=[(claim, witness)], resolutions=[resolution], envelopes=[envelope])
    return resolution


def made(
    store: Store, place: str, name: str, tree: Tree, references: Iterable[ObjectInfo] = (), **said: object
) -> ObjectInfo:
    """An object that was built."""
    info = add(store, place, name, tree, [item.id for item in references])
    record(store, info, **said)  # type: ignore[arg-type]
    return info


def self_mentioning(store: Store, name: str, version: bytes, padding: int = 0) -> ObjectInfo:
    """An object whose files mention itself; `version` alone differs between two of one name."""
    path = str(scratch(name)).encode()
    big = random_file(padding)
    tree: Tree = {"conf": b"prefix=" + path + b"\nagain " + path, "big": big + path + big, "version": version}
    staged = store.stage_outputs([built(store, name, "out", tree)], [])
    [info] = store.commit(staged).values()
    record(store, info)
    return info


def upstream(
    backend: Backend, key: SecretKey = ME, trusted: Iterable[SecretKey] = (), name: str = "team"
) -> Upstream:
    keyids = [str(item.public_key.keyid) for item in trusted]
    return Upstream.open(backend, identity(key), keyids, name=name, now=NOW)


def push_all(
    store: Store, backend: Backend, key: SecretKey = ME, trusted: Iterable[SecretKey] = (), **options: object
) -> Pushed:
    return _push(store, backend, key, trusted, select_all(store), Options(**options))  # type: ignore[arg-type]


def push_targets(
    store: Store, backend: Backend, infos: Iterable[ObjectInfo], *, evidence: bool = True, **options: object
) -> Pushed:
    selection = select_targets(store, [Wanted(info.id, info.name) for info in infos], evidence=evidence)
    return _push(store, backend, ME, (), selection, Options(**options))  # type: ignore[arg-type]


def _push(
    store: Store,
    backend: Backend,
    key: SecretKey,
    trusted: Iterable[SecretKey],
    selection: Selection,
    options: Options,
) -> Pushed:
    return push(store, upstream(backend, key, trusted), identity(key), selection, options)


class Shown(NamedTuple):
    """What one uploader's head shows of a cache, all of it, checked on the way."""

    head: Head
    rows: Mapping[bytes, bytes]
    backend: Backend

    def table(self, letter: bytes) -> dict[bytes, bytes]:
        return {name[1:]: value for name, value in self.rows.items() if name[:1] == letter}

    def at(self, place: Place) -> bytes:
        frames = {piece.frame for piece in place}
        unpacked = {
            frame: open_frame(frame, self.backend.ranges(frame.path, [(frame.offset, frame.stored)])[0])
            for frame in frames
        }
        return cut(place, unpacked)

    def record(self, object_id: ObjectId) -> ObjectRecord:
        row = rows.decode_object(self.rows[rows.OBJECTS + object_id])
        return decode_record(object_id, self.at(row.record))

    def blob(self, blob: BlobPlace) -> bytes:
        match blob:
            case Sliced(place):
                return self.at(place)
            case Chunked(chunks):
                files = [open_chunk(item, self.backend.get(item.path, limit=item.size)) for item in chunks]
                return b"".join(files)

    def check(self, object_id: ObjectId) -> dict[BlobDigest, bytes]:
        """Every blob of an object, each with its digest."""
        found = self.record(object_id)
        contents = {name: self.blob(place) for name, place in found.blobs.items()}
        assert contents.keys() == blobs_of(found.meta).keys()
        assert all(blob_digest(data) == name for name, data in contents.items())
        return contents


def show(backend: Backend, key: SecretKey = ME, cache: str = "team") -> Shown:
    """Read everything that an uploader's head names."""
    data = backend.get(head_path(key.public_key.keyid), limit=1 << 20)
    head = open_head(data, key.public_key, cache)
    found: dict[bytes, bytes] = {}
    for entry in reversed(head.segments):
        index, segment_rows = read_segment(entry.digest, backend.get(entry.path, limit=entry.size))
        assert index.rows == entry.rows == len(segment_rows)
        found.update(segment_rows)
    return Shown(head, found, backend)


def files_of(backend: Backend) -> dict[str, int]:
    return {entry.path: entry.size for entry in backend.listing("")}


def random_file(size: int, seed: int = 1) -> bytes:
    import random

    return random.Random(seed).randbytes(size)

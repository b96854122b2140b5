"""Checking what lies on disk against what the store says: reads everything, changes nothing."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from kiln.store.disk import disk_errors, exists_at, open_directory, read_file
from kiln.store.errors import Damaged, StoreError
from kiln.store.info import ObjectInfo
from kiln.store.ingest import MTIME_NS, Measure, ingest, show_path
from kiln.store.layout import Layout
from kiln.store.manifest import ZEROS, Manifest, entries_of, replaced
from kiln.store.meta import ObjectMeta, decode_meta
from kiln.store.patch import TreeAt
from kiln.store.scan import Hit
from kiln.store.tree import Step, walk


class Problem(NamedTuple):
    """Something that is not as it should be. `where` is a store path, or a file in the store's folder."""

    where: str
    what: str


def read_meta(layout: Layout, base: str) -> ObjectMeta:
    """An object's small file, proven. Raises Damaged when it is missing or wrong."""
    try:
        meta = decode_meta(read_file(f"{layout.meta}/{base}"))
    except FileNotFoundError:
        raise Damaged("an object's small file is missing", found=base, help="kiln store verify") from None
    except OSError as error:
        raise Damaged(f"an object's small file cannot be read: {error.strerror}", found=base) from error
    if meta.info.path.base != base:
        raise Damaged("an object's small file is named like another object", found=base)
    return meta


def verify_object(layout: Layout, info: ObjectInfo) -> list[Problem]:
    """Read the object and its small file, and say what is wrong with them."""
    base, where = info.path.base, str(info.path)
    try:
        meta = read_meta(layout, base)
    except StoreError as error:
        return [Problem(where, f"{error.message} ({error.found})")]
    problems = []
    if meta.info != info:
        problems.append(Problem(where, "its small file and the index contradict each other"))
    with disk_errors("opening the store's folder"):
        store_fd = open_directory(layout.store)
    try:
        if not exists_at(store_fd, base.encode()):
            return [*problems, Problem(where, "it is registered but not there")]
        return [*problems, *(Problem(where, what) for what in _wrong(layout, store_fd, meta))]
    except (OSError, StoreError) as error:  # A collection may also have taken it away meanwhile.
        return [*problems, Problem(where, f"it cannot be read: {error}")]
    finally:
        os.close(store_fd)


def _wrong(layout: Layout, store_fd: int, meta: ObjectMeta) -> list[str]:
    """What is wrong with an object's bytes, modes and times. Raises OSError, StoreError."""
    base = meta.info.path.base
    found = ingest(store_fd, base.encode(), Measure()).manifest
    if found.root != meta.info.root:
        lines = _differences(meta.manifest, found)
    else:
        lines = wrong_places(f"{layout.store}/{base}", meta)
    return [*lines, *_not_normal(store_fd, base.encode())]


def wrong_places(physical: str, meta: ObjectMeta) -> list[str]:
    """Self-references that are not what the id was computed from. The tree must have the manifest's root.

    At each offset the object's own hash must stand, and with zeros there the node must be the recorded one.
    """
    own = meta.info.path.hash.encode()
    lines = []
    with TreeAt(physical) as tree:
        for place in meta.places:
            hits = [Hit(place.path, offset, own) for offset in place.offsets]
            as_it_is = tree.preview(place.path, hits, {own: own})
            zeroed = tree.preview(place.path, hits, {own: ZEROS})
            stands = {place.path: as_it_is}
            if zeroed != place.modulo or replaced(meta.manifest, stands).root != meta.info.root:
                lines.append(f"its mentions of itself are not where its id says: {show_path(place.path)}")
    return lines


def is_intact(layout: Layout, store_fd: int, base: bytes, meta: ObjectMeta) -> bool:
    """Whether what lies there is the object, to the last bit of its id."""
    if not exists_at(store_fd, base):
        return False
    if ingest(store_fd, base, Measure()).manifest.root != meta.info.root:
        return False
    return not wrong_places(f"{layout.store}/{os.fsdecode(base)}", meta)


def _differences(wanted: Manifest, found: Manifest) -> list[str]:
    """One line a path that differs, at most ten."""
    old, new = dict(entries_of(wanted)), dict(entries_of(found))
    lines = [f"changed: {show_path(path)}" for path in old if path in new and old[path] != new[path]]
    lines += [f"missing: {show_path(path)}" for path in old if path not in new]
    lines += [f"not its own: {show_path(path)}" for path in new if path not in old]
    return lines[:10] or ["an empty directory is missing or too many"]


def _not_normal(store_fd: int, base: bytes) -> list[str]:
    lines = []
    for event in walk(store_fd, base):
        if event.step is Step.LEAVE:
            continue
        if event.step is Step.ENTER:
            facts = os.fstat(event.fd)
        else:
            facts = os.stat(event.name, dir_fd=event.fd, follow_symlinks=False)
        mode = stat.S_IMODE(facts.st_mode)
        if event.step is not Step.LINK and mode not in (0o555, 0o444):
            lines.append(f"mode {mode:04o}: {show_path(event.path)}")
        if facts.st_mtime_ns != MTIME_NS:
            lines.append(f"modification time: {show_path(event.path)}")
    return lines[:10]

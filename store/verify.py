"""Checking what lies on disk against what the store says: reads everything, changes nothing."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from kiln.store.disk import exists_at, open_directory, read_file
from kiln.store.errors import Damaged, StoreError
from kiln.store.info import ObjectInfo
from kiln.store.ingest import MTIME_NS, Measure, ingest, show_path
from kiln.store.layout import Layout
from kiln.store.manifest import Manifest, entries_of
from kiln.store.meta import ObjectMeta, decode_meta
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
    store_fd = open_directory(layout.store)
    try:
        if not exists_at(store_fd, base.encode()):
            return [*problems, Problem(where, "it is registered but not there")]
        try:
            found = ingest(store_fd, base.encode(), Measure()).manifest
        except (OSError, StoreError) as error:
            return [*problems, Problem(where, f"it cannot be read: {error}")]
        if found.root != info.root:
            problems.extend(Problem(where, what) for what in _differences(meta.manifest, found))
        problems.extend(Problem(where, what) for what in _not_normal(store_fd, base.encode()))
    finally:
        os.close(store_fd)
    return problems


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

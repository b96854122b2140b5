"""A program: what loading makes and evaluation starts from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import msgpack

from kiln.lang.core import CoreModule, ModuleId
from kiln.store.digest import BlobDigest, Domain, digest_of

if TYPE_CHECKING:
    from kiln.lang.check.interface import Interface


class SourceFile(NamedTuple):
    """A file that was read. `path` is absolute, or `std/x.kiln` for the library's, or `<tree's digest>/x.kiln` for a
    remote module's; every kiln.lock that was read is among them, but for those in remote trees."""

    path: str
    digest: BlobDigest


@dataclass(frozen=True, slots=True)
class Program:
    """Checked modules, by id, in an order in which imports come first. Without mistakes."""

    root: ModuleId
    modules: Mapping[ModuleId, CoreModule]
    interfaces: Mapping[ModuleId, Interface]
    folders: Mapping[ModuleId, str]
    """The absolute folder that a module's relative paths start from."""
    sources: tuple[SourceFile, ...]
    """Sorted by path; the library's files are among them."""
    absent: tuple[str, ...] = ()
    """Absolute paths at which a kiln.lock was looked for and was not, sorted."""
    lock: BlobDigest | None = None
    """The kiln.lock nearest above the root file, if it was read."""
    links: Mapping[ModuleId, Mapping[str, ModuleId]] = field(default_factory=dict)
    """What each module imports: the sources as they are written, and the modules that they lead to."""

    def sources_digest(self) -> bytes:
        """BLAKE3, in the domain of build file sources, of msgpack `[[path, 32 bytes] …]`, sorted.

        Paths of files are relative to the root file's folder, so that the digest does not depend on where
        a checkout lies.
        """
        base = self.folders[self.root]
        rows = sorted((_relative(item.path, base), bytes(item.digest)) for item in self.sources)
        return digest_of(Domain.SOURCES, msgpack.packb([list(row) for row in rows]))


def _relative(path: str, base: str) -> str:
    return os.path.relpath(path, base) if os.path.isabs(path) else path

"""Entries of an archive, and the rules for their names; pure, no I/O.

A name is bytes. It is split at `/`; empty components and `.` vanish; then every component is
    1 to 255 bytes, not `..`, without a control character (bytes 0 to 31, and 127),
and a path has at most 128 components and 4,095 bytes, and is not absolute. Names that are not UTF-8 are kept.

A symlink is data: Kiln never follows one. It may be absolute, as those in Debian's packages are (it means
the file system that the package is laid out for); a relative one may not climb above the tree. No entry may
lie below a symlink, or below a file.

Two entries for one name are refused, but for a directory that comes again. So are two names of one directory
that differ only in Unicode's normal form: no one can tell them apart. Names that differ only in case are
kept and told (Linux's own headers have such pairs); where they cannot both exist, the file system refuses.

Of a mode only the executable bit of a file counts; owner, times, set-user-id and extended attributes are not
unpacked. Devices, sockets and fifos are refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from kiln.interpreter.fetch.errors import Collision, Escapes

EntryPath: TypeAlias = tuple[bytes, ...]

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
MAX_COMPONENT = 255
MAX_DEPTH = 128
MAX_PATH = 4095


class Directory(NamedTuple):
    path: EntryPath


class File(NamedTuple):
    """`chunks` holds `size` bytes, and must be consumed before the next entry is asked for."""

    path: EntryPath
    executable: bool
    size: int
    chunks: Iterator[bytes]


class Symlink(NamedTuple):
    path: EntryPath
    target: bytes


class HardLink(NamedTuple):
    """A second name of an earlier file or symlink."""

    path: EntryPath
    target: EntryPath


Entry: TypeAlias = Directory | File | Symlink | HardLink


def shown(name: bytes) -> str:
    """A name from an archive, for a message: quoted, every unusual character escaped, shortened."""
    text = repr(name.decode("utf-8", "backslashreplace"))
    return text if len(text) <= 200 else text[:160] + "…" + text[-30:]


def parse_path(raw: bytes) -> EntryPath:
    """The components of an entry's name, none for the tree itself. Raises Escapes."""
    if raw.startswith(b"/"):
        raise _refused("an entry with an absolute name", raw)
    parts = tuple(part for part in raw.split(b"/") if part not in (b"", b"."))
    if len(parts) > MAX_DEPTH or len(raw) > MAX_PATH:
        raise _refused("an entry with a name that is too long", raw)
    for part in parts:
        if part == b"..":
            raise _refused("an entry that climbs out of its directory", raw)
        if len(part) > MAX_COMPONENT:
            raise _refused("an entry with a name that is too long", raw)
        if _CONTROL.search(part):
            raise _refused("an entry with a control character in its name", raw)
    return parts


def check_target(path: EntryPath, target: bytes) -> bytes:
    """The target of a symlink at `path`, if it may have it. Raises Escapes."""
    name = b"/".join(path)
    if not target or len(target) > MAX_PATH or _CONTROL.search(target):
        raise _refused("a symlink with a target that no path can be", name, target)
    if target.startswith(b"/"):
        return target
    depth = len(path) - 1
    for part in target.split(b"/"):
        if part == b"..":
            depth -= 1
            if depth < 0:
                raise _refused("a symlink that climbs out of the tree", name, target)
        elif part not in (b"", b"."):
            depth += 1
    return target


def _refused(message: str, name: bytes, target: bytes | None = None) -> Escapes:
    arrow = "" if target is None else f" -> {shown(target)}"
    return Escapes(message, found=shown(name) + arrow, help="do not use this archive; nothing of it was admitted")


_Kind: TypeAlias = Literal["directory", "file", "symlink"]


@dataclass(slots=True)
class Layout:
    """The tree so far: what each name is. Decides, before anything is written, whether an entry may come."""

    kinds: dict[bytes, _Kind] = field(default_factory=dict)
    folded: dict[tuple[bytes, str], bytes] = field(default_factory=dict)
    differ_in_case: list[tuple[bytes, bytes]] = field(default_factory=list)

    def place(self, path: EntryPath, kind: _Kind) -> bool:
        """Take an entry in; False when the directory is there already. Raises Escapes, Collision."""
        self._parents(path)
        name = b"/".join(path)
        known = self.kinds.get(name)
        if known is None:
            self._add(path, name, kind)
            return True
        if known == kind == "directory":
            return False
        raise Collision("an archive has two entries for one name", found=f"{shown(name)}: {known}, then {kind}")

    def kind(self, path: EntryPath) -> _Kind | None:
        return self.kinds.get(b"/".join(path))

    def _parents(self, path: EntryPath) -> None:
        for length in range(1, len(path)):
            above = path[:length]
            name = b"/".join(above)
            match self.kinds.get(name):
                case "directory":
                    continue
                case None:
                    self._add(above, name, "directory")
                case "symlink":
                    raise _refused("an entry that would be written through a symlink", b"/".join(path))
                case "file":
                    raise Collision("an archive has a file where another entry needs a directory", found=shown(name))

    def _add(self, path: EntryPath, name: bytes, kind: _Kind) -> None:
        parent, last = b"/".join(path[:-1]), path[-1]
        key = (parent, _folded(last))
        twin = self.folded.setdefault(key, last)
        if twin != last:
            self._twins(parent, twin, last)
        self.kinds[name] = kind

    def _twins(self, parent: bytes, one: bytes, two: bytes) -> None:
        if _normal(one) == _normal(two):
            raise Collision(
                "an archive has two names that differ only in Unicode's normal form",
                found=f"{shown(one)} ({one.hex(' ')}) and ({two.hex(' ')}) in {shown(parent or b'.')}",
            )
        above = parent + b"/" if parent else b""
        self.differ_in_case.append((above + one, above + two))


def _normal(name: bytes) -> str:
    if name.isascii():
        return name.decode("ascii")
    return unicodedata.normalize("NFC", name.decode("utf-8", "surrogateescape"))


def _folded(name: bytes) -> str:
    if name.isascii():
        return name.decode("ascii").lower()
    return unicodedata.normalize("NFC", _normal(name).casefold())

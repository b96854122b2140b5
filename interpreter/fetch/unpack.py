"""`builtin:unpack/1`: an archive's files as a tree.

    bytes ──what are they──► entries ──strip──► checked against the tree so far ──► written

    tar   plain, gz, xz, zst or bz2           zip   see zip.py           ar, deb   see ar.py

The format is told by the bytes, never by a name. The same archive gives the same tree on every machine:
nothing here depends on locale, umask, user or file system order. What the rules refuse (entries.py) refuses
the whole archive. `strip` drops that many leading components; an entry that has too few is an error, but for
the directories that are dropped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from kiln.interpreter.fetch.ar import MAGIC, read_ar
from kiln.interpreter.fetch.entries import (
    Directory,
    Entry,
    EntryPath,
    File,
    HardLink,
    Symlink,
    shown,
)
from kiln.interpreter.fetch.errors import CannotKeep, NotAnArchive, NothingLeft
from kiln.interpreter.fetch.streams import Budget, FileStream, decompressed
from kiln.interpreter.fetch.tar import BLOCK, looks_like_tar, read_tar
from kiln.interpreter.fetch.treewriter import TreeWriter
from kiln.interpreter.fetch.zip import MAGICS, read_zip

_FORMATS = "tar (plain or with gzip, xz, zstd, bzip2), zip, ar, deb"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was written: entries, bytes of files, and names that differ only in case, as pairs."""

    entries: int
    size: int
    differ_in_case: tuple[tuple[bytes, bytes], ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(f"{shown(one)} and {shown(two)} differ only in case" for one, two in self.differ_in_case)


def unpack(archive_path: str, dest: str, strip: int = 0) -> Unpacked:
    """Unpack into `dest`, a directory that is empty or not there yet, and which is removed again on failure.

    Raises UnpackError, CannotKeep.
    """
    made = _make(dest)
    try:
        return _unpack(archive_path, dest, strip)
    except BaseException:
        _clear(dest, itself=made)
        raise


def _unpack(archive_path: str, dest: str, strip: int) -> Unpacked:
    fd = _open(archive_path)
    try:
        budget = Budget(os.fstat(fd).st_size)
        with TreeWriter(dest, budget) as writer:
            for entry in read_entries(fd, budget):
                budget.entry()
                stripped = _stripped(entry, strip)
                if stripped is not None:
                    writer.add(stripped)
            if strip and not writer.layout.kinds:
                raise NothingLeft(f"nothing is left below {strip} leading components", expected="a smaller strip")
            return Unpacked(budget.entries, budget.written, tuple(writer.layout.differ_in_case))
    finally:
        os.close(fd)


def read_entries(fd: int, budget: Budget) -> Iterator[Entry]:
    """The entries of an archive that is open at its beginning. Raises UnpackError."""
    stream = FileStream(fd)
    head = stream.peek(8)
    if head == MAGIC:
        return read_ar(stream, budget)
    if head[:4] in MAGICS:
        return read_zip(fd, budget)
    compression, inner = decompressed(stream, budget)
    block = inner.peek(BLOCK)
    if looks_like_tar(block):
        return read_tar(inner)
    if compression:
        raise NotAnArchive(
            f"a file compressed with {compression} that holds no tar",
            expected=_FORMATS,
            found=f"contents that begin with {shown(block[:16])}",
        )
    raise NotAnArchive(
        "not an archive that Kiln unpacks", expected=_FORMATS, found=f"a file that begins with {shown(head)}"
    )


def _stripped(entry: Entry, strip: int) -> Entry | None:
    """The entry without its leading components; none for a directory that they swallow."""
    if not strip:
        return entry if entry.path or isinstance(entry, Directory) else _too_short(entry, strip)
    if len(entry.path) <= strip:
        return None if isinstance(entry, Directory) else _too_short(entry, strip)
    match entry:
        case HardLink(path, target):
            return HardLink(path[strip:], _target(target, strip, entry))
        case Directory() | File() | Symlink():
            return entry._replace(path=entry.path[strip:])


def _target(target: EntryPath, strip: int, entry: Entry) -> EntryPath:
    return target[strip:] if len(target) > strip else _too_short(entry, strip).path


def _too_short(entry: Entry, strip: int) -> Entry:
    raise NothingLeft(
        f"an entry with no name below {strip} leading components" if strip else "a file without a name",
        found=shown(b"/".join(entry.path)),
        help="unpack with a smaller strip",
    )


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CannotKeep("an archive cannot be read", found=f"{path}: {error.strerror}") from None


def _make(dest: str) -> bool:
    """Make the directory; False if it was there. Raises CannotKeep when it holds something."""
    try:
        os.mkdir(dest, 0o755)
        return True
    except FileExistsError:
        if os.path.islink(dest) or not os.path.isdir(dest) or os.listdir(dest):
            raise CannotKeep("the place to unpack into is not an empty directory", found=dest) from None
        return False
    except OSError as error:
        raise CannotKeep("the place to unpack into cannot be made", found=f"{dest}: {error.strerror}") from None


def _clear(dest: str, *, itself: bool) -> None:
    for name in os.listdir(dest):
        path = os.path.join(dest, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    if itself:
        with contextlib.suppress(OSError):  # what is left must not hide why the archive was refused
            os.rmdir(dest)

"""A cache in a folder, local or mounted: read with pread, written beside its place and renamed.

    <folder>/.tmp/<random>      files that are being written; what a killed process leaves is removed by `tidy`

A file is synced before it is renamed, so that a name never stands for bytes that a power cut could take: one by
fsync, many by one syncfs, in batches of at most 256 MiB, so that an upload that is broken off has kept what it had.
`put` with `replace` first has the renames before it on disk, so that a head never names what is not there.

Modes are the umask's: a folder that several users write to wants a common group, the set-group-id bit, umask 002.

What lies in the folder may be anything. A FIFO or a device is refused and never waited for.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from kiln.store.cache.backend import YOUNG, Answer, Entry, Health, Request, check_path
from kiln.store.cache.errors import CacheDenied, CacheDown, CacheError, CacheLied, Missing
from kiln.store.disk import FULL, start_writing, sync_filesystem, write_all
from kiln.store.errors import NoSpace

_TEMPORARY = ".tmp"
_BATCH_BYTES = 256 << 20
_BATCH_FILES = 4096
_DEEPEST = 4
"""Folders below one another that `listing` looks into; a cache has three."""
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_ABSENT = {errno.ENOENT, errno.ENOTDIR}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


class _Draft(NamedTuple):
    """A file that is written and has no name yet."""

    path: str
    temporary: str


class FolderBackend:
    """A `Backend` on a folder. The folder is made by the first `put`."""

    def __init__(self, root: str, name: str) -> None:
        self.url = root
        self.name = name
        self.health = Health()
        self._root = root
        self._guard = threading.Lock()
        self._made: set[str] = set()  # folders that are there; guarded by _guard

    def get(self, path: str, *, limit: int) -> bytes:
        with self._opened(path) as (descriptor, size):
            if size > limit:
                raise self._lied(path, "is larger than it may be", f"at most {limit} bytes", f"{size} bytes")
            return self._read(descriptor, path, 0, size)

    def ranges(self, path: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        with self._opened(path) as (descriptor, _):
            return [self._read(descriptor, path, offset, length) for offset, length in spans]

    def get_many(self, requests: Iterable[Request]) -> Iterator[Answer]:
        by_path: dict[str, list[Request]] = {}
        for request in requests:
            by_path.setdefault(request.path, []).append(request)
        for path, group in by_path.items():
            yield from self._answers(path, group)

    def put(self, path: str, data: bytes, *, replace: bool = False) -> bool:
        with self._writing(path):
            if not replace and self._is_there(path, len(data)):
                return False
            if replace:
                with self._root_descriptor() as root:
                    sync_filesystem(root)
            self._name([self._draft(path, data, sync=True)])
            if replace:
                self._sync_folder(os.path.dirname(self._place(path)))
        return True

    def put_many(self, files: Iterable[tuple[str, bytes]]) -> set[str]:
        todo, reused = iter(files), set[str]()
        for first in todo:
            reused |= self._put_batch(itertools.chain([first], todo))
        return reused

    def _put_batch(self, files: Iterator[tuple[str, bytes]]) -> set[str]:
        """Write as many of the files as a batch holds; those that were there before."""
        drafts: list[_Draft] = []
        reused: set[str] = set()
        size = 0
        try:
            for path, data in files:
                with self._writing(path):
                    if self._is_there(path, len(data)):
                        reused.add(path)
                    else:
                        drafts.append(self._draft(path, data, sync=False))
                        size += len(data)
                if size >= _BATCH_BYTES or len(drafts) >= _BATCH_FILES:
                    break
            if drafts:
                with self._writing(drafts[0].path), self._root_descriptor() as root:
                    sync_filesystem(root)
                    self._name(drafts)
            return reused
        finally:
            self._drop(drafts)

    def exists_many(self, paths: Iterable[str]) -> set[str]:
        return {path for path in paths if os.path.isfile(self._place(path))}

    def reuse_many(self, paths: Iterable[str]) -> set[str]:
        found = set()
        for path in paths:
            with self._writing(path):
                if self._is_there(path):
                    found.add(path)
        return found

    def listing(self, prefix: str = "") -> Iterator[Entry]:
        top = os.path.join(self._root, os.path.dirname(prefix))
        for folder, folders, names in os.walk(top):
            deep = folder[len(self._root) :].count("/") >= _DEEPEST
            folders[:] = [] if deep else sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = os.path.relpath(os.path.join(folder, name), self._root)
                if path.startswith(prefix) and not name.startswith("."):
                    with suppress(FileNotFoundError):
                        facts = os.stat(os.path.join(folder, name), follow_symlinks=False)
                        if stat.S_ISREG(facts.st_mode):
                            yield Entry(path, facts.st_size, facts.st_mtime)

    def delete(self, path: str, *, before: float | None = None) -> bool:
        with self._writing(path):
            try:
                if before is not None and os.stat(self._place(path)).st_mtime >= before:
                    return False
                os.unlink(self._place(path))
            except FileNotFoundError:
                return False
        return True

    def tidy(self, older_than: float) -> int:
        folder, removed = os.path.join(self._root, _TEMPORARY), 0
        with suppress(FileNotFoundError):
            for name in os.listdir(folder):
                with suppress(OSError):
                    place = os.path.join(folder, name)
                    if time.time() - os.lstat(place).st_mtime > older_than:
                        os.unlink(place)
                        removed += 1
        return removed

    def close(self) -> None:
        pass

    # Reading.

    def _place(self, path: str) -> str:
        return f"{self._root}/{check_path(path)}"

    def _answers(self, path: str, group: list[Request]) -> Iterator[Answer]:
        try:
            with self._opened(path) as (descriptor, size):
                for request in group:
                    yield request, self._answer(descriptor, size, request)
        except CacheError as error:
            for request in group:
                yield request, error

    def _answer(self, descriptor: int, size: int, request: Request) -> bytes | CacheError:
        try:
            if request.offset is not None:
                return self._read(descriptor, request.path, request.offset, request.length)
            if size > request.length:
                expected = f"at most {request.length} bytes"
                return self._lied(request.path, "is larger than it may be", expected, f"{size} bytes")
            return self._read(descriptor, request.path, 0, size)
        except CacheError as error:
            return error

    @contextmanager
    def _opened(self, path: str) -> Iterator[tuple[int, int]]:
        began = time.monotonic()
        place = self._place(path)
        try:
            descriptor = os.open(place, _READ)
        except OSError as error:
            raise self._unreadable(path, error) from None
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise self._lied(path, "is not a file", "a file", f"mode {facts.st_mode:o}")
            self.health.answered(time.monotonic() - began)
            yield descriptor, facts.st_size
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, path: str, offset: int, length: int) -> bytes:
        try:
            data = os.pread(descriptor, length, offset)
            while 0 < len(data) < length:  # a network file system may give less at a time
                more = os.pread(descriptor, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise self._unreadable(path, error) from None
        if len(data) != length:
            raise self._lied(path, "ends too early", f"{length} bytes from {offset}", f"{len(data)} bytes")
        self.health.received += length
        return data

    def _unreadable(self, path: str, error: OSError) -> CacheError:
        found = error.strerror
        if error.errno in _ABSENT:
            if os.path.isdir(self._root):
                return Missing(f"{self.name} has no {path}", cache=self.name, path=path)
            return self._down(CacheDown(f"the cache {self.name} is not there", cache=self.name, found=self._root))
        if error.errno in _DENIED:
            return CacheDenied(f"{self.name}: {path} may not be read", cache=self.name, path=path, found=found)
        if error.errno == errno.ENXIO:
            return self._lied(path, "is not a file", "a file", "a socket or a device")
        return self._down(CacheDown(f"the cache {self.name} cannot be read", cache=self.name, path=path, found=found))

    def _down(self, error: CacheDown) -> CacheDown:
        self.health.down = error
        return error

    def _lied(self, path: str, how: str, expected: str, found: str) -> CacheLied:
        return CacheLied(f"{self.name}: {path} {how}", cache=self.name, path=path, expected=expected, found=found)

    # Writing.

    @contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        """Turn a failed system call into the cache's word for it."""
        try:
            yield
        except OSError as error:
            name, found = self.name, error.strerror
            if error.errno in FULL:
                raise NoSpace(f"no space left in the cache {name}", found=found) from None
            if error.errno in _DENIED:
                raise CacheDenied(
                    f"{name}: {path} may not be written",
                    cache=name,
                    path=path,
                    found=found,
                    help=f"the folder {self._root} must be yours to write, or your group's",
                ) from None
            raise CacheDown(f"the cache {name} cannot be written", cache=name, path=path, found=found) from None

    def _is_there(self, path: str, size: int | None = None) -> bool:
        """Whether the file is there, whole, and is made to look new. One of another size was damaged.

        One that is another user's, and old, counts as not there: it is written again, in its place.
        """
        place = self._place(path)
        try:
            facts = os.stat(place)
            if not stat.S_ISREG(facts.st_mode) or size not in (None, facts.st_size):
                return False
            os.utime(place)
        except FileNotFoundError:
            return False
        except PermissionError:
            return time.time() - facts.st_mtime < YOUNG
        return True

    def _draft(self, path: str, data: bytes, *, sync: bool) -> _Draft:
        self._make_folder(os.path.join(self._root, _TEMPORARY))
        self._make_folder(os.path.dirname(self._place(path)))
        draft = _Draft(path, f"{self._root}/{_TEMPORARY}/{os.getpid()}-{os.urandom(8).hex()}")
        descriptor = os.open(draft.temporary, _WRITE, 0o666)
        try:
            write_all(descriptor, data)
            if sync:
                os.fsync(descriptor)
            else:
                start_writing(descriptor, 0, len(data))
        except BaseException:
            self._drop([draft])
            raise
        finally:
            os.close(descriptor)
        self.health.sent += len(data)
        return draft

    def _name(self, drafts: list[_Draft]) -> None:
        """Give what was synced its names, and empty the list as it goes."""
        try:
            while drafts:
                os.rename(drafts[-1].temporary, self._place(drafts[-1].path))
                drafts.pop()
        finally:
            self._drop(drafts)

    @staticmethod
    def _drop(drafts: list[_Draft]) -> None:
        for draft in drafts:
            with suppress(OSError):
                os.unlink(draft.temporary)

    def _make_folder(self, folder: str) -> None:
        with self._guard:
            if folder not in self._made:
                os.makedirs(folder, exist_ok=True)
                self._made.add(folder)

    @contextmanager
    def _root_descriptor(self) -> Iterator[int]:
        self._make_folder(self._root)
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @staticmethod
    def _sync_folder(folder: str) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

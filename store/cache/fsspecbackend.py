"""A cache at any other address that fsspec opens: s3:// by s3fs, and whatever else is installed and registered.

fsspec's own file system does the work and finds the credentials by its own conventions; Kiln gives it none. It is
asked from up to 16 threads. What a file system raises is told apart by the exceptions of Python's that fsspec asks
for (FileNotFoundError, PermissionError); all else means that the place is not reached.

An object store shows an object whole or not at all; where a file system could show half a file under its name, the
file is written beside its place and moved.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from kiln.store.cache.backend import YOUNG, Answer, Entry, Health, Limits, Request, check_path
from kiln.store.cache.coalesce import Fetch, coalesce
from kiln.store.cache.errors import (
    BadCacheAddress,
    CacheDenied,
    CacheDown,
    CacheError,
    CacheLied,
    Missing,
    shown,
)
from kiln.store.cache.window import in_window

T = TypeVar("T")
_THREADS = 16
_WHOLE_AT_ONCE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "memory"}
"""Schemes whose writes appear whole."""
_DENIED_TEXT = re.compile(r"credential|forbidden|access ?denied|unauthori[sz]ed|403|401", re.IGNORECASE)
_DOWN_FOR = 30.0


class FsspecBackend:
    """A `Backend` on one of fsspec's file systems."""

    def __init__(self, url: str, *, name: str | None, limits: Limits) -> None:
        self._scheme = url.partition("://")[0].lower()
        self.url = _without_user(url)
        self.name = name or self.url
        self.health = Health()
        self._limits = limits
        self._given = url.rstrip("/")
        self._guard = threading.Lock()
        self._opened: tuple[Any, str] | None = None  # guarded by _guard
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="kiln-cache")

    def get(self, path: str, *, limit: int) -> bytes:
        return self._read(Fetch(check_path(path), None, limit, ()))

    def ranges(self, path: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        wanted = [Request(path, offset, length) for offset, length in spans]
        found: dict[Request, bytes] = {}
        for request, data in self.get_many(wanted):
            if isinstance(data, CacheError):
                raise data
            found[request] = data
        return [found[request] for request in wanted]

    def get_many(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for fetch, future in self._in_window(coalesce(requests), self._read, lambda fetch: fetch.length):
            try:
                data = future.result()
            except CacheError as error:
                yield from ((request, error) for request in fetch.answers)
            else:
                yield from fetch.take_apart(data)

    def put(self, path: str, data: bytes, *, replace: bool = False) -> bool:
        return self._write((path, data), replace=replace)

    def put_many(self, files: Iterable[tuple[str, bytes]]) -> set[str]:
        finished = self._in_window(files, self._write, lambda file: len(file[1]))
        return {path for (path, _), future in finished if not future.result()}

    def exists_many(self, paths: Iterable[str]) -> set[str]:
        finished = self._in_window(paths, lambda path: self._facts(path) is not None, lambda path: 1)
        return {path for path, future in finished if future.result()}

    def reuse_many(self, paths: Iterable[str]) -> set[str]:
        finished = self._in_window(paths, self._is_there, lambda path: 1)
        return {path for path, future in finished if future.result()}

    def listing(self, prefix: str = "") -> Iterator[Entry]:
        fs, root = self._filesystem()
        folder = f"{root}/{prefix.rpartition('/')[0]}".rstrip("/")
        found = self._ask(prefix, lambda: fs.find(folder, detail=True, maxdepth=4))
        for place, facts in sorted(found.items()):
            path = place.removeprefix(root).lstrip("/")
            if path.startswith(prefix) and not any(part.startswith(".") for part in path.split("/")):
                yield Entry(path, int(facts.get("size") or 0), _mtime(facts))

    def delete(self, path: str, *, before: float | None = None) -> bool:
        fs, root = self._filesystem()
        facts = self._facts(path)
        if facts is None or (before is not None and (facts.mtime is None or facts.mtime >= before)):
            return False
        self._ask(path, lambda: fs.rm_file(f"{root}/{path}"))
        return True

    def tidy(self, older_than: float) -> int:
        fs, root = self._filesystem()
        if self._scheme in _WHOLE_AT_ONCE:
            return 0
        try:
            left = self._ask(".tmp", lambda: fs.find(f"{root}/.tmp", detail=True))
        except Missing:
            return 0
        old = [place for place, facts in left.items() if time.time() - (_mtime(facts) or 0) > older_than]
        for place in old:
            self._ask(".tmp", partial(fs.rm_file, place))
        return len(old)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _in_window(
        self, items: Iterable[T], work: Callable[[T], Any], weight: Callable[[T], int]
    ) -> Iterator[tuple[T, Future[Any]]]:
        def start(item: T) -> Future[Any]:
            return self._pool.submit(work, item)

        return in_window(items, start, weight, at_once=_THREADS, in_flight=self._limits.in_flight)

    # One file, in any thread.

    def _read(self, fetch: Fetch) -> bytes:
        fs, root = self._filesystem()
        path, start = check_path(fetch.path), fetch.offset or 0
        # One byte more tells a file that is larger than it may be; a range is exactly as long as it is.
        end = start + fetch.length + (fetch.offset is None)
        if end == start:
            return b""
        began = time.monotonic()
        data = bytes(self._ask(path, lambda: _cat(fs, f"{root}/{path}", start, end, whole=fetch.offset is None)))
        self.health.answered(time.monotonic() - began)
        self.health.received += len(data)
        if fetch.offset is None and len(data) > fetch.length:
            raise self._lied(path, "is larger than it may be", f"over {fetch.length} bytes", fetch)
        if fetch.offset is not None and len(data) != fetch.length:
            raise self._lied(path, "answered with a range of another length", f"{len(data)} bytes", fetch)
        return data

    def _write(self, file: tuple[str, bytes], *, replace: bool = False) -> bool:
        path, data = file
        fs, root = self._filesystem()
        if not replace and self._is_there(path, len(data)):
            return False
        self._ask(path, lambda: self._place(fs, root, path, data))
        self.health.sent += len(data)
        return True

    def _place(self, fs: Any, root: str, path: str, data: bytes) -> None:
        if self._scheme in _WHOLE_AT_ONCE:
            fs.pipe_file(f"{root}/{path}", bytes(data))
            return
        draft = f"{root}/.tmp/{os.getpid()}-{os.urandom(8).hex()}"
        for place in (draft, f"{root}/{path}"):
            fs.makedirs(place.rpartition("/")[0], exist_ok=True)
        fs.pipe_file(draft, bytes(data))
        fs.mv(draft, f"{root}/{path}")

    def _is_there(self, path: str, size: int | None = None) -> bool:
        """Whether a file is there, whole, and young: no file system of fsspec's changes an age and nothing else."""
        facts = self._facts(path)
        if facts is None or size not in (None, facts.size):
            return False
        return facts.mtime is not None and time.time() - facts.mtime < YOUNG

    def _facts(self, path: str) -> Entry | None:
        """What is known of a file; None where there is none."""
        fs, root = self._filesystem()
        try:
            facts = self._ask(path, lambda: fs.info(f"{root}/{check_path(path)}"))
        except Missing:
            return None
        return Entry(path, int(facts.get("size") or 0), _mtime(facts))

    def _filesystem(self) -> tuple[Any, str]:
        """fsspec's file system and the path in it; it caches no listing, since others write there too."""
        with self._guard:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> tuple[Any, str]:
        import fsspec

        try:
            fs, root = fsspec.core.url_to_fs(self._given, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise BadCacheAddress(
                f"fsspec cannot open {self.url}",
                found=shown(str(error)),
                help="pip install 'kiln-build[s3]'"
                if self._scheme in ("s3", "s3a")
                else "see fsspec's documentation",
            ) from None
        except TypeError:  # a file system that has no such option
            fs, root = fsspec.core.url_to_fs(self._given)
        return fs, str(root).rstrip("/")

    def _ask(self, path: str, work: Callable[[], T]) -> T:
        down = self.health.down
        if down is not None and time.monotonic() < self.health.down_until:
            raise CacheDown(down.message, cache=self.name, found=down.found, help=down.help)
        try:
            made = work()
        except FileNotFoundError:
            raise Missing(f"{self.name} has no {path}", cache=self.name, path=path) from None
        except CacheError:
            raise
        except Exception as error:
            raise self._failed(path, error) from None
        self.health.down = None
        return made

    def _failed(self, path: str, error: Exception) -> CacheError:
        found = shown(f"{type(error).__name__}: {error}")
        if isinstance(error, PermissionError) or _DENIED_TEXT.search(f"{type(error).__name__} {error}"):
            return CacheDenied(
                f"the cache {self.name} does not let us in",
                cache=self.name,
                path=path,
                found=found,
                expected="credentials that it accepts",
                help=f"set them where {self._scheme} looks for them, such as AWS_PROFILE for s3",
            )
        down = CacheDown(f"the cache {self.name} is not reached", cache=self.name, path=path, found=found)
        self.health.down, self.health.down_until = down, time.monotonic() + _DOWN_FOR
        return down

    def _lied(self, path: str, how: str, found: str, fetch: Fetch) -> CacheLied:
        return CacheLied(
            f"{self.name}: {path} {how}", cache=self.name, path=path, found=found, expected=f"{fetch.length} bytes"
        )


def _cat(fs: Any, place: str, start: int, end: int, *, whole: bool) -> bytes:
    """A range. Of a whole file whose size is not known, an object store may refuse a range of an empty one."""
    if whole:
        size = fs.info(place).get("size")
        if size is not None:
            end = min(end, int(size))
            if end <= start:
                return b""
    data: bytes = fs.cat_file(place, start=start, end=end)
    return data


def _mtime(facts: dict[str, Any]) -> float | None:
    for key in ("LastModified", "mtime", "last_modified", "created"):
        value = facts.get(key)
        if value is not None:
            return float(value.timestamp() if hasattr(value, "timestamp") else value)
    return None


def _without_user(url: str) -> str:
    """The address, which must not hold a password. Raises BadCacheAddress."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise BadCacheAddress("not the address of a cache", found=shown(repr(url))) from None
    if parts.password is not None or not url.isprintable():
        raise BadCacheAddress(
            "an address of a cache must not hold a password",
            expected="the backend's own way to give credentials",
            help="remove it from the address, and change the password: it may have been seen",
        )
    return url.rstrip("/")

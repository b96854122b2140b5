"""A cache in this process' memory: `memory://NAME`. Backends of one name share their files."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence

from kiln.store.cache.backend import Answer, Entry, Health, Request, check_path
from kiln.store.cache.errors import CacheError, CacheLied, Missing

_guard = threading.Lock()
_caches: dict[str, dict[str, tuple[bytes, float]]] = {}  # guarded by _guard


class MemoryBackend:
    """A `Backend` whose files are bytes objects."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url.rstrip("/")
        self.name = name
        self.health = Health()
        with _guard:
            self._files = _caches.setdefault(self.url, {})

    def get(self, path: str, *, limit: int) -> bytes:
        data = self._read(path)
        if len(data) > limit:
            raise CacheLied(
                f"{self.name}: {path} is larger than it may be",
                cache=self.name,
                path=path,
                expected=f"at most {limit} bytes",
                found=f"{len(data)} bytes",
            )
        return data

    def ranges(self, path: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        return [self._slice(path, offset, length) for offset, length in spans]

    def get_many(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for request in requests:
            try:
                if request.offset is None:
                    yield request, self.get(request.path, limit=request.length)
                else:
                    yield request, self._slice(request.path, request.offset, request.length)
            except CacheError as error:
                yield request, error

    def put(self, path: str, data: bytes, *, replace: bool = False) -> bool:
        check_path(path)
        with _guard:
            if not replace and self._renew(path):
                return False
            self._files[path] = (bytes(data), time.time())
            self.health.sent += len(data)
        return True

    def put_many(self, files: Iterable[tuple[str, bytes]]) -> set[str]:
        return {path for path, data in files if not self.put(path, data)}

    def reuse_many(self, paths: Iterable[str]) -> set[str]:
        with _guard:
            return {path for path in paths if self._renew(path)}

    def _renew(self, path: str) -> bool:
        """Whether the file is there; it is new from now on. Guarded by _guard."""
        if path not in self._files:
            return False
        self._files[path] = (self._files[path][0], time.time())
        return True

    def exists_many(self, paths: Iterable[str]) -> set[str]:
        with _guard:
            return {path for path in paths if path in self._files}

    def listing(self, prefix: str = "") -> Iterator[Entry]:
        with _guard:
            files = sorted(self._files.items())
        return (Entry(path, len(data), made) for path, (data, made) in files if path.startswith(prefix))

    def delete(self, path: str, *, before: float | None = None) -> bool:
        with _guard:
            if before is not None and path in self._files and self._files[path][1] >= before:
                return False
            return self._files.pop(path, None) is not None

    def tidy(self, older_than: float) -> int:
        return 0

    def close(self) -> None:
        pass

    def _read(self, path: str) -> bytes:
        with _guard:
            found = self._files.get(check_path(path))
        if found is None:
            raise Missing(f"{self.name} has no {path}", cache=self.name, path=path)
        self.health.answered(0.0)
        self.health.received += len(found[0])
        return found[0]

    def _slice(self, path: str, offset: int, length: int) -> bytes:
        data = self._read(path)[offset : offset + length]
        if len(data) != length:
            raise CacheLied(
                f"{self.name}: {path} ends too early",
                cache=self.name,
                path=path,
                expected=f"{length} bytes from {offset}",
                found=f"{len(data)} bytes",
            )
        return data

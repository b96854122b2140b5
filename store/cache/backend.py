"""Where a cache lies: a folder, a web server, a bucket, memory; whatever holds files under names.

A backend moves bytes and judges nothing: what comes is verified by who asked. It answers for this alone:

- An answer has the length that was asked for, or is an error. Never more than `limit` bytes are taken in.
- `put` shows a file whole or not at all, and has it on disk when it returns, as far as the place allows.
- A place that is down costs one bounded attempt. It raises CacheDown, and for a while each call raises it at once.
- Every call may be made from any thread.

Names of files are relative, `/` between their parts, each part of A-Z a-z 0-9 . _ - and not beginning with a dot.

Credentials are the backend's own matter: a folder's permissions; `~/.netrc` and KILN_CACHE_TOKEN for web servers
(`credentials.py`); what botocore reads (AWS_PROFILE, ~/.aws, …) for S3; the like for whatever else fsspec opens.
None is ever in an address or in a file of Kiln's.

## Uploading to a web server

Any web server can be read from. One that is `kiln cache serve` also takes uploads, with `Authorization: Bearer
<token>`; the token comes from the environment or, as the password of the host, from the netrc file:

    PUT  /u/<session>/<path>      201   a file into quarantine, where nobody can read it
    POST /u/<session>/commit      200   everything in quarantine is verified, and becomes readable together
                                  202   that goes on: ask again, with the same request

A session is 32 hexadecimal digits, drawn anew for each commit. `put` with `replace` (of a head, or the card) is a
commit: all of it is there when `put` returns. So that an upload that is broken off has kept what it had, there is
also one after each 256 MiB: packs, chunks and segments need no head to be verified. Until a head names them they are
seen by their uploader alone, who is told of them by HEAD. A commit that was carried out may be asked for again, and
has the same answer; 404 with the rule `session` says that the server knows nothing of it. A server answers 409
where another uploader's head was committed meanwhile (Conflict), 422 with `{"code", "rule", "message", "path"}`
where it refuses what came (UploadRefused), 401 and 403 where the token is wrong (CacheDenied), 413 where a file is
too large, 429, 503 and 507 with Retry-After where it is busy or has no room.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from kiln.store.cache.errors import BadCacheAddress, CacheError, shown

_PART = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


YOUNG = 6 * 3600
"""Seconds for which a file whose age can't be changed counts as just written: a quarter of the grace period that a
collector gives, so that clocks may differ."""


class Request(NamedTuple):
    """What `get_many` is asked for: `length` bytes from `offset`; or the whole file, of at most `length` bytes."""

    path: str
    offset: int | None
    length: int


class Entry(NamedTuple):
    """A file as `listing` shows it: bytes, and seconds since 1970 or None where the place doesn't say."""

    path: str
    size: int
    mtime: float | None


Answer: TypeAlias = "tuple[Request, bytes | CacheError]"


@dataclass(slots=True)
class Health:
    """What was seen of a cache in this process. Written by its backend alone.

    `latency` is a moving average of the seconds until an answer begins, None before the first; `received` and `sent`
    count bytes; `down` is why it is not asked again before `down_until` (as time.monotonic tells it).
    """

    latency: float | None = None
    requests: int = 0
    received: int = 0
    sent: int = 0
    down: CacheError | None = None
    down_until: float = 0.0
    failures: int = 0

    def answered(self, seconds: float) -> None:
        """An answer began after so many seconds."""
        self.requests += 1
        self.latency = seconds if self.latency is None else 0.7 * self.latency + 0.3 * seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a cache on the network is waited for, in seconds, and how often it is asked.

    `connect`: until a connection stands. `first`: until an answer begins. `stall`: between two pieces of a body.
    `floor`: the least bytes a second of a body, judged once `grace` has passed. `tries`: requests for one thing.
    `wait`: the longest sum of pauses between them, whatever Retry-After says.
    """

    connect: float = 10.0
    first: float = 20.0
    stall: float = 15.0
    floor: int = 16 * 1024
    grace: float = 15.0
    tries: int = 4
    wait: float = 15.0
    redirects: int = 4
    at_once: int = 24
    in_flight: int = 64 << 20
    """The most bytes that are on their way, or wait to be taken."""

    @classmethod
    def patient(cls, seconds: float) -> Limits:
        """Every wait bounded by so many seconds; the option `patience` of a cache."""
        return cls(connect=min(10.0, seconds), first=seconds, stall=seconds, grace=seconds, wait=seconds)


class Backend(Protocol):
    """A place that holds a cache's files."""

    @property
    def name(self) -> str:
        """What messages call the cache."""
        ...

    @property
    def url(self) -> str:
        """Its address, without user or password."""
        ...

    @property
    def health(self) -> Health: ...

    def get(self, path: str, *, limit: int) -> bytes:
        """A whole file of at most `limit` bytes. Raises Missing, CacheDown, CacheLied, CacheDenied."""
        ...

    def ranges(self, path: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Pieces (offset, length) of a file, in the order given, each exactly that long. Raises like `get`."""
        ...

    def get_many(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Many at once, neighbours fetched together, each answered as it comes, in any order.

        An error is an answer like another. What was not taken from the iterator is given up when it is closed.
        """
        ...

    def put(self, path: str, data: bytes, *, replace: bool = False) -> bool:
        """Write a file; whether it was written. Without `replace` a file that is there stays as it is.

        With `replace` everything put before is durable, and readable, before the new file takes the old one's
        place. Raises CacheDown, CacheDenied, Unsupported, Conflict, UploadRefused.
        """
        ...

    def put_many(self, files: Iterable[tuple[str, bytes]]) -> set[str]:
        """Write many files, none of which replaces another. `files` is read as needed.

        Those that were there and stay as they are, as `reuse_many` has them.
        """
        ...

    def reuse_many(self, paths: Iterable[str]) -> set[str]:
        """Those of the files that are there to build upon, though no head may name them.

        Their age begins anew, so that a collector leaves them for a grace period. Where a file's age can't be
        changed, only one that is younger than `YOUNG` is among them: another is to be sent again. Raises CacheDown,
        CacheDenied.
        """
        ...

    def exists_many(self, paths: Iterable[str]) -> set[str]:
        """Those of the files that are there. Raises CacheDown, CacheDenied."""
        ...

    def listing(self, prefix: str = "") -> Iterator[Entry]:
        """Every file below a folder such as `p/`, or of the whole cache. Raises Unsupported."""
        ...

    def delete(self, path: str, *, before: float | None = None) -> bool:
        """Remove a file; whether it was there. With `before`, only if it is older than that (seconds since 1970).

        Raises Unsupported.
        """
        ...

    def tidy(self, older_than: float) -> int:
        """Remove what interrupted `put`s left behind, older than so many seconds; how many files."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def open_backend(
    url: str, *, name: str | None = None, token: str | None = None, limits: Limits | None = None
) -> Backend:
    """The backend for an address; nothing is read yet. Raises BadCacheAddress.

    A path or file:// is a folder; http:// and https:// a web server, unix:///PATH one on a socket of this machine;
    memory://NAME lives as long as the process; any other scheme is fsspec's. `token` is for a web server, instead of
    what the netrc file says of its host; `credentials.token_of` finds the one that the environment has.
    """
    found = _SCHEME.match(url)
    match found[1].lower() if found else "":
        case "" | "file":
            from kiln.store.cache.folderbackend import FolderBackend

            return FolderBackend(folder_of(url), name or url)
        case "memory":
            from kiln.store.cache.memorybackend import MemoryBackend

            return MemoryBackend(url, name or url)
        case "http" | "https" | "unix":
            from kiln.store.cache.httpbackend import HttpBackend

            return HttpBackend(url, name=name, token=token, limits=limits or Limits())
        case _:
            from kiln.store.cache.fsspecbackend import FsspecBackend

            return FsspecBackend(url, name=name, limits=limits or Limits())


def folder_of(url: str) -> str:
    """The absolute path of a folder's address. Raises BadCacheAddress."""
    if not url.lower().startswith("file://"):
        place = os.path.expanduser(url)
        if not url or "\0" in url:
            raise BadCacheAddress("not the address of a cache", found=shown(repr(url)), expected="a folder, or a URL")
        return os.path.abspath(place)
    from urllib.parse import unquote

    host, slash, rest = url[len("file://") :].partition("/")
    if host not in ("", "localhost") or not slash:
        raise BadCacheAddress(
            "a file:// address names no folder of this machine", found=shown(url), expected="file:///path/to/folder"
        )
    return os.path.abspath("/" + unquote(rest))


def check_path(path: str) -> str:
    """The name of a file, if it is one that a cache can have. Raises BadCacheAddress."""
    if not _PATH.fullmatch(path):
        raise BadCacheAddress("not the name of a file in a cache", found=shown(repr(path)))
    return path

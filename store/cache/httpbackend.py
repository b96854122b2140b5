"""A cache on a web server: read by GET with ranges, from any; written to where `kiln cache serve` answers.

It is reached over the network, or by `unix:///path` over a socket of this machine.

The upload protocol is in `backend.py`. All requests of a process run on one event loop (`eventloop.py`), up to 24 at
once to a server, over connections that stay open. What a server does wrong is judged in `httpanswer.py`, what it
does slowly or not at all in `httpclient.py`.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from urllib.parse import quote, unquote, urlsplit

from kiln.store.cache.backend import Answer, Entry, Health, Limits, Request, check_path
from kiln.store.cache.coalesce import Fetch, coalesce
from kiln.store.cache.credentials import credentials_for
from kiln.store.cache.errors import (
    BadCacheAddress,
    CacheDenied,
    CacheDown,
    CacheError,
    Conflict,
    Unsupported,
    UploadRefused,
    shown,
)
from kiln.store.cache.eventloop import run, submit
from kiln.store.cache.httpanswer import SKIP, Facts, Wanted
from kiln.store.cache.httpclient import HttpClient
from kiln.store.cache.window import in_window

_SESSION_BYTES = 256 << 20
_ASKED_FROM = 256 << 10
_VERIFYING = 600.0
_VERIFIED = 1 << 20
"""How long a server may verify: seconds for any upload, and bytes a second of what came."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class HttpBackend:
    """A `Backend` on a web server."""

    def __init__(self, url: str, *, name: str | None, token: str | None, limits: Limits) -> None:
        socket = socket_of(url)
        self.url = url if socket else _checked(url)
        self.name = name or self.url
        self.health = Health()
        self._limits = limits
        credentials = credentials_for(urlsplit(self.url).hostname or "", token)
        base = "http://localhost/" if socket else self.url + "/"
        self._client = HttpClient(self.name, base, credentials, limits, self.health, socket)
        self._guard = threading.Lock()  # held while something is uploaded: a commit must find nothing on its way
        self._session = os.urandom(16).hex()  # guarded by _guard
        self._uploaded = 0  # bytes that the session got; guarded by _guard
        self._paths: list[str] = []  # of the session's files; guarded by _guard

    def get(self, path: str, *, limit: int) -> bytes:
        return run(self._client.fetch(check_path(path), Wanted(None, limit)))

    def ranges(self, path: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        wanted = [Request(path, offset, length) for offset, length in spans]
        found: dict[Request, bytes] = {}
        for request, data in self.get_many(wanted):
            if isinstance(data, CacheError):
                raise data
            found[request] = data
        return [found[request] for request in wanted]

    def get_many(self, requests: Iterable[Request]) -> Iterator[Answer]:
        wanted = list(requests)
        for request in wanted:
            check_path(request.path)
        whole = {"gap": SKIP, "most": SKIP} if self._client.ignores_ranges else {}
        finished = in_window(
            coalesce(wanted, **whole),
            self._start,
            lambda fetch: fetch.length,
            at_once=self._limits.at_once,
            in_flight=self._limits.in_flight,
        )
        for fetch, future in finished:
            yield from _answers(fetch, future)

    def _start(self, fetch: Fetch) -> Future[bytes]:
        return submit(self._client.fetch(fetch.path, Wanted(fetch.offset, fetch.length)))

    def put(self, path: str, data: bytes, *, replace: bool = False) -> bool:
        with self._guard:
            self._check_upload(path, *run(self._sending(path, data)))
            self._uploaded += len(data)
            self._paths.append(path)
            if replace:
                self._commit(path, data)
        return True

    def put_many(self, files: Iterable[tuple[str, bytes]]) -> set[str]:
        todo, reused = iter(files), set[str]()
        with self._guard:
            for first in todo:
                reused |= self._put_batch(itertools.chain([first], todo))
        return reused

    def _put_batch(self, files: Iterator[tuple[str, bytes]]) -> set[str]:
        """Upload as much as one session is to hold, and commit it if it is full; what was there before."""
        reused = set()
        for (path, data), future in in_window(
            self._one_session(files),
            lambda file: submit(self._sending_new(*file)),
            lambda file: len(file[1]),
            at_once=self._limits.at_once,
            in_flight=self._limits.in_flight,
        ):
            answer = future.result()
            if answer is None:
                reused.add(path)
            else:
                self._check_upload(path, *answer)
                self._uploaded += len(data)
                self._paths.append(path)
        if self._uploaded >= _SESSION_BYTES:
            self._commit("")
        return reused

    def _one_session(self, files: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
        size = self._uploaded
        for path, data in files:
            yield path, data
            size += len(data)
            if size >= _SESSION_BYTES:
                return

    def exists_many(self, paths: Iterable[str]) -> set[str]:
        return {path for path, facts in self._facts(paths) if facts is not None}

    def reuse_many(self, paths: Iterable[str]) -> set[str]:
        return {path for path, facts in self._facts(paths) if facts is not None and facts.is_young}

    def _facts(self, paths: Iterable[str]) -> Iterator[tuple[str, Facts | None]]:
        for path, future in in_window(
            paths,
            lambda path: submit(self._client.facts(check_path(path))),
            lambda path: 1,
            at_once=self._limits.at_once,
            in_flight=self._limits.at_once,
        ):
            yield path, future.result()

    def listing(self, prefix: str = "") -> Iterator[Entry]:
        raise Unsupported(
            f"a web server shows no list of its files: {self.name}",
            cache=self.name,
            help="run this where the cache's folder or bucket is",
        )

    def delete(self, path: str, *, before: float | None = None) -> bool:
        raise Unsupported(
            f"nothing can be removed over the web: {self.name}",
            cache=self.name,
            help="run this where the cache's folder or bucket is",
        )

    def tidy(self, older_than: float) -> int:
        return 0

    def close(self) -> None:
        if self._client.is_open:
            run(self._client.close())

    # Uploading.

    async def _sending_new(self, path: str, data: bytes) -> tuple[int, bytes] | None:
        """None where the file is there. Chunks were asked for already; a small file is sent as fast as asked for."""
        if len(data) >= _ASKED_FROM and not path.startswith("c/"):
            facts = await self._client.facts(check_path(path))
            if facts is not None and facts.size == len(data) and facts.is_young:
                return None
        return await self._sending(path, data)

    async def _sending(self, path: str, data: bytes) -> tuple[int, bytes]:
        return await self._client.upload("PUT", f"u/{self._session}/{check_path(path)}", bytes(data))

    def _commit(self, path: str, data: bytes = b"") -> None:
        """Have the session verified. `path` and `data` are the head that it ends with, if it has one."""
        session, size, paths = self._session, self._uploaded, self._paths
        self._session, self._uploaded, self._paths = os.urandom(16).hex(), 0, []
        status, body = self._verified(session, size)
        if status == 404 and _rule(body) == "session":
            # An earlier try had its answer lost on the way, or the server lost what it had.
            if self._says(path, data) if path else self.exists_many(paths) >= set(paths):
                return
            raise CacheDown(
                f"the cache {self.name} lost an upload",
                cache=self.name,
                path=path,
                found=shown(_reason(body)),
                help="push once more: what came before is not sent again",
            )
        self._check_upload(path or "commit", status, body)

    def _verified(self, session: str, size: int) -> tuple[int, bytes]:
        """The answer to a commit: asked for again, with pauses, for as long as the server says that it verifies."""
        end, pause = time.monotonic() + _VERIFYING + size / _VERIFIED, _FIRST_PAUSE
        while True:
            status, body = run(self._client.upload("POST", f"u/{session}/commit", b""))
            if status != 202:
                return status, body
            if time.monotonic() > end:
                raise CacheDown(f"the cache {self.name} verifies an upload for too long", cache=self.name)
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _says(self, path: str, data: bytes) -> bool:
        try:
            return self.get(path, limit=len(data)) == data
        except CacheError:
            return False

    def _check_upload(self, path: str, status: int, body: bytes) -> None:
        if 200 <= status < 300:
            return
        name, found = self.name, shown(f"status {status}: {_reason(body)}" if body else f"status {status}")
        match status:
            case 401 | 403 | 407:
                raise CacheDenied(
                    f"the cache {name} takes no uploads from us",
                    cache=name,
                    path=path,
                    found=found,
                    expected="a token that may write",
                    help="put the token that the cache's keeper gave you into KILN_CACHE_TOKEN",
                )
            case 404 | 405 | 501:
                raise Unsupported(
                    f"the server of the cache {name} takes no uploads",
                    cache=name,
                    path=path,
                    found=found,
                    expected="kiln cache serve",
                    help="push to the folder or bucket behind it, or run kiln cache serve there",
                )
            case 409:
                raise Conflict(
                    f"another upload to {name} was committed meanwhile", cache=name, path=path, found=found
                )
            case _ if 400 <= status < 500:
                raise UploadRefused(f"the cache {name} did not admit {path}", cache=name, path=path, found=found)
        raise CacheDown(f"the cache {name} failed over an upload", cache=name, path=path, found=found)


def _answers(fetch: Fetch, future: Future[bytes]) -> Iterator[Answer]:
    try:
        data = future.result()
    except CacheError as error:
        for request in fetch.answers:
            yield request, error
    else:
        yield from fetch.take_apart(data)


def _rule(body: bytes) -> str:
    """The rule that the server's JSON names."""
    import json

    try:
        return str(json.loads(body)["rule"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _reason(body: bytes) -> str:
    """What the server says of its refusal: rule and message of its JSON, or the body as it is."""
    import json

    try:
        found = json.loads(body)
        return f"{found['rule']}: {found['message']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return body.decode("utf-8", "replace")


def socket_of(url: str) -> str:
    """The path of a `unix:` address; empty for another. Raises BadCacheAddress."""
    if not url.lower().startswith("unix:"):
        return ""
    path = unquote(url[len("unix:") :])
    path = "/" + path.lstrip("/") if path.startswith("/") else ""
    if len(path) < 2 or "\0" in path:
        raise BadCacheAddress("not the address of a cache", found=shown(repr(url)), expected="unix:///path/to/socket")
    return path


def _checked(url: str) -> str:
    """The address of a cache on the web, in one spelling. Raises BadCacheAddress."""
    try:
        parts = urlsplit(url)
        good = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        good, parts = None, urlsplit("")
    if parts.username is not None or parts.password is not None:
        raise BadCacheAddress(
            "an address of a cache must not hold a user or a password",
            expected="they come from ~/.netrc or the environment",
            help="remove them from the address, and change the password: it may have been seen",
        )
    if not good or parts.query or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise BadCacheAddress("not the address of a cache", found=shown(repr(url)), expected="https://host/path")
    path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{path}"

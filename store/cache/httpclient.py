"""Requests to one web server: kept-alive connections, bounds on everything, bounded tries. Coroutines, for one loop.

A try ends in bytes, in an error that is final, or in `_Again`: a connection that broke, an answer that said "busy".
Pauses between tries grow from a fifth of a second, or are what Retry-After says, and sum up to at most `wait`. The
first connection that can't be made is the last: a cache that is down costs one attempt.

A range whose body breaks off is asked for again from where it ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, assert_never
from urllib.parse import urlsplit

from kiln.store.cache.backend import Health, Limits
from kiln.store.cache.credentials import Credentials
from kiln.store.cache.elsewhere import InnerPlace, guarding_resolver, is_inner, origin
from kiln.store.cache.errors import CacheDenied, CacheDown, CacheError, CacheLied, Missing, shown
from kiln.store.cache.httpanswer import Body, Busy, Elsewhere, Facts, Lie, NoEntry, NotThere, Wanted, facts_of, judge

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")
USER_AGENT = "kiln-build (cache)"
_FIRST_PAUSE = 0.2
_DOWN_FIRST = 30.0
_DOWN_LONGEST = 600.0
_HEAD_PIECE = 4096
_PLACES = "the cache's own host, or a public one"
_SLOW_TRIES = 2
"""Tries that end by a deadline: each costs as long as the deadline is."""


class _Again(Exception):
    """A try that failed in a way that another may not.

    `busy`: the server answered, and asked for patience. `slow`: it cost patience already. `wrong`: what came cannot
    be right, which says nothing of the next.
    """

    def __init__(
        self,
        what: str,
        found: str,
        *,
        after: float | None = None,
        busy: bool = False,
        slow: bool = False,
        wrong: bool = False,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.found = found
        self.after = after
        self.busy = busy
        self.slow = slow
        self.wrong = wrong


class HttpClient:
    """Asks one cache; with `socket`, over a Unix socket. Everything but the constructor runs on the event loop."""

    def __init__(
        self, name: str, base: str, credentials: Credentials, limits: Limits, health: Health, socket: str = ""
    ) -> None:
        self.name = name
        self._base = base
        self._origin = origin(base)
        self._credentials = credentials
        self._bearer = False
        self._limits = limits
        self._health = health
        self._session: aiohttp.ClientSession | None = None
        self._socket = socket
        self._proxy = None if socket else _proxy_for(base)
        self.ignores_ranges = False

    @property
    def is_open(self) -> bool:
        """Whether there may be connections to close."""
        return self._session is not None

    async def fetch(self, path: str, wanted: Wanted) -> bytes:
        """The bytes of a file, or of a range. Raises CacheError."""
        if wanted.offset is not None and wanted.length == 0:
            return b""
        got = bytearray()

        async def attempt() -> bytes:
            if wanted.offset is None:
                got.clear()
                return await self._try(path, wanted, got)
            rest = Wanted(wanted.offset + len(got), wanted.length - len(got))
            return await self._try(path, rest, got)

        return await self._with_tries(path, attempt)

    async def facts(self, path: str) -> Facts | None:
        """What HEAD says of a file; None where there is none. Raises CacheDown, CacheDenied."""

        async def attempt() -> Facts | None:
            status, headers, _ = await self.send("HEAD", path)
            match judge(status, headers, Wanted(None, 1 << 62), self._base + path):
                case Body():
                    return facts_of(headers)
                case NotThere():
                    return None
                case other:
                    raise self._final(path, other)

        return await self._with_tries(path, attempt)

    async def upload(self, method: str, path: str, data: bytes) -> tuple[int, bytes]:
        """Send a body; the status and the beginning of the answer's body. Raises CacheDown."""

        async def attempt() -> tuple[int, bytes]:
            status, headers, body = await self.send(method, path, data)
            if status == 401 and "bearer" in headers.get("WWW-Authenticate", "").lower() and self._switch_to_bearer():
                raise _Again("wants a token", "401", after=0.0)
            if status in (429, 503):
                verdict = judge(status, headers, Wanted(None, 0), self._base + path)
                raise _Again("is busy", f"{status}", after=getattr(verdict, "after", None), busy=True)
            self._health.sent += len(data)
            return status, body

        return await self._with_tries(path, attempt)

    async def send(self, method: str, path: str, data: bytes | None = None) -> tuple[int, Mapping[str, str], bytes]:
        """One request without redirects; status, headers, the beginning of the body. Raises _Again."""
        began = time.monotonic()
        # A body is given as long as the least pace allows: the answer comes after it.
        patience = self._limits.first + (len(data) / self._limits.floor if data else 0.0)
        try:
            async with asyncio.timeout(patience), self._request(method, self._base + path, data=data) as response:
                if data is None:
                    self._health.answered(time.monotonic() - began)
                body = await response.content.read(_HEAD_PIECE) if method != "HEAD" else b""
                return response.status, response.headers, body
        except TimeoutError:
            raise _Again("does not answer", f"nothing in {patience:g} s", slow=True) from None
        except Exception as error:
            raise self._broken(path, error) from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # One try.

    async def _try(self, path: str, wanted: Wanted, got: bytearray) -> bytes:
        url, seen = self._base + path, set[str]()
        while True:
            seen.add(url)
            headers = {"Range": text} if (text := wanted.range_header) else {}
            began = time.monotonic()
            try:
                async with self._answer(url, headers) as response:
                    self._health.answered(time.monotonic() - began)
                    match judge(response.status, response.headers, wanted, url):
                        case Body() as body:
                            self.ignores_ranges |= bool(text) and response.status == 200
                            await self._read(response, body, got, path)
                            return bytes(got)
                        case Elsewhere(target):
                            if target in seen or len(seen) > self._limits.redirects:
                                raise self._lied(path, "redirects without an end", shown(target), "a file")
                            self._check_target(path, target)
                            url = target
                        case NoEntry(_, bearer) if bearer and self._switch_to_bearer():
                            seen.discard(url)
                        case other:
                            raise self._final(path, other)
            except (CacheError, _Again):
                raise
            except TimeoutError:
                raise _Again("does not answer", f"nothing in {self._limits.first:g} s", slow=True) from None
            except Exception as error:
                raise self._broken(path, error) from None

    def _check_target(self, path: str, target: str) -> None:
        """That a redirect does not lead into a network that others cannot reach. Raises CacheLied."""
        there = origin(target)
        if there != self._origin and is_inner(there[1]):
            raise self._lied(path, "redirects to a place that is not public", shown(target), _PLACES)

    def _answer(self, url: str, headers: dict[str, str]) -> _Answering:
        return _Answering(self._request("GET", url, headers=headers), self._limits.first)

    async def _read(self, response: aiohttp.ClientResponse, body: Body, got: bytearray, path: str) -> None:
        """Take the body in, as long as it keeps coming and is not longer than it may be."""
        began, seen, before, end = time.monotonic(), 0, len(got), body.skip + body.most
        while seen < end or body.to_end:
            piece = await self._piece(response, seen)
            if not piece:
                break
            got += piece[max(0, body.skip - seen) : max(0, end - seen)]
            seen += len(piece)
            self._health.received += len(piece)
            self._check_pace(seen, time.monotonic() - began)
            if seen > end:
                break
        if seen > end and body.to_end:
            raise self._lied(path, "has more bytes than it may", f"over {body.most} bytes", f"{body.most} bytes")
        if body.exact and len(got) - before < body.most:
            raise _Again("breaks off", f"{len(got) - before} of {body.most} bytes", wrong=True)

    async def _piece(self, response: aiohttp.ClientResponse, seen: int) -> bytes:
        stall = self._limits.stall
        try:
            async with asyncio.timeout(stall):
                return await response.content.readany()
        except TimeoutError:
            raise _Again("stalls", f"{seen} bytes, then nothing for {stall:g} s", slow=True) from None

    def _check_pace(self, seen: int, took: float) -> None:
        if took > self._limits.grace and seen < took * self._limits.floor:
            raise _Again("is too slow", f"{seen} bytes in {took:.0f} s", slow=True)

    def _request(
        self, method: str, url: str, *, headers: dict[str, str] | None = None, data: bytes | None = None
    ) -> Any:
        from yarl import URL

        sent = dict(headers or {})
        authorization = self._credentials.header(bearer=self._bearer)
        if authorization is not None and origin(url) == self._origin:
            sent["Authorization"] = authorization
        return self._opened().request(
            method, URL(url, encoded=True), headers=sent, data=data, allow_redirects=False, proxy=self._proxy
        )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            import aiohttp

            limits = self._limits
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
                skip_auto_headers=("Accept",),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect),
                auto_decompress=False,
                read_bufsize=1 << 20,
            )
        return self._session

    def _connector(self) -> aiohttp.BaseConnector:
        import aiohttp

        at_once = self._limits.at_once
        if self._socket:
            return aiohttp.UnixConnector(self._socket, limit=at_once, keepalive_timeout=30.0)
        return aiohttp.TCPConnector(
            limit=at_once,
            keepalive_timeout=30.0,
            ttl_dns_cache=300,
            resolver=guarding_resolver(self._origin[1:]),
        )

    def _switch_to_bearer(self) -> bool:
        """Whether asking again with the password as a token may help."""
        able = not self._bearer and self._credentials.token is None and self._credentials.password is not None
        self._bearer = self._bearer or able
        return able

    # Several tries.

    async def _with_tries(self, path: str, attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
        paused, pause = 0.0, _FIRST_PAUSE
        for number in range(1, self._limits.tries + 1):
            self.check_up()
            try:
                made = await attempt()
            except _Again as again:
                nap = pause if again.after is None else again.after
                most = _SLOW_TRIES if again.slow else self._limits.tries
                first = self._health.latency is None and not again.busy
                if first or number >= most or paused + nap > self._limits.wait:
                    raise self._given_up(path, again, number) from None
                await asyncio.sleep(nap)
                paused, pause = paused + nap, pause * 2
                continue
            self._health.failures = 0
            return made
        raise AssertionError("the last try returns or raises")

    def check_up(self) -> None:
        """Raise CacheDown again, while the cache is not to be asked."""
        down = self._health.down
        if down is not None:
            if time.monotonic() < self._health.down_until:
                raise type(down)(down.message, cache=self.name, found=down.found, help=down.help)
            self._health.down = None

    def _given_up(self, path: str, again: _Again, number: int) -> CacheError:
        times = f", {number} times" if number > 1 else ""
        if again.wrong:
            return self._lied(path, again.what, again.found + times, "a whole answer")
        health = self._health
        error = CacheDown(
            f"the cache {self.name} {again.what}",
            cache=self.name,
            path=path,
            found=f"{again.found}{times}",
            help="kiln cache status asks it again; without it, it is built here",
        )
        health.failures += 1
        health.down = error
        health.down_until = time.monotonic() + min(_DOWN_LONGEST, _DOWN_FIRST * 2 ** min(health.failures - 1, 8))
        return error

    def _final(self, path: str, judgement: Busy | NotThere | NoEntry | Lie | Elsewhere) -> Exception:
        match judgement:
            case Busy(status, after):
                return _Again("is busy", f"status {status}", after=after, busy=True)
            case NotThere(status):
                return Missing(f"{self.name} has no {path}", cache=self.name, path=path, found=f"status {status}")
            case NoEntry(status):
                return CacheDenied(
                    f"the cache {self.name} does not let us in",
                    cache=self.name,
                    path=path,
                    found=f"status {status}",
                    expected="credentials that it accepts",
                    help=f"write them for {urlsplit(self._base).hostname} into ~/.netrc, or a token into "
                    "KILN_CACHE_TOKEN_<NAME OF THE CACHE>",
                )
            case Lie(how, found, expected):
                return self._lied(path, how, found, expected)
            case Elsewhere(url):
                return self._lied(path, "redirects where it may not", shown(url), "an answer")
            case _:
                assert_never(judgement)

    def _lied(self, path: str, how: str, found: str, expected: str) -> CacheLied:
        return CacheLied(f"{self.name}: {path} {how}", cache=self.name, path=path, found=found, expected=expected)

    def _broken(self, path: str, error: Exception) -> Exception:
        """What an exception of the network library means."""
        import aiohttp

        if isinstance(error, CacheError | _Again):
            return error
        text = shown(str(error) or type(error).__name__)
        if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, InnerPlace):
            return self._lied(path, "redirects to a place that is not public", text, _PLACES)
        if isinstance(error, aiohttp.InvalidURL):
            return self._lied(path, "redirects to no place", text, "an address")
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return _Again("is not reached", text)
        if isinstance(error, aiohttp.ClientPayloadError):
            return _Again("breaks off", text, wrong=True)
        if isinstance(error, aiohttp.ClientResponseError):
            return _Again("answered with what is not HTTP", text, wrong=True)
        if isinstance(error, aiohttp.ClientError | OSError):
            return _Again("breaks off the connection", text)
        # Whatever an answer does to what reads it, it is the answer that is wrong: no build ends by it.
        return self._lied(path, "answered with what can't be read", f"{type(error).__name__}: {text}", "a file")


class _Answering:
    """`async with` a request: its headers must come in time; its body has bounds of its own."""

    def __init__(self, request: Any, patience: float) -> None:
        self._request = request
        self._patience = patience

    async def __aenter__(self) -> aiohttp.ClientResponse:
        async with asyncio.timeout(self._patience):
            response: aiohttp.ClientResponse = await self._request.__aenter__()
            return response

    async def __aexit__(self, *error: object) -> None:
        await self._request.__aexit__(*error)


def _proxy_for(base: str) -> str | None:
    """The proxy that the environment names for this server: http_proxy, https_proxy, no_proxy."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(base)
    if proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)

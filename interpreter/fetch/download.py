"""One address, brought into a sink: retried, resumed, and given up when it is too slow or too large.

    try:      GET, following redirects by the rules below, from where the sink's bytes end (Range, If-Range)
      206     the rest comes; its Content-Range must begin where the sink ends
      200     the server ignores ranges, or the file changed: the sink starts anew
      416     the sink starts anew
    again:    after a broken or stalled connection, 408, 425, 429 and 5xx; waiting `backoff` doubled each time,
              or what Retry-After says, up to `longest_wait`
    given up: after `tries` requests that brought nothing new; at once for every other status

A redirect leads to http or https, never from https to http, and at most `redirects` times. Bodies are asked
for as they are (identity) and never decoded: a pin speaks of the bytes of the file.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import NamedTuple, NoReturn
from urllib.parse import urljoin, urlsplit

import aiohttp
import yarl

from kiln.interpreter.fetch import web
from kiln.interpreter.fetch.config import Limits
from kiln.interpreter.fetch.errors import Outcome
from kiln.interpreter.fetch.sink import Sink
from kiln.interpreter.fetch.source import redact

_BLOCK = 1 << 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")
_TICK = 0.1


class Progress(NamedTuple):
    """`total` is what the server announced. Sizes in bytes."""

    place: str
    done: int
    total: int | None


OnProgress = Callable[[Progress], None]


@dataclass(slots=True, eq=False)
class Undelivered(Exception):
    """An address that did not deliver."""

    outcome: Outcome
    detail: str
    tries: int = 1


class Delivered(NamedTuple):
    """`resumed`: the bytes came in pieces from more than one answer."""

    url: str
    tries: int
    resumed: bool


@dataclass(slots=True, eq=False)
class _Trouble(Exception):
    outcome: Outcome
    detail: str
    again: bool = False
    wait: float = 0.0


def download(
    url: str,
    sink: Sink,
    limits: Limits,
    on_progress: OnProgress | None = None,
    credential: tuple[str, str] | None = None,
) -> Delivered:
    """Bring the file at `url` into the sink. Raises Undelivered, CannotKeep, BadConfig.

    `on_progress` is called at most ten times a second, on the thread of the event loop. `credential` is a header
    for the address's own scheme, host and port: no redirect takes it elsewhere.
    """
    return web.run(lambda session: _with_retries(session, url, sink, limits, on_progress, credential))


def read_document(url: str, accept: str, limits: Limits) -> tuple[str, str, bytes]:
    """A small document: the address it came from in the end, its media type, its bytes. Raises Undelivered."""
    return web.run(lambda session: _document(session, url, accept, limits))


async def _with_retries(
    session: aiohttp.ClientSession,
    url: str,
    sink: Sink,
    limits: Limits,
    on_progress: OnProgress | None,
    credential: tuple[str, str] | None,
) -> Delivered:
    sink.restart()
    validator: str | None = None
    made, idle, resumed = 0, 0, False
    while True:
        made, reached = made + 1, sink.highest
        transfer = _Transfer(session, sink, limits, on_progress, credential)
        try:
            final = await transfer.run(url, validator)
            return Delivered(final, made, resumed or transfer.resumed)
        except _Trouble as trouble:
            idle = 0 if sink.highest - reached >= limits.progress else idle + 1
            if not trouble.again or idle >= _allowed(trouble, limits):
                raise Undelivered(trouble.outcome, trouble.detail, made) from None
            resumed = resumed or transfer.resumed
            validator = transfer.validator
            await asyncio.sleep(_pause(trouble, idle, limits))


def _allowed(trouble: _Trouble, limits: Limits) -> int:
    """A host that cannot be reached is asked twice: offline, the answer should come soon."""
    return min(2, limits.tries) if trouble.outcome is Outcome.UNREACHABLE else limits.tries


def _pause(trouble: _Trouble, idle: int, limits: Limits) -> float:
    return min(max(trouble.wait, limits.backoff * float(1 << max(idle - 1, 0))), limits.longest_wait)


class _Transfer:
    """One request and its body."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        sink: Sink,
        limits: Limits,
        on_progress: OnProgress | None,
        credential: tuple[str, str] | None = None,
    ) -> None:
        self.credential = credential
        self.session = session
        self.sink = sink
        self.limits = limits
        self.on_progress = on_progress
        self.validator: str | None = None
        self.resumed = False

    async def run(self, url: str, validator: str | None) -> str:
        try:
            headers = self._headers(validator)
            async with await _request(self.session, url, headers, self.limits, self.credential) as response:
                self._accept(response)
                await self._body(response)
                return str(response.url)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            _raise_trouble(error)

    def _headers(self, validator: str | None) -> dict[str, str]:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if self.sink.size:
            headers["Range"] = f"bytes={self.sink.size}-"
            if validator is not None:
                headers["If-Range"] = validator
        return headers

    def _accept(self, response: aiohttp.ClientResponse) -> None:
        """Put the sink where this answer's body begins, or raise."""
        self.validator = _validator(response)
        match response.status:
            case 206 if self.sink.size:
                found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
                if found is None or int(found[1]) != self.sink.size:
                    self.sink.restart()
                    raise _Trouble(Outcome.BAD_ANSWER, "a range that was not asked for", again=True)
                self.resumed = True
            case 200:
                self.sink.restart()
            case 416 if self.sink.size:
                self.sink.restart()
                raise _Trouble(Outcome.BAD_ANSWER, "HTTP 416", again=True)
            case _:
                raise _status(response)
        length = response.content_length
        if length is not None and self.sink.size + length > self.limits.size:
            raise _Trouble(Outcome.TOO_LARGE, f"{self.sink.size + length} bytes announced")

    async def _body(self, response: aiohttp.ClientResponse) -> None:
        """Write the body in blocks, hashing on another core. What came before a break is kept."""
        begin, length = self.sink.size, response.content_length
        total = None if length is None else begin + length
        meter = _Meter(self.limits, redact(str(response.url)), begin, total, self.on_progress)
        writer = _Writer(self.sink)
        try:
            async for chunk in response.content.iter_any():
                if meter.add(len(chunk)) > self.limits.size:
                    raise _Trouble(Outcome.TOO_LARGE, f"more than {self.limits.size} bytes")
                await writer.add(chunk)
        finally:
            await writer.flush()
        if total is not None and self.sink.size != total:
            raise _Trouble(Outcome.BROKEN, f"{self.sink.size} of {total} bytes", again=True)
        meter.show(last=True)


class _Writer:
    """Gathers chunks into blocks; one block is hashed and written while the next one comes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._parts: list[bytes] = []
        self._held = 0
        self._pending: asyncio.Future[None] | None = None

    async def add(self, chunk: bytes) -> None:
        self._parts.append(chunk)
        self._held += len(chunk)
        if self._held >= _BLOCK:
            await self._submit()

    async def flush(self) -> None:
        if self._parts:
            await self._submit()
        await self._settle()

    async def _submit(self) -> None:
        await self._settle()
        block = b"".join(self._parts)
        self._parts, self._held = [], 0
        self._pending = asyncio.get_running_loop().run_in_executor(None, self._sink.write, block)

    async def _settle(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            await pending


class _Meter:
    """Counts bytes, shows them, and raises when they come too slowly."""

    def __init__(
        self, limits: Limits, place: str, begin: int, total: int | None, on_progress: OnProgress | None
    ) -> None:
        self._limits = limits
        self._place = place
        self._total = total
        self._on_progress = on_progress
        self._done = begin
        self._since = self._shown = time.monotonic()
        self._since_done = begin

    def add(self, count: int) -> int:
        """Count; the bytes there are now. Raises _Trouble for a stream below the floor."""
        self._done += count
        now = time.monotonic()
        window = now - self._since
        if window >= self._limits.floor_window:
            if self._done - self._since_done < self._limits.floor * window:
                raise _Trouble(Outcome.STALLED, f"fewer than {self._limits.floor} bytes a second", again=True)
            self._since, self._since_done = now, self._done
        if now - self._shown >= _TICK:
            self._shown = now
            self.show()
        return self._done

    def show(self, *, last: bool = False) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(self._place, self._done, self._done if last else self._total))


async def _document(session: aiohttp.ClientSession, url: str, accept: str, limits: Limits) -> tuple[str, str, bytes]:
    headers = {"Accept": accept, "Accept-Encoding": "identity"}
    made = 0
    while True:
        made += 1
        try:
            return await _document_once(session, url, headers, limits)
        except _Trouble as trouble:
            if not trouble.again or made >= _allowed(trouble, limits):
                raise Undelivered(trouble.outcome, trouble.detail, made) from None
            await asyncio.sleep(_pause(trouble, made, limits))


async def _document_once(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str], limits: Limits
) -> tuple[str, str, bytes]:
    try:
        async with await _request(session, url, headers, limits) as response:
            if response.status != 200:
                raise _status(response)
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise _Trouble(Outcome.BAD_ANSWER, "an encoding that was not asked for")
            meter = _Meter(limits, url, 0, None, None)
            parts = []
            async for chunk in response.content.iter_any():
                if meter.add(len(chunk)) > limits.document:
                    raise _Trouble(Outcome.TOO_LARGE, f"an index of more than {limits.document} bytes")
                parts.append(chunk)
            return str(response.url), response.content_type, b"".join(parts)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        _raise_trouble(error)


async def _request(
    session: aiohttp.ClientSession,
    url: str,
    headers: dict[str, str],
    limits: Limits,
    credential: tuple[str, str] | None = None,
) -> aiohttp.ClientResponse:
    """The first answer that is not a redirect. The credential goes to where the first address leads alone."""
    first = _origin(url)
    timeout = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=limits.connect, sock_read=limits.silence)
    for _ in range(limits.redirects + 1):
        secure = url.lower().startswith("https:")
        response = await session.get(
            yarl.URL(url, encoded=True),
            headers=headers | dict([credential] if credential is not None and _origin(url) == first else []),
            allow_redirects=False,
            timeout=timeout,
            ssl=web.certificates() if secure else True,
        )
        if response.status not in _REDIRECTS:
            return response
        target = response.headers.get("Location")
        response.release()
        url = _redirected(url, target)
    raise _Trouble(Outcome.BAD_ANSWER, f"more than {limits.redirects} redirects")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.hostname, parts.port


def _redirected(url: str, target: str | None) -> str:
    if not target:
        raise _Trouble(Outcome.BAD_ANSWER, "a redirect to nowhere")
    there = urljoin(url, target)
    parts = urlsplit(there)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _Trouble(Outcome.BAD_ANSWER, f"a redirect to {redact(there)[:200]!r}")
    if parts.scheme == "http" and url.lower().startswith("https:"):
        raise _Trouble(Outcome.BAD_ANSWER, f"a redirect from https to {redact(there)[:200]!r}")
    return parts._replace(fragment="").geturl()


def _validator(response: aiohttp.ClientResponse) -> str | None:
    """What If-Range may carry: a strong ETag, or else the date (RFC 9110, section 13.1.5)."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _status(response: aiohttp.ClientResponse) -> _Trouble:
    detail = f"HTTP {response.status}"
    if response.status in _AGAIN:
        return _Trouble(Outcome.BUSY, detail, again=True, wait=_retry_after(response))
    if response.status in (404, 410):
        return _Trouble(Outcome.MISSING, detail)
    if 400 <= response.status < 500:
        return _Trouble(Outcome.REFUSED, detail)
    return _Trouble(Outcome.BAD_ANSWER, detail)


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """Seconds; Retry-After may be a number or a date (RFC 9110, section 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _raise_trouble(error: Exception) -> NoReturn:
    """An exception of aiohttp or the system in our words."""
    detail = str(error) or type(error).__name__
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            raise _Trouble(Outcome.UNREACHABLE, detail) from None
        case aiohttp.ConnectionTimeoutError():
            raise _Trouble(Outcome.UNREACHABLE, "no connection in time", again=True) from None
        case TimeoutError():
            raise _Trouble(Outcome.STALLED, "no byte in time", again=True) from None
        case aiohttp.ClientConnectorError():
            raise _Trouble(Outcome.UNREACHABLE, detail, again=True) from None
        case aiohttp.ClientHttpProxyError():
            raise _Trouble(Outcome.UNREACHABLE, f"the proxy answers HTTP {error.status}") from None
        case aiohttp.ClientResponseError():
            raise _Trouble(Outcome.BAD_ANSWER, detail, again=True) from None
        case aiohttp.ClientError() | OSError() if not isinstance(error, aiohttp.InvalidURL):
            raise _Trouble(Outcome.BROKEN, detail, again=True) from None
        case _:
            raise _Trouble(Outcome.BAD_ANSWER, detail) from None

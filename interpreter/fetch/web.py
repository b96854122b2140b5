"""The one HTTP session of this process: fsspec's, on fsspec's own event loop.

Any number of threads may ask; all requests share the loop, the connection pool and the certificates. Proxies
come from http_proxy, https_proxy and no_proxy, names and passwords for hosts from `~/.netrc`.

Certificates: OpenSSL's own (SSL_CERT_FILE and SSL_CERT_DIR replace them), and beside them every bundle that
one of `CA_VARIABLES` names. Trusting the union is safe here, because what comes is checked against a pin.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from kiln.interpreter.fetch.errors import BadConfig

if TYPE_CHECKING:
    import asyncio
    import ssl

    import aiohttp

CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO")
USER_AGENT = "kiln-build (fetches pinned files)"
_AT_ONCE = 16
_AT_ONCE_PER_HOST = 8
_LONGEST_END = 2.0

_T = TypeVar("_T")
_lock = threading.Lock()
_filesystem: Any = None  # guarded by _lock


def run(work: Callable[[aiohttp.ClientSession], Awaitable[_T]]) -> _T:
    """Run a coroutine on the shared loop and wait for it.

    An interrupt of the waiting thread cancels the coroutine and waits for its end, because it may hold what
    the caller is about to close.
    """
    import asyncio

    filesystem = _shared()
    ended = threading.Event()

    async def with_session() -> _T:
        try:
            return await work(await filesystem.set_session())
        finally:
            ended.set()

    future = asyncio.run_coroutine_threadsafe(with_session(), filesystem.loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        ended.wait(_LONGEST_END)
        raise


def certificates() -> ssl.SSLContext:
    """The certificates to trust. Raises BadConfig when a variable names a file that is none."""
    given = ((name, os.environ.get(name, "")) for name in CA_VARIABLES)
    base = (os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))
    return _context(base, tuple((name, path) for name, path in given if path))


@lru_cache(maxsize=4)
def _context(base: tuple[str, str], bundles: tuple[tuple[str, str], ...]) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context()
    seen = {os.path.realpath(base[0])}
    for name, path in bundles:
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        try:
            where = {"capath": real} if os.path.isdir(real) else {"cafile": real}
            context.load_verify_locations(**where)
        except OSError as error:  # ssl.SSLError is one
            raise BadConfig(
                f"{name} does not name a file of certificates",
                found=f"{path}: {error.strerror or error}",
                help=f"correct {name}, or unset it",
            ) from None
    return context


def _shared() -> Any:
    global _filesystem
    with _lock:
        if _filesystem is None:
            from fsspec.implementations.http import HTTPFileSystem

            _filesystem = HTTPFileSystem(get_client=_client, skip_instance_cache=True)
        return _filesystem


async def _client(loop: asyncio.AbstractEventLoop, **_: object) -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_AT_ONCE, limit_per_host=_AT_ONCE_PER_HOST),
        headers={"User-Agent": USER_AGENT},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=True,
        auto_decompress=False,
        read_bufsize=1 << 18,
        loop=loop,
    )

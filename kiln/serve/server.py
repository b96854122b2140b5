"""Running the application on uvicorn: where it listens, and how it ends.

SIGTERM and SIGINT close the listening socket at once: who connects from then on is refused, which is what a balancer
sees. Requests that run, and uploads that are being verified, have `Limits.drain` seconds each; what is not done by
then is as if the server had been killed: nothing half is seen, and the next server goes on with it. A socket that
systemd opened (`LISTEN_FDS`) is used as it is.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

import uvicorn

from kiln.serve.app import Serving, make_app
from kiln.serve.doors import guarded

_SYSTEMD_FIRST = 3
_BACKLOG = 1024
_HOUSEKEEPING = 60.0


class BadAddress(Exception):
    """Somewhere that this process can't listen; the message says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """`HOST:PORT`, `[HOST]:PORT`, or `unix:PATH`, which may be written as an address of a cache: `unix:///PATH`."""

    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises BadAddress."""
        if text.startswith("unix:") and len(text) > len("unix:"):
            return cls("", 0, text[len("unix:") :].removeprefix("//"))
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:
            raise BadAddress(f"expected HOST:PORT or unix:PATH, found {text!r}")
        return cls(host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port))


def open_socket(address: Address) -> socket.socket:
    """A listening socket; systemd's, where it passed one. Raises BadAddress."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS", "0") != "0":
        return socket.socket(fileno=_SYSTEMD_FIRST)
    try:
        return _open_unix(address.path) if address.path else _open_tcp(address)
    except OSError as error:
        raise BadAddress(f"can't listen at {address.path or f'{address.host}:{address.port}'}: {error}") from None


def _open_tcp(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # What is accepted inherits it; without it, an answer's body waits 40 ms for the acknowledgement of its head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.bind((address.host, address.port))
    listening.listen(_BACKLOG)
    return listening


def _open_unix(path: str) -> socket.socket:
    """A socket that an ended server left is replaced; anything else at that place is not.

    Whoever can reach it may connect: what he may do is decided by tokens, as over the network. Its folder's
    permissions say who can.
    """
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            finally:
                probe.close()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    os.chmod(path, 0o666)
    listening.listen(_BACKLOG)
    return listening


def shown(listening: socket.socket) -> str:
    """The address as a user of the cache writes it."""
    if listening.family == socket.AF_UNIX:
        return f"unix://{quote(os.path.abspath(listening.getsockname()))}"
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def configured(serving: Serving) -> uvicorn.Config:
    """What uvicorn is to do: everything that has to do with limits is in `doors`."""
    return uvicorn.Config(
        make_app(serving),
        http=guarded(serving.limits),
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(serving.limits.drain),
        server_header=False,
        proxy_headers=False,
        lifespan="off",
    )


def serve(serving: Serving, listening: socket.socket, started: Callable[[], None]) -> None:
    """Answer until a signal ends it. Connections that are open may finish what they began."""
    config = configured(serving)
    server = uvicorn.Server(config)

    async def run() -> None:
        upkeep = asyncio.create_task(_keep_house(serving))
        try:
            started()
            await server.serve(sockets=[listening])
            if serving.commits is not None:
                await serving.commits.end(serving.limits.drain)
        finally:
            upkeep.cancel()

    before = signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises the signal again when it has ended
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(run())
    finally:
        serving.close()
        signal.signal(signal.SIGTERM, before)


async def _keep_house(serving: Serving) -> None:
    while True:
        await asyncio.sleep(_HOUSEKEEPING)
        if serving.quarantine is not None:
            await asyncio.to_thread(serving.quarantine.drop_idle)

"""Who may stay connected, and for how long: so that nobody who holds connections open shuts the others out.

    a request's head      must have come within `Limits.head` of the connection, or of the answer before it
    each MiB of an answer must be taken within `Limits.stall`
    one connection more than `Limits.connections`, or than `per_client` of one address, takes the place of the one
    that has waited longest without a request; where all have one, it is answered 503 with Retry-After

What a request's body may cost is bounded where it is read (`uploading`). /health is answered in any case. Clients of
this machine, a proxy say, and of a Unix socket are many behind one address: they are bounded by the sum alone, unless
told otherwise.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from kiln.serve.limits import Limits
from kiln.serve.refusal import Refused


class Doors:
    """The connections of one server; of its event loop alone."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._all: dict[Guarded, str | None] = {}
        self._idle: dict[Guarded, None] = {}  # those without a request, in the order in which they began to wait
        self._of: Counter[str] = Counter()

    def enter(self, connection: Guarded, client: str | None) -> bool:
        """Let a connection in; whether there is room for its requests."""
        room = True
        if client is not None and self._of[client] >= self.limits.per_client:
            room = self._make_room(client)
        if len(self._all) >= self.limits.connections:
            room &= self._make_room(None)
        self._all[connection] = client
        if client is not None:
            self._of[client] += 1
        return room

    def leave(self, connection: Guarded) -> None:
        client = self._all.pop(connection, None)
        self._idle.pop(connection, None)
        if client is not None:
            self._of[client] -= 1
            if not self._of[client]:
                del self._of[client]

    def waits(self, connection: Guarded) -> None:
        """Note that a connection has no request."""
        self._idle.setdefault(connection)

    def works(self, connection: Guarded) -> None:
        """Note that a connection has a request."""
        self._idle.pop(connection, None)

    def _make_room(self, client: str | None) -> bool:
        """Send away whoever has waited longest, of one client's or of all."""
        for connection in self._idle:
            if client is None or self._all[connection] == client:
                self.leave(connection)
                connection.transport.abort()
                return True
        return False


class Guarded(H11Protocol):
    """uvicorn's protocol, with the deadlines above. `doors` is set by `guarded`."""

    doors: Doors

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limits = self.doors.limits
        if not self.doors.enter(self, client_of(transport.get_extra_info("peername"), limits.local_too)):
            self.app = _busy(self.app)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self.doors.leave(self)
        for timer in (self._head, self._stall):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(self.doors.limits.stall, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _look(self) -> None:
        """Whether a request runs; if none does, the next one's head must come in time."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.doors.works(self)
            if self._head is not None:
                self._head.cancel()
                self._head = None
        elif self._head is None and not self.transport.is_closing():
            self.doors.waits(self)
            self._head = self.loop.call_later(self.doors.limits.head, self.transport.abort)


def guarded(limits: Limits) -> type[Guarded]:
    """The protocol of one server's connections."""
    return type("GuardedHere", (Guarded,), {"doors": Doors(limits)})


def client_of(peer: object, local_too: bool = False) -> str | None:
    """Whose connections are counted together: an IPv4 address, an IPv6 network of one site; None: nobody's."""
    if not isinstance(peer, tuple):
        return "local" if local_too else None
    address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    found = mapped or address
    if found.is_loopback and not local_too:
        return None
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


def _busy(app: ASGIApp) -> ASGIApp:
    async def busy(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == "/health":
            await app(scope, receive, send)
            return
        refused = Refused("connections", "too many connections; try again", status=503)
        headers = {"retry-after": "1", "connection": "close"}
        await JSONResponse(refused.document(), status_code=503, headers=headers)(scope, receive, send)

    return busy

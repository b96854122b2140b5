"""The application: who is let in, which handler answers, what is counted.

    GET|HEAD  /<path>                 a file of the cache, whole or in ranges; open, or by a token
    PUT       /u/<session>/<path>     a file into quarantine; by a token that may write
    POST      /u/<session>/commit     verify the session's files; they become readable together, or not at all; 202
                                      while that goes on: ask again
    DELETE    /u/<session>            forget it
    GET       /health                 200 while it can do its work, 503 and why where it can't; for anybody
    GET       /metrics                Prometheus' text format; for who may read

A token that may write is told by HEAD also of files that it uploaded and that no head names yet.

A refusal is a JSON document: `{"code", "rule", "message", "path"}`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from kiln.serve.committing import Admit, Commits
from kiln.serve.fitness import Fitness
from kiln.serve.limits import Limits
from kiln.serve.metrics import CONTENT_TYPE, Metrics
from kiln.serve.names import is_immutable
from kiln.serve.quarantine import Quarantine
from kiln.serve.reading import answer
from kiln.serve.refusal import Refused
from kiln.serve.tokens import BadTokenFile, Right, Token, TokenFile
from kiln.serve.uploading import forget, session_of, take

_LOG = logging.getLogger("kiln.serve")
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class Serving:
    """One server: its folder, who may do what, and what verifies uploads (None: nobody may upload)."""

    folder: str
    tokens: TokenFile
    limits: Limits
    admit: Admit | None = None
    open_to_read: bool = True
    metrics: Metrics = field(default_factory=Metrics)
    quarantine: Quarantine | None = None
    commits: Commits | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    trouble: str = ""
    """What keeps the server from its work, for /health."""

    def __post_init__(self) -> None:
        if self.admit is not None:
            self.quarantine = Quarantine(self.folder, self.limits)
            self.commits = Commits(self.quarantine, self.admit, self.limits, self.metrics)

    def close(self) -> None:
        """End what is still being verified, and let another server have the folder."""
        self.stopping.set()
        if self.commits is not None and self.quarantine is not None:
            self.commits.close()
            self.quarantine.close()

    def allow(self, request: Request, right: Right) -> Token | None:
        """The token that the request shows; None where none is needed. Raises Refused."""
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not secret.strip():
            if right == "read" and self.open_to_read:
                return None
            raise Refused("token", "this needs a token", status=401, code="K0683")
        token = self.tokens.find(secret.strip())
        if right == "read" and self.open_to_read:
            return token if token is not None and not token.is_expired(_today()) else None
        if token is None:
            raise Refused("token", "this token is not known here", status=401, code="K0683")
        if token.is_expired(_today()):
            raise Refused("token", f"the token {token.name} expired on {token.expires}", status=401, code="K0683")
        if not token.allows(right):
            raise Refused("token", f"the token {token.name} may read, and not write", status=403, code="K0683")
        return token


def make_app(serving: Serving) -> Starlette:
    """The ASGI application of a server."""

    async def read(request: Request) -> Response:
        token, path = serving.allow(request, "read"), request.path_params["path"]
        if request.method == "HEAD" and token is not None and token.allows("write"):
            return _uploaded(serving, token, path) or answer(serving.folder, path, serving.metrics)
        return answer(serving.folder, path, serving.metrics)

    async def upload(request: Request) -> Response:
        token, quarantine, _ = _uploads(serving, request)
        return await take(request, quarantine, token, serving.limits, serving.metrics)

    async def finish(request: Request) -> Response:
        token, _, commits = _uploads(serving, request)
        return await commits.answer(session_of(request), token)

    async def abandon(request: Request) -> Response:
        token, quarantine, _ = _uploads(serving, request)
        return await forget(request, quarantine, token)

    async def health(request: Request) -> Response:
        trouble = serving.trouble or await asyncio.to_thread(fitness.trouble)
        return JSONResponse({"status": trouble or "ok"}, status_code=503 if trouble else 200)

    async def metrics(request: Request) -> Response:
        serving.allow(request, "read")
        if serving.quarantine is not None:
            serving.metrics.set("kiln_cache_quarantine_bytes", serving.quarantine.size)
        return PlainTextResponse(serving.metrics.text(), media_type=CONTENT_TYPE)

    fitness = Fitness(serving.folder, uploads=serving.admit is not None)
    return Starlette(
        routes=[
            Route("/health", _guarded(health), methods=["GET"]),
            Route("/metrics", _guarded(metrics), methods=["GET"]),
            Route("/u/{session}/commit", _guarded(finish), methods=["POST"]),
            Route("/u/{session}/{path:path}", _guarded(upload), methods=["PUT"]),
            Route("/u/{session}", _guarded(abandon), methods=["DELETE"]),
            Route("/{path:path}", _guarded(read), methods=["GET"]),
        ],
        middleware=[Middleware(Counting, metrics=serving.metrics)],
    )


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _uploads(serving: Serving, request: Request) -> tuple[Token, Quarantine, Commits]:
    """What an upload needs. Raises Refused."""
    token = serving.allow(request, "write")
    if token is None or serving.quarantine is None or serving.commits is None:
        raise Refused("uploads", "nothing can be uploaded here", status=405)
    return token, serving.quarantine, serving.commits


def _uploaded(serving: Serving, token: Token, path: str) -> Response | None:
    """That a file was uploaded by this token and waits for the head that names it."""
    if serving.quarantine is None or not is_immutable(path):
        return None
    found = serving.quarantine.find(token.name, path)
    if found is None:
        return None
    size, since = found
    return Response(headers={"content-length": str(size), "last-modified": formatdate(since, usegmt=True)})


def _guarded(handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as refused:
            return _refusal(refused)
        except BadTokenFile as error:
            _LOG.error("%s", error)  # not for strangers: it names a place of this machine
            return _refusal(Refused("tokens", "this server's file of tokens can't be used", status=500))
        except ClientDisconnect:
            return Response(status_code=400)

    return guarded


def _refusal(refused: Refused) -> Response:
    headers = {}
    if refused.status == 401:
        headers["www-authenticate"] = 'Bearer realm="kiln"'
    if refused.status in (429, 503, 507):
        headers["retry-after"] = "5"
    return JSONResponse(refused.document(), status_code=refused.status, headers=headers)


class Counting:
    """Counts requests by method and status, and those that run."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "PUT", "POST", "DELETE") else "other"

        async def noting(message: dict[str, object]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                code = message["status"]
                status = code if isinstance(code, int) else 500
            await send(message)

        self._metrics.add("kiln_cache_requests_running", 1)
        try:
            await self._app(scope, receive, noting)  # type: ignore[arg-type]
        finally:
            self._metrics.add("kiln_cache_requests_running", -1)
            self._metrics.add("kiln_cache_requests_total", 1, method=method, status=str(status))

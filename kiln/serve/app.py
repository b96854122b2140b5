"""The application: who is let in, which handler answers, what is counted.

    GET|HEAD  /<path>                 a file of the cache, whole or in ranges; open, or by a token
    PUT       /u/<session>/<path>     a file into quarantine; by a token that may write
    POST      /u/<session>/commit     verify the session's files; they become readable together, or not at all
    DELETE    /u/<session>            forget it
    GET       /health                 200 while it serves, 503 while it drains or can't read its folder
    GET       /metrics                Prometheus' text format

A refusal is a JSON document: `{"code", "rule", "message", "path"}`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from kiln.serve.limits import Limits
from kiln.serve.metrics import CONTENT_TYPE, Metrics
from kiln.serve.names import CARD
from kiln.serve.quarantine import Quarantine
from kiln.serve.reading import answer
from kiln.serve.refusal import Refused
from kiln.serve.tokens import BadTokenFile, Right, Token, TokenFile
from kiln.serve.uploading import Admit, commit, forget, take

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
    draining: bool = False
    quarantine: Quarantine | None = None

    def __post_init__(self) -> None:
        if self.admit is not None:
            self.quarantine = Quarantine(self.folder, self.limits)

    def allow(self, request: Request, right: Right) -> Token | None:
        """The token that the request shows; None where none is needed. Raises Refused."""
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not secret.strip():
            if right == "read" and self.open_to_read:
                return None
            raise Refused("token", "this needs a token", status=401, code="K0683")
        token = self.tokens.find(secret.strip())
        if token is None:
            raise Refused("token", "this token is not known here", status=401, code="K0683")
        if token.is_expired(time.strftime("%Y-%m-%d", time.gmtime())):
            raise Refused("token", f"the token {token.name} expired on {token.expires}", status=401, code="K0683")
        if not token.allows(right):
            raise Refused("token", f"the token {token.name} may read, and not write", status=403, code="K0683")
        return token


def make_app(serving: Serving) -> Starlette:
    """The ASGI application of a server."""

    async def read(request: Request) -> Response:
        serving.allow(request, "read")
        return answer(serving.folder, request.path_params["path"], serving.metrics)

    async def upload(request: Request) -> Response:
        token, quarantine, _ = _uploads(serving, request)
        return await take(request, quarantine, token, serving.limits, serving.metrics)

    async def finish(request: Request) -> Response:
        token, quarantine, admit = _uploads(serving, request)
        return await commit(request, quarantine, token, admit, serving.metrics)

    async def abandon(request: Request) -> Response:
        token, quarantine, _ = _uploads(serving, request)
        return await forget(request, quarantine, token)

    async def health(request: Request) -> Response:
        fit = not serving.draining and os.access(os.path.join(serving.folder, CARD), os.R_OK)
        state = "ok" if fit else "draining" if serving.draining else "no cache here"
        return JSONResponse({"status": state}, status_code=200 if fit else 503)

    async def metrics(request: Request) -> Response:
        if serving.quarantine is not None:
            serving.metrics.set("kiln_cache_quarantine_bytes", serving.quarantine.size)
        return PlainTextResponse(serving.metrics.text(), media_type=CONTENT_TYPE)

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


def _uploads(serving: Serving, request: Request) -> tuple[Token, Quarantine, Admit]:
    """What an upload needs. Raises Refused."""
    token = serving.allow(request, "write")
    if token is None or serving.quarantine is None or serving.admit is None:
        raise Refused("uploads", "nothing can be uploaded here", status=405)
    return token, serving.quarantine, serving.admit


def _guarded(handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as refused:
            headers = {"www-authenticate": 'Bearer realm="kiln"'} if refused.status == 401 else {}
            return JSONResponse(refused.document(), status_code=refused.status, headers=headers)
        except BadTokenFile as error:
            return JSONResponse(Refused("tokens", str(error), status=500).document(), status_code=500)
        except ClientDisconnect:
            return Response(status_code=400)

    return guarded


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

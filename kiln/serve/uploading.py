"""Taking uploads: bytes into quarantine as they come.

A body is written as it arrives, under a cap, and with a floor on its pace, so that one client can fill neither the
disk nor the server's patience. What a session holds is seen by nobody until it is committed (`committing`).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kiln.serve.limits import Limits
from kiln.serve.metrics import Metrics
from kiln.serve.names import is_served, is_session
from kiln.serve.quarantine import Quarantine
from kiln.serve.refusal import Refused
from kiln.serve.tokens import Token

_DRAFT_STEP = 1 << 20


async def take(request: Request, quarantine: Quarantine, token: Token, limits: Limits, metrics: Metrics) -> Response:
    """Write a body into quarantine. Raises Refused."""
    session, path = session_of(request), request.path_params["path"]
    if not is_served(path):
        raise Refused("name", "not a name of a cache's layout", status=400, path=path)
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.file:
        raise Refused("file size", f"a file of more than {limits.file} bytes", status=413, path=path)
    quarantine.begin(session, token.name)
    counted = 0
    try:
        with quarantine.draft(session) as draft:
            with open(draft, "xb", buffering=_DRAFT_STEP) as file:
                async for piece in _paced(request, limits):
                    if counted + len(piece) > limits.file:
                        raise Refused("file size", f"a file of more than {limits.file} bytes", status=413, path=path)
                    quarantine.grow(session, len(piece))
                    counted += len(piece)
                    metrics.add("kiln_cache_received_bytes_total", len(piece))
                    file.write(piece)
            quarantine.keep(session, draft, path)
    except BaseException as error:
        quarantine.shrink(session, counted)
        if isinstance(error, OSError):
            raise _no_room(error, path) from error
        raise
    return JSONResponse({"size": counted}, status_code=201)


def _no_room(error: OSError, path: str) -> Refused:
    """Why a file could not be written, as the uploader is told it."""
    if isinstance(error, FileNotFoundError):
        return Refused("session", "this upload was committed or given up meanwhile", status=409, path=path)
    why = os.strerror(error.errno or 0)
    return Refused("disk", f"the server can't write what comes: {why}", status=507, path=path)


async def _paced(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    """The body's pieces, as long as they come at the least pace. Raises Refused."""
    began, size = time.monotonic(), 0
    pieces = request.stream().__aiter__()
    while True:
        left = limits.grace + size / limits.pace - (time.monotonic() - began)
        try:
            piece = await asyncio.wait_for(pieces.__anext__(), max(left, 0.01))
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refused("pace", f"a body that came slower than {limits.pace} bytes a second", status=408) from None
        size += len(piece)
        yield piece


async def forget(request: Request, quarantine: Quarantine, token: Token) -> Response:
    """Drop a session. Raises Refused."""
    session = session_of(request)
    _check_owner(quarantine, session, token)
    await asyncio.to_thread(quarantine.drop, session)
    return Response(status_code=204)


def session_of(request: Request) -> str:
    """The upload that a request is about. Raises Refused."""
    session: str = request.path_params["session"]
    if not is_session(session):
        raise Refused("session", "an upload is named by 32 hexadecimal digits", status=400)
    return session


def _check_owner(quarantine: Quarantine, session: str, token: Token) -> None:
    owner = quarantine.owner(session)
    if owner is None:
        raise Refused("session", "no such upload", status=404)
    if owner != token.name:
        raise Refused("session", "another token began this upload", status=403)

"""Taking uploads: bytes into quarantine as they come, then all of a session verified at once.

A body is written as it arrives, under a cap, and with a floor on its pace, so that one client can fill neither the
disk nor the server's patience. What a session holds is seen by nobody until `Admit` has verified every byte.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kiln.serve.limits import Limits
from kiln.serve.metrics import Metrics
from kiln.serve.names import is_served, is_session
from kiln.serve.quarantine import Quarantine
from kiln.serve.refusal import Refused
from kiln.serve.tokens import Token

Admit: TypeAlias = Callable[[str], "dict[str, int]"]
"""Verifies the files of a folder and makes them the cache's; says how many of each kind. Raises Refused."""

_DRAFT_STEP = 1 << 20


async def take(request: Request, quarantine: Quarantine, token: Token, limits: Limits, metrics: Metrics) -> Response:
    """Write a body into quarantine. Raises Refused."""
    session, path = _session(request), request.path_params["path"]
    if not is_served(path):
        raise Refused("name", "not a name of a cache's layout", status=400, path=path)
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.file:
        raise Refused("file size", f"a file of more than {limits.file} bytes", status=413, path=path)
    quarantine.begin(session, token.name)
    with quarantine.draft(session) as draft:
        with open(draft, "xb", buffering=_DRAFT_STEP) as file:
            size = 0
            async for piece in _paced(request, limits):
                size += len(piece)
                if size > limits.file:
                    raise Refused("file size", f"a file of more than {limits.file} bytes", status=413, path=path)
                quarantine.grow(session, len(piece))
                metrics.add("kiln_cache_received_bytes_total", len(piece))
                file.write(piece)
        quarantine.keep(session, draft, path)
    return JSONResponse({"size": size}, status_code=201)


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


async def commit(request: Request, quarantine: Quarantine, token: Token, admit: Admit, metrics: Metrics) -> Response:
    """Verify a session's files and make them the cache's. A refused session is removed. Raises Refused."""
    session = _session(request)
    _check_owner(quarantine, session, token)
    began = time.monotonic()
    try:
        with quarantine.committing(session) as files:
            done = await asyncio.to_thread(admit, files)
    except Refused as refused:
        if refused.status == 422:  # what came is wrong; another status says that it may be tried again
            metrics.add("kiln_cache_uploads_total", outcome="refused")
            metrics.add("kiln_cache_refused_total", rule=refused.rule)
            await asyncio.to_thread(quarantine.drop, session)
        raise
    finally:
        metrics.add("kiln_cache_verifying_seconds_total", time.monotonic() - began)
    metrics.add("kiln_cache_uploads_total", outcome="admitted")
    await asyncio.to_thread(quarantine.drop, session)
    return JSONResponse({"admitted": done})


async def forget(request: Request, quarantine: Quarantine, token: Token) -> Response:
    """Drop a session. Raises Refused."""
    session = _session(request)
    _check_owner(quarantine, session, token)
    await asyncio.to_thread(quarantine.drop, session)
    return Response(status_code=204)


def _session(request: Request) -> str:
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

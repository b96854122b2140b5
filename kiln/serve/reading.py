"""Answering readers: files of the cache's layout with GET and HEAD, whole or in ranges (RFC 9110, section 14)."""

from __future__ import annotations

import os
import stat

from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from kiln.serve.metrics import Metrics
from kiln.serve.names import is_immutable, is_served
from kiln.serve.refusal import Refused

_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


class _Answer(FileResponse):
    """In pieces large enough that a file of many megabytes costs few of them; counted."""

    chunk_size = 1 << 20

    def __init__(self, path: str, facts: os.stat_result, metrics: Metrics, *, kept: str) -> None:
        super().__init__(path, media_type="application/octet-stream", stat_result=facts)
        self.headers["cache-control"] = kept
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: dict[str, object]) -> None:
            body = message.get("body", b"")
            if isinstance(body, bytes):
                self._metrics.add("kiln_cache_sent_bytes_total", len(body))
            await send(message)

        await super().__call__(scope, receive, counted)  # type: ignore[arg-type]


def answer(folder: str, path: str, metrics: Metrics) -> Response:
    """The file of that name. Raises Refused where there is none to show."""
    if not is_served(path):
        raise Refused("name", "no such file in a cache", status=404, path=path)
    place = os.path.join(folder, path)
    try:
        facts = os.lstat(place)
    except FileNotFoundError:
        raise Refused("missing", "not in this cache", status=404, path=path) from None
    if not stat.S_ISREG(facts.st_mode):
        raise Refused("name", "not a file", status=404, path=path)
    return _Answer(place, facts, metrics, kept=_FOREVER if is_immutable(path) else _ASK_AGAIN)

"""Commits: each verified once, however often it is asked about, and however long it takes.

    POST   freeze the session ─► wait for a verifier ─► admit ─► an answer, which is kept for those who ask again

Who asks waits for a moment, and is told 202 where it takes longer: he asks again with the same request. An answer
that was lost on its way is given again, so that a client need not know whether his request came through.

What is wrong with an upload (422) ends it; any other refusal leaves it to be committed once more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from starlette.responses import JSONResponse, Response

from kiln.serve.limits import Limits
from kiln.serve.metrics import Metrics
from kiln.serve.quarantine import Quarantine, Upload
from kiln.serve.refusal import Refused
from kiln.serve.tokens import Token

Admit: TypeAlias = Callable[[Upload], "dict[str, int]"]
"""Verifies what was uploaded and makes it the cache's; says how many of each kind. Raises Refused."""
Outcome: TypeAlias = "dict[str, int] | Refused"

_REMEMBERED = 1024
_LOG = logging.getLogger("kiln.serve")


class Commits:
    """The commits of one server; of its event loop alone, but for `close`."""

    def __init__(self, quarantine: Quarantine, admit: Admit, limits: Limits, metrics: Metrics) -> None:
        self._quarantine = quarantine
        self._admit = admit
        self._limits = limits
        self._metrics = metrics
        self._workers = ThreadPoolExecutor(limits.verifying, thread_name_prefix="verifier")
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._running: dict[str, asyncio.Task[Outcome]] = {}
        self._ended: dict[str, tuple[str, Outcome]] = {}

    async def answer(self, session: str, token: Token) -> Response:
        """Begin a commit, or ask after it. Raises Refused."""
        ended = self._ended.get(session)
        if ended is not None and ended[0] == token.name:
            return _response(ended[1])
        owner = self._quarantine.owner(session)
        if owner is None:
            raise Refused("session", "no such upload", status=404)
        if owner != token.name:
            raise Refused("session", "another token began this upload", status=403)
        task = self._running.get(session)
        if task is None:
            upload = self._quarantine.freeze(session)
            task = self._running[session] = asyncio.create_task(self._carry_out(session, token.name, upload))
        done, _ = await asyncio.wait({task}, timeout=self._limits.answer)
        if not done:
            return JSONResponse({"state": "verifying"}, status_code=202, headers={"retry-after": "1"})
        return _response(task.result())

    async def _carry_out(self, session: str, token: str, upload: Upload) -> Outcome:
        outcome: Outcome = Refused("server", "the server failed", status=500)
        try:
            async with self._turns[token]:
                outcome = await self._verify(upload)
        except asyncio.CancelledError:
            raise  # it stays where it is: the next server takes it up
        except Exception:
            _LOG.exception("verifying an upload of %s", token)
        if not isinstance(outcome, Refused) or outcome.status == 422:
            await asyncio.to_thread(self._quarantine.end, session, refused=isinstance(outcome, Refused))
            self._remember(session, token, outcome)
        else:
            self._quarantine.thaw(session)
        del self._running[session]
        return outcome

    async def _verify(self, upload: Upload) -> Outcome:
        began = time.monotonic()
        try:
            done = await asyncio.get_running_loop().run_in_executor(self._workers, self._admit, upload)
        except Refused as refused:
            if refused.status == 422:
                self._metrics.add("kiln_cache_uploads_total", outcome="refused")
                self._metrics.add("kiln_cache_refused_total", rule=refused.rule)
            return refused
        finally:
            self._metrics.add("kiln_cache_verifying_seconds_total", time.monotonic() - began)
        self._metrics.add("kiln_cache_uploads_total", outcome="admitted")
        return done

    def _remember(self, session: str, token: str, outcome: Outcome) -> None:
        while len(self._ended) >= _REMEMBERED:
            del self._ended[next(iter(self._ended))]
        self._ended[session] = (token, outcome)

    async def end(self, patience: float) -> None:
        """Let what is being verified end, for so many seconds."""
        if self._running:
            await asyncio.wait(set(self._running.values()), timeout=patience)

    def close(self) -> None:
        """What waits for its turn stays in quarantine; what is being verified should have been told to end."""
        self._workers.shutdown(wait=True, cancel_futures=True)


def _response(outcome: Outcome) -> Response:
    if isinstance(outcome, Refused):
        raise outcome
    return JSONResponse({"admitted": outcome})

"""A server of a small cache folder, on loopback, in a thread of this process."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from kiln.serve.app import Serving
from kiln.serve.committing import Admit
from kiln.serve.limits import Limits
from kiln.serve.quarantine import Upload
from kiln.serve.server import configured
from kiln.serve.tokens import TokenFile, format_tokens, parse_tokens, token_digest
from kiln.store.cache.card import Card, encode_card

PACK = "p/ab/ab" + "0" * 62
TOKENS = {"writer": "write", "reader": "read", "stale": "write"}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Running:
    """A server that answers; `admitted` is what its verifier was shown."""

    serving: Serving
    port: int
    admitted: list[dict[str, bytes]] = field(default_factory=list)

    def ask(self, method: str, path: str, body: bytes | None = None, token: str = "", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()


Serve = Callable[..., Running]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    (folder / PACK).parent.mkdir(parents=True)
    (folder / PACK).write_bytes(bytes(range(256)) * 64)
    (folder / "heads").mkdir()
    (folder / "kiln-cache.json").write_bytes(encode_card(Card("team")))
    (folder / "private").write_text("not of the layout")
    return folder


@pytest.fixture
def serve(cache: Path, tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(*, limits: Limits | None = None, admit: Admit | None = None, **options: Any) -> Running:
            serving = Serving(str(cache), TokenFile(str(_tokens(tmp_path))), limits or Limits(), admit, **options)
            running = Running(serving, 0)
            if admit is None and options.pop("uploads", True):
                serving.admit = _noting(running)
                serving.__post_init__()
            stack.callback(serving.close)
            running.port = stack.enter_context(_listening(serving))
            return running

        yield start


def until(holds: Callable[[], object]) -> None:
    """Wait for what another thread or process brings about."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    lines = [
        f"{right} {token_digest(name)} {name}" + (" expires=2001-01-31" if name == "stale" else "")
        for name, right in TOKENS.items()
    ]
    path.write_text("# who may do what\n" + format_tokens(parse_tokens("\n".join(lines))))
    return path


def _noting(running: Running) -> Admit:
    def admit(upload: Upload) -> dict[str, int]:
        found: dict[str, bytes] = {}
        for place, _, names in os.walk(upload.files):
            for name in names:
                path = os.path.join(place, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, upload.files)] = file.read()
        running.admitted.append(found)
        return {"files": len(found)}

    return admit


class _listening:
    def __init__(self, serving: Serving) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(configured(serving))
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._server.serve(sockets=[self._socket])), daemon=True
        )

    def __enter__(self) -> int:
        self._thread.start()
        port: int = self._socket.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()

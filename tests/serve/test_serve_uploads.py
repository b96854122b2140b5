"""Uploads wait in quarantine, by token, under limits, and are seen by nobody until they are verified."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from kiln.serve.limits import Limits
from kiln.serve.quarantine import Quarantine
from kiln.serve.refusal import Refused
from tests.serve.conftest import PACK, Serve

SESSION = "0123456789abcdef" * 2
OTHER = "p/cd/cd" + "0" * 62
PUT_HEAD = (
    f"PUT /u/{SESSION}/{OTHER} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\nContent-Length: 50\r\n\r\n"
).encode()


@pytest.mark.parametrize(
    ("token", "status", "why"),
    [
        ("", 401, "needs a token"),
        ("unknown", 401, "not known"),
        ("stale", 401, "expired on 2001-01-31"),
        ("reader", 403, "may read, and not write"),
    ],
)
def test_without_the_right_token_nothing_is_taken(
    serve: Serve, cache: Path, token: str, status: int, why: str
) -> None:
    running = serve()
    for method, path in [("PUT", f"/u/{SESSION}/{OTHER}"), ("POST", f"/u/{SESSION}/commit")]:
        answer = running.ask(method, path, b"bytes", token=token)
        assert answer.status == status
        assert why in answer.json["message"]
        assert answer.json["code"] == "K0683"
    assert os.listdir(cache / ".quarantine") == []


def test_what_came_is_seen_by_the_verifier_and_by_nobody_before(serve: Serve, cache: Path) -> None:
    running = serve()
    assert running.ask("PUT", f"/u/{SESSION}/{OTHER}", b"bytes", token="writer").status == 201
    assert running.ask("GET", f"/{OTHER}").status == 404
    answer = running.ask("POST", f"/u/{SESSION}/commit", token="writer")
    assert (answer.status, answer.json) == (200, {"admitted": {"files": 1}})
    assert running.admitted == [{OTHER: b"bytes"}]
    assert os.listdir(cache / ".quarantine") == []


def test_a_refused_upload_is_gone(serve: Serve, cache: Path) -> None:
    def refuse(folder: str) -> dict[str, int]:
        raise Refused("signature", "not signed by a key that is trusted here", status=422, path=OTHER)

    running = serve(admit=refuse)
    running.ask("PUT", f"/u/{SESSION}/{OTHER}", b"bytes", token="writer")
    answer = running.ask("POST", f"/u/{SESSION}/commit", token="writer")
    assert (answer.status, answer.json["rule"], answer.json["path"]) == (422, "signature", OTHER)
    assert os.listdir(cache / ".quarantine") == []
    assert running.ask("POST", f"/u/{SESSION}/commit", token="writer").status == 404
    assert 'kiln_cache_refused_total{rule="signature"} 1' in running.ask("GET", "/metrics").body.decode()


@pytest.mark.parametrize("path", ["private", "p/ab/x", "../x", "u/x", "heads/x.json", "kiln-cache.json/x"])
def test_a_name_that_is_not_of_the_layout(serve: Serve, path: str) -> None:
    assert serve().ask("PUT", f"/u/{SESSION}/{path}", b"x", token="writer").status in (400, 404)


@pytest.mark.parametrize("session", ["x", "0" * 31, "0" * 33, "G" * 32, ".." + "0" * 30])
def test_a_session_that_is_no_session(serve: Serve, session: str) -> None:
    assert serve().ask("PUT", f"/u/{session}/{PACK}", b"x", token="writer").status in (400, 404)


def test_limits_on_size(serve: Serve, cache: Path) -> None:
    running = serve(limits=Limits(file=100, session=150, quarantine=160))
    assert running.ask("PUT", f"/u/{SESSION}/{OTHER}", bytes(101), token="writer").status == 413
    chunked = running.ask("PUT", f"/u/{SESSION}/{OTHER}", iter([bytes(60), bytes(60)]), token="writer")  # type: ignore[arg-type]
    assert chunked.status == 413
    held = running.serving.quarantine
    assert held is not None
    before = held.size
    assert running.ask("PUT", f"/u/{SESSION}/{OTHER}", bytes(100), token="writer").status in (201, 413)
    answer = running.ask("PUT", f"/u/{SESSION}/{PACK}", bytes(100), token="writer")
    assert (answer.status, answer.json["rule"]) == (413, "session size")
    assert held.size >= before
    second = running.ask("PUT", f"/u/{'f' * 32}/{PACK}", bytes(100), token="writer")
    assert (second.status, second.json["rule"]) == (507, "quarantine")


def test_a_body_that_trickles_is_cut_off(serve: Serve) -> None:
    running = serve(limits=Limits(pace=1 << 20, grace=0.2))
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
        client.sendall(PUT_HEAD + b"x")
        assert b" 408 " in client.recv(4096)


def test_a_client_that_goes_away_leaves_nothing(serve: Serve, cache: Path) -> None:
    running = serve()
    client = socket.create_connection(("127.0.0.1", running.port))
    client.sendall(PUT_HEAD + b"x" * 20)
    _until(lambda: any((cache / ".quarantine").rglob("coming-*")))
    client.close()
    _until(lambda: not any((cache / ".quarantine").rglob("coming-*")))
    assert not list((cache / ".quarantine").rglob("cd0*"))


def test_another_token_can_not_touch_a_session(serve: Serve, tmp_path: Path) -> None:
    running = serve()
    from kiln.serve.tokens import token_digest

    with open(tmp_path / "tokens", "a") as file:
        file.write(f"write {token_digest('second')} second\n")
    running.ask("PUT", f"/u/{SESSION}/{OTHER}", b"mine", token="writer")
    assert running.ask("PUT", f"/u/{SESSION}/{OTHER}", b"theirs", token="second").status == 403
    assert running.ask("POST", f"/u/{SESSION}/commit", token="second").status == 403
    assert running.ask("DELETE", f"/u/{SESSION}", token="second").status == 403
    assert running.ask("DELETE", f"/u/{SESSION}", token="writer").status == 204
    assert running.ask("POST", f"/u/{SESSION}/commit", token="writer").status == 404


def test_one_commit_at_a_time(serve: Serve) -> None:
    verifying, go_on = threading.Event(), threading.Event()

    def slow(folder: str) -> dict[str, int]:
        verifying.set()
        assert go_on.wait(20)
        return {}

    running = serve(admit=slow)
    running.ask("PUT", f"/u/{SESSION}/{OTHER}", b"x", token="writer")
    statuses: list[int] = []
    first = threading.Thread(
        target=lambda: statuses.append(running.ask("POST", f"/u/{SESSION}/commit", token="writer").status)
    )
    first.start()
    assert verifying.wait(20)
    assert running.ask("POST", f"/u/{SESSION}/commit", token="writer").status == 409
    assert running.ask("GET", f"/{PACK}").status == 200, "reading goes on while an upload is verified"
    go_on.set()
    first.join(20)
    assert statuses == [200]


def test_idle_uploads_are_dropped(cache: Path) -> None:
    quarantine = Quarantine(str(cache), Limits(idle=3600))
    quarantine.begin(SESSION, "writer")
    quarantine.begin("f" * 32, "writer")
    long_ago = time.time() - 4000
    os.utime(cache / ".quarantine" / SESSION, (long_ago, long_ago))
    assert quarantine.drop_idle() == [SESSION]
    assert os.listdir(cache / ".quarantine") == ["f" * 32]


def test_a_server_that_starts_again_counts_what_waits(cache: Path) -> None:
    quarantine = Quarantine(str(cache), Limits())
    quarantine.begin(SESSION, "writer")
    with quarantine.draft(SESSION) as draft:
        Path(draft).write_bytes(bytes(1000))
        quarantine.keep(SESSION, draft, OTHER)
    assert Quarantine(str(cache), Limits()).size >= 1000


def _until(holds: object) -> None:
    assert callable(holds)
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)

"""Uploads wait in quarantine, by token, under limits, and are seen by nobody until they are verified."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kiln.serve.limits import Limits
from kiln.serve.publishing import keep
from kiln.serve.quarantine import InUse, Quarantine, Upload
from kiln.serve.refusal import Refused
from tests.serve.conftest import PACK, Serve, until

SESSION = "0123456789abcdef" * 2
OTHER = "p/cd/cd" + "0" * 62
PUT_HEAD = (
    f"PUT /u/{SESSION}/{OTHER} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\nContent-Length: 50\r\n\r\n"
).encode()


def waiting(cache: Path) -> list[str]:
    """Sessions in quarantine, whatever their state."""
    return sorted(
        name for state in ("coming", "verifying", "drafts") for name in os.listdir(cache / ".quarantine" / state)
    )


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
    assert waiting(cache) == []


def test_what_came_is_seen_by_the_verifier_and_by_nobody_before(serve: Serve, cache: Path) -> None:
    running = serve()
    assert running.ask("PUT", f"/u/{SESSION}/{OTHER}", b"bytes", token="writer").status == 201
    assert running.ask("GET", f"/{OTHER}").status == 404
    answer = running.ask("POST", f"/u/{SESSION}/commit", token="writer")
    assert (answer.status, answer.json) == (200, {"admitted": {"files": 1}})
    assert running.admitted == [{OTHER: b"bytes"}]
    assert waiting(cache) == []


def test_a_refused_upload_is_gone(serve: Serve, cache: Path) -> None:
    def refuse(upload: Upload) -> dict[str, int]:
        raise Refused("signature", "not signed by a key that is trusted here", status=422, path=OTHER)

    running = serve(admit=refuse)
    running.ask("PUT", f"/u/{SESSION}/{OTHER}", b"bytes", token="writer")
    answer = running.ask("POST", f"/u/{SESSION}/commit", token="writer")
    assert (answer.status, answer.json["rule"], answer.json["path"]) == (422, "signature", OTHER)
    assert waiting(cache) == []
    assert running.ask("POST", f"/u/{SESSION}/commit", token="writer").status == 422, "it is told again"
    assert running.ask("POST", f"/u/{'e' * 32}/commit", token="writer").status == 404
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
    until(lambda: any((cache / ".quarantine").rglob("coming-*")))
    client.close()
    until(lambda: not any((cache / ".quarantine").rglob("coming-*")))
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


@dataclass
class Slow:
    """A verifier that waits until it is told to go on; `found` are the packs as it sees them then."""

    begun: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    found: list[bytes] = field(default_factory=list)

    def __call__(self, upload: Upload) -> dict[str, int]:
        self.begun.set()
        assert self.go_on.wait(20)
        self.found.append(Path(upload.files, OTHER).read_bytes())
        return {"files": 1}


def test_nothing_is_added_to_what_is_being_verified(serve: Serve) -> None:
    """Who would change a file between its verification and its publication finds the upload gone."""
    slow = Slow()
    running = serve(admit=slow, limits=Limits(answer=0.01))
    running.ask("PUT", f"/u/{SESSION}/{OTHER}", b"good", token="writer")
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as late:
        late.sendall(PUT_HEAD + b"x")  # a body that has begun to come
        until(lambda: (held := running.serving.quarantine) is not None and held.size == len(b"goodx"))
        assert running.ask("POST", f"/u/{SESSION}/commit", token="writer").status == 202
        assert slow.begun.wait(20)
        for method, path in [("PUT", f"/u/{SESSION}/{OTHER}"), ("DELETE", f"/u/{SESSION}")]:
            answer = running.ask(method, path, b"POISON", token="writer")
            assert (answer.status, answer.json["rule"]) == (409, "session"), method
        late.sendall(b"x" * 49)
        assert b" 409 " in late.recv(4096)
    slow.go_on.set()
    until(lambda: running.ask("POST", f"/u/{SESSION}/commit", token="writer").status == 200)
    assert slow.found == [b"good"]


def test_a_long_verification_is_asked_about_and_told_once_more(serve: Serve) -> None:
    slow = Slow()
    running = serve(admit=slow, limits=Limits(answer=0.01))
    running.ask("PUT", f"/u/{SESSION}/{OTHER}", b"x", token="writer")
    for _ in range(3):
        answer = running.ask("POST", f"/u/{SESSION}/commit", token="writer")
        assert (answer.status, answer.json, answer.headers["retry-after"]) == (202, {"state": "verifying"}, "1")
    assert running.ask("GET", f"/{PACK}").status == 200, "reading goes on while an upload is verified"
    slow.go_on.set()
    until(lambda: running.ask("POST", f"/u/{SESSION}/commit", token="writer").status == 200)
    again = running.ask("POST", f"/u/{SESSION}/commit", token="writer")
    assert (again.status, again.json) == (200, {"admitted": {"files": 1}}), "also when its answer was lost"
    assert len(slow.found) == 1, "it was verified once"


def test_what_fails_for_the_server_can_be_committed_again(serve: Serve, cache: Path) -> None:
    outcomes = iter([Refused("disk", "full", status=507), ValueError("a bug"), None])

    def admit(upload: Upload) -> dict[str, int]:
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome
        return {}

    running = serve(admit=admit)
    running.ask("PUT", f"/u/{SESSION}/{OTHER}", b"x", token="writer")
    statuses = [running.ask("POST", f"/u/{SESSION}/commit", token="writer").status for _ in range(3)]
    assert statuses == [507, 500, 200]


def test_files_that_no_head_names_are_told_to_their_uploader_alone(serve: Serve, cache: Path) -> None:
    running = serve(admit=lambda upload: keep(upload, [OTHER]) or {})
    running.ask("PUT", f"/u/{SESSION}/{OTHER}", b"bytes", token="writer")
    before = running.ask("HEAD", f"/{OTHER}", token="writer")
    assert before.headers["last-modified"].endswith("1970 00:00:00 GMT"), "no other session can build upon it"
    assert running.ask("POST", f"/u/{SESSION}/commit", token="writer").status == 200
    told = running.ask("HEAD", f"/{OTHER}", token="writer")
    assert (told.status, told.headers["content-length"]) == (200, "5")
    assert "1970" not in told.headers["last-modified"]
    assert running.ask("GET", f"/{OTHER}", token="writer").status == 404
    for token in ("", "reader"):
        assert running.ask("HEAD", f"/{OTHER}", token=token).status == 404


def test_idle_uploads_are_dropped(cache: Path) -> None:
    quarantine = Quarantine(str(cache), Limits(idle=3600))
    quarantine.begin(SESSION, "writer")
    quarantine.begin("f" * 32, "writer")
    long_ago = time.time() - 4000
    os.utime(cache / ".quarantine/coming" / SESSION, (long_ago, long_ago))
    assert quarantine.drop_idle() == [SESSION]
    assert waiting(cache) == ["f" * 32]


def test_a_server_that_starts_again_counts_what_waits(cache: Path) -> None:
    quarantine = Quarantine(str(cache), Limits())
    quarantine.begin(SESSION, "writer")
    with quarantine.draft(SESSION) as draft:
        Path(draft).write_bytes(bytes(1000))
        quarantine.keep(SESSION, draft, OTHER)
    with pytest.raises(InUse):
        Quarantine(str(cache), Limits())
    quarantine.freeze(SESSION)  # and is killed while it verifies
    quarantine.close()
    again = Quarantine(str(cache), Limits())
    assert again.size >= 1000
    assert Path(again.freeze(SESSION).files, OTHER).read_bytes() == bytes(1000)


def test_the_share_of_a_token(serve: Serve) -> None:
    running = serve(limits=Limits(token=100, sessions=2))
    ask, other = running.ask, "e" * 32
    assert ask("PUT", f"/u/{SESSION}/{OTHER}", bytes(60), token="writer").status == 201
    assert ask("PUT", f"/u/{SESSION}/{OTHER}", bytes(40), token="writer").status == 201, "while both are there"
    assert ask("PUT", f"/u/{SESSION}/{PACK}", bytes(60), token="writer").status == 201, (
        "what is replaced is given back"
    )
    answer = ask("PUT", f"/u/{other}/{PACK}", bytes(1), token="writer")
    assert (answer.status, answer.json["rule"]) == (507, "token size")
    assert answer.headers["retry-after"] == "5"
    answer = ask("PUT", f"/u/{'d' * 32}/{PACK}", bytes(1), token="writer")
    assert (answer.status, answer.json["rule"]) == (429, "sessions")
    assert ask("DELETE", f"/u/{SESSION}", token="writer").status == 204
    assert ask("PUT", f"/u/{other}/{PACK}", bytes(100), token="writer").status == 201


def test_what_did_not_come_whole_is_given_back(serve: Serve) -> None:
    running = serve(limits=Limits(file=100))
    body = [bytes(60), bytes(60)]
    assert running.ask("PUT", f"/u/{SESSION}/{OTHER}", iter(body), token="writer").status == 413  # type: ignore[arg-type]
    assert running.serving.quarantine is not None and running.serving.quarantine.size == 0


def test_a_disk_that_is_full_is_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    running = serve()
    monkeypatch.setattr(Quarantine, "keep", full)
    answer = running.ask("PUT", f"/u/{SESSION}/{OTHER}", b"x", token="writer")
    assert (answer.status, answer.json["rule"]) == (507, "disk")
    assert "No space left" in answer.json["message"]
    assert running.serving.quarantine is not None and running.serving.quarantine.size == 0


def test_a_lost_file_of_tokens_is_no_business_of_strangers(serve: Serve, tmp_path: Path) -> None:
    running = serve()
    (tmp_path / "tokens").unlink()
    answer = running.ask("PUT", f"/u/{SESSION}/{OTHER}", b"x", token="writer")
    assert answer.status == 500
    assert str(tmp_path).encode() not in answer.body

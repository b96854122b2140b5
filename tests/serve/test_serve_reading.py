"""What a served cache shows: the files of its layout, whole and in ranges, and nothing else of the folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.serve.conftest import PACK, Serve

WHOLE = bytes(range(256)) * 64
SIZE = len(WHOLE)


def test_a_pack_is_shown_whole_and_may_be_kept_for_ever(serve: Serve) -> None:
    answer = serve().ask("GET", f"/{PACK}")
    assert (answer.status, answer.body) == (200, WHOLE)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["accept-ranges"] == "bytes"


def test_the_card_is_asked_for_again(serve: Serve) -> None:
    assert serve().ask("GET", "/kiln-cache.json").headers["cache-control"] == "no-cache"


def test_head_tells_the_size(serve: Serve) -> None:
    answer = serve().ask("HEAD", f"/{PACK}")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, str(SIZE), b"")


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=0-0", 206, WHOLE[:1]),
        ("bytes=100-299", 206, WHOLE[100:300]),
        (f"bytes={SIZE - 5}-", 206, WHOLE[-5:]),
        ("bytes=-7", 206, WHOLE[-7:]),
        (f"bytes=100-{SIZE * 2}", 206, WHOLE[100:]),
        (f"bytes={SIZE}-", 416, None),
    ],
)
def test_ranges(serve: Serve, asked: str, status: int, body: bytes | None) -> None:
    answer = serve().ask("GET", f"/{PACK}", Range=asked)
    assert answer.status == status
    if body is not None:
        assert answer.body == body
        assert answer.headers["content-range"].endswith(f"/{SIZE}")


@pytest.mark.parametrize(
    "path",
    [
        "/private",
        "/",
        "/p/",
        "/heads",
        "/p/ab/../../private",
        "/p/ab/%2e%2e/%2e%2e/private",
        "//etc/passwd",
        "/p/cd/ab" + "0" * 62,
        "/p/ab/ab" + "1" * 62,
        "/p/ab/ab" + "0" * 62 + "%00",
        "/.quarantine/" + "0" * 32 + "/owner",
        "/u/" + "0" * 32 + "/" + PACK,
    ],
)
def test_nothing_else_is_shown(serve: Serve, path: str) -> None:
    answer = serve().ask("GET", path)
    assert answer.status in (404, 405)
    assert b"not of the layout" not in answer.body


def test_a_link_in_the_folder_is_not_followed(serve: Serve, cache: Path) -> None:
    os.symlink(cache / "private", cache / "p" / "ab" / ("ab" + "2" * 62))
    assert serve().ask("GET", "/p/ab/ab" + "2" * 62).status == 404


@pytest.mark.parametrize(
    ("token", "status"), [("", 401), ("unknown", 401), ("stale", 401), ("reader", 200), ("writer", 200)]
)
def test_reading_by_token(serve: Serve, token: str, status: int) -> None:
    running = serve(open_to_read=False)
    assert running.ask("GET", f"/{PACK}", token=token).status == status
    assert running.ask("GET", "/health").status == 200, "a balancer needs no token"


def test_metrics_count_what_was_sent(serve: Serve) -> None:
    running = serve()
    running.ask("GET", f"/{PACK}")
    running.ask("GET", "/nothing")
    text = running.ask("GET", "/metrics").body.decode()
    sent = re.search(r"^kiln_cache_sent_bytes_total (\d+)$", text, re.MULTILINE)
    assert sent is not None and SIZE <= int(sent[1]) <= SIZE + 1000
    assert 'kiln_cache_requests_total{method="GET",status="200"} 1' in text
    assert 'kiln_cache_requests_total{method="GET",status="404"} 1' in text


def test_health(serve: Serve, cache: Path) -> None:
    """A folder without a card waits for its first push; a card that nobody can read is nobody's cache."""
    running = serve()
    assert running.ask("GET", "/health").json == {"status": "ok"}
    card = (cache / "kiln-cache.json").read_bytes()
    (cache / "kiln-cache.json").unlink()
    assert running.ask("GET", "/health").json == {"status": "ok"}
    (cache / "kiln-cache.json").write_bytes(card[:-2])
    answer = running.ask("GET", "/health")
    assert answer.status == 503 and "card can't be read" in answer.json["status"]
    (cache / "kiln-cache.json").write_bytes(card)
    running.serving.trouble = "something else"
    assert running.ask("GET", "/health").json == {"status": "something else"}

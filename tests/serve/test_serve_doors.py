"""Nobody shuts others out by holding connections open: idle ones, half-sent ones, or answers that he won't take."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from kiln.serve.doors import client_of
from kiln.serve.limits import Limits
from tests.serve.conftest import PACK, Running, Serve, until

HALF = b"GET /" + PACK.encode() + b" HTTP/1.1\r\nHost: x\r\n"
BODY = b"PUT /u/" + b"1" * 32 + b"/" + PACK.encode() + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\n"


@contextmanager
def held(running: Running, number: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """So many connections, each with a part of a request."""
    with ExitStack() as stack:
        made = []
        for _ in range(number):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=20))
            client.sendall(sent)
            made.append(client)
        yield made


def is_closed(client: socket.socket) -> bool:
    client.settimeout(0.01)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize("sent", [b"", HALF])
def test_whoever_asks_takes_the_place_of_who_does_not(serve: Serve, sent: bytes) -> None:
    running = serve(limits=Limits(connections=8))
    with held(running, 8, sent) as idle:
        for _ in range(3):
            assert running.ask("GET", f"/{PACK}").status == 200
        assert is_closed(idle[0]), "who waited longest was sent away"
        assert not is_closed(idle[7])


def test_where_all_are_at_work_the_next_is_asked_to_wait(serve: Serve) -> None:
    running = serve(limits=Limits(connections=2))
    with held(running, 2, BODY + b"Content-Length: 50\r\n\r\nx") as busy:
        _begun(running, 2)
        answer = running.ask("GET", f"/{PACK}")
        assert (answer.status, answer.json["rule"], answer.headers["retry-after"]) == (503, "connections", "1")
        assert running.ask("GET", "/health").status == 200
        for client in busy:
            client.sendall(b"x" * 49)
            assert b" 201 " in client.recv(4096), "and who was at work goes on"


def test_one_client_can_not_have_all(serve: Serve) -> None:
    running = serve(limits=Limits(connections=100, per_client=2, local_too=True))
    with held(running, 2, BODY + b"Content-Length: 50\r\n\r\nx"):
        _begun(running, 2)
        assert running.ask("GET", f"/{PACK}").status == 503
    with held(running, 2, HALF):
        assert running.ask("GET", f"/{PACK}").status == 200


@pytest.mark.parametrize("sent", [b"", HALF, b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"])
def test_a_request_that_does_not_come_is_not_waited_for(serve: Serve, sent: bytes) -> None:
    """Neither one whose body nobody asked for and that does not end."""
    running = serve(limits=Limits(head=0.2))
    with held(running, 1, sent) as [client]:
        while client.recv(4096):
            pass


def test_an_answer_that_is_not_taken_is_given_up(serve: Serve, cache: Path) -> None:
    big = cache / "p/cd" / ("cd" + "0" * 62)
    big.parent.mkdir()
    big.write_bytes(bytes(32 << 20))
    running = serve(limits=Limits(stall=0.2))
    request = b"GET /p/cd/cd" + b"0" * 62 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    with held(running, 1, request) as [client]:
        _ended(running)
        size = 0
        with pytest.raises(ConnectionResetError):
            while piece := client.recv(1 << 20):
                size += len(piece)
            raise ConnectionResetError  # an end before the whole came is as good
        assert size < 32 << 20


@pytest.mark.parametrize(
    ("peer", "local", "client"),
    [
        (("127.0.0.1", 5), False, None),
        (("::1", 5, 0, 0), False, None),
        (("127.0.0.1", 5), True, "127.0.0.1"),
        ("", False, None),
        ("", True, "local"),
        (("192.0.2.7", 5), False, "192.0.2.7"),
        (("::ffff:192.0.2.7", 5, 0, 0), False, "192.0.2.7"),
        (("2001:db8::1", 5, 0, 0), False, "2001:db8::/64"),
        (("2001:db8::2:3:4:5", 5, 0, 0), False, "2001:db8:0:0::/64"),
        (("fe80::1%eth0", 5, 0, 0), False, "fe80::/64"),
    ],
)
def test_whose_connections_are_counted_together(peer: object, local: bool, client: str | None) -> None:
    assert client_of(peer, local) == (client and client.replace(":0:0::", "::"))


def _begun(running: Running, number: int) -> None:
    """Wait until so many requests are being answered."""
    until(lambda: f"kiln_cache_requests_running {number}" in running.serving.metrics.text())


def _ended(running: Running) -> None:
    """Wait until a request has begun and has ended."""
    until(lambda: 'kiln_cache_requests_total{method="GET"' in running.serving.metrics.text())

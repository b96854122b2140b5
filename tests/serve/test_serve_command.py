"""`kiln cache serve` as its operator starts it: options, sockets, the own store, and how it ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiln.serve.publisher import Publisher
from kiln.store.cache.settings import plain_address
from kiln.store.provenance.keys import SecretKey
from tests.serve.builders import Builder
from tests.serve.served import Served, until
from tests.support.home import Home
from tests.support.room import VARIABLE

KEY = SecretKey.of(b"k" * 32)
PROGRAM = 'pub let default: Out(File) = write_file("greeting.txt", "hello");\n'
SESSION = "ab" * 16
FILE = "p/ab/ab" + "0" * 62


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "NETRC", "KILN_CACHE_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    made = Builder(tmp_path / "builder", KEY)
    made.make("thing")
    return made


@pytest.fixture
def served(tmp_path: Path, builder: Builder) -> Iterator[Served]:
    made = Served(tmp_path / "served", [builder.trusted()])
    yield made
    made.close()


def started(length: int) -> bytes:
    """The head of an upload."""
    head = f"PUT /u/{SESSION}/{FILE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\n"
    return f"{head}Content-Length: {length}\r\n\r\n".encode()


class TestOptions:
    def test_limits(self, served: Served) -> None:
        served.start("--max-file", "100", "--max-upload", "150", "--max-waiting", "160")
        other = FILE[:-1] + "1"
        assert served.ask("PUT", f"/u/{SESSION}/{FILE}", bytes(101), token="writer").json["rule"] == "file size"
        assert served.ask("PUT", f"/u/{SESSION}/{FILE}", bytes(100), token="writer").status == 201
        assert served.ask("PUT", f"/u/{SESSION}/{other}", bytes(60), token="writer").json["rule"] == "session size"
        answer = served.ask("PUT", f"/u/{'cd' * 16}/{FILE}", bytes(70), token="writer")
        assert (answer.status, answer.json["rule"]) == (507, "token size")

    @pytest.mark.parametrize("option", ["--max-connections", "--max-per-client"])
    def test_connections(self, served: Served, option: str) -> None:
        served.start(option, "1")
        begun = started(9) + b"x"
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.sendall(begun)
            until(lambda: list((served.cache / ".quarantine/coming").glob("*/coming-*")))
            assert served.ask("GET", "/kiln-cache.json").json["rule"] == "connections"

    def test_reading_by_token(self, served: Served, builder: Builder) -> None:
        served.start("--require-token")
        builder.push(served.url, token="writer")
        for path in ("/kiln-cache.json", "/metrics"):
            answer = served.ask("GET", path)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="kiln"')
            assert served.ask("GET", path, token="reader").status == 200
        assert served.ask("GET", "/health").status == 200

    def test_one_server_writes_a_folder(self, served: Served) -> None:
        served.start()
        home = Home(str(served.folder / "operator"))
        done = home.kiln("cache", "serve", str(served.cache), "--tokens", str(served.tokens), "--listen", "[::1]:0")
        assert done.code != 0 and "K0680" in done.err and "another server" in done.err


def test_bytes_go_as_they_are_stored(served: Served, builder: Builder) -> None:
    """What is compressed is so already; whatever a client says that it would unpack."""
    served.start()
    builder.push(served.url, token="writer")
    pack = next(path for path in (served.cache / "p").rglob("*") if path.is_file())
    answer = served.ask("GET", f"/{pack.relative_to(served.cache)}", Accept_Encoding="gzip, br, zstd, *;q=1")
    assert answer.body == pack.read_bytes()
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-length"] == str(len(answer.body))


def test_metrics_of_an_upload(served: Served, builder: Builder) -> None:
    served.start()
    builder.push(served.url, token="writer")
    assert served.ask("PUT", f"/u/{SESSION}/{FILE}", bytes(123), token="writer").status == 201
    metrics = dict(
        line.rsplit(" ", 1) for line in served.ask("GET", "/metrics").body.decode().splitlines() if line[:1] != "#"
    )
    assert metrics['kiln_cache_uploads_total{outcome="admitted"}'] == "2", "the card, and what the head names"
    assert metrics["kiln_cache_quarantine_bytes"] == "123"
    assert metrics["kiln_cache_requests_running"] == "1", "this one"
    assert float(metrics["kiln_cache_verifying_seconds_total"]) > 0
    files = [path for path in served.cache.rglob("*") if path.is_file() and ".quarantine" not in path.parts]
    assert int(metrics["kiln_cache_received_bytes_total"]) >= 123 + sum(path.stat().st_size for path in files)
    served.ask("POST", f"/u/{SESSION}/commit", token="writer")
    text = served.ask("GET", "/metrics").body.decode()
    assert 'kiln_cache_uploads_total{outcome="refused"} 1' in text
    assert 'kiln_cache_refused_total{rule="' in text
    assert "kiln_cache_quarantine_bytes 0" in text


def test_it_ends_when_what_it_does_is_done(served: Served) -> None:
    """SIGTERM: nobody new is let in; an upload that is on its way comes to its end; then the server ends."""
    served.start()
    body = bytes(1000)
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as client:
        client.sendall(started(1000) + body[:10])
        until(lambda: list((served.cache / ".quarantine/coming").glob("*/coming-*")))
        os.kill(served.pid, signal.SIGTERM)
        until(lambda: refuses(served.port))
        client.sendall(body[10:])
        assert client.recv(100).startswith(b"HTTP/1.1 201 ")
    assert served.wait() == 0
    assert (served.cache / ".quarantine/coming" / SESSION / "files" / FILE).stat().st_size == 1000
    served.start()  # at the same port, at once
    assert served.ask("DELETE", f"/u/{SESSION}", token="writer").status == 204


def made_key(home: Home) -> str:
    home.kiln("realise", "main.kiln", "--no-link").expect()
    return home.kiln("key", "show", "-q").expect().lines[0]


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_socket_that_systemd_opened(served: Served) -> None:
    """It comes as descriptor 3, with LISTEN_PID and LISTEN_FDS; --listen says nothing then."""
    listening = socket.create_server(("127.0.0.1", 0))
    served.port = listening.getsockname()[1]
    words = [sys.executable, "-m", "kiln", "cache", "serve", str(served.cache), "--listen", "127.0.0.1:1"]
    handed = (
        "import os, sys\n"
        f"os.dup2({listening.fileno()}, 3)\n"
        "os.set_inheritable(3, True)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n"
        f"os.execv(sys.executable, {words!r})\n"
    )
    assert served.run(["-c", handed], pass_fds=[listening.fileno()]) == f"http://127.0.0.1:{served.port}"
    listening.close()
    assert served.ask("GET", "/health").status == 200
    assert served.end() == 0


class TestUnixSockets:
    def test_another_user_reads_the_owners_store(self, ordinary: Home) -> None:
        """The own store is served over a socket: what is built comes to another user of the machine, verified."""
        room = Path(os.environ[VARIABLE], f"sockets-{os.getpid()}")
        room.mkdir(mode=0o755)
        owner = Home(str(room / "owner"))
        owner.write("main.kiln", PROGRAM)
        Path(ordinary.work, "main.kiln").write_text(PROGRAM)
        key = made_key(owner)
        served = Served(room / "served")
        try:
            words = ["-m", "kiln", "cache", "serve", "--listen", f"unix:{room}/socket"]
            url = served.run(words, env=owner.env(), cwd=owner.work)
            assert url == f"unix://{room}/socket"
            until(lambda: list(Path(owner.store, "served/heads").glob("*.json")))
            ordinary.kiln("cache", "use", f"unix:{room}/socket", "--name", "near", "--yes", "--key", key).expect()
            assert ordinary.kiln("cache", "list").expect().lines == [f"near {url}"]
            planned = ordinary.kiln("realise", "main.kiln", "--dry-run").expect()
            assert planned.lines == ["take    greeting.txt"]
            done = ordinary.kiln("realise", "main.kiln", "--no-link", "--progress", "plain").expect()
            assert "cached" in done.err and "near" in done.err
            assert Path(done.lines[0]).read_text() == "hello"
            assert served.end() == 0
        finally:
            served.close()
            shutil.rmtree(room)

    def test_uploads_and_permissions(self, served: Served, builder: Builder) -> None:
        served.start("--listen", f"unix:{served.folder}/sock et")
        assert served.url.endswith("/sock%20et")
        assert (served.folder / "sock et").stat().st_mode & 0o777 == 0o666
        assert builder.push(served.url, token="writer") == 1

    @pytest.mark.parametrize(
        ("typed", "address"),
        [
            ("unix:/run/kiln.sock", "unix:///run/kiln.sock"),
            ("unix:///run/kiln.sock", "unix:///run/kiln.sock"),
            ("https://cache.example/team/", "https://cache.example/team"),
            ("/srv/cache", "/srv/cache"),
        ],
    )
    def test_how_it_is_written(self, typed: str, address: str) -> None:
        assert plain_address(typed) == address


class TestThePublisher:
    def test_one_that_ends_is_told_and_started_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kiln.serve.publisher._CHILD", "import signal; signal.pause()")
        monkeypatch.setattr("kiln.serve.publisher._FIRST_PAUSE", 0.01)
        told: list[str] = []
        publisher = Publisher(["x"], told.append)
        publisher.start()
        try:
            until(lambda: told == [""])
            first = publisher.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            until(lambda: len(told) == 3)
            assert "not published" in told[1] and "(-9)" in told[1] and told[2] == ""
            assert publisher.pid != first
        finally:
            publisher.stop()
        assert len(told) == 3, "an end that was asked for is none to tell"

    def test_it_ends_with_a_server_that_is_killed(self, tmp_path: Path) -> None:
        owner = Home(str(tmp_path / "owner"))
        served = Served(tmp_path / "served")
        try:
            served.run(["-m", "kiln", "cache", "serve", "--listen", "127.0.0.1:0"], env=owner.env(), cwd=owner.work)
            until(lambda: children(served.pid))
            child = children(served.pid)[0]
            served.kill()
            until(lambda: not is_running(child))
        finally:
            served.close()


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False

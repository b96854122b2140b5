"""Client or server is killed at any step of an upload to a real server: nothing half is seen, and it goes on.

Beside it: two who upload the same at once, and tokens that are not good enough, through the whole of both programs.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kiln.store.cache.backend import open_backend
from kiln.store.cache.errors import CacheError
from kiln.store.cache.head import head_path, open_head
from kiln.store.cache.pack import PackWriter
from kiln.store.cache.upstream import all_rows
from kiln.store.provenance.keys import SecretKey
from tests.serve.builders import Builder
from tests.serve.served import KILLED, Served
from tests.support.home import Home

KEY, OTHER = SecretKey.of(b"k" * 32), SecretKey.of(b"o" * 32)
SESSION = "ab" * 16
PUSH = """
import os, signal, sys
from pathlib import Path
from kiln.store import failpoint
from kiln.store.provenance.keys import SecretKey
from tests.serve.builders import Builder
folder, url, point = sys.argv[1:]
def killed(name):
    if name == point:
        os.kill(os.getpid(), signal.SIGKILL)
failpoint.armed = killed
Builder(Path(folder), SecretKey.of(b"k" * 32)).push(url, token="writer")
"""
POINTS = ("push:chunk", "push:pack", "push:content", "push:segment", "push:head")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "NETRC", "KILN_CACHE_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    made = Builder(tmp_path / "builder", KEY)
    more(made, "first")
    return made


@pytest.fixture
def served(tmp_path: Path, builder: Builder) -> Iterator[Served]:
    other = Builder(tmp_path / "other", OTHER, "other")
    made = Served(tmp_path / "served", [builder.trusted(), other.trusted()])
    yield made
    made.close()


def more(builder: Builder, name: str) -> None:
    builder.make(name, {"file": os.urandom(3000), "big": os.urandom(2 << 20)})


def version(cache: Path, key: SecretKey = KEY) -> int:
    """Of the head in force, all of whose rows can be read; 0 where there is none."""
    path = cache / head_path(key.public_key.keyid)
    if not path.exists():
        return 0
    head = open_head(path.read_bytes(), key.public_key, "team")
    for entry in head.segments:
        assert all_rows(open_backend(str(cache)), entry)
    return head.version


def test_a_client_killed_at_every_step(served: Served, builder: Builder) -> None:
    url = served.start()
    for point in POINTS:
        before = version(served.cache)
        more(builder, point.replace(":", "-"))
        words = [sys.executable, "-c", PUSH, str(builder.folder), url, point]
        killed = subprocess.run(words, env=served.env(), timeout=60, check=False)
        assert killed.returncode == -9, point
        assert (version(served.cache) > before) == (point == "push:head"), point
        assert builder.push(url, token="writer") > before
        assert version(served.cache) > before


@pytest.mark.parametrize("step", [1, 2, 4, 7, 11, 16])
def test_a_server_killed_in_a_commit(served: Served, builder: Builder, step: int) -> None:
    """At a change to the disk: of the card's commit, or of the one that ends with the head."""
    served.start()
    builder.push(served.url, token="writer")
    served.kill()
    more(builder, "second")
    served.start(program=("-c", KILLED, str(step)))
    with pytest.raises(CacheError):
        builder.push(served.url, token="writer")
    assert served.wait() == -9
    assert version(served.cache) in (1, 2)
    served.start()
    assert builder.push(served.url, token="writer") == 2
    assert version(served.cache) == 2


def test_a_server_killed_while_a_file_comes(served: Served) -> None:
    served.start()
    writer = PackWriter()
    writer.add(1, os.urandom(5000))
    pack = writer.finish()
    path = f"/u/{SESSION}/{pack.path}"
    head = (
        f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\nContent-Length: {len(pack.data)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(head.encode() + pack.data[:1000])
        while not list((served.cache / ".quarantine/coming").glob("*/coming-*")):
            pass
        served.kill()
    served.start()
    assert not list(served.cache.rglob(pack.path.rsplit("/", 1)[1])), "half a file has no name"
    assert served.ask("PUT", path, pack.data, token="writer").status == 201
    served.kill()  # between the file and the commit
    served.start()
    assert served.ask("POST", f"/u/{SESSION}/commit", token="writer").status == 422, "there is no card yet"


def test_a_commit_goes_on_where_the_files_came_before_the_server_was_killed(
    served: Served, builder: Builder, tmp_path: Path
) -> None:
    served.start()
    whole = builder.upload(tmp_path / "whole")
    names = [str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()]
    for name in names:
        data = (whole / name).read_bytes()
        assert served.ask("PUT", f"/u/{SESSION}/{name}", data, token="writer").status == 201
    served.kill()
    served.start()
    answer = served.ask("POST", f"/u/{SESSION}/commit", token="writer")
    assert answer.status in (200, 202)
    while answer.status == 202:
        answer = served.ask("POST", f"/u/{SESSION}/commit", token="writer")
    assert answer.status == 200 and answer.json["admitted"]["files"] == len(names)
    assert version(served.cache) == 1


def test_two_uploaders_of_one_object_at_once(served: Served, tmp_path: Path) -> None:
    same = {"file": os.urandom(3000), "big": os.urandom(2 << 20)}
    builders = [Builder(tmp_path / "one", KEY), Builder(tmp_path / "two", OTHER, "other")]
    for builder in builders:
        builder.make("same", same)
    url = served.start()
    with ThreadPoolExecutor(2) as pool:
        pushed = [
            pool.submit(builder.push, url, token=token)
            for builder, token in zip(builders, ("writer", "second"), strict=True)
        ]
        assert [future.result(60) for future in pushed] == [1, 1]
    assert version(served.cache) == version(served.cache, OTHER) == 1


def test_two_machines_with_one_key_at_once(served: Served, tmp_path: Path) -> None:
    builders = [Builder(tmp_path / name, KEY) for name in ("one", "two")]
    for number, builder in enumerate(builders):
        more(builder, f"thing{number}")
    url = served.start()
    with ThreadPoolExecutor(2) as pool:
        pushed = [pool.submit(builder.push, url, token="writer") for builder in builders]
        assert sorted(future.result(60) for future in pushed) == [1, 2]
    head = open_head((served.cache / head_path(KEY.public_key.keyid)).read_bytes(), KEY.public_key, "team")
    rows = {name for entry in head.segments for name in all_rows(open_backend(str(served.cache)), entry)}
    assert len([name for name in rows if name[:1] == b"O"]) == 2, "neither's objects are lost"


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (None, "this needs a token"),
        ("unknown", "this token is not known here"),
        ("stale", "expired on 2001-01-31"),
        ("reader", "may read, and not write"),
    ],
)
def test_a_push_without_the_right_token(served: Served, tmp_path: Path, token: str | None, why: str) -> None:
    url = served.start()
    home = Home(str(tmp_path / "user"))
    home.write("main.kiln", 'pub let default: Out(File) = write_file("greeting.txt", "hello");\n')
    env = {} if token is None else {"KILN_CACHE_TOKEN": token}
    done = home.kiln("cache", "push", "main.kiln", "--to", url, "--name", "team", env=env)
    assert done.code != 0
    assert "K0655" in done.err and "takes no uploads from us" in done.err and why in done.err
    assert "KILN_CACHE_TOKEN" in done.err, "and what to do"
    assert [path.name for path in served.cache.rglob("*") if path.is_file()] == ["serving"]

"""What every place that a cache can lie in must do, held against each kind; and what is a folder's own matter."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from kiln.store import disk
from kiln.store.cache import folderbackend
from kiln.store.cache.backend import Limits, Request, check_path, folder_of, open_backend
from kiln.store.cache.coalesce import coalesce
from kiln.store.cache.errors import BadCacheAddress, CacheDenied, CacheDown, CacheLied, Missing, shown
from kiln.store.cache.fsspecbackend import FsspecBackend
from kiln.store.cache.window import in_window
from kiln.store.errors import NoSpace

PACK = "p/ab/" + "ab" * 32
DATA = bytes(range(256)) * 64


@pytest.fixture(scope="module")
def bucket():
    """An S3 of moto's, found as botocore finds one: by the environment."""
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
            patch.delenv(name, raising=False)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("kiln-test")
        yield "s3://kiln-test"
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()


@pytest.fixture(params=["folder", "memory", "fsspec", "s3"])
def place(request, tmp_path):
    """A cache of each kind, empty."""
    match request.param:
        case "folder":
            made = open_backend(str(tmp_path / "cache"), name="team")
        case "memory":
            made = open_backend(f"memory://{tmp_path}", name="team")
        case "fsspec":
            made = FsspecBackend(f"file://{tmp_path}/cache", name="team", limits=Limits())
        case _:
            made = open_backend(f"{request.getfixturevalue('bucket')}/{tmp_path.name}", name="team")
    yield made
    made.close()


def test_what_every_place_does(place):
    assert place.put(PACK, DATA) and not place.put(PACK, DATA)
    assert place.put("heads/a.json", b"1", replace=True) and place.put("heads/a.json", b"22", replace=True)
    assert place.get("heads/a.json", limit=2) == b"22"
    assert place.get(PACK, limit=len(DATA)) == DATA
    spans = [(9000, 300), (0, 4), (16_000, 384), (5, 0)]
    assert place.ranges(PACK, spans) == [DATA[start : start + size] for start, size in spans]
    many = {f"c/{n:02x}/{n:064x}": b"chunk %d" % n for n in range(40)}
    assert place.put_many(iter(many.items())) == set() and place.put_many(many.items()) == many.keys()
    asked = [Request(path, None, 100) for path in many] + [Request(path, 6, 1) for path in many]
    found = dict(place.get_many(asked))
    assert found == {r: many[r.path] if r.offset is None else many[r.path][6:7] for r in asked}
    for asked_of in (place.exists_many, place.reuse_many):
        assert asked_of([PACK, "c/00/none", *list(many)[:3]]) == {PACK, *list(many)[:3]}
    listed = {entry.path: entry for entry in place.listing()}
    assert listed.keys() == {PACK, "heads/a.json", *many} and listed[PACK].size == len(DATA)
    assert abs((listed[PACK].mtime or 0) - time.time()) < 3600
    assert {entry.path for entry in place.listing("c/")} == many.keys()
    assert {entry.path for entry in place.listing("c/00/")} == {"c/00/" + "0" * 64}
    assert not place.delete(PACK, before=time.time() - 3600) and place.exists_many([PACK])
    assert place.delete(PACK) and not place.delete(PACK)
    assert place.tidy(0.0) == 0 and PACK not in {entry.path for entry in place.listing()}
    assert place.health.received > len(DATA) and place.health.sent > len(DATA)


def test_what_is_not_as_it_should_be(place):
    place.put(PACK, DATA)
    with pytest.raises(Missing) as caught:
        place.get("p/00/none", limit=9)
    assert caught.value.code == "K0654" and "team has no p/00/none" in caught.value.message
    with pytest.raises(CacheLied, match=r"team: .* is larger than it may be"):
        place.get(PACK, limit=len(DATA) - 1)
    with pytest.raises(CacheLied, match="team"):
        place.ranges(PACK, [(len(DATA) - 5, 10)])
    wanted = {Request("no", 0, 5): Missing, Request(PACK, 0, 5): bytes, Request(PACK, None, 5): CacheLied}
    answers = dict(place.get_many(list(wanted)))  # in the order in which they come
    assert {request: type(answer) for request, answer in answers.items()} == wanted
    for path in ("../x", "/etc/passwd", "a//b", "a/../b", ".tmp/x", "a/.hidden", "", "a\0b", "a b", "a\n"):
        with pytest.raises(BadCacheAddress):
            place.get(path, limit=1)
        with pytest.raises(BadCacheAddress):
            place.put(path, b"")


def test_an_empty_file(place):
    place.put("empty", b"")
    assert place.get("empty", limit=0) == b"" and place.ranges("empty", [(0, 0)]) == [b""]


def test_several_at_once_in_one_place(place):
    files = {f"p/{n:02x}/x": bytes([n]) * 5000 for n in range(24)}
    threads = [threading.Thread(target=place.put_many, args=(list(files.items())[start:],)) for start in (0, 0, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path: place.get(path, limit=5000) for path in files} == files


def test_a_bucket_that_is_not_there_and_one_that_is_closed(bucket, monkeypatch):
    with pytest.raises(Missing):
        open_backend("s3://nowhere-at-all/x", name="team").get("kiln-cache.json", limit=5)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    down = open_backend("s3://kiln-test/x", name="team")
    with pytest.raises(CacheDown, match="the cache team is not reached"):
        down.get("kiln-cache.json", limit=5)
    s3fs.S3FileSystem.clear_instance_cache()


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        return open_backend(str(tmp_path / "cache"), name="team")

    def test_nothing_is_left_of_a_put_that_fails(self, folder, tmp_path, monkeypatch):
        folder.put("a", b"1")

        def full(*arguments):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(folderbackend, "sync_filesystem", full)
        monkeypatch.setattr(os, "fsync", full)
        for put in (lambda: folder.put("b", b"2"), lambda: folder.put_many([("b", b"2"), ("c", b"3")])):
            with pytest.raises(NoSpace, match="team"):
                put()
        assert sorted(os.listdir(tmp_path / "cache")) == [".tmp", "a"] and os.listdir(tmp_path / "cache/.tmp") == []

    def test_an_error_of_the_files_that_are_given_leaves_nothing(self, folder, tmp_path):
        def files():
            yield "a", b"1"
            raise ValueError("the reader's own")

        with pytest.raises(ValueError, match="own"):
            folder.put_many(files())
        assert os.listdir(tmp_path / "cache/.tmp") == [] and folder.exists_many(["a"]) == set()

    def test_what_has_a_name_was_synced_before(self, folder, tmp_path, monkeypatch):
        events = []
        real = os.rename
        monkeypatch.setattr(folderbackend, "sync_filesystem", lambda fd: events.append("sync"))
        monkeypatch.setattr(os, "fsync", lambda fd: events.append("sync"))
        monkeypatch.setattr(os, "rename", lambda *names: (events.append("name"), real(*names)))
        folder.put_many([("p/00/a", b"1"), ("p/00/b", b"2")])
        assert events == ["sync", "name", "name"]
        events.clear()
        folder.put("heads/a.json", b"{}", replace=True)
        assert events == ["sync", "sync", "name", "sync"]  # what the head names; the head; its folder

    def test_a_batch_is_kept_though_the_next_breaks_off(self, folder, monkeypatch):
        monkeypatch.setattr(folderbackend, "_BATCH_FILES", 2)

        def files():
            yield from ((f"p/00/{n}", b"x") for n in range(5))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            folder.put_many(files())
        assert folder.exists_many([f"p/00/{n}" for n in range(5)]) == {f"p/00/{n}" for n in range(4)}

    def test_leftovers_are_tidied_when_they_are_old(self, folder, tmp_path):
        folder.put("a", b"1")
        (tmp_path / "cache/.tmp/123-dead").write_bytes(b"half")
        assert folder.tidy(3600) == 0 and [entry.path for entry in folder.listing()] == ["a"]
        os.utime(tmp_path / "cache/.tmp/123-dead", (0, 0))
        assert folder.tidy(3600) == 1

    def test_a_damaged_file_is_written_again(self, folder, tmp_path):
        folder.put(PACK, DATA)
        (tmp_path / "cache" / PACK).write_bytes(DATA[:100])
        assert folder.put_many([(PACK, DATA)]) == set() and folder.get(PACK, limit=len(DATA)) == DATA

    def test_what_is_no_file_is_refused_at_once(self, folder, tmp_path):
        folder.put("a", b"1")
        os.mkfifo(tmp_path / "cache/fifo")
        os.mkdir(tmp_path / "cache/folder")
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(tmp_path / "cache/socket"))
            for name in ("fifo", "folder", "socket"):
                with pytest.raises(CacheLied, match="is not a file"):
                    folder.get(name, limit=10)
        assert [entry.path for entry in folder.listing()] == ["a"]

    def test_a_deep_folder_is_not_walked_to_its_end(self, folder, tmp_path):
        folder.put("a", b"1")
        os.makedirs(tmp_path / "cache" / "/".join("d" * 900))
        (tmp_path / "cache" / "/".join("d" * 900) / "file").write_bytes(b"")
        assert [entry.path for entry in folder.listing()] == ["a"]

    def test_a_folder_that_is_gone_is_down_and_one_that_is_closed_is_closed(self, folder, tmp_path, monkeypatch):
        with pytest.raises(CacheDown, match="the cache team is not there"):
            folder.get("a", limit=1)
        folder.put("a", b"1")
        monkeypatch.setattr(os, "open", _denied)
        with pytest.raises(CacheDenied):
            folder.get("a", limit=1)
        with pytest.raises(CacheDenied, match="may not be written"):
            folder.put("b", b"1")


def _denied(*arguments, **options):
    raise PermissionError(13, "Permission denied")


def test_addresses():
    assert folder_of("file:///a%20b/c") == "/a b/c" and folder_of("file://localhost/x") == "/x"
    assert folder_of("/x/../y") == "/y" and check_path("heads/x.json") == "heads/x.json"
    for url in ("file://host/x", "file://", ""):
        with pytest.raises(BadCacheAddress):
            open_backend(url)
    with pytest.raises(BadCacheAddress, match="fsspec cannot open"):
        open_backend("gopher://host/x").get("a", limit=1)
    with pytest.raises(BadCacheAddress, match="must not hold a password"):
        open_backend("s3://key:secret@bucket/x")
    assert disk.FULL


def test_text_from_outside_is_short_and_plain():
    assert shown("a\x1b[2Jb\u202e\ud800\n") == "a\\x1b[2Jb\\u202e\\ud800\\n"
    assert shown(b"\xff\x00") == "\\xff\\x00" and len(shown("x" * 1000)) < 170


class TestCoalescing:
    def test_neighbours_become_one_and_nothing_is_lost(self):
        wanted = [Request("a", at, 10) for at in (500, 0, 10, 300, 5)] + [Request("b", 0, 10), Request("b", None, 99)]
        fetches = coalesce(wanted, gap=100, most=1000)
        assert [(fetch.path, fetch.offset, fetch.length) for fetch in fetches] == [
            ("a", 0, 20), ("a", 300, 10), ("a", 500, 10), ("b", None, 99), ("b", 0, 10)
        ]  # fmt: skip
        data = {"a": bytes(range(256)) * 4, "b": b"0123456789" * 3}
        for fetch in fetches:
            start = fetch.offset or 0
            piece = data[fetch.path] if fetch.offset is None else data[fetch.path][start : start + fetch.length]
            for request, answer in fetch.take_apart(piece):
                at = request.offset
                assert answer == (piece if at is None else data[request.path][at : at + request.length])

    def test_a_fetch_has_a_bound(self):
        fetches = coalesce([Request("a", at, 10) for at in range(0, 1000, 10)], gap=0, most=100)
        assert [fetch.length for fetch in fetches] == [100] * 10
        assert [fetch.length for fetch in coalesce([Request("a", 0, 5000)], most=100)] == [5000]

    def test_one_request_twice_is_answered_twice(self):
        fetches = coalesce([Request("a", 0, 2), Request("a", 0, 2), Request("b", None, 5), Request("b", None, 5)])
        assert [len(list(fetch.take_apart(b"xx"))) for fetch in fetches] == [2, 2]


def test_a_window_bounds_what_is_on_its_way():
    from concurrent.futures import Future

    running, most = [], []

    def start(item):
        future = Future()
        running.append((item, future))
        most.append(sum(item for item, _ in running))
        if len(running) == 3 or item >= 10:
            for done in running:
                done[1].set_result(done[0] * 2)
            running.clear()
        return future

    items = [3, 3, 3, 50, 1, 1, 1]
    found = list(in_window(items, start, lambda item: item, at_once=3, in_flight=10))
    assert [(item, future.result()) for item, future in found] == [(item, item * 2) for item in items]
    assert max(most) == 50 and sorted(most)[-2] <= 10

"""A cache on a web server that is honest, and on one that isn't: what comes is right, or an error that says what."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from kiln.store.cache.backend import Limits, Request, open_backend
from kiln.store.cache.errors import (
    BadCacheAddress,
    CacheDenied,
    CacheDown,
    CacheError,
    CacheLied,
    Conflict,
    Missing,
    Unsupported,
    UploadRefused,
)
from tests.support import lyingserver as lies
from tests.support.lyingserver import LyingServer

PACK = "p/ab/ab" + "0" * 62
HEAD = "heads/" + "a" * 64 + ".json"
DATA = bytes(range(256)) * 400
UNKNOWN = b'{"code":"K0684","rule":"session","message":"no such upload","path":""}'
QUICK = replace(Limits.patient(0.4), tries=3)


@pytest.fixture
def server():
    with LyingServer(files={PACK: DATA, HEAD: b"{}", "empty": b""}) as made:
        yield made


@pytest.fixture
def backend(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "NETRC", "KILN_CACHE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    made = open_backend(server.url + "/", name="team", limits=QUICK)
    yield made
    made.close()


def whole(backend):
    return backend.get(PACK, limit=len(DATA))


def part(backend):
    return backend.ranges(PACK, [(1000, 5000)])[0]


def test_files_and_ranges(backend, server):
    assert whole(backend) == DATA
    assert backend.get("empty", limit=10) == b""
    assert backend.ranges(PACK, [(5, 3), (90000, 10), (0, 1)]) == [DATA[5:8], DATA[90000:90010], DATA[:1]]
    assert backend.ranges(PACK, [(7, 0)]) == [b""]
    with pytest.raises(Missing) as caught:
        backend.get("p/00/none", limit=1)
    assert (caught.value.cache, caught.value.path) == ("team", "p/00/none")
    assert backend.health.latency is not None and backend.health.received > len(DATA)


def test_many_at_once_over_few_connections(backend, server):
    wanted = [Request(PACK, place, 16) for place in range(0, 100_000, 100)] + [Request(HEAD, None, 10)] * 2
    answers = list(backend.get_many(wanted))
    assert sorted(request for request, _ in answers if request.offset is not None) == wanted[:-2]
    assert all(data == DATA[r.offset : r.offset + 16] for r, data in answers if r.offset is not None)
    assert len(server.asked) <= 3 and server.connections <= 3  # neighbours are fetched together
    server.asked.clear()
    assert len(list(backend.get_many([Request(PACK, None, len(DATA))] + [Request(HEAD, 0, 2)] * 50))) == 51
    assert len(server.asked) == 2


def test_far_away_many_files_cost_few_round_trips(server, backend):
    server.files.update({f"c/{i:04}": b"%d" % i for i in range(240)})
    list(backend.get_many([Request(f"c/{i:04}", None, 9) for i in range(24)]))
    server.delay = 0.1
    began = time.monotonic()
    found = dict(backend.get_many([Request(f"c/{i:04}", None, 9) for i in range(240)]))
    assert {int(data) for data in found.values()} == set(range(240))
    assert server.connections <= Limits().at_once
    assert time.monotonic() - began < 240 * 0.1 / 2  # one after the other would be 24 seconds


def test_what_is_not_taken_is_given_up(server, backend):
    server.lie(".*", lies.stalled)
    answers = backend.get_many([Request(HEAD, None, 10)])
    answers.close()
    backend.close()


NO_PLACES = [
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:-1/",
    "http://a..b/",
    "http://x:y/",
    "http://" + "a" * 70 + ".x/",
    "http://\xff/",
    "http://[::1",
    "http:///x",
    "http://%00/",
    "http://exa mple/",
    "?" + "a" * 9000,
]
REFUSED = [
    ("truncated", lies.truncated(100), whole, CacheLied, "breaks off"),
    ("truncated range", lies.truncated(100), part, CacheLied, "breaks off"),
    ("overlong", lies.overlong(b"x"), whole, CacheLied, "more bytes than it may"),
    ("overlong range", lies.overlong(b"x" * 9), part, CacheLied, "more bytes than it may"),
    ("endless", lies.endless, whole, CacheLied, "more bytes than it may"),
    ("endless range", lies.endless, part, CacheLied, "more bytes than it may"),
    ("longer than stated", lies.length_off_by(-1), part, CacheLied, "another length|not HTTP"),
    ("shorter than stated", lies.length_off_by(1), part, CacheLied, "another length"),
    ("much longer", lies.length_off_by(1 << 40), whole, CacheLied, "larger than it may be"),
    ("another range", lies.range_off_by(7), part, CacheLied, "another range"),
    ("206 for a whole file", lies.status(206, body=DATA), whole, CacheLied, "part of the file"),
    ("206 without a range", lies.status(206, body=DATA[:5000]), part, CacheLied, "another range"),
    (
        "compressed on the way",
        lies.status(200, body=b"\x1f\x8b", content_encoding="gzip"),
        whole,
        CacheLied,
        "encoding",
    ),
    ("416", lies.status(416), part, CacheLied, "ends too early"),
    ("a page", lies.status(418), whole, CacheLied, "a status that no file has"),
    ("a loop", lies.redirected("/" + PACK), whole, CacheLied, "without an end"),
    ("another scheme", lies.redirected("ftp://example.org/x"), whole, CacheLied, "another scheme"),
    ("a file", lies.redirected("file:///etc/passwd"), whole, CacheLied, "another scheme"),
    ("a user", lies.redirected("http://me:secret@127.0.0.1/"), whole, CacheLied, "no place"),
    ("nowhere", lies.redirected(""), whole, CacheLied, "no place"),
    *(
        (f"to {target[:24]}", lies.redirected(target), whole, CacheLied, "redirects|answered with")
        for target in NO_PLACES
    ),
    ("404 after the index said yes", lies.missing, part, Missing, "has no p/ab"),
    ("401", lies.status(401), whole, CacheDenied, "does not let us in"),
    ("403", lies.status(403), part, CacheDenied, "does not let us in"),
    ("503 for ever", lies.status(503, retry_after=0), whole, CacheDown, "is busy"),
    ("429 for ever", lies.status(429, retry_after=0), part, CacheDown, "is busy"),
    ("429 until tomorrow", lies.status(429, retry_after=86400), whole, CacheDown, "is busy"),
    ("500", lies.status(500), whole, CacheDown, "is busy"),
    ("one byte a second", lies.dripping(1, 0.05), whole, CacheDown, "is too slow"),
    ("a stall", lies.stalled, whole, CacheDown, "stalls"),
    ("silence", lies.silent, part, CacheDown, "does not answer"),
    ("not HTTP", lies.garbage, whole, CacheLied, "not HTTP"),
]


@pytest.mark.parametrize(
    ("lie", "ask", "error", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_wrong_answer_is_an_error_that_names_the_cache(server, backend, lie, ask, error, message):
    server.lie(".*", lie)
    with pytest.raises(CacheError) as caught:
        ask(backend)
    found = caught.value
    assert type(found) is error and re.search(message, found.message) and "team" in found.message
    assert (found.found or "x").isascii() and (found.found or "x").isprintable()
    # Many at once: each is answered, and no other is harmed.
    server.be_honest()
    backend.health.down = None
    server.lie(HEAD, lie)
    answers = dict(backend.get_many([Request(PACK, 10, 10), Request(HEAD, 0, 2)]))
    assert answers[Request(PACK, 10, 10)] == DATA[10:20] or type(answers[Request(HEAD, 0, 2)]) is CacheDown


MENDED = [
    ("busy for a while", lies.status(503, retry_after=0.1), whole),
    ("too many", lies.status(429, retry_after=0), part),
    ("broken off", lies.truncated(100), whole),
    ("a range broken off", lies.truncated(1234), part),
]


@pytest.mark.parametrize(("lie", "ask"), [row[1:] for row in MENDED], ids=[row[0] for row in MENDED])
def test_what_passes_is_asked_for_again(server, backend, lie, ask):
    assert backend.get(HEAD, limit=2) == b"{}"
    server.lie(".*", lie, times=1)
    assert ask(backend) in (DATA, DATA[1000:6000])
    assert backend.health.down is None


def test_a_range_goes_on_from_where_it_broke_off(server, backend):
    backend.get(HEAD, limit=2)
    server.lie(PACK, lies.truncated(1234), times=1)
    assert part(backend) == DATA[1000:6000]
    assert [asked.headers["range"] for asked in server.asked[1:]] == ["bytes=1000-5999", "bytes=2234-5999"]


def test_a_server_that_ignores_ranges(server, backend):
    server.lie(".*", lies.ranges_ignored)
    assert part(backend) == DATA[1000:6000]
    server.asked.clear()
    spans = [(0, 10), (50_000, 10), (99_000, 100)]
    assert backend.ranges(PACK, spans) == [DATA[start : start + size] for start, size in spans]
    assert len(server.asked) == 1  # once it is known, a file comes once for all its pieces


def test_pythons_own_server_ignores_ranges_too(tmp_path, monkeypatch):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

        def handle(self):  # the piece is cut out and the rest is not waited for
            with suppress(OSError):
                super().handle()

    (tmp_path / "file").write_bytes(DATA)
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))
    ) as plain:
        threading.Thread(target=plain.serve_forever, daemon=True).start()
        backend = open_backend(f"http://127.0.0.1:{plain.server_port}", limits=QUICK)
        assert backend.ranges("file", [(5, 5), (80_000, 7)]) == [DATA[5:10], DATA[80_000:80_007]]
        assert backend.exists_many(["file", "nothing"]) == {"file"}
        backend.close()
        plain.shutdown()


def test_a_range_far_into_a_file_is_not_read_up_to(server, backend):
    server.lie(".*", lies.status(200, body=b"x"))
    with pytest.raises(CacheLied, match="whole where a range"):
        backend.ranges(PACK, [(1 << 30, 10)])


def test_redirects_are_followed_a_few_times(server, backend):
    server.lie("elsewhere", lies.redirected("/" + PACK))
    server.lie("first", lies.redirected("elsewhere"))
    assert backend.get("first", limit=len(DATA)) == DATA


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0x7f000001"])
def test_a_redirect_leads_to_no_server_that_is_not_public(server, backend, host):
    with LyingServer(files={PACK: DATA}) as inner:
        server.lie(".*", lies.redirected(f"http://{host}:{inner.port}/{PACK}"))
        with pytest.raises(CacheLied, match=r"redirects to (no place|a place that is not public)"):
            whole(backend)
        assert inner.connections == 0 and backend.health.down is None


def test_a_cache_that_is_down_costs_one_attempt(server):
    server.__exit__()
    backend = open_backend(server.url, name="team", limits=QUICK)
    with pytest.raises(CacheDown, match="the cache team is not reached") as first:
        whole(backend)
    with pytest.raises(CacheDown) as again:
        part(backend)
    assert again.value.found == first.value.found and backend.health.failures == 1
    answers = [answer for _, answer in backend.get_many([Request(PACK, 0, 1), Request(HEAD, None, 9)])]
    assert [type(answer) for answer in answers] == [CacheDown, CacheDown] and backend.health.failures == 1


def test_a_cache_that_was_busy_is_not_asked_for_a_while(server, backend):
    server.lie(".*", lies.status(503, retry_after=86400))
    for _ in range(5):
        with pytest.raises(CacheDown):
            whole(backend)
    assert len(server.asked) == 1


def test_a_proxy_of_the_environment(server, monkeypatch):
    server.files["http://cache.example/team/x"] = b"by proxy"
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert open_backend("http://cache.example/team", limits=QUICK).get("x", limit=9) == b"by proxy"
    assert open_backend(server.url, limits=QUICK).get(HEAD, limit=9) == b"{}"  # not by itself
    assert [asked.path for asked in server.asked] == ["http://cache.example/team/x", HEAD]


def test_a_process_that_ends_says_nothing_of_its_connections(server):
    program = (
        "from kiln.store.cache.backend import open_backend, Limits\n"
        f"backend = open_backend({server.url!r})\n"
        f"assert backend.get({HEAD!r}, limit=9) == b'{{}}'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


class TestCredentials:
    def test_none_without_a_file(self, server, backend):
        whole(backend)
        assert "authorization" not in server.asked[0].headers

    def test_a_netrc_file_speaks_for_its_host_alone(self, server, tmp_path, monkeypatch):
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password pass\ndefault login x password y\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        whole(open_backend(server.url, limits=QUICK))
        expected = "Basic " + base64.b64encode(b"me:pass").decode()
        assert server.asked[0].headers["authorization"] == expected
        whole(open_backend(f"http://localhost:{server.port}", limits=QUICK))
        assert "authorization" not in server.asked[1].headers

    def test_a_password_is_a_token_where_the_server_wants_one(self, server, tmp_path, monkeypatch):
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password pass\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        server.lie(".*", lies.status(401, www_authenticate='Bearer realm="kiln"'), times=1)
        assert whole(open_backend(server.url, limits=QUICK)) == DATA
        assert server.asked[1].headers["authorization"] == "Bearer pass"

    def test_a_redirect_to_another_host_is_not_told(self, server, monkeypatch):
        """The server is a proxy here, so that hosts need not be there."""
        monkeypatch.setenv("http_proxy", server.url)
        server.files[f"http://files.example/{PACK}"] = DATA
        server.lie("http://cache.example/.*", lies.redirected(f"http://files.example/{PACK}"))
        assert whole(open_backend("http://cache.example", token="secret", limits=QUICK)) == DATA
        first, second = server.asked
        assert first.headers["authorization"] == "Bearer secret" and "authorization" not in second.headers

    def test_an_address_holds_none(self):
        for url in ("https://me:pass@cache.example/", "https://me@cache.example/"):
            with pytest.raises(BadCacheAddress, match="must not hold a user"):
                open_backend(url)
        for url in ("https://", "http://host/?q=1", "http://host/#x", "http://host/a b", "http://[::1/"):
            with pytest.raises(BadCacheAddress):
                open_backend(url)


class TestUploading:
    def test_a_session_is_committed_by_its_head(self, server, backend):
        server.take = lambda asked: (201, b"{}")
        assert backend.put_many([(PACK, b"pack"), ("c/00/" + "0" * 64, b"chunk")]) == set()
        assert backend.put(HEAD, b"{1}", replace=True)
        *files, head, commit = [(asked.method, asked.path, asked.body) for asked in server.asked]
        session = commit[1].split("/")[1]
        assert commit == ("POST", f"u/{session}/commit", b"") and len(session) == 32
        assert head == ("PUT", f"u/{session}/{HEAD}", b"{1}")
        assert {path for _, path, _ in files} == {f"u/{session}/{PACK}", f"u/{session}/c/00/" + "0" * 64}
        backend.put(HEAD, b"{2}", replace=True)
        assert server.asked[-1].path.split("/")[1] != session

    def test_what_is_there_and_young_is_not_sent_again(self, server, backend):
        server.take = lambda asked: (201, b"{}")
        big = bytes(300 << 10)
        names = {age: f"p/{age[:2]}/{age}" for age in ("young", "aged", "untold", "short")}
        server.files.update(dict.fromkeys(names.values(), big))
        server.files[names["short"]] = big[:-1]
        date = {"date": "Tue, 01 Dec 2026 12:00:00 GMT"}
        for age, made in (("young", "11:59:00"), ("aged", "01:00:00"), ("short", "11:59:00")):
            told = {**date, "last_modified": f"Tue, 01 Dec 2026 {made} GMT"}
            server.lie(re.escape(names[age]), lies.status(200, body=server.files[names[age]], **told))
        assert backend.put_many([(path, big) for path in names.values()]) == {names["young"]}
        sent = {asked.path.split("/", 2)[2] for asked in server.asked if asked.method == "PUT"}
        assert sent == {names["aged"], names["untold"], names["short"]}
        assert backend.reuse_many(names.values()) == {names["young"], names["short"]}
        assert backend.exists_many(names.values()) == set(names.values())

    @pytest.mark.parametrize(
        ("code", "error"),
        [(405, Unsupported), (404, Unsupported), (401, CacheDenied), (403, CacheDenied), (409, Conflict),
         (413, UploadRefused), (422, UploadRefused), (500, CacheDown)],
    )  # fmt: skip
    def test_what_a_server_refuses(self, server, backend, code, error):
        reason = json.dumps({"code": "K0684", "rule": "signature", "message": "no \x1b[31mgood", "path": PACK})
        server.take = lambda asked: (code, reason.encode())
        for put in (lambda: backend.put(PACK, b"x"), lambda: backend.put_many([(PACK, b"x")])):
            with pytest.raises(CacheError) as caught:
                put()
            assert type(caught.value) is error
            assert "signature: no \\x1b[31mgood" in (caught.value.found or "")
            backend.health.down = None

    def test_busy_is_waited_for(self, server):
        codes = iter([503, 429, 201])
        server.take = lambda asked: (next(codes), b"")
        assert open_backend(server.url, limits=Limits()).put(PACK, b"x")

    def test_a_commit_whose_answer_was_lost(self, server, backend):
        def take(asked):
            if asked.method == "PUT":
                server.files[HEAD] = asked.body
                return 201, b""
            return 404, UNKNOWN

        server.take = take
        assert backend.put(HEAD, b"mine", replace=True)
        server.take = lambda asked: (404, UNKNOWN) if asked.method == "POST" else (201, b"")
        with pytest.raises(CacheDown, match="lost an upload"):
            backend.put(HEAD, b"another", replace=True)

    def test_a_commit_without_a_head_whose_answer_was_lost(self, server, backend, monkeypatch):
        monkeypatch.setattr("kiln.store.cache.httpbackend._SESSION_BYTES", 1)

        def take(asked):
            if asked.method == "PUT":
                server.files[asked.path.split("/", 2)[2]] = asked.body
                return 201, b""
            return 404, UNKNOWN

        server.take = take
        assert backend.put_many([(PACK, b"pack")]) == set()
        server.files.clear()
        server.take = lambda asked: (404, UNKNOWN) if asked.method == "POST" else (201, b"")
        with pytest.raises(CacheDown, match="lost an upload"):
            backend.put_many([(PACK, b"pack")])

    def test_a_commit_that_is_verified_for_long_is_asked_about_again(self, server, backend):
        """Longer than one answer may take, with the same request for the same session."""
        codes = iter([202, 202, 202, 200])
        server.take = lambda asked: (next(codes), b"{}") if asked.method == "POST" else (201, b"")
        assert backend.put(HEAD, b"{1}", replace=True)
        asked = [item.path for item in server.asked if item.method == "POST"]
        assert len(asked) == 4 and len(set(asked)) == 1

    def test_a_server_that_verifies_for_ever(self, server, backend, monkeypatch):
        monkeypatch.setattr("kiln.store.cache.httpbackend._VERIFYING", 0.0)
        server.take = lambda asked: (202, b"{}") if asked.method == "POST" else (201, b"")
        with pytest.raises(CacheDown, match="for too long"):
            backend.put(HEAD, b"{1}", replace=True)

    def test_the_web_lists_and_removes_nothing(self, backend):
        with pytest.raises(Unsupported):
            backend.listing()
        with pytest.raises(Unsupported):
            backend.delete(PACK)

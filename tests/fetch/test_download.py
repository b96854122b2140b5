"""One address, well and badly behaved."""

from __future__ import annotations

import dataclasses
import hashlib
import threading

import pytest
from webdouble import (
    Web,
    body,
    chunked,
    dripping,
    raw,
    redirect,
    sent,
    stalled,
    status,
    wrong_range,
)

from kiln.interpreter.fetch.download import Undelivered, download
from kiln.interpreter.fetch.errors import BadConfig, Outcome
from kiln.interpreter.fetch.sink import Sink
from kiln.store.digest import blob_digest

DATA = bytes(range(251)) * 400


def bring(url, config, tmp_path, **limits):
    with Sink(str(tmp_path / "part")) as sink:
        delivered = download(url, sink, dataclasses.replace(config.limits, **limits))
        received = sink.received()
    assert (tmp_path / "part").read_bytes() == DATA
    assert received.blake3 == blob_digest(DATA)
    assert received.sha256 == hashlib.sha256(DATA).hexdigest()
    assert received.size == len(DATA)
    return delivered


def fails(url, config, tmp_path, **limits):
    with Sink(str(tmp_path / "part")) as sink, pytest.raises(Undelivered) as caught:
        download(url, sink, dataclasses.replace(config.limits, **limits))
    return caught.value


GOOD = {
    "plain": [body(DATA)],
    "without a length": [chunked(DATA)],
    "an encoding that must not be undone": [body(DATA, Content_Encoding="gzip")],
    "resumed": [sent(DATA, 30_000), body(DATA)],
    "resumed again and again, each time with progress": [
        *(sent(DATA, end) for end in range(5_000, 100_000, 5_000)),
        body(DATA),
    ],
    "resumed by date": [
        sent(DATA, 30_000, etag=None, Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT"),
        body(DATA, etag=None),
    ],
    "ranges ignored": [sent(DATA, 30_000), body(DATA, ranges=False)],
    "changed behind the address": [sent(b"old" * 20_000, 30_000, etag='"0"'), body(DATA)],
    "another range than was asked for": [sent(DATA, 30_000), wrong_range(DATA, 10), body(DATA)],
    "range refused": [sent(DATA, 30_000), status(416), body(DATA)],
    "broken off in chunks": [chunked(DATA, complete=False), body(DATA)],
    "stalled": [stalled(DATA, 20_000), body(DATA)],
    "too slow": [dripping(DATA), body(DATA)],
    "busy": [status(503), status(429, Retry_After="0"), status(502), body(DATA)],
    "busy until a date": [status(503, Retry_After="Fri, 31 Dec 1999 23:59:59 GMT"), body(DATA)],
    "no HTTP at first": [raw(b"nonsense\r\n\r\n"), body(DATA)],
    "no answer at first": [raw(b""), body(DATA)],
}


SLOW = ("stalled", "too slow", "a byte at a time")
"""Cases that need short limits; the others have none that a busy machine could reach."""


@pytest.mark.parametrize("name", GOOD)
def test_arrives(web, config, patient, tmp_path, name):
    bring(web.serve("/file", *GOOD[name]), config if name.startswith(SLOW) else patient, tmp_path)


BAD = {
    "missing": ([status(404)], Outcome.MISSING, 1),
    "gone": ([status(410)], Outcome.MISSING, 1),
    "forbidden": ([status(403)], Outcome.REFUSED, 1),
    "busy for ever": ([status(503)], Outcome.BUSY, 4),
    "too many requests for ever": ([status(429)], Outcome.BUSY, 4),
    "stalled for ever": ([stalled(DATA, 100)], Outcome.STALLED, 4),
    "a byte at a time for ever": ([dripping(DATA)], Outcome.STALLED, 4),
    "broken for ever": ([sent(DATA, 100)], Outcome.BROKEN, 4),
    "in circles: much each time, never more": ([sent(DATA, 30_000, ranges=False)], Outcome.BROKEN, 5),
    "no HTTP": ([raw(b"nonsense\r\n\r\n")], Outcome.BAD_ANSWER, 4),
    "redirect to nowhere": ([status(302)], Outcome.BAD_ANSWER, 1),
    "redirect to itself": ([redirect("/file")], Outcome.BAD_ANSWER, 1),
    "redirect to a file": ([redirect("file:///etc/passwd")], Outcome.BAD_ANSWER, 1),
    "redirect to ftp": ([redirect("ftp://127.0.0.1/file")], Outcome.BAD_ANSWER, 1),
    "a part that was not asked for": ([wrong_range(DATA, 0)], Outcome.BAD_ANSWER, 1),
    "not modified": ([status(304)], Outcome.BAD_ANSWER, 1),
}


@pytest.mark.parametrize("name", BAD)
def test_is_given_up(web, config, patient, tmp_path, name):
    behaviours, outcome, tries = BAD[name]
    failure = fails(web.serve("/file", *behaviours), config if name.startswith(SLOW) else patient, tmp_path)
    assert (failure.outcome, failure.tries) == (outcome, tries), failure.detail


def test_a_resumed_download_asks_for_the_rest_of_the_same_file(web, patient, tmp_path):
    delivered = bring(web.serve("/file", sent(DATA, 30_000), body(DATA)), patient, tmp_path)
    assert delivered.resumed
    again = web.asked[1].headers
    assert (again["Range"], again["If-Range"]) == ("bytes=30000-", '"1"')


def test_bytes_are_asked_for_as_they_are_and_under_our_name(web, patient, tmp_path):
    bring(web.serve("/file", body(DATA)), patient, tmp_path)
    headers = web.asked[0].headers
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"].startswith("kiln")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed_to_another_host(web, other_web, patient, tmp_path, code):
    there = other_web.serve("/there", body(DATA))
    web.serve("/next", redirect(there, code))
    delivered = bring(web.serve("/file", redirect("next", code)), patient, tmp_path)
    assert delivered.url == there


@pytest.mark.parametrize("behaviour", [body(DATA), chunked(DATA)], ids=["announced", "not announced"])
def test_what_is_too_large_is_not_taken(web, patient, tmp_path, behaviour):
    failure = fails(web.serve("/file", behaviour), patient, tmp_path, size=len(DATA) - 1)
    assert (failure.outcome, failure.tries) == (Outcome.TOO_LARGE, 1)
    bring(web.serve("/file", behaviour), patient, tmp_path, size=len(DATA))


def test_nobody_listens(patient, tmp_path, no_proxy):
    web = Web()
    web.close()
    failure = fails(web.url("/file"), patient, tmp_path)
    assert (failure.outcome, failure.tries) == (Outcome.UNREACHABLE, 2)


def test_no_such_host(patient, tmp_path, no_proxy):
    failure = fails("http://host.invalid/file", patient, tmp_path)
    assert failure.outcome is Outcome.UNREACHABLE


def test_progress_is_told_with_the_total(web, patient, tmp_path):
    told = []
    with Sink(str(tmp_path / "part")) as sink:
        download(web.serve("/file", body(DATA)), sink, patient.limits, told.append)
    assert (told[-1].done, told[-1].total) == (len(DATA), len(DATA))
    assert told == sorted(told, key=lambda progress: progress.done)


def test_many_at_once_from_many_threads(web, patient, tmp_path):
    urls = [web.serve(f"/{number}", sent(DATA, 20_000), body(DATA)) for number in range(12)]
    failures = []

    def work(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            bring(urls[number], patient, folder)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_https_with_an_unknown_authority_is_not_reached(secure_web, patient, tmp_path):
    failure = fails(secure_web.serve("/file", body(DATA)), patient, tmp_path)
    assert (failure.outcome, failure.tries) == (Outcome.UNREACHABLE, 1)
    assert secure_web.asked == []


@pytest.mark.parametrize(
    "variable",
    [
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "PIP_CERT",
        "NODE_EXTRA_CA_CERTS",
        "GIT_SSL_CAINFO",
    ],
)
def test_each_certificate_variable_is_honoured(secure_web, patient, tmp_path, authority, monkeypatch, variable):
    monkeypatch.setenv(variable, str(authority))
    bring(secure_web.serve("/file", body(DATA)), patient, tmp_path)


@pytest.mark.parametrize("content", [None, b"no certificate"], ids=["absent", "no certificate"])
def test_a_certificate_variable_that_names_no_certificates(secure_web, patient, tmp_path, monkeypatch, content):
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with Sink(str(tmp_path / "part")) as sink, pytest.raises(BadConfig, match="CURL_CA_BUNDLE"):
        download(secure_web.url("/file"), sink, patient.limits)


def test_https_does_not_lead_to_http(secure_web, web, patient, tmp_path, authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    there = web.serve("/there", body(DATA))
    failure = fails(secure_web.serve("/file", redirect(there)), patient, tmp_path)
    assert (failure.outcome, failure.tries) == (Outcome.BAD_ANSWER, 1)
    assert "https" in failure.detail
    assert web.asked == []


def test_http_may_lead_to_https(secure_web, web, patient, tmp_path, authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    there = secure_web.serve("/there", body(DATA))
    assert bring(web.serve("/file", redirect(there)), patient, tmp_path).url == there


def test_the_proxy_of_the_environment_is_used(web, patient, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", web.url(""))
    address = "http://files.example/file"
    web.routes[address] = [body(DATA)]
    bring(address, patient, tmp_path)
    assert [asked.path for asked in web.asked] == [address]


def test_no_proxy_is_honoured(web, patient, tmp_path, monkeypatch):
    dead = Web()
    dead.close()
    monkeypatch.setenv("http_proxy", dead.url(""))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    bring(web.serve("/file", body(DATA)), patient, tmp_path)

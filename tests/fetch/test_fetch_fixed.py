"""A fixed file from its sources: order, mirrors, fallbacks, mismatches, offline; what an error says."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from webdouble import Web, body, redirect, sent, status

from kiln.interpreter.derivation import Fixed
from kiln.interpreter.fetch.errors import (
    Attempt,
    BadSource,
    CannotKeep,
    HashMismatch,
    NotDelivered,
    Outcome,
    Unreachable,
)
from kiln.interpreter.fetch.fetch import fetch_fixed
from kiln.store.digest import blob_digest

DATA = b"the pinned file" * 5000
SHA = hashlib.sha256(DATA).hexdigest()
BLAKE = blob_digest(DATA)
PIN = Fixed("pinned-1.0.tar.gz", False, "sha256", bytes.fromhex(SHA))
PIN_BLAKE = Fixed("pinned-1.0.tar.gz", True, "blake3", bytes(BLAKE))
POOL = "pool/main/p/pinned/pinned_1.0.orig.tar.gz"


@pytest.fixture
def dest(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work" / "file"


def get(dest, config, *sources, pin=PIN):
    return fetch_fixed(pin, sources, str(dest), config, env={})


def mirrored(config, **mirrors):
    return dataclasses.replace(config, mirrors={kind: tuple(bases) for kind, bases in mirrors.items()})


@pytest.mark.parametrize("pin", [PIN, PIN_BLAKE], ids=["sha256", "blake3"])
def test_the_pinned_file_from_an_address(web, patient, dest, pin):
    url = web.serve("/file", body(DATA))
    fetched = get(dest, patient, url, pin=pin)
    assert dest.read_bytes() == DATA
    assert (fetched.path, fetched.size, fetched.sha256, fetched.blake3) == (str(dest), len(DATA), SHA, BLAKE)
    assert (fetched.source_used, fetched.place) == (url, url)
    assert (fetched.attempts, fetched.mismatches, fetched.warnings) == ((), (), ())
    assert os.listdir(dest.parent) == ["file"]
    assert os.access(dest, os.X_OK) == pin.executable or os.getuid() == 0
    assert bool(dest.stat().st_mode & 0o100) == pin.executable


def test_a_file_of_this_machine(patient, dest, tmp_path):
    (tmp_path / "a b").write_bytes(DATA)
    fetched = get(dest, patient, f"file://{tmp_path}/a%20b")
    assert fetched.place == str(tmp_path / "a b")
    assert dest.read_bytes() == DATA


def test_debian_at_the_second_mirror(web, other_web, patient, dest):
    other_web.serve(f"/debian/{POOL}", body(DATA))
    config = mirrored(patient, debian=[web.url("/debian/"), other_web.url("/debian/")])
    fetched = get(dest, config, f"debian:{POOL}")
    assert fetched.place == other_web.url(f"/debian/{POOL}")
    assert [attempt.outcome for attempt in fetched.attempts] == [Outcome.MISSING]


def test_debian_names_are_quoted_as_apt_quotes_them(web, patient, dest):
    web.serve("/pool/main/g/g%2B%2B/g%2B%2B_1~rc1-2.deb", body(DATA))
    config = mirrored(patient, debian=[web.url("/")])
    get(dest, config, "debian:pool/main/g/g++/g++_1~rc1-2.deb")


def test_debian_on_a_mirror_of_this_machine(patient, dest, tmp_path):
    file = tmp_path / "mirror" / POOL
    file.parent.mkdir(parents=True)
    file.write_bytes(DATA)
    get(dest, mirrored(patient, debian=[f"file://{tmp_path}/mirror/"]), f"debian:{POOL}")


@pytest.mark.parametrize("kind", ["html", "json"])
def test_pypi(web, other_web, patient, dest, kind):
    there = other_web.serve("/44/pinned-1.0.tar.gz", body(DATA))
    page = f'<a href="{there}#sha256={SHA}">pinned-1.0.tar.gz</a>'.encode()
    media = "text/html; charset=utf-8"
    if kind == "json":
        media = "application/vnd.pypi.simple.v1+json"
        page = json.dumps({"files": [{"filename": "pinned-1.0.tar.gz", "url": there}]}).encode()
    web.serve("/simple/pinned/", body(page, Content_Type=media))
    fetched = get(dest, mirrored(patient, pypi=[web.url("/simple/")]), "pypi:Pinned/pinned-1.0.tar.gz")
    assert fetched.place == there
    assert "application/vnd.pypi.simple.v1+json" in web.asked[0].headers["Accept"]


def test_pypi_links_are_relative_to_where_the_page_came_from(web, other_web, patient, dest):
    web.serve("/simple/pinned/", redirect(other_web.url("/moved/pinned/")))
    page = b'<a href="../../f/pinned-1.0.tar.gz">pinned-1.0.tar.gz</a>'
    other_web.serve("/moved/pinned/", body(page, Content_Type="text/html"))
    other_web.serve("/f/pinned-1.0.tar.gz", body(DATA))
    get(dest, mirrored(patient, pypi=[web.url("/simple/")]), "pypi:pinned/pinned-1.0.tar.gz")


def test_pypi_on_an_index_of_this_machine(patient, dest, tmp_path):
    folder = tmp_path / "simple" / "pinned"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text('<a href="pinned-1.0.tar.gz">pinned-1.0.tar.gz</a>')
    (folder / "pinned-1.0.tar.gz").write_bytes(DATA)
    get(dest, mirrored(patient, pypi=[f"file://{tmp_path}/simple/"]), "pypi:pinned/pinned-1.0.tar.gz")


@pytest.mark.parametrize("href", ["file:///etc/passwd", "ftp://x/y", "javascript:alert(1)"])
def test_an_index_does_not_lead_to_other_schemes(web, patient, dest, href):
    page = f'<a href="{href}">pinned-1.0.tar.gz</a>'.encode()
    web.serve("/pinned/", body(page, Content_Type="text/html"))
    with pytest.raises(NotDelivered) as caught:
        get(dest, mirrored(patient, pypi=[web.url("/")]), "pypi:pinned/pinned-1.0.tar.gz")
    assert "leads to" in caught.value.attempts[0].detail


@pytest.mark.parametrize("document", ["/@scope%2fpinned/1.2.3", "/@scope%2fpinned"])
def test_npm_with_a_scope(web, patient, dest, document):
    tarball = web.serve("/files/pinned-1.2.3.tgz", body(DATA))
    entry = {"version": "1.2.3", "dist": {"tarball": tarball}}
    answer = entry if document.endswith("1.2.3") else {"versions": {"1.2.3": entry}}
    web.serve(document, body(json.dumps(answer).encode(), Content_Type="application/json"))
    fetched = get(dest, mirrored(patient, npm=[web.url("/")]), "npm:@scope/pinned@1.2.3")
    assert fetched.place == tarball


def test_npm_whose_document_names_a_host_that_is_not_there(web, patient, dest):
    dead = Web()
    dead.close()
    entry = {"version": "1.2.3", "dist": {"tarball": dead.url("/pinned-1.2.3.tgz")}}
    web.serve("/pinned/1.2.3", body(json.dumps(entry).encode(), Content_Type="application/json"))
    web.serve("/pinned/-/pinned-1.2.3.tgz", body(DATA))
    fetched = get(dest, mirrored(patient, npm=[web.url("/")]), "npm:pinned@1.2.3")
    assert fetched.place == web.url("/pinned/-/pinned-1.2.3.tgz")
    assert fetched.attempts[0].outcome is Outcome.UNREACHABLE


def test_every_source_is_tried_and_every_attempt_told(web, other_web, patient, dest, tmp_path):
    sources = (
        f"debian:{POOL}",
        web.serve("/forbidden", status(403)),
        web.serve("/broken", status(503)),
        f"file://{tmp_path}/absent",
        "pypi:pinned/pinned-1.0.tar.gz",
        "npm:pinned@1.2.3",
    )
    other_web.serve("/simple/pinned/", body(b"<html></html>", Content_Type="text/html"))
    config = mirrored(patient, debian=[web.url("/a/"), web.url("/b/")], pypi=[other_web.url("/simple/")])
    with pytest.raises(NotDelivered) as caught:
        get(dest, config, *sources)
    error = caught.value
    assert [(attempt.source, attempt.outcome) for attempt in error.attempts] == [
        (sources[0], Outcome.MISSING),
        (sources[0], Outcome.MISSING),
        (sources[1], Outcome.REFUSED),
        (sources[2], Outcome.BUSY),
        (sources[3], Outcome.MISSING),
        (sources[4], Outcome.MISSING),
        (sources[5], Outcome.NO_MIRROR),
    ]
    assert error.code == "K0503"
    assert error.expected == f"sha256:{SHA}"
    assert "KILN_MIRROR_NPM" in error.attempts[-1].detail
    assert str(error.attempts[3]).endswith("(4 tries)")
    assert error.notes == tuple(f"tried {attempt}" for attempt in error.attempts)
    assert os.listdir(dest.parent) == []


def test_a_network_that_is_not_there_is_told_apart(patient, dest, no_proxy):
    dead = Web()
    dead.close()
    with pytest.raises(Unreachable) as caught:
        get(dest, mirrored(patient, debian=[dead.url("/")]), f"debian:{POOL}", dead.url("/file"))
    assert caught.value.code == "K0506"
    assert "network" in caught.value.help


def test_a_fallback_that_has_the_file(web, patient, dest):
    second = web.serve("/old/file", body(DATA))
    fetched = get(dest, patient, web.url("/dropped"), second)
    assert fetched.source_used == second
    assert [attempt.outcome for attempt in fetched.attempts] == [Outcome.MISSING]


def test_wrong_bytes_are_refused_kept_and_told(web, patient, dest):
    url = web.serve("/file", body(b"something else"))
    with pytest.raises(HashMismatch) as caught:
        get(dest, patient, url)
    error = caught.value
    assert error.code == "K0501"
    assert error.expected == f"sha256:{SHA}"
    assert error.found == f"sha256:{hashlib.sha256(b'something else').hexdigest()}"
    assert (error.size, error.place) == (14, url)
    assert error.notes[0] == f"kept the file that came (14 bytes): {error.kept}"
    with open(error.kept, "rb") as kept:
        assert kept.read() == b"something else"
    assert not dest.exists()
    assert os.listdir(dest.parent) == [os.path.basename(error.kept)]


def test_wrong_bytes_are_kept_where_the_configuration_says(web, patient, dest, tmp_path):
    config = dataclasses.replace(patient, keep_dir=str(tmp_path / "kept" / "here"))
    with pytest.raises(HashMismatch) as caught:
        get(dest, config, web.serve("/file", body(b"something else")))
    assert os.path.dirname(caught.value.kept) == str(tmp_path / "kept" / "here")
    assert os.listdir(dest.parent) == []


def test_wrong_bytes_and_then_the_right_ones(web, patient, dest):
    fetched = get(dest, patient, web.serve("/wrong", body(b"wrong")), web.serve("/right", body(DATA)), pin=PIN_BLAKE)
    assert fetched.place == web.url("/right")
    assert [mismatch.place for mismatch in fetched.mismatches] == [web.url("/wrong")]
    assert os.path.exists(fetched.mismatches[0].kept)
    assert fetched.mismatches[0].kept in fetched.warnings[0]
    assert dest.read_bytes() == DATA


def test_wrong_bytes_at_one_mirror_and_nothing_at_the_others_is_a_mismatch(web, other_web, patient, dest):
    web.serve(f"/{POOL}", body(b"wrong"))
    config = mirrored(patient, debian=[web.url("/"), other_web.url("/")])
    with pytest.raises(HashMismatch) as caught:
        get(dest, config, f"debian:{POOL}")
    assert [attempt.outcome for attempt in caught.value.attempts] == [Outcome.MISMATCH, Outcome.MISSING]


@pytest.mark.parametrize(("promised", "word"), [(b"wrong", "this very file"), (DATA, "another file")])
def test_what_the_registry_promises_tells_whose_fault_it_is(web, patient, dest, promised, word):
    there = web.serve("/f/pinned-1.0.tar.gz", body(b"wrong"))
    digest = hashlib.sha256(promised).hexdigest()
    page = f'<a href="{there}#sha256={digest}">pinned-1.0.tar.gz</a>'.encode()
    web.serve("/pinned/", body(page, Content_Type="text/html"))
    with pytest.raises(HashMismatch) as caught:
        get(dest, mirrored(patient, pypi=[web.url("/")]), "pypi:pinned/pinned-1.0.tar.gz")
    assert word in caught.value.notes[1]


def test_a_download_glued_from_two_files_is_fetched_once_more(web, patient, dest):
    """Without a validator a server may answer a range from another version of the file."""
    other = b"x" * len(DATA)
    url = web.serve("/file", sent(other, 30_000, etag=None), body(DATA, etag=None), body(DATA, etag=None))
    assert get(dest, patient, url).attempts == ()


def test_a_bad_address_is_told_before_anything_is_asked(web, patient, dest):
    with pytest.raises(BadSource):
        get(dest, patient, web.serve("/file", body(DATA)), "ftp://x/y")
    assert web.asked == []


def test_offline_uses_this_machine_alone(web, patient, dest, tmp_path):
    (tmp_path / "file").write_bytes(DATA)
    config = dataclasses.replace(mirrored(patient, pypi=[web.url("/")]), offline=True)
    sources = (web.serve("/file", body(DATA)), "pypi:pinned/pinned-1.0.tar.gz")
    with pytest.raises(Unreachable) as caught:
        get(dest, config, *sources)
    assert [attempt.outcome for attempt in caught.value.attempts] == [Outcome.OFFLINE] * 2
    assert "--offline" in caught.value.help
    assert get(dest, config, *sources, f"file://{tmp_path}/file").size == len(DATA)
    assert web.asked == []


def test_a_password_in_a_mirror_is_used_and_never_told(web, patient, dest):
    base = f"http://user:secret@127.0.0.1:{web.port}/"
    config = mirrored(patient, debian=[base])
    with pytest.raises(NotDelivered) as caught:
        get(dest, config, f"debian:{POOL}")
    assert web.asked[0].headers["Authorization"].startswith("Basic ")
    assert "secret" not in "".join(map(str, caught.value.attempts))
    web.serve(f"/{POOL}", body(DATA))
    assert "secret" not in get(dest, config, f"debian:{POOL}").place


def test_a_file_that_cannot_be_written(web, patient, dest):
    with pytest.raises(CannotKeep):
        get(dest.parent / "absent" / "file", patient, web.serve("/file", body(DATA)))


def test_no_source_at_all(patient, dest):
    with pytest.raises(NotDelivered) as caught:
        get(dest, patient)
    assert (type(caught.value), caught.value.attempts) == (NotDelivered, ())


@pytest.mark.parametrize("kind", ["directory", "fifo", "device"])
def test_what_is_no_regular_file_is_not_read(patient, dest, tmp_path, kind):
    path = {"directory": tmp_path, "fifo": tmp_path / "fifo", "device": "/dev/zero"}[kind]
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotDelivered) as caught:
        get(dest, patient, f"file://{path}")
    assert caught.value.attempts[0].detail == "no regular file"


def test_a_folder_for_wrong_files_that_cannot_be_made(web, patient, dest, tmp_path):
    (tmp_path / "occupied").write_text("")
    config = dataclasses.replace(patient, keep_dir=str(tmp_path / "occupied" / "x"))
    with pytest.raises(HashMismatch) as caught:
        get(dest, config, web.serve("/file", body(b"wrong")))
    assert os.path.dirname(caught.value.kept) == str(dest.parent)


def test_an_interrupt_ends_the_fetch_and_leaves_nothing(web, dest):
    """The server has the client interrupted once it holds a part of the file."""

    def interrupt(handler):
        handler.head(200, len(DATA))
        handler.wfile.write(DATA[:1000])
        handler.wfile.flush()
        os.kill(int(handler.path.rpartition("/")[2]), signal.SIGINT)
        handler.server.web.over.wait(60)
        handler.close_connection = True

    web.otherwise = interrupt
    code = f"""
import os
from kiln.interpreter.derivation import Fixed
from kiln.interpreter.fetch.config import FetchConfig
from kiln.interpreter.fetch.fetch import fetch_fixed
url = {web.url("/")!r} + str(os.getpid())
fetch_fixed(Fixed("f", False, "sha256", bytes(32)), [url], {str(dest)!r}, FetchConfig())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGINT
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert os.listdir(dest.parent) == []


def test_several_fetches_at_once(web, patient, dest):
    fetched = {}

    def work(number):
        url = web.serve(f"/{number}", sent(DATA, 10_000), body(DATA))
        fetched[number] = get(dest.parent / str(number), patient, url)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fetched) == list(range(8))


def test_a_fetch_from_this_machine_imports_no_network_library():
    code = (
        "import sys, kiln.interpreter.fetch.fetch, kiln.interpreter.fetch.unpack;"
        "print(sorted({'aiohttp', 'asyncio', 'fsspec', 'git', 'subprocess', 'logging', 'ssl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_process_ends_quietly_after_a_fetch(web, tmp_path):
    url = web.serve("/file", body(DATA))
    code = f"""
from kiln.interpreter.derivation import Fixed
from kiln.interpreter.fetch.config import FetchConfig
from kiln.interpreter.fetch.fetch import fetch_fixed
fetch_fixed(Fixed("f", False, "sha256", bytes.fromhex({SHA!r})), [{url!r}], {str(tmp_path / "f")!r}, FetchConfig())
"""
    command = [sys.executable, "-X", "dev", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_servers_words_carry_no_escape_codes():
    attempt = Attempt("s", "https://h/", Outcome.REFUSED, "evil\x1b[31m\nline")
    assert str(attempt) == "https://h/: refused by the server: evil\\x1b[31m\\nline"

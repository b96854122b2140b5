"""What a fetch shows to a private mirror: the header that a secret holds, to the address's own host and no other."""

from __future__ import annotations

import hashlib
import os

import pytest
from webdouble import Web, body, redirect, status

from kiln.interpreter.derivation import Credential, Fixed
from kiln.interpreter.fetch.errors import NotDelivered
from kiln.interpreter.fetch.fetch import fetch_fixed
from kiln.interpreter.secrets import SecretMissing, SecretValue, header_of
from tests.evaluate.evaluate_cases import evaluator
from tests.support.home import Home

DATA = b"private\n"
FIXED = Fixed("private", False, "sha256", hashlib.sha256(DATA).digest())
TOKEN = SecretValue("token", b"abcdefgh-token")
HEADER = ("Authorization", "Bearer abcdefgh-token")


def shown(web: Web) -> list[str | None]:
    return [asked.headers.get("Authorization") for asked in web.asked]


def test_a_header_goes_to_its_source(web: Web, config, tmp_path) -> None:
    url = web.serve("/a", body(DATA))
    fetch_fixed(FIXED, [url], str(tmp_path / "file"), config, headers={url: HEADER})
    assert shown(web) == [HEADER[1]]


def test_a_redirect_on_the_same_host_keeps_it_and_another_loses_it(
    web: Web, other_web: Web, config, tmp_path
) -> None:
    last = other_web.serve("/c", body(DATA))
    web.serve("/b", redirect(last))
    url = web.serve("/a", redirect("/b"))
    fetch_fixed(FIXED, [url], str(tmp_path / "file"), config, headers={url: HEADER})
    assert shown(web) == [HEADER[1], HEADER[1]]
    assert shown(other_web) == [None]


def test_another_source_is_shown_nothing(web: Web, other_web: Web, config, tmp_path) -> None:
    refused, open_ = web.serve("/a", status(403)), other_web.serve("/a", body(DATA))
    fetched = fetch_fixed(FIXED, [refused, open_], str(tmp_path / "file"), config, headers={refused: HEADER})
    assert shown(web) == [HEADER[1]] and shown(other_web) == [None]
    assert fetched.place == open_


def test_no_message_has_it(web: Web, config, tmp_path) -> None:
    url = web.serve("/a", status(401))
    with pytest.raises(NotDelivered) as caught:
        fetch_fixed(FIXED, [url], str(tmp_path / "file"), config, headers={url: HEADER})
    assert "abcdefgh" not in f"{caught.value} {caught.value.notes} {caught.value.help} {caught.value.found}"


@pytest.mark.parametrize(
    ("credential", "header"),
    [
        (Credential("bearer", "", "token"), HEADER),
        (Credential("basic", "me", "token"), ("Authorization", "Basic bWU6YWJjZGVmZ2gtdG9rZW4=")),
        (Credential("header", "PRIVATE-TOKEN", "token"), ("PRIVATE-TOKEN", "abcdefgh-token")),
    ],
)
def test_the_forms_of_a_credential(credential: Credential, header: tuple[str, str]) -> None:
    assert header_of(credential, TOKEN) == header


@pytest.mark.parametrize("data", [b"two\nlines of it", "ä-token-x".encode(), b"a\ttab in it"])
def test_a_secret_that_is_no_header(data: bytes) -> None:
    with pytest.raises(SecretMissing) as caught:
        header_of(Credential("bearer", "", "token"), SecretValue("token", data))
    assert "lines" not in str(caught.value)


PROGRAM = """
let x: Out(File) = fetch_file(
  name = "private", hash = "sha256:HASH", sources = [SOURCES],
  credential = CREDENTIAL,
);
"""


def program(sources: str, credential: str) -> str:
    text = PROGRAM.replace("HASH", FIXED.value.hex())
    return text.replace("SOURCES", sources).replace("CREDENTIAL", credential)


@pytest.mark.parametrize(
    ("sources", "credential", "words"),
    [
        ('"http://e.org/a"', 'Bearer(secret("token"))', "no source that begins with https://"),
        ('"debian:pool/a"', 'Bearer(secret("token"))', "no source that begins with https://"),
        ('"https://e.org/a"', 'Basic(user = "a:b", password = secret("token"))', "has `:` in it"),
        ('"https://e.org/a"', 'Header(name = "Range", value = secret("token"))', "named `Range`"),
        ('"https://e.org/a"', 'Header(name = "X Y", value = secret("token"))', "named `X Y`"),
    ],
)
def test_what_evaluation_refuses(tmp_path, sources: str, credential: str, words: str) -> None:
    found, module = evaluator(str(tmp_path), program(sources, credential), "app.kiln")
    with pytest.raises(Exception, match="K0417") as caught:
        found.value(module, "x")
    assert words in caught.value.report.title


def test_a_credential_is_in_no_digest(tmp_path) -> None:
    digests = set()
    for credential in ('Bearer(secret("one"))', 'Header(name = "X", value = secret("two"))'):
        found, module = evaluator(str(tmp_path), program('"https://e.org/a"', credential), "app.kiln")
        (target,) = found.targets(found.value(module, "x"))
        digests.add(target.item.drv)
    assert len(digests) == 1


def test_a_private_file_is_realised(web: Web, tmp_path) -> None:
    url = web.serve("/a", body(DATA))
    home = Home(str(tmp_path / "home"))
    home.write("main.kiln", program(f'"{url}"', 'Bearer(secret("token"))').replace("let x", "pub let x"))
    failed = home.kiln("realise", "main.kiln", "--no-link")
    assert "error[K0460]: private needs the secret `token`" in failed.err and not web.asked
    done = home.kiln("realise", "main.kiln", "--no-link", env={"KILN_SECRET_TOKEN": "abcdefgh-token"}).expect()
    assert shown(web) == [HEADER[1]]
    with open(done.lines[0], "rb") as file:
        assert file.read() == DATA
    kept = [os.path.join(place, name) for place, _, names in os.walk(home.folder) for name in names]
    for path in kept:
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "rb") as file:
                assert b"abcdefgh" not in file.read(), path

"""Answers of registries: simple indexes as HTML and JSON, npm's documents."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from kiln.interpreter.fetch.index import BadIndex, Link, Promise, npm_link, simple_link

BASE = "https://index.example/simple/ninja/"
NAME = "ninja-1.13.2.tar.gz"
SHA = hashlib.sha256(b"x").hexdigest()
PROMISE = Promise("sha256", SHA)

PAGES = {
    "absolute": (f'<a href="https://f.example/44/{NAME}#sha256={SHA}">{NAME}</a>', "https://f.example/44/", PROMISE),
    "relative": (f'<a href="../../44/{NAME}#sha256={SHA}">{NAME}</a>', "https://index.example/44/", PROMISE),
    "root-relative": (f'<a href="/44/{NAME}">{NAME}</a>', "https://index.example/44/", None),
    "no scheme": (f'<a href="//f.example/{NAME}">{NAME}</a>', "https://f.example/", None),
    "base": (f'<base href="https://b.example/x/"><a href="{NAME}">{NAME}</a>', "https://b.example/x/", None),
    "another algorithm": (f'<a href="{NAME}#md5=00">{NAME}</a>', BASE, None),
    "attributes, entities, space": (
        f'<a data-requires-python="&gt;=3" class=x href="{NAME}?a=1&amp;b=2#sha256={SHA}">\n {NAME} </a>',
        BASE,
        PROMISE,
    ),
    "upper case": (f'<A HREF="{NAME}">{NAME}</A>', BASE, None),
    "without text": (f'<a href="{NAME}"></a>', BASE, None),
}


@pytest.mark.parametrize(("page", "folder", "promise"), PAGES.values(), ids=PAGES.keys())
def test_html(page, folder, promise):
    html = f"<!DOCTYPE html><body><a href='x/other.whl'>other.whl</a><br>{page}</body>"
    link = simple_link(BASE, "text/html", html.encode(), NAME)
    assert link is not None
    assert link.url.partition("?")[0] == folder + NAME
    assert link.promise == promise


def test_json():
    page = {
        "files": [
            {"filename": "other", "url": "x"},
            "odd",
            {"filename": NAME, "url": f"../{NAME}", "hashes": {"sha256": SHA}},
        ]
    }
    link = simple_link(BASE, "application/vnd.pypi.simple.v1+json", json.dumps(page).encode(), NAME)
    assert link == Link(f"https://index.example/simple/{NAME}", PROMISE)


def test_a_file_that_is_not_listed():
    assert simple_link(BASE, "text/html", b"<a href='x'>x</a>", NAME) is None
    assert simple_link(BASE, "application/json", b'{"files": []}', NAME) is None


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"files": 1}', b"[" * 100_000])
def test_json_of_another_shape(body):
    with pytest.raises(BadIndex):
        simple_link(BASE, "application/json", body, NAME)


SRI = "sha512-" + base64.b64encode(hashlib.sha512(b"x").digest()).decode()
DIST = {"tarball": "https://r.example/a/-/a-1.2.3.tgz", "integrity": "sha1-AAAA " + SRI}


@pytest.mark.parametrize(
    "document",
    [
        {"version": "1.2.3", "dist": DIST},
        {"versions": {"1.0.0": {"dist": {}}, "1.2.3": {"version": "1.2.3", "dist": DIST}}},
    ],
    ids=["of the version", "of the package"],
)
def test_npm(document):
    link = npm_link(json.dumps(document).encode(), "1.2.3")
    assert link == Link(DIST["tarball"], Promise("sha512", hashlib.sha512(b"x").hexdigest()))


@pytest.mark.parametrize(
    "document",
    [{}, {"versions": {}}, {"version": "1.2.4", "dist": DIST}, {"dist": {}}, {"dist": {"tarball": 1}}],
)
def test_npm_without_that_version(document):
    assert npm_link(json.dumps(document).encode(), "1.2.3") is None


@pytest.mark.parametrize("integrity", ["", 7, "sha512-!!", "md5-AAAA", None])
def test_npm_without_a_promise_that_is_understood(integrity):
    document = {"dist": {"tarball": "https://r.example/a.tgz", "integrity": integrity}}
    assert npm_link(json.dumps(document).encode(), "1.2.3") == Link("https://r.example/a.tgz", None)

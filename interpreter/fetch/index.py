"""What registries answer: a Python project's page (PEP 503, PEP 691), an npm package's document.

Both name, for a file, an address (absolute or relative, perhaps of another host) and what the registry
promises about its bytes. A promise is never enough for admission, which the pin alone decides; it tells a
wrong pin from a damaged download.

    <a href="../../packages/44/ninja-1.13.2.tar.gz#sha256=4ff0…">ninja-1.13.2.tar.gz</a>
    {"files": [{"filename": "ninja-1.13.2.tar.gz", "url": "…", "hashes": {"sha256": "4ff0…"}}]}
    {"dist": {"tarball": "https://…/name-1.2.3.tgz", "integrity": "sha512-dq9A…"}}
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urljoin

SIMPLE_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
NPM_ACCEPT = "application/json"

_HEX = re.compile(r"[0-9a-f]{32,128}")
_ALGORITHMS = ("sha256", "sha384", "sha512")


class Promise(NamedTuple):
    """What a registry says about a file: an algorithm of hashlib and the hexadecimal digest."""

    algorithm: str
    value: str


class Link(NamedTuple):
    """Where a registry says that a file lies."""

    url: str
    promise: Promise | None


class BadIndex(Exception):
    """A page or document that is not what its address promises."""


def simple_link(base: str, media_type: str, body: bytes, filename: str) -> Link | None:
    """The link to `filename` on a project's page that came from `base`. Raises BadIndex."""
    links = _from_json(body) if media_type.endswith("json") else _from_html(body)
    for name, href, promise in links:
        address, fragment = urldefrag(urljoin(base, href))
        listed = name or unquote(address.rpartition("/")[2])
        if listed == filename:
            algorithm, _, value = fragment.partition("=")
            return Link(address, promise or _promise(algorithm, value))
    return None


def npm_link(body: bytes, version: str) -> Link | None:
    """The tarball of one version, from its own document or from the package's. Raises BadIndex."""
    document = _load(body)
    versions = document.get("versions")
    entry = versions.get(version) if isinstance(versions, dict) else document
    if not isinstance(entry, dict) or entry.get("version", version) != version:
        return None
    match entry.get("dist"):
        case {"tarball": str(tarball), "integrity": integrity}:
            return Link(tarball, _integrity(integrity))
        case {"tarball": str(tarball)}:
            return Link(tarball, None)
        case _:
            return None


def _from_json(body: bytes) -> list[tuple[str, str, Promise | None]]:
    files = _load(body).get("files")
    if not isinstance(files, list):
        raise BadIndex("a simple index without files")
    found = []
    for item in files:
        match item:
            case {"filename": str(name), "url": str(url)}:
                hashes = item.get("hashes")
                value = hashes.get("sha256") if isinstance(hashes, dict) else None
                found.append((name, url, _promise("sha256", value)))
            case _:
                continue
    return found


def _from_html(body: bytes) -> list[tuple[str, str, Promise | None]]:
    page = _Page()
    page.feed(body.decode("utf-8", "replace"))
    page.close()
    return [(name, href, None) for name, href in page.links]


class _Page(HTMLParser):
    """The anchors of a page: their text and their href; `<base href>` is honoured."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[tuple[str, str]] = []
        self._base = ""
        self._href: str | None = None
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "base" and href:
            self._base = href
        elif tag == "a":
            self._href, self._text = href, []

    def handle_data(self, data: str) -> None:
        if self._href is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._href is not None:
            self.links.append(("".join(self._text).strip(), urljoin(self._base, self._href)))
            self._href = None


def _load(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadIndex(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadIndex("JSON of another shape")
    return document


def _promise(algorithm: str, value: object) -> Promise | None:
    if algorithm in _ALGORITHMS and isinstance(value, str) and _HEX.fullmatch(value):
        return Promise(algorithm, value)
    return None


def _integrity(words: object) -> Promise | None:
    """Subresource integrity: `sha512-<base64>`, perhaps several; the first that is understood."""
    for word in words.split() if isinstance(words, str) else ():
        algorithm, _, encoded = word.partition("-")
        try:
            value = base64.b64decode(encoded.partition("?")[0], validate=True).hex()
        except (binascii.Error, ValueError):
            continue
        if found := _promise(algorithm, value):
            return found
    return None

"""From a source to the addresses that may have its file, one after another, asking no more than needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias
from urllib.parse import quote, unquote_to_bytes, urlsplit

from kiln.interpreter.fetch import index
from kiln.interpreter.fetch.config import FetchConfig, Limits
from kiln.interpreter.fetch.errors import Attempt, Outcome
from kiln.interpreter.fetch.mirrors import Kind, how_to_configure, mirrors
from kiln.interpreter.fetch.source import DebianSource, NpmSource, PypiSource, UrlSource, redact

Located: TypeAlias = DebianSource | PypiSource | NpmSource | UrlSource
"""The sources that become addresses of http, https or file."""


class Candidate(NamedTuple):
    """An address to be tried, and what a registry promises about the file."""

    url: str
    promise: index.Promise | None = None


class _Nothing(Exception):
    """A mirror that has no address to give."""

    def __init__(self, place: str, outcome: Outcome, detail: str, tries: int = 1) -> None:
        super().__init__(detail)
        self.place, self.outcome, self.detail, self.tries = place, outcome, detail, tries


def candidates(source: Located, config: FetchConfig, env: Mapping[str, str]) -> Iterator[Candidate | Attempt]:
    """Addresses in the order of trying; an `Attempt` stands for a mirror that had none to give."""
    match source:
        case UrlSource(url=url):
            yield Candidate(url)
        case DebianSource(path=path):
            quoted = quote(path, safe="/~:_.-")
            yield from _of_each("debian", source, config, env, lambda base: [Candidate(base + quoted)])
        case PypiSource():
            yield from _of_each("pypi", source, config, env, lambda base: _pypi(source, base, config))
        case NpmSource():
            yield from _of_each("npm", source, config, env, lambda base: _npm(source, base, config))


def local_path(url: str) -> bytes:
    """The path of a `file:` address."""
    return unquote_to_bytes(urlsplit(url).path)


def is_local(url: str) -> bool:
    return url.startswith("file:")


def _of_each(
    kind: Kind,
    source: Located,
    config: FetchConfig,
    env: Mapping[str, str],
    ask: Callable[[str], list[Candidate]],
) -> Iterator[Candidate | Attempt]:
    none = True
    for base in mirrors(kind, config, env):
        none = False
        if config.offline and not is_local(base):
            yield Attempt(source.text, redact(base), Outcome.OFFLINE, "", tries=0)
            continue
        try:
            yield from ask(base)
        except _Nothing as nothing:
            yield Attempt(source.text, redact(nothing.place), nothing.outcome, nothing.detail, nothing.tries)
    if none:
        yield Attempt(source.text, f"{kind}:", Outcome.NO_MIRROR, how_to_configure(kind, config), tries=0)


def _pypi(source: PypiSource, base: str, config: FetchConfig) -> list[Candidate]:
    page = f"{base}{source.project}/"
    final, media_type, body = _read(page, index.SIMPLE_ACCEPT, config.limits)
    try:
        link = index.simple_link(final, media_type, body, source.filename)
    except index.BadIndex as error:
        raise _Nothing(page, Outcome.BAD_ANSWER, str(error)) from None
    if link is None:
        raise _Nothing(page, Outcome.MISSING, f"the index lists no {source.filename}")
    return [_checked(page, link)]


def _npm(source: NpmSource, base: str, config: FetchConfig) -> list[Candidate]:
    """The tarball that the registry names and, where that names another host, the usual place in this one."""
    quoted = source.package.replace("/", "%2f")
    link = None
    for address in (f"{base}{quoted}/{source.version}", f"{base}{quoted}"):
        try:
            _, _, body = _read(address, index.NPM_ACCEPT, config.limits)
            link = index.npm_link(body, source.version)
        except index.BadIndex as error:
            raise _Nothing(address, Outcome.BAD_ANSWER, str(error)) from None
        except _Nothing as nothing:
            if nothing.outcome is not Outcome.MISSING:
                raise
        if link is not None:
            break
    if link is None:
        raise _Nothing(f"{base}{quoted}", Outcome.MISSING, f"the registry has no version {source.version}")
    short = source.package.rpartition("/")[2]
    usual = f"{base}{source.package}/-/{short}-{source.version}.tgz"
    found = [_checked(base, link)]
    if urlsplit(link.url).netloc != urlsplit(base).netloc:
        found.append(Candidate(usual, link.promise))
    return found


def _checked(place: str, link: index.Link) -> Candidate:
    """An index on the network may not lead to files of this machine, nor one of https to http."""
    scheme, asked = urlsplit(link.url).scheme, urlsplit(place).scheme
    allowed = {"file": ("file", "http", "https"), "http": ("http", "https"), "https": ("https",)}[asked]
    if scheme not in allowed:
        raise _Nothing(place, Outcome.BAD_ANSWER, f"the index leads to {redact(link.url)[:200]!r}")
    return Candidate(link.url, link.promise)


def _read(address: str, accept: str, limits: Limits) -> tuple[str, str, bytes]:
    """A document: where it came from in the end, its media type, its bytes."""
    if is_local(address):
        return _read_local(address, limits)
    from kiln.interpreter.fetch.download import Undelivered, read_document  # aiohttp: 170 ms

    try:
        return read_document(address, accept, limits)
    except Undelivered as error:
        raise _Nothing(address, error.outcome, error.detail, error.tries) from None


def _read_local(address: str, limits: Limits) -> tuple[str, str, bytes]:
    path = local_path(address)
    try:
        if os.path.isdir(path):
            path, address = os.path.join(path, b"index.html"), address.rstrip("/") + "/index.html"
        with open(path, "rb") as file:
            body = file.read(limits.document)
    except FileNotFoundError:
        raise _Nothing(address, Outcome.MISSING, "no such file") from None
    except OSError as error:
        raise _Nothing(address, Outcome.LOCAL, error.strerror or "") from None
    return address, "application/json" if body[:1] == b"{" else "text/html", body

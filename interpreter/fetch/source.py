"""Source addresses: where a pinned file may come from.

    debian:pool/main/t/tcc/tcc_0.9.27-1_amd64.deb     a path below any Debian mirror
    pypi:ninja/ninja-1.13.2.tar.gz                    a project and the name of one of its files
    npm:better-sqlite3@12.11.1                        a package (`@scope/name` too) and its version
    https://host/path                                 an address; http:// too
    file:///path                                      a file of this machine; percent-encoded, no host
    git+https://host/path?rev=<40 hex digits>         the tree of one commit, as its canonical archive;
                                                      also git+http, git+git and git+file

The digest is pinned beside the address, so that no address needs trust: http:// is allowed, while a redirect
from https to http is not (what is fetched may be nobody else's business). A host's user and password have no
place in a build file; they belong in `~/.netrc`. A commit is named in full, never by branch or tag: 40
hexadecimal digits, or 64 in a repository that uses SHA-256.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from kiln.interpreter.fetch.errors import BadSource

GitTransport: TypeAlias = Literal["https", "http", "git", "file"]


@dataclass(frozen=True, slots=True)
class DebianSource:
    """`path` begins with `pool/`, has no empty, `.` or `..` component, and is not percent-encoded."""

    text: str
    path: str


@dataclass(frozen=True, slots=True)
class PypiSource:
    """`project` in its normalised form (PEP 503)."""

    text: str
    project: str
    filename: str


@dataclass(frozen=True, slots=True)
class NpmSource:
    text: str
    package: str
    version: str


@dataclass(frozen=True, slots=True)
class UrlSource:
    """http or https, without user, password or fragment."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class FileSource:
    """An absolute path, as bytes."""

    text: str
    path: bytes


@dataclass(frozen=True, slots=True)
class GitSource:
    """`url` as git takes it; `rev` a full commit id in lower case."""

    text: str
    transport: GitTransport
    url: str
    rev: str


Source: TypeAlias = DebianSource | PypiSource | NpmSource | UrlSource | FileSource | GitSource

FORMS = "debian:pool/…, pypi:project/file, npm:name@version, https://…, file:///…, or git+https://…?rev=<commit id>"

_POOL = re.compile(r"pool(?:/[A-Za-z0-9+.~:_%-]+)+")
_PROJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_FILENAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!-]*")
_NPM = re.compile(
    r"(?P<name>(?:@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]*)"
    r"@(?P<version>[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*)"
)
_REV = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_PRINTABLE = re.compile(r"[!-~]+")


def parse_source(text: str) -> Source:
    """Read one address. Raises BadSource."""
    found = _SCHEME.match(text)
    if found is None:
        raise _bad(text, "a source begins with its scheme", FORMS)
    rest = text[found.end() :]
    match found[1].lower():
        case "debian":
            return _debian(text, rest)
        case "pypi":
            return _pypi(text, rest)
        case "npm":
            return _npm(text, rest)
        case "https" | "http":
            return UrlSource(text, _web_address(text, text, query=True))
        case "file":
            return FileSource(text, _local_path(text, text))
        case "git+https":
            return _git(text, "https")
        case "git+http":
            return _git(text, "http")
        case "git+git":
            return _git(text, "git")
        case "git+file":
            return _git(text, "file")
        case _:
            raise _bad(text, f"Kiln fetches nothing by the scheme {found[1]}:", FORMS)


def redact(url: str) -> str:
    """The address without user and password, for messages and records."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    host, slash, path = rest.partition("/")
    return scheme + mark + host.rpartition("@")[2] + slash + path


def _bad(text: str, message: str, expected: str, help: str | None = None) -> BadSource:
    return BadSource(message, found=repr(redact(text)[:200]), expected=expected, help=help)


def _debian(text: str, path: str) -> DebianSource:
    parts = path.split("/")
    if not _POOL.fullmatch(path) or any(part in (".", "..") for part in parts) or "%" in path:
        raise _bad(text, "not a path in Debian's pool", "debian:pool/main/t/tcc/tcc_0.9.27-1_amd64.deb")
    return DebianSource(text, path)


def _pypi(text: str, rest: str) -> PypiSource:
    project, slash, filename = rest.partition("/")
    if not (slash and _PROJECT.fullmatch(project) and _FILENAME.fullmatch(filename)):
        raise _bad(text, "not a project and the name of one of its files", "pypi:ninja/ninja-1.13.2.tar.gz")
    return PypiSource(text, re.sub(r"[-_.]+", "-", project).lower(), filename)


def _npm(text: str, rest: str) -> NpmSource:
    found = _NPM.fullmatch(rest)
    if found is None:
        raise _bad(
            text,
            "not a package and one exact version",
            "npm:name@1.2.3 or npm:@scope/name@1.2.3",
            "ranges and tags such as ^1.2 or latest change under a pin: name the version itself",
        )
    return NpmSource(text, found["name"], found["version"])


def _web_address(text: str, url: str, *, query: bool) -> str:
    """The address as it will be asked for, without a fragment."""
    parts = _split(text, url)
    if not parts.hostname:
        raise _bad(text, "an address needs a host", "https://host/path")
    if parts.username is not None or parts.password is not None:
        raise _bad(
            text,
            "an address in a build file carries no user and no password",
            "https://host/path",
            "put them into ~/.netrc, which Kiln reads when it asks that host",
        )
    if parts.query and not query:
        raise _bad(text, "an address that ends in ?rev= has no other query", "?rev=<commit id>")
    return parts._replace(fragment="").geturl()


def _split(text: str, url: str) -> SplitResult:
    if not _PRINTABLE.fullmatch(url):
        raise _bad(text, "an address is printable ASCII; percent-encode the rest", "https://host/path")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise _bad(text, f"not an address: {error}", "https://host/path") from None
    return parts


def _local_path(text: str, url: str) -> bytes:
    parts = _split(text, url)
    path = unquote_to_bytes(parts.path)
    local = parts.netloc in ("", "localhost") and url[len("file:") :].startswith("//")
    if not (local and path.startswith(b"/")) or parts.query or b"\0" in path:
        raise _bad(
            text,
            "not an absolute path of this machine",
            "file:///path/to/file",
            "a file beside the build file is a path in the language: ./name",
        )
    return path


def _git(text: str, transport: GitTransport) -> GitSource:
    address, mark, query = text[len("git+") :].partition("?")
    key, equals, rev = query.partition("=")
    if not (mark and equals and key == "rev" and _REV.fullmatch(rev)):
        raise _bad(
            text,
            "a git source names one commit in full",
            f"git+{transport}://…?rev=<40 hexadecimal digits>",
            "branches and tags move: write the commit id that `git rev-parse` prints",
        )
    if transport == "file":
        _local_path(text, address)
        return GitSource(text, transport, address, rev)
    return GitSource(text, transport, _web_address(text, address, query=False), rev)

"""What a web server's answer is worth, before and while its body is read. Nothing here opens a connection.

A cache may answer anything. An answer is judged in this order; the first that holds decides:

    301 302 303 307 308     go elsewhere, a few times, never round, never to another scheme; where to: `elsewhere.py`
    401 403 407             Denied
    404 410                 Missing
    408 425 429 500 502 503 504   busy: wait as long as Retry-After says, within bounds, and ask again
    any other but 200, 206  a lie
    a content encoding      a lie: none was asked for
    206                     must hold the very range that was asked for, as one part
    200 to a range          the server ignores ranges: the piece is cut out, if it lies within `SKIP` of the start
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urljoin, urlsplit

from kiln.store.cache.backend import YOUNG
from kiln.store.cache.elsewhere import origin
from kiln.store.cache.errors import shown

SKIP = 64 << 20
"""The most bytes that are read past, to come to a range of a server that ignores ranges: more than a pack."""
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/(?:[0-9]{1,18}|\*)")
_PLAIN = {"", "identity"}
_LONGEST_TARGET = 8192


@dataclass(frozen=True, slots=True)
class Wanted:
    """`length` bytes from `offset`; or a whole file of at most `length`."""

    offset: int | None
    length: int

    @property
    def range_header(self) -> str | None:
        return None if self.offset is None else f"bytes={self.offset}-{self.offset + self.length - 1}"


class Facts(NamedTuple):
    """What a server says of a file that it has: bytes, seconds since it was written; None where it does not say."""

    size: int | None
    age: float | None

    @property
    def is_young(self) -> bool:
        return self.age is not None and self.age < YOUNG


class Body(NamedTuple):
    """Read it: pass over `skip` bytes, take at most `most`, which must be exactly as many if `exact`.

    With `to_end` the end is looked for, as nothing says how long the body is.
    """

    skip: int
    most: int
    exact: bool
    to_end: bool


class Elsewhere(NamedTuple):
    """Ask there."""

    url: str


class Busy(NamedTuple):
    """Ask again, after so many seconds if the server says so."""

    status: int
    after: float | None


class NotThere(NamedTuple):
    status: int


class NoEntry(NamedTuple):
    status: int
    bearer: bool
    """Whether the server would take a bearer token."""


class Lie(NamedTuple):
    """What is wrong with the answer."""

    how: str
    found: str
    expected: str


Judgement: TypeAlias = Body | Elsewhere | Busy | NotThere | NoEntry | Lie


def judge(status: int, headers: Mapping[str, str], wanted: Wanted, url: str) -> Judgement:
    """What to do with an answer whose headers have come."""
    if status in REDIRECTS:
        return _elsewhere(headers.get("Location", ""), url)
    if status in (401, 403, 407):
        return NoEntry(status, "bearer" in headers.get("WWW-Authenticate", "").lower())
    if status in (404, 410):
        return NotThere(status)
    if status in BUSY:
        return Busy(status, _after(headers.get("Retry-After", "")))
    if status == 416:
        return Lie("ends too early", "416 range not satisfiable", _asked(wanted))
    if status not in (200, 206):
        return Lie("answered with a status that no file has", f"{status}", "200 or 206")
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _PLAIN:
        return Lie("came in an encoding that was not asked for", shown(encoding), "the bytes as they are stored")
    return _body(status, headers, wanted)


def facts_of(headers: Mapping[str, str]) -> Facts:
    """What the headers of a file say. Its age is told by the server's clock alone."""
    stated = headers.get("Content-Length", "")
    made, now = (_date(headers.get(name, "")) for name in ("Last-Modified", "Date"))
    age = None if made is None else (time.time() if now is None else now) - made
    return Facts(int(stated[:18]) if stated.isdecimal() else None, age)


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _body(status: int, headers: Mapping[str, str], wanted: Wanted) -> Body | Lie:
    stated = headers.get("Content-Length", "")
    size = int(stated[:18]) if stated.isdecimal() else None
    if wanted.offset is None:
        if status == 206:
            return Lie("answered with a part of the file", "206 partial content", "the whole file")
        if size is not None and size > wanted.length:
            return Lie("is larger than it may be", f"{size} bytes", f"at most {wanted.length} bytes")
        return Body(0, wanted.length if size is None else size, exact=size is not None, to_end=size is None)
    if status == 200:
        if wanted.offset + wanted.length > SKIP:
            return Lie("was sent whole where a range was asked for", "200 OK", f"{_asked(wanted)}, as 206")
        return Body(wanted.offset, wanted.length, exact=True, to_end=False)
    given = headers.get("Content-Range", "").strip()
    found = _RANGE.fullmatch(given)
    if found is None or (int(found[1]), int(found[2]) + 1) != (wanted.offset, wanted.offset + wanted.length):
        return Lie("answered with another range", shown(given) or "206 without a range", _asked(wanted))
    if size is not None and size != wanted.length:
        return Lie("answered with a range of another length", f"{size} bytes", _asked(wanted))
    return Body(0, wanted.length, exact=True, to_end=size is None)


def _asked(wanted: Wanted) -> str:
    return f"{wanted.length} bytes from {wanted.offset}" if wanted.offset is not None else "a whole file"


def _after(text: str) -> float | None:
    """Seconds of a Retry-After; a date counts as none, since whose clock is right is not known."""
    return float(text[:6]) if text.strip().isdecimal() else None


def _elsewhere(location: str, url: str) -> Elsewhere | Lie:
    try:
        target = urljoin(url, location.strip())
        there, here = urlsplit(target), urlsplit(url)
        if there.scheme != here.scheme:
            return Lie("redirects to another scheme", shown(target), f"{here.scheme}://")
        if not location or there.username or there.password or len(target) > _LONGEST_TARGET:
            return Lie("redirects to no place", shown(location), "an address")
        origin(target)
    except ValueError:  # UnicodeError, too
        return Lie("redirects to no place", shown(location), "an address")
    return Elsewhere(target)

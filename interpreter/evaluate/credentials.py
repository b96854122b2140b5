"""A prelude `Credential` as what a fetch carries: which of its sources is shown which secret, and how.

    Bearer(token) | Basic(user, password) | Header(name, value)

Only an address that nobody on the way can read is shown one: https, and http to this machine itself.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from kiln.interpreter.derivation import Credential
from kiln.interpreter.evaluate.mistakes import Failure, OutsideDomain
from kiln.interpreter.evaluate.values import Variant

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_OWN_HEADERS = frozenset(("accept", "accept-encoding", "connection", "content-length", "host", "if-range", "range"))
_USER = re.compile(r"[!-9;-~ ]+")
_HERE = ("localhost", "127.0.0.1", "::1")


def credentials(sources: tuple[str, ...], given: Variant) -> tuple[tuple[str, Credential], ...]:
    """The credential of each source that may have it. Raises Failure if none may."""
    shown = _credential(given)
    allowed = tuple([(source, shown) for source in dict.fromkeys(sources) if _is_private(source)])
    if not allowed:
        problem = "was given a credential, and no source that begins with https://, which alone may see it"
        raise Failure(OutsideDomain("fetch_file", problem))
    return allowed


def _credential(given: Variant) -> Credential:
    fields = given.fields()
    match given.con:
        case "Bearer":
            return Credential("bearer", "", fields[0].name)
        case "Basic":
            if _USER.fullmatch(fields[0]) is None:
                raise Failure(OutsideDomain("fetch_file", "was given a user's name that is empty or has `:` in it"))
            return Credential("basic", fields[0], fields[1].name)
        case _:
            if _HEADER.fullmatch(fields[0]) is None or fields[0].lower() in _OWN_HEADERS:
                raise Failure(OutsideDomain("fetch_file", f"can't send a header named `{fields[0][:60]}`"))
            return Credential("header", fields[0], fields[1].name)


def _is_private(source: str) -> bool:
    parts = urlsplit(source)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _HERE)

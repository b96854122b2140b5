"""Who may read from, and upload to, a served cache: a file that holds hashes of tokens, never a token.

One a line; `#` begins a comment line:

    # right  SHA-256 of the token (hexadecimal)  name  [expires=DATE]
    write 5a3c…e1 ci expires=2027-01-31
    read  90bb…07 laptops

`write` includes `read`. A token is 32 random bytes in base64url behind `kiln_`, so that its hash needs no salt and a
leaked one is found by a search. It is valid through the day of `expires` (UTC). A file that changed is read again.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Right: TypeAlias = Literal["read", "write"]
MAX_BYTES = 1 << 20

_LINE = re.compile(r"(read|write)\s+([0-9a-f]{64})\s+([A-Za-z0-9][A-Za-z0-9._@-]{0,63})(?:\s+expires=(\S+))?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class BadTokenFile(Exception):
    """A file of tokens that does not parse; the message names the line."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token. `expires` is a date in ISO form."""

    right: Right
    digest: str
    name: str
    expires: str | None = None

    def allows(self, right: Right) -> bool:
        return self.right == "write" or right == "read"

    def is_expired(self, today: str) -> bool:
        return self.expires is not None and today > self.expires

    def __str__(self) -> str:
        return f"{self.right} {self.digest} {self.name}" + (f" expires={self.expires}" if self.expires else "")


def new_token() -> tuple[str, str]:
    """A token, and the hash that a file holds of it."""
    secret = "kiln_" + base64.urlsafe_b64encode(os.urandom(32)).decode("ascii").rstrip("=")
    return secret, token_digest(secret)


def token_digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def parse_tokens(text: str, path: str = "the file of tokens") -> tuple[Token, ...]:
    """Read the format above. Raises BadTokenFile."""
    tokens: list[Token] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or not _is_date(match[4]):
            raise BadTokenFile(f"{path}, line {number}: expected: read|write SHA-256 NAME [expires=YYYY-MM-DD]")
        right: Right = "write" if match[1] == "write" else "read"
        tokens.append(Token(right, match[2], match[3], match[4]))
        if any(token.digest == match[2] or token.name == match[3] for token in tokens[:-1]):
            raise BadTokenFile(f"{path}, line {number}: a name or a token that an earlier line has")
    return tuple(tokens)


def format_tokens(tokens: Iterable[Token]) -> str:
    return "".join(f"{token}\n" for token in tokens)


def is_date(text: str) -> bool:
    """Whether the text is a day as the file spells it."""
    return _is_date(text)


def _is_date(text: str | None) -> bool:
    if text is None:
        return True
    try:
        return _DATE.fullmatch(text) is not None and bool(time.strptime(text, "%Y-%m-%d"))
    except ValueError:
        return False


class TokenFile:
    """The tokens of a file, read again when it changed. Without a file there are none."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()
        self.tokens()

    def tokens(self) -> tuple[Token, ...]:
        """Raises BadTokenFile: also when the file is gone, so that a slip of an operator opens nothing."""
        if self._path is None:
            return ()
        try:
            with open(self._path, encoding="ascii") as file:
                facts = os.fstat(file.fileno())
                seen = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
                if seen != self._seen:
                    self._tokens = parse_tokens(file.read(MAX_BYTES), self._path)
                    self._seen = seen
        except (OSError, UnicodeDecodeError) as error:
            raise BadTokenFile(f"{self._path} cannot be read: {error}") from None
        return self._tokens

    def find(self, secret: str) -> Token | None:
        """The token that this is, expired or not. Hashes are compared, so that its time tells nothing of a token."""
        digest = token_digest(secret)
        return next((token for token in self.tokens() if token.digest == digest), None)

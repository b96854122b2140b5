"""Whose word counts: the file of trusted keys, and the policy made of it.

`trusted-keys`, by default in `$XDG_CONFIG_HOME/kiln`, has one key a line: its id, the key, a name, and options;
`#` begins a comment line:

    # keyid publickey name [for=SCOPE,…] [added=DATE]
    74c1…4916 ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo ci for=sandboxed,builtin,fetch added=2026-11-21

The id is written so that a line can be found by what an error shows; it must be the key's own. `for` says what
the key may speak of, and where it is absent that is everything but `relaxed`: the builders `sandboxed`,
`builtin`, `fetch` and `relaxed`, and the statements `resolve` and `verdict`. A name stands once, and a key once.

A builder's own keys are trusted on its own machine for everything, and need no line.
"""

from __future__ import annotations

import enum
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from kiln.store.provenance.errors import BadKey, BadTrustFile
from kiln.store.provenance.keys import KeyId, PublicKey

MAX_BYTES = 1024 * 1024
OWN = "this builder"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Scope(enum.Enum):
    """What a key may speak of: a builder's mode, or a kind of statement."""

    SANDBOXED = "sandboxed"
    BUILTIN = "builtin"
    FETCH = "fetch"
    RELAXED = "relaxed"
    RESOLVE = "resolve"
    VERDICT = "verdict"


EVERYTHING = frozenset(Scope)
USUAL = EVERYTHING - {Scope.RELAXED}


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key, what it is called here, and what it may speak of. A `Verifier`."""

    key: PublicKey
    name: str
    scopes: frozenset[Scope] = USUAL
    added: str | None = None

    @property
    def keyid(self) -> KeyId:
        return self.key.keyid

    def verify(self, data: bytes, signature: bytes) -> bool:
        return self.key.verify(data, signature)

    def __str__(self) -> str:
        return f'{self.key.short} "{self.name}"'


@dataclass(frozen=True, slots=True)
class Policy:
    """The keys that are trusted, by id. Make one with `of` or `load_policy`."""

    by_id: Mapping[str, TrustedKey]

    @classmethod
    def of(cls, keys: Iterable[TrustedKey] = (), *, own: Iterable[PublicKey] = ()) -> Self:
        """Keys of the file, and the builder's own, which win over a line about the same key."""
        by_id: dict[str, TrustedKey] = {item.key.keyid: item for item in keys}
        by_id.update((key.keyid, TrustedKey(key, OWN, EVERYTHING)) for key in own)
        return cls(by_id)


def load_policy(path: str, own: Iterable[PublicKey] = ()) -> Policy:
    """The policy of a file, which may be absent, and of the builder's own keys. Raises BadTrustFile."""
    return Policy.of(load_trusted(path), own=own)


def load_trusted(path: str) -> tuple[TrustedKey, ...]:
    """The keys of the file at `path`; none if there is no file. Raises BadTrustFile."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise BadTrustFile(f"{path} cannot be read", found=os.strerror(error.errno or 0)) from None
    try:
        _check_writers(os.fstat(descriptor), path)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES or not data.isascii():
        raise BadTrustFile(f"{path} is not a file of trusted keys", expected="ASCII, at most 1 MiB")
    return parse_trusted(data.decode("ascii"), path)


def parse_trusted(text: str, path: str = "the trusted keys") -> tuple[TrustedKey, ...]:
    """Read the format above. Raises BadTrustFile with the line."""
    keys: list[TrustedKey] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path}, line {number}"
        made = _parse_line(line, where)
        for earlier in keys:
            if earlier.name == made.name or earlier.key == made.key:
                raise BadTrustFile(
                    f"{where}: a name or a key that an earlier line has",
                    expected="each name and each key once",
                    found=str(made),
                )
        keys.append(made)
    return tuple(keys)


def format_trusted(keys: Iterable[TrustedKey]) -> str:
    """The text of a file of trusted keys."""
    lines = ["# keyid publickey name [for=SCOPE,…] [added=DATE]".replace("…", "...")]
    for item in keys:
        words = [item.key.keyid, str(item.key), item.name]
        if item.scopes != USUAL:
            words.append("for=" + ",".join(scope.value for scope in Scope if scope in item.scopes))
        if item.added is not None:
            words.append(f"added={item.added}")
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


def _parse_line(line: str, where: str) -> TrustedKey:
    match line.split():
        case [keyid, public, name, *options] if _NAME.fullmatch(name):
            key = _parse_key(keyid, public, where)
            given = _parse_options(options, where)
            return TrustedKey(key, name, _parse_scopes(given.get("for"), where), given.get("added"))
    raise BadTrustFile(
        f"{where}: not a trusted key", expected="keyid publickey name [for=…] [added=…]", found=repr(line[:160])
    )


def _parse_key(keyid: str, public: str, where: str) -> PublicKey:
    try:
        named, key = KeyId.parse(keyid), PublicKey.parse(public)
    except BadKey as error:
        raise BadTrustFile(f"{where}: {error.message}", expected=error.expected, found=error.found) from None
    if key.keyid != named:
        raise BadTrustFile(
            f"{where}: the id is not that of the key",
            expected=key.keyid,
            found=keyid,
            help="get the line again from the builder: kiln key show",
        )
    return key


def _parse_options(words: list[str], where: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        known = name in ("for", "added") and equals and name not in options
        if not known or (name == "added" and not _DATE.fullmatch(value)):
            raise BadTrustFile(
                f"{where}: an option that this version does not know",
                expected="for=SCOPE,… or added=YYYY-MM-DD, each once",
                found=repr(word[:80]),
            )
        options[name] = value
    return options


def _parse_scopes(text: str | None, where: str) -> frozenset[Scope]:
    if text is None:
        return USUAL
    try:
        return frozenset(Scope(word) for word in text.split(","))
    except ValueError:
        raise BadTrustFile(
            f"{where}: not what a key can be trusted for",
            expected=", ".join(scope.value for scope in Scope),
            found=repr(text[:120]),
        ) from None


def _check_writers(facts: os.stat_result, path: str) -> None:
    mode = stat.S_IMODE(facts.st_mode)
    if not stat.S_ISREG(facts.st_mode):
        raise BadTrustFile(f"{path} is not a file", expected="a file")
    if facts.st_uid not in (os.geteuid(), 0) or mode & 0o022:
        raise BadTrustFile(
            f"{path} could be written by others, who would then decide whom to trust",
            expected="your own file, mode 0644 or 0600",
            found=f"user id {facts.st_uid}, mode {mode:04o}",
            help=f"look at what it says, then: chmod 644 {path}",
        )

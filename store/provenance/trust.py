"""Whose word counts: the file of trusted keys, and the policy made of it.

`trusted-keys`, by default in `$XDG_CONFIG_HOME/kiln`, has one key a line: its id, the key, a name, and options;
`#` begins a comment line. One line may be the directive `threshold`:

    # Two of our builders must agree on what comes from a cache.
    threshold 2
    # keyid publickey name [for=SCOPE,…] [cache=NAME,…] [operator=NAME] [added=DATE] [expires=DATE] [revoked=DATE] …
    74c1…4916 ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo ci cache=team operator=us added=2026-11-21
    0b3e…c1d2 ed25519:PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw lab cache=team operator=them expires=2027-11-21

The id is written so that a line can be found by what an error shows; it must be the key's own. A name stands once,
and a key once. An option that this version does not know is an error.

- `for`: what the key may speak of: the builders `sandboxed`, `builtin`, `fetch`, `relaxed`, and the statements
  `resolve` and `verdict`. Absent: everything but `relaxed`.
- `cache`: the caches, by their names here, from which its word is taken. Absent: any. Evidence that is here already
  is verified with the key wherever it came from.
- `operator`: who runs the builder that holds it. Absent: the key's own name. Two keys of one operator count once.
- `added`: when it was added; for people.
- `expires`: the last day on which its word counts.
- `revoked`: its word counts no longer, whatever it signed and when.
- `succeeds`: the id of the key that named this one its successor (`succession.py`).

`threshold K` asks for K keys of K operators under byte-equal claims before anything is taken from a cache; without
it, one is enough. A builder's own keys are trusted on its own machine for everything, and need no line; one of them
is always enough. A line that revokes one holds all the same.

Dates are of the form 2026-11-21, in UTC. Both are judged by today: when something was signed is known from its
signer alone, who may be a thief.
"""

from __future__ import annotations

import enum
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from kiln.store.provenance.errors import BadKey, BadTrustFile, ExpiredKey, RevokedKey
from kiln.store.provenance.keys import KeyId, PublicKey

MAX_BYTES = 1024 * 1024
OWN = "this builder"
MAX_THRESHOLD = 16
COLUMNS = "# keyid publickey name [for=SCOPE,...] [cache=NAME,...] [operator=NAME] [added=DATE] [expires=DATE]"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_KEYID = re.compile(r"[0-9a-f]{64}")


class Scope(enum.Enum):
    """What a key may speak of: a builder's mode, or a kind of statement."""

    SANDBOXED = "sandboxed"
    BUBBLEWRAP = "bubblewrap"
    BUILTIN = "builtin"
    FETCH = "fetch"
    RELAXED = "relaxed"
    RESOLVE = "resolve"
    VERDICT = "verdict"


EVERYTHING = frozenset(Scope)
USUAL = EVERYTHING - {Scope.RELAXED}


class Standing(enum.Enum):
    """Whether a key's word counts today."""

    GOOD = "good"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key, what it is called here, and what it may speak of. A `Verifier`. None of `caches`: any cache."""

    key: PublicKey
    name: str
    scopes: frozenset[Scope] = USUAL
    added: str | None = None
    caches: frozenset[str] | None = None
    operator: str | None = None
    expires: str | None = None
    revoked: str | None = None
    succeeds: str | None = None

    @property
    def keyid(self) -> KeyId:
        return self.key.keyid

    @property
    def run_by(self) -> str:
        """Its operator, as a threshold counts them."""
        return self.operator or self.name

    def standing(self, today: str) -> Standing:
        if self.revoked is not None:
            return Standing.REVOKED
        return Standing.EXPIRED if self.expires is not None and self.expires < today else Standing.GOOD

    def verify(self, data: bytes, signature: bytes) -> bool:
        return self.key.verify(data, signature)

    def __str__(self) -> str:
        return f'{self.key.short} "{self.name}"'


@dataclass(frozen=True, slots=True)
class Policy:
    """The keys whose word counts, by id, as of `today`. Make one with `of` or `load_policy`.

    `barred` has those of the file that are revoked or have expired; no id is in both. `own` are this builder's.
    """

    by_id: Mapping[str, TrustedKey]
    barred: Mapping[str, TrustedKey] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    threshold: int = 1
    today: str = ""

    @classmethod
    def of(
        cls,
        keys: Iterable[TrustedKey] = (),
        *,
        own: Iterable[PublicKey] = (),
        threshold: int = 1,
        today: str | None = None,
    ) -> Self:
        """Keys of the file, and the builder's own, which win over a line about the same key unless it revokes it."""
        date = today or date_today()
        by_id: dict[str, TrustedKey] = {item.key.keyid: item for item in keys}
        for key in own:
            line = by_id.get(key.keyid)
            if line is None or line.standing(date) is not Standing.REVOKED:
                by_id[key.keyid] = TrustedKey(key, OWN, EVERYTHING)
        barred = {keyid: item for keyid, item in by_id.items() if item.standing(date) is not Standing.GOOD}
        good = {keyid: item for keyid, item in by_id.items() if keyid not in barred}
        return cls(good, barred, frozenset(key.keyid for key in own) - barred.keys(), threshold, date)


def barred_error(key: TrustedKey, where: str = "") -> RevokedKey | ExpiredKey:
    """Why a key of `Policy.barred` does not count; `where` begins the message."""
    if key.revoked is not None:
        return RevokedKey(
            f"{where}signed by a key that is revoked",
            found=f"{key}, revoked {key.revoked}",
            expected="a key whose word counts",
            help="kiln trust list   shows whose word counts here",
        )
    return ExpiredKey(
        f"{where}signed by a key that has expired",
        found=f"{key}, which expired {key.expires}",
        expected="a key whose word counts",
        help=f"ask whoever holds it; if it is still theirs alone: kiln trust renew {key.name} DATE",
    )


class TrustedFile(NamedTuple):
    """What the file says."""

    keys: tuple[TrustedKey, ...]
    threshold: int = 1


def date_today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def load_policy(path: str, own: Iterable[PublicKey] = ()) -> Policy:
    """The policy of a file, which may be absent, and of the builder's own keys. Raises BadTrustFile."""
    found = load_trusted_file(path)
    return Policy.of(found.keys, own=own, threshold=found.threshold)


def load_trusted(path: str) -> tuple[TrustedKey, ...]:
    """The keys of the file at `path`; none if there is no file. Raises BadTrustFile."""
    return load_trusted_file(path).keys


def load_trusted_file(path: str) -> TrustedFile:
    """The file at `path`; without keys if there is none. Raises BadTrustFile."""
    text = read_trusted(path)
    return TrustedFile(()) if text is None else parse_trusted_file(text, path)


def read_trusted(path: str) -> str | None:
    """The text of the file, if others could not have written it; None if there is none. Raises BadTrustFile."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
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
    return data.decode("ascii")


def parse_trusted(text: str, path: str = "the trusted keys") -> tuple[TrustedKey, ...]:
    """The keys of a file's text. Raises BadTrustFile with the line."""
    return parse_trusted_file(text, path).keys


def parse_trusted_file(text: str, path: str = "the trusted keys") -> TrustedFile:
    """Read the format above. Raises BadTrustFile with the line."""
    keys: list[TrustedKey] = []
    threshold: int | None = None
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{path}, line {number}"
        match line.split():
            case []:
                continue
            case [word, *_] if word.startswith("#"):
                continue
            case ["threshold", *rest]:
                threshold = _parse_threshold(rest, threshold, where)
                continue
        made = parse_key_line(line, where)
        for earlier in keys:
            if earlier.name == made.name or earlier.key == made.key:
                raise BadTrustFile(
                    f"{where}: a name or a key that an earlier line has",
                    expected="each name and each key once",
                    found=str(made),
                )
        keys.append(made)
    return TrustedFile(tuple(keys), threshold or 1)


def format_trusted(keys: Iterable[TrustedKey], threshold: int = 1) -> str:
    """The text of a file of trusted keys."""
    lines = [COLUMNS] if threshold == 1 else [COLUMNS, f"threshold {threshold}"]
    return "\n".join([*lines, *map(format_key_line, keys)]) + "\n"


def format_key_line(item: TrustedKey) -> str:
    """A key's line, its options in their usual order."""
    given = {
        "for": None if item.scopes == USUAL else ",".join(scope.value for scope in Scope if scope in item.scopes),
        "cache": None if item.caches is None else ",".join(sorted(item.caches)),
        "operator": item.operator,
        "added": item.added,
        "expires": item.expires,
        "revoked": item.revoked,
        "succeeds": item.succeeds,
    }
    options = [f"{option}={value}" for option, value in given.items() if value is not None]
    return " ".join([item.key.keyid, str(item.key), item.name, *options])


def is_name(text: str) -> bool:
    """Whether a key, an operator or a cache can be called so."""
    return _NAME.fullmatch(text) is not None


def is_date(text: str) -> bool:
    """Whether this is a day of the calendar, as YYYY-MM-DD."""
    if not _DATE.fullmatch(text):
        return False
    try:
        time.strptime(text, "%Y-%m-%d")
    except ValueError:
        return False
    return True


def parse_key_line(line: str, where: str) -> TrustedKey:
    """One key's line. Raises BadTrustFile."""
    match line.split():
        case [keyid, public, name, *options] if is_name(name):
            given = _parse_options(options, where)
            caches = given.get("cache")
            return TrustedKey(
                key=_parse_key(keyid, public, where),
                name=name,
                scopes=_parse_scopes(given.get("for"), where),
                added=given.get("added"),
                caches=None if caches is None else frozenset(caches.split(",")),
                operator=given.get("operator"),
                expires=given.get("expires"),
                revoked=given.get("revoked"),
                succeeds=given.get("succeeds"),
            )
    raise BadTrustFile(
        f"{where}: not a trusted key", expected="keyid publickey name [for=…] [cache=…] …", found=repr(line[:160])
    )


def _parse_threshold(words: list[str], earlier: int | None, where: str) -> int:
    match words:
        case [number] if earlier is None and number.isdecimal() and 1 <= int(number[:4]) <= MAX_THRESHOLD:
            return int(number)
    raise BadTrustFile(
        f"{where}: not a threshold, or a second one",
        expected=f"threshold and a number from 1 to {MAX_THRESHOLD}, once",
        found=repr(" ".join(words)[:80]),
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
        if not equals or name in options or name not in _OPTIONS or not _OPTIONS[name](value):
            raise BadTrustFile(
                f"{where}: an option that this version does not know",
                expected="for=SCOPE,… cache=NAME,… operator=NAME added|expires|revoked=YYYY-MM-DD, each once",
                found=repr(word[:80]),
            )
        options[name] = value
    return options


def _are_names(text: str) -> bool:
    names = text.split(",")
    return all(map(is_name, names)) and len(set(names)) == len(names)


def _is_keyid(text: str) -> bool:
    return _KEYID.fullmatch(text) is not None


_OPTIONS: dict[str, Callable[[str], bool]] = {
    "for": lambda text: True,  # `_parse_scopes` says more of what is wrong
    "cache": _are_names,
    "operator": is_name,
    "added": is_date,
    "expires": is_date,
    "revoked": is_date,
    "succeeds": _is_keyid,
}


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

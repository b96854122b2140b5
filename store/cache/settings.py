"""The caches that a user has, in the order in which they are asked.

A text file, `caches` in Kiln's configuration folder, has one a line: its name, its address, and options; `#` begins
a comment line:

    # name address [push=after-build] [required] [patience=SECONDS]
    team https://cache.example/team push=after-build patience=5
    lab s3://lab-cache/kiln

The name is the user's own; keys are trusted for a cache by it (`cache=` in `trusted-keys`). A name stands once. An
address is a folder, or a URL without user, password or spaces (a folder's are written %20 after file://). One of
`kiln cache serve` on a Unix socket is unix:///path/to/socket.

- `push=after-build`: what is built here is pushed there when a build has ended. A cache without it is read alone.
- `required`: when it cannot be reached, that is an error, and not a warning.
- `patience`: the most seconds that one request may wait for an answer, or for an answer to go on; 15 unless told.

For scripts, KILN_CACHES takes the file's place: the same lines, with `;` for the line's end. A lone address in it
is a cache that is named after its host, its bucket or its folder. An empty KILN_CACHES means no cache at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from kiln.store.cache.backend import Backend, Limits, open_backend
from kiln.store.cache.errors import BadCacheAddress, shown

VARIABLE = "KILN_CACHES"
MAX_BYTES = 256 * 1024
COLUMNS = "# name address [push=after-build] [required] [patience=SECONDS]"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_PATIENCE = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Setting:
    """One cache of the user's. `patience` is in seconds, None where the user says nothing."""

    name: str
    url: str
    push: bool = False
    required: bool = False
    patience: float | None = None

    @property
    def line(self) -> str:
        options = [
            "push=after-build" if self.push else "",
            "required" if self.required else "",
            f"patience={self.patience:g}" if self.patience is not None else "",
        ]
        return " ".join([self.name, self.url, *filter(None, options)])


class Settings(NamedTuple):
    """The caches in order, and where that is said: a path, or the variable."""

    caches: tuple[Setting, ...]
    source: str

    def find(self, name: str) -> Setting | None:
        """By name, or by address."""
        return next((item for item in self.caches if name in (item.name, item.url)), None)

    def is_lone(self, setting: Setting) -> bool:
        """Whether it is the one cache that is used here, so that KILN_CACHE_TOKEN can be for no other."""
        return [item.url for item in self.caches] == [setting.url]


def load_settings(path: str, environment: Mapping[str, str] = os.environ) -> Settings:
    """The caches of the environment, else of the file, which may be absent. Raises BadCacheAddress."""
    given = environment.get(VARIABLE)
    if given is not None:
        return Settings(parse_settings(given.replace(";", "\n"), VARIABLE, lone=True), VARIABLE)
    text = read_settings(path)
    return Settings(() if text is None else parse_settings(text, path), path)


def read_settings(path: str) -> str | None:
    """The text of the file; None if there is none. Raises BadCacheAddress."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadCacheAddress(f"{path} cannot be read", found=error.strerror) from None
    try:
        if len(data) <= MAX_BYTES:
            return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    raise BadCacheAddress(f"{path} is not a list of caches", expected="UTF-8, at most 256 KiB")


def parse_settings(text: str, where: str, *, lone: bool = False) -> tuple[Setting, ...]:
    """Read the lines above; with `lone`, an address alone is taken too. Raises BadCacheAddress with the line."""
    found: list[Setting] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        place = f"{where}, line {number}"
        if lone and len(words) == 1:
            words = [name_of(words[0], found), *words]
        made = parse_line(words, place)
        if any(made.name == item.name for item in found):
            raise BadCacheAddress(f"{place}: a name that an earlier line has", found=made.name)
        found.append(made)
    return tuple(found)


def parse_line(words: Sequence[str], place: str) -> Setting:
    """One cache's line, in words. Raises BadCacheAddress."""
    match words:
        case [name, url, *options] if _NAME.fullmatch(name):
            check_address(url, place)
            push = required = False
            patience: float | None = None
            for word in options:
                if word == "push=after-build" and not push:
                    push = True
                elif word == "required" and not required:
                    required = True
                elif patience is None and (seconds := _patience(word)) is not None:
                    patience = seconds
                else:
                    raise BadCacheAddress(
                        f"{place}: an option that this version does not know",
                        expected="push=after-build, required, patience=SECONDS, each once",
                        found=shown(word),
                    )
            return Setting(name, url, push, required, patience)
    raise BadCacheAddress(
        f"{place}: not a cache", expected="name address [options]", found=shown(repr(" ".join(words)))
    )


def plain_address(text: str) -> str:
    """An address that was typed: without slashes at its end, and `unix:/path` as `unix:///path`."""
    if text.startswith("unix:/") and "://" not in text:
        return "unix://" + text[len("unix:") :]
    return text.rstrip("/") if "://" in text else text


def check_address(url: str, place: str) -> None:
    """Refuse an address that holds a secret, or could hold one. Raises BadCacheAddress."""
    if "://" not in url:
        if os.path.isabs(os.path.expanduser(url)):
            return
        raise BadCacheAddress(f"{place}: not an address", expected="an absolute path, or a URL", found=shown(url))
    try:
        parts = urlsplit(url)
        secret = parts.username is not None or parts.password is not None
    except ValueError:
        raise BadCacheAddress(f"{place}: not an address", found=shown(url)) from None
    if secret:
        raise BadCacheAddress(
            f"{place}: an address of a cache must not hold a user or a password",
            expected="they come from ~/.netrc, the environment, or the backend's own files",
            help="remove them from the address, and change the password: it may have been seen",
        )
    if not url.isprintable() or parts.query or parts.fragment:
        raise BadCacheAddress(f"{place}: not an address", expected="scheme://host/path", found=shown(url))


def name_of(url: str, others: Iterable[Setting] = ()) -> str:
    """A name for a cache from its address: its folder or bucket, else its host; numbered where it is taken."""
    parts = urlsplit(url) if "://" in url else urlsplit("file://" + url)
    last = parts.path.rstrip("/").rpartition("/")[2]
    text = re.sub(r"[^A-Za-z0-9._-]+", "-", (parts.hostname or last) or "cache").strip("-._")[:60] or "cache"
    taken = {item.name for item in others}
    return next(name for name in (text, *(f"{text}-{n}" for n in range(2, 1000))) if name not in taken)


def format_settings(caches: Iterable[Setting]) -> str:
    return "\n".join([COLUMNS, *(item.line for item in caches)]) + "\n"


def with_line(text: str | None, made: Setting) -> str:
    """The file's text with a cache added, or in its place; other lines and comments stay as they are."""
    lines = (text or COLUMNS + "\n").split("\n")
    for at, line in enumerate(lines):
        if line.split()[:1] == [made.name]:
            return "\n".join([*lines[:at], made.line, *lines[at + 1 :]])
    while lines and not lines[-1].strip():
        lines.pop()
    return "\n".join([*lines, made.line]) + "\n"


def without_line(text: str, name: str) -> str:
    """The file's text without a cache."""
    return "\n".join(line for line in text.split("\n") if line.split()[:1] != [name])


def open_setting(setting: Setting, *, pushing: bool = False, lone: bool = False) -> Backend:
    """The backend of a cache. `lone`: it is the only one that is used here (`Settings.is_lone`).

    Raises BadCacheAddress.
    """
    from kiln.store.cache.credentials import token_of

    limits = None if setting.patience is None else Limits.patient(setting.patience)
    token = token_of(setting.name, pushing=pushing or lone)
    return open_backend(setting.url, name=setting.name, token=token, limits=limits)


def _patience(word: str) -> float | None:
    name, equals, value = word.partition("=")
    if name != "patience" or not equals or not _PATIENCE.fullmatch(value):
        return None
    seconds = float(value)
    return seconds if seconds > 0 else None

"""Secrets: where their values come from, and how they are kept out of what is written.

A build file has a secret's name alone. Its value is read when something is made with it, on the machine that makes
it, from the first of these that is there:

    KILN_SECRET_RELEASE_KEY            in the environment; the name in capitals, `-` and `.` as `_`
    CONFIG/kiln/secrets/release-key    a file that nobody but its owner can read

The value is the bytes without the line ends behind them: 8 to 65,536 of them, none of them NUL. It enters no digest,
no record and no message. A log has `[secret NAME]` in its place, and an output that holds it is refused: its whole
text, and of a text of several lines each line of 16 bytes or more, as a key in PEM has them.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from kiln.interpreter.derivation import Credential
from kiln.interpreter.errors import RealiseError

LEAST, MOST = 8, 65536
PRIVATE = "secrets"
"""Stands in a witness among what was degraded: the build was given secrets, and nobody is given what it made."""
_LINE = 16
_CHUNK = 1 << 20


class SecretMissing(RealiseError):
    """A secret that something is to be made with, and that this user hasn't, or hasn't in a form that can be used."""

    code = "K0460"


class SecretInOutput(RealiseError):
    """A build wrote a secret that it was given into an output."""

    code = "K0461"


@dataclass(frozen=True, slots=True)
class SecretValue:
    """Never shown: `repr` has the name alone."""

    name: str
    data: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """Bytes that are no UTF-8 as lone surrogates, as file names have them."""
        return os.fsdecode(self.data)

    @property
    def patterns(self) -> tuple[bytes, ...]:
        """What gives it away wherever it stands."""
        lines = [line.strip() for line in self.data.splitlines()]
        return tuple(dict.fromkeys([self.data, *(line for line in lines if len(line) >= _LINE)]))


def variable_of(name: str) -> str:
    """The variable that may hold a secret's value."""
    return "KILN_SECRET_" + name.upper().replace("-", "_").replace(".", "_")


def read_secret(name: str, folder: str, env: Mapping[str, str], *, user: str) -> SecretValue:
    """The value of a secret, which `user` (a name, for messages) is to be made with. Raises SecretMissing."""
    variable, path = variable_of(name), os.path.join(folder, name)
    if variable in env:
        return SecretValue(name, _checked(os.fsencode(env[variable]), name, f"the variable {variable}"))
    try:
        found = _read(path)
    except FileNotFoundError:
        raise SecretMissing(
            f"{user} needs the secret `{name}`, which isn't here",
            expected=f"the variable {variable}, or the file {path}",
            found="neither",
            help=f"put its value into {path}, and `chmod 600` it",
        ) from None
    except OSError as error:
        raise SecretMissing(f"the secret `{name}` can't be read", found=f"{path}: {error.strerror}") from None
    return SecretValue(name, _checked(found, name, path))


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise SecretMissing(f"{path} is no file that could hold a secret", expected="a regular file")
        if info.st_mode & 0o077:
            raise SecretMissing(
                f"others can read {path}, which is to hold a secret",
                expected="a file that its owner alone can read",
                found=f"mode {stat.S_IMODE(info.st_mode):04o}",
                help=f"chmod 600 {path}",
            )
        return file.read(MOST + 3)


def _checked(data: bytes, name: str, place: str) -> bytes:
    """The value without the line ends behind it. No message tells more of it than how long it is."""
    value = data.rstrip(b"\r\n")
    if LEAST <= len(value) <= MOST and b"\0" not in value:
        return value
    raise SecretMissing(
        f"what {place} holds can't be the secret `{name}`",
        expected=f"{LEAST} to {MOST} bytes without a NUL, so that it can be told from other text",
        found="a NUL character" if b"\0" in value else f"{len(value) if len(value) <= MOST else 'more'} bytes",
    )


def header_of(credential: Credential, secret: SecretValue) -> tuple[str, str]:
    """The name and the value of the header that a credential stands for. Raises SecretMissing."""
    text = secret.data.decode("latin-1")
    if not text.isprintable() or not text.isascii():
        raise SecretMissing(
            f"the secret `{secret.name}` can't stand in a header", expected="one line of printable ASCII"
        )
    match credential.scheme:
        case "bearer":
            return "Authorization", f"Bearer {text}"
        case "basic":
            pair = f"{credential.label}:{text}".encode()
            return "Authorization", "Basic " + base64.b64encode(pair).decode("ascii")
        case "header":
            return credential.label, text
        case _:
            assert_never(credential.scheme)


class Guard:
    """Looks for secrets in bytes."""

    def __init__(self, secrets: Iterable[SecretValue]) -> None:
        names = {pattern: secret.name for secret in secrets for pattern in secret.patterns}
        ordered = sorted(names, key=len, reverse=True)
        self._names = names
        self._firsts = frozenset(pattern[:1] for pattern in ordered)
        self._reach = max(map(len, ordered)) - 1
        self._found = re.compile(b"|".join(map(re.escape, ordered)))

    def redact(self, data: bytes, *, whole: bool) -> tuple[bytes, bytes]:
        """(without its secrets, what may go on as one); the second is empty if this is the `whole` rest.

        A secret that may be the beginning of a longer one waits for it.
        """
        end = len(data) if whole else self._open_end(data)
        pieces: list[bytes] = []
        at = 0
        for match in self._found.finditer(data):
            if match.start() >= end:
                break
            pieces += (data[at : match.start()], b"[secret %b]" % self._names[match[0]].encode())
            at = match.end()
        end = max(end, at)
        return b"".join([*pieces, data[at:end]]), data[end:]

    def find(self, data: bytes) -> str | None:
        """The name of the first secret in it."""
        match = self._found.search(data)
        return None if match is None else self._names[match[0]]

    def _open_end(self, data: bytes) -> int:
        """Where the end of `data` begins that may be the beginning of a secret; its length if there is none."""
        for at in range(max(0, len(data) - self._reach), len(data)):
            if data[at : at + 1] in self._firsts and any(p.startswith(data[at:]) for p in self._names):
                return at
        return len(data)

    def in_tree(self, path: str) -> tuple[str, str] | None:
        """(the secret's name, where it is) of the first in a file's bytes, a link's target or a name."""
        for place in _entries(path):
            name = self.find(os.fsencode(os.path.relpath(place, path))) or self._in_entry(place)
            if name is not None:
                where = "" if place == path else os.path.relpath(place, path)
                return name, os.fsdecode(self.redact(os.fsencode(where), whole=True)[0])
        return None

    def _in_entry(self, path: str) -> str | None:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            return self.find(os.fsencode(os.readlink(path)))
        if not stat.S_ISREG(mode):
            return None
        end = b""
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                found = self.find(end + chunk)
                if found is not None:
                    return found
                end = (end + chunk)[-self._reach :] if self._reach else b""
        return None


def _entries(path: str) -> Iterator[str]:
    yield path
    if os.path.isdir(path) and not os.path.islink(path):
        for folder, folders, files in os.walk(path):
            yield from (os.path.join(folder, name) for name in sorted((*folders, *files)))


class Redacted:
    """What is written goes on with its secrets taken out, also where one comes in pieces. `close` at its end."""

    def __init__(self, guard: Guard, write: Callable[[bytes], None]) -> None:
        self._guard = guard
        self._write = write
        self._held = b""

    def write(self, data: bytes) -> None:
        """An empty piece passes as it is: it says that there is a pause."""
        clean, self._held = self._guard.redact(self._held + data, whole=False)
        if clean or not data:
            self._write(clean)

    def close(self) -> None:
        clean, self._held = self._guard.redact(self._held, whole=True)
        if clean:
            self._write(clean)

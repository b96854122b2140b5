"""The file of a builder's secret keys: made on first use, readable by its owner alone.

A header, then one key a line; `#` begins a comment line. Exactly one key is `active` and signs. `retired` ones
are kept, so that what they signed is still known as this builder's own, and a rotation can be signed by them:

    kiln-secret-keys 1
    # Whoever can read this file can sign as this builder.
    active ed25519 2026-11-21T08:30:00Z <public key> <secret key>
    retired ed25519 2026-03-01T12:00:00Z <public key> <secret key>

Both keys are 32 bytes in base64url, 43 characters; the second is RFC 8032's private key, from which the first
must follow. The public half is written too, so that a run that signs nothing need not load libsodium.

The file is 0600 in a folder that is 0700, both of one user, who is the one that runs or for whom root does;
neither may be a symbolic link. It is written beside its place, synced, and linked there without replacing, so
that of two processes that make it at once both use the same key.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from dataclasses import dataclass, field, replace
from typing import Literal, Self, TypeAlias

from kiln.store.errors import NotOwner
from kiln.store.provenance.errors import BadKey, BadKeyFile
from kiln.store.provenance.keys import KEY_BYTES, PublicKey, SecretKey, from_base64url, to_base64url

HEADER = "kiln-secret-keys 1"
MAX_BYTES = 64 * 1024

KeyState: TypeAlias = Literal["active", "retired"]

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One line. `created` is RFC 3339 in UTC, whole seconds."""

    state: KeyState
    created: str
    public_key: PublicKey
    seed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """A builder's keys, in the order of the file."""

    keys: tuple[StoredKey, ...]

    @property
    def active(self) -> StoredKey:
        return next(key for key in self.keys if key.state == "active")

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        """The active key first, then the retired ones."""
        return (self.active.public_key, *(key.public_key for key in self._retired))

    def signer(self) -> SecretKey:
        """The active key, ready to sign. Raises BadKeyFile if its two halves do not belong together."""
        return unlock(self.active)

    @classmethod
    def generate(cls, created: str) -> Self:
        """One new key from the system's randomness."""
        seed = os.urandom(KEY_BYTES)
        return cls((StoredKey("active", created, SecretKey.of(seed).public_key, seed),))

    def rotated(self, created: str) -> Self:
        """The ring with a new active key before the others, which are retired. Newer keys stand before older ones."""
        old = tuple(replace(key, state="retired") for key in (self.active, *self._retired))
        return type(self)((*self.generate(created).keys, *old))

    @property
    def _retired(self) -> tuple[StoredKey, ...]:
        return tuple(key for key in self.keys if key.state == "retired")


def unlock(key: StoredKey) -> SecretKey:
    """A key of the file as a signer. Raises BadKeyFile."""
    secret = SecretKey.of(key.seed)
    if secret.public_key != key.public_key:
        raise BadKeyFile(
            "a secret key and the public key beside it do not belong together",
            expected=key.public_key.short,
            found=secret.public_key.short,
            help="restore the file from a copy, or move it away: a new key is then made on first use",
        )
    return secret


def open_keys(path: str) -> KeyRing:
    """The keys of the file at `path`, which is made with one new key when it is not there.

    Raises BadKeyFile, NotOwner.
    """
    folder, name = _split(path)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor = _open_folder(folder)
        try:
            if not _exists(name, descriptor):
                _create(name, descriptor)
            return _read(name, descriptor, path)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BadKeyFile(
            f"{path} cannot be made or read",
            expected="a place that you may write",
            found=os.strerror(error.errno or 0),
        ) from error


def load_keys(path: str) -> KeyRing | None:
    """The keys of the file at `path`, or None when it is not there. Raises BadKeyFile, NotOwner."""
    folder, name = _split(path)
    try:
        descriptor = _open_folder(folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadKeyFile(f"{path} cannot be read", found=os.strerror(error.errno or 0)) from error
    try:
        return _read(name, descriptor, path) if _exists(name, descriptor) else None
    finally:
        os.close(descriptor)


def replace_keys(path: str, ring: KeyRing) -> None:
    """Write a changed ring over the file, which is there and is held by `textfile.editing`. Raises BadKeyFile."""
    folder, name = _split(path)
    descriptor = _open_folder(folder)
    try:
        draft = _write(name, descriptor, ring)
        os.rename(draft, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def parse_keys(text: str, path: str = "the key file") -> KeyRing:
    """Read the format above. Raises BadKeyFile, whose words never hold a secret."""
    lines = text.splitlines()
    if not lines or lines[0] != HEADER:
        raise BadKeyFile(
            f"{path} is not a file of Kiln's secret keys", expected=f"a first line {HEADER!r}", found="another one"
        )
    keys = [
        _parse_line(line, f"{path}, line {number}")
        for number, line in enumerate(lines[1:], 2)
        if line.strip() and not line.startswith("#")
    ]
    active = sum(key.state == "active" for key in keys)
    if active != 1:
        raise BadKeyFile(f"{path} must have one active key", expected="one line `active`", found=str(active))
    if len({key.public_key.keyid for key in keys}) != len(keys):
        raise BadKeyFile(f"{path} holds a key twice", expected="each key on one line")
    return KeyRing(tuple(keys))


def format_keys(ring: KeyRing) -> str:
    """The text of a key file: it holds secrets."""
    lines = [HEADER, "# Whoever can read this file can sign as this builder."]
    for key in ring.keys:
        public, secret = to_base64url(key.public_key.raw), to_base64url(key.seed)
        lines.append(f"{key.state} ed25519 {key.created} {public} {secret}")
    return "\n".join(lines) + "\n"


def _parse_line(line: str, where: str) -> StoredKey:
    match line.split(" "):
        case ["active" | "retired" as state, "ed25519", created, public, seed] if _TIME.fullmatch(created):
            try:
                return StoredKey(state, created, PublicKey.of(from_base64url(public)), from_base64url(seed))
            except BadKey:
                pass
    raise BadKeyFile(
        f"{where}: not a key",
        expected="active|retired ed25519 <time> <public key> <secret key>",
        found="something else (not shown: it may hold a secret)",
    )


def _split(path: str) -> tuple[str, str]:
    folder, name = os.path.split(os.path.abspath(path))
    return folder, name


def _open_folder(folder: str) -> int:
    try:
        descriptor = os.open(folder, _FOLDER_FLAGS)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise BadKeyFile(
                "the folder of the secret keys is a symbolic link, or not a folder",
                expected="a folder of its own, 0700",
                found=folder,
            ) from None
        raise
    try:
        facts, user = os.fstat(descriptor), os.geteuid()
        _check_private(facts, folder, 0o700, facts.st_uid if user == 0 else user)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _check_private(facts: os.stat_result, path: str, wanted: int, owner: int) -> None:
    if facts.st_uid != owner:
        raise NotOwner(
            f"{path} belongs to another user, who could read or replace the secret keys",
            expected=f"user id {owner}",
            found=f"user id {facts.st_uid}",
            help="run Kiln as the user who owns the store",
        )
    mode = stat.S_IMODE(facts.st_mode)
    if mode & 0o077:
        raise BadKeyFile(
            f"{path} is open to other users, and secret keys must not be",
            expected=f"mode {wanted:04o}",
            found=f"mode {mode:04o}",
            help=f"chmod {wanted:o} {path}   (and make a new key, if others may have read this one)",
        )


def _read(name: str, folder: int, path: str) -> KeyRing:
    try:
        descriptor = os.open(name, _READ_FLAGS, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BadKeyFile(f"{path} is a symbolic link", expected="a file, 0600", found="a symbolic link") from None
        raise
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise BadKeyFile(f"{path} is not a file", expected="a file, 0600")
        _check_private(facts, path, 0o600, os.fstat(folder).st_uid)
        data = os.read(descriptor, MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES or not data.isascii():
        raise BadKeyFile(f"{path} is not a file of Kiln's secret keys", expected="ASCII, at most 64 KiB")
    return parse_keys(data.decode("ascii"), path)


def _create(name: str, folder: int) -> None:
    """Write a new key beside its place and link it there; whoever links first has made the key."""
    ring = KeyRing.generate(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    temporary = _write(name, folder, ring)
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary, dir_fd=folder)
        os.fsync(folder)


def _write(name: str, folder: int, ring: KeyRing) -> str:
    """Write a ring beside its place, synced; what it is called there."""
    temporary = f".{name}.{os.getpid()}.{os.urandom(4).hex()}"
    descriptor = os.open(temporary, _WRITE_FLAGS, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            os.fchown(descriptor, os.fstat(folder).st_uid, -1)
            file.write(format_keys(ring).encode("ascii"))
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise
    return temporary

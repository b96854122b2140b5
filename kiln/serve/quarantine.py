"""Where uploads lie until they are verified: below the cache's folder, on its file system, shown to no reader.

    <cache>/.quarantine/coming/<session>/owner            the name of the token that began it
    <cache>/.quarantine/coming/<session>/files/<path>     what came, named as in the cache
    <cache>/.quarantine/verifying/<session>/…             the same, from when it is committed: nobody can add to it
    <cache>/.quarantine/kept/<token>/<path>               files that are what their names say, and no head names yet
    <cache>/.quarantine/drafts/                           heads and cards on their way, and what is being removed

A session is 32 hexadecimal digits that the uploader drew; only the token that began one may go on with it.
A file appears under its name when all of it has come. A commit moves the session's folder away in one step, so that
what is verified is what was there then, and is what becomes the cache's. What is refused, or idle for too long, is
removed whole. Every byte counts against its token's share, and against that of all, until it leaves.

One server writes a cache folder: a second one is turned away. What one that was killed had begun to verify waits
again, as it was.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from kiln.serve.limits import Limits
from kiln.serve.refusal import Refused

FOLDER = ".quarantine"
DRAFTS = os.path.join(FOLDER, "drafts")


class Upload(NamedTuple):
    """What a commit is about: the folder of what came, and that of what this token uploaded before."""

    files: str
    kept: str


class InUse(Exception):
    """Another server takes uploads into this folder."""


class Quarantine:
    """The sessions of one cache folder; of any thread. Raises OSError, InUse."""

    def __init__(self, cache: str, limits: Limits) -> None:
        self._root = os.path.join(cache, FOLDER)
        self._limits = limits
        self._guard = threading.Lock()
        self._busy: set[str] = set()  # guarded by _guard, as all below
        self._open: Counter[str] = Counter()
        self._sizes: dict[str, int] = {}
        self._owners: dict[str, str] = {}
        self._kept: dict[str, int] = {}
        os.makedirs(self._root, mode=0o700, exist_ok=True)
        self._claim = _claim(os.path.join(self._root, "serving"))
        self._begin_again()

    def close(self) -> None:
        """Let another server have the folder."""
        os.close(self._claim)

    def _begin_again(self) -> None:
        """Take up what a server before this one left."""
        shutil.rmtree(self._folder("drafts"), ignore_errors=True)
        for name in ("coming", "verifying", "kept", "drafts"):
            os.makedirs(self._folder(name), mode=0o700, exist_ok=True)
        for session in os.listdir(self._folder("verifying")):
            with suppress(OSError):
                os.rename(self._folder("verifying", session), self._folder("coming", session))
        for session in os.listdir(self._folder("coming")):
            self._sizes[session] = _size(self._folder("coming", session))
            self._owners[session] = self.owner(session) or ""
        self._kept = {token: _size(self._folder("kept", token)) for token in os.listdir(self._folder("kept"))}

    @property
    def size(self) -> int:
        """Bytes that wait."""
        with self._guard:
            return sum(self._sizes.values()) + sum(self._kept.values())

    def begin(self, session: str, owner: str) -> None:
        """Begin a session, or go on with it. Raises Refused when it is another's, or is being verified."""
        place = self._folder("coming", session)
        with self._guard:
            if session in self._busy:
                raise Refused("session", "this upload is being verified", status=409)
            if session not in self._owners:
                mine = sum(1 for name in self._owners.values() if name == owner)
                if mine >= self._limits.sessions:
                    raise Refused("sessions", f"{mine} uploads of this token are not committed", status=429)
                os.makedirs(os.path.join(place, "files"), mode=0o700)
                with open(os.path.join(place, "owner"), "x", encoding="ascii") as file:
                    file.write(owner)
                self._owners[session] = owner
            elif self._owners[session] != owner:
                raise Refused("session", "another token began this upload", status=403)

    @contextmanager
    def draft(self, session: str) -> Iterator[str]:
        """A path for a file that is coming; whatever is left there goes."""
        path = os.path.join(self._folder("coming", session), f"coming-{os.urandom(8).hex()}")
        with self._guard:
            self._open[session] += 1
        try:
            yield path
        finally:
            with self._guard:
                self._open[session] -= 1
            with suppress(FileNotFoundError):
                os.unlink(path)

    def grow(self, session: str, amount: int) -> None:
        """Count bytes before they are written. Raises Refused where a limit is reached."""
        limits = self._limits
        with self._guard:
            owner = self._owners.get(session, "")
            mine = self._sizes.get(session, 0) + amount
            held = sum(size for name, size in self._sizes.items() if self._owners.get(name) == owner)
            total = sum(self._sizes.values()) + sum(self._kept.values()) + amount
            if mine > limits.session:
                raise Refused("session size", f"an upload of more than {limits.session} bytes", status=413)
            if held + self._kept.get(owner, 0) + amount > limits.token:
                raise Refused("token size", "too much of this token waits; commit, or try again later", status=507)
            if total > limits.quarantine:
                raise Refused("quarantine", "too much waits in quarantine; try again later", status=507)
            self._sizes[session] = mine

    def shrink(self, session: str, amount: int) -> None:
        """Give back bytes that were counted and are not kept."""
        with self._guard:
            if session in self._sizes:
                self._sizes[session] = max(0, self._sizes[session] - amount)

    def keep(self, session: str, draft: str, path: str) -> None:
        """Give a file that has come its name. Raises Refused where the session was committed or dropped meanwhile."""
        target = os.path.join(self._folder("coming", session), "files", path)
        with self._guard:
            if session in self._busy or session not in self._owners:
                raise Refused("session", "this upload was committed or given up meanwhile", status=409, path=path)
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            before = _file_size(target)
            os.replace(draft, target)
            os.utime(self._folder("coming", session))
            self._sizes[session] = max(0, self._sizes.get(session, 0) - before)

    def freeze(self, session: str) -> Upload:
        """Take a session's folder to where it is verified; nothing can be added from now on. Raises Refused."""
        with self._guard:
            if session in self._busy:
                raise Refused("session", "this upload is being verified", status=409)
            if session not in self._owners:
                raise Refused("session", "no such upload", status=404)
            place = self._folder("verifying", session)
            os.rename(self._folder("coming", session), place)
            self._busy.add(session)
            return Upload(os.path.join(place, "files"), self._folder("kept", self._owners[session]))

    def thaw(self, session: str) -> None:
        """Let a session that was frozen be gone on with."""
        with self._guard:
            os.rename(self._folder("verifying", session), self._folder("coming", session))
            self._busy.discard(session)

    def owner(self, session: str) -> str | None:
        """The name of the token that began it."""
        for state in ("coming", "verifying"):
            with suppress(FileNotFoundError), open(self._folder(state, session, "owner"), encoding="ascii") as file:
                return file.read()
        return None

    def find(self, token: str, path: str) -> tuple[int, float] | None:
        """A file that this token uploaded and no head names yet: its size, and since when its commits can use it.

        That is seconds since 1970; 0 for one whose session is not committed, as only that session can use it.
        """
        with suppress(OSError):
            facts = os.stat(self._folder("kept", token, path))
            return facts.st_size, facts.st_mtime
        with self._guard:
            mine = [session for session, owner in self._owners.items() if owner == token]
        for session in mine:
            with suppress(OSError):
                return os.stat(self._folder("coming", session, "files", path)).st_size, 0.0
        return None

    def drop(self, session: str) -> None:
        """Forget an upload with all that came. Raises Refused while it is being verified."""
        with self._guard:
            if session in self._busy:
                raise Refused("session", "this upload is being verified", status=409)
            gone = self._take_out(session, "coming")
        self._remove(gone)

    def end(self, session: str, *, refused: bool) -> None:
        """Forget an upload that was verified; of one that was refused also what its token uploaded before."""
        with self._guard:
            owner = self._owners.get(session, "")
            gone = self._take_out(session, "verifying")
            self._busy.discard(session)
            if refused and owner in self._kept:
                gone += self._away(self._folder("kept", owner))
        size = _size(self._folder("kept", owner))
        with self._guard:
            self._kept[owner] = size
        self._remove(gone)

    def drop_idle(self) -> list[str]:
        """Forget the uploads to which nothing came for too long, and what was kept for too long."""
        limit, gone, names = time.time() - self._limits.idle, list[str](), list[str]()
        with self._guard:
            for session in os.listdir(self._folder("coming")):
                with suppress(FileNotFoundError):
                    idle = os.stat(self._folder("coming", session)).st_mtime < limit
                    if idle and not self._open[session]:
                        gone += self._take_out(session, "coming")
                        names.append(session)
        self._remove(gone)
        self._drop_old()
        return names

    def _drop_old(self) -> None:
        limit = time.time() - self._limits.kept
        for token in os.listdir(self._folder("kept")):
            for place, _, files in os.walk(self._folder("kept", token)):
                for name in files:
                    path = os.path.join(place, name)
                    with suppress(FileNotFoundError):
                        if os.stat(path).st_mtime < limit:
                            os.unlink(path)
            size = _size(self._folder("kept", token))
            with self._guard:
                self._kept[token] = size

    def _folder(self, *parts: str) -> str:
        return os.path.join(self._root, *parts)

    def _take_out(self, session: str, state: str) -> list[str]:
        """Must be called under the guard."""
        self._sizes.pop(session, None)
        self._owners.pop(session, None)
        self._open.pop(session, None)
        return self._away(self._folder(state, session))

    def _away(self, place: str) -> list[str]:
        target = self._folder("drafts", f"gone-{os.urandom(8).hex()}")
        try:
            os.rename(place, target)
        except FileNotFoundError:
            return []
        return [target]

    def _remove(self, places: list[str]) -> None:
        for place in places:
            shutil.rmtree(place, ignore_errors=True)


def _claim(path: str) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InUse("another server takes uploads into this folder") from None
    return descriptor


def _file_size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _size(folder: str) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            total += _file_size(os.path.join(place, name))
    return total

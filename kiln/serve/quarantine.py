"""Where uploads lie until they are verified: below the cache's folder, on its file system, shown to no reader.

    <cache>/.quarantine/<session>/owner            the name of the token that began it
    <cache>/.quarantine/<session>/files/<path>     what came, named as in the cache

A session is 32 hexadecimal digits that the uploader drew; only the token that began one may go on with it.
A file appears under its name when all of it has come. What is refused, or idle for too long, is removed whole.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kiln.serve.limits import Limits
from kiln.serve.refusal import Refused

FOLDER = ".quarantine"


class Quarantine:
    """The sessions of one cache folder; of any thread."""

    def __init__(self, cache: str, limits: Limits) -> None:
        self._root = os.path.join(cache, FOLDER)
        self._limits = limits
        self._guard = threading.Lock()
        self._busy: set[str] = set()  # guarded by _guard
        os.makedirs(self._root, mode=0o700, exist_ok=True)
        self._sizes = {name: _size(os.path.join(self._root, name)) for name in os.listdir(self._root)}

    @property
    def size(self) -> int:
        """Bytes that wait."""
        with self._guard:
            return sum(self._sizes.values())

    def begin(self, session: str, owner: str) -> None:
        """Begin a session, or go on with it. Raises Refused when it is another's."""
        place = os.path.join(self._root, session)
        with suppress(FileExistsError):
            os.makedirs(os.path.join(place, "files"), mode=0o700)
        mark = os.path.join(place, "owner")
        try:
            with open(mark, "x", encoding="ascii") as file:
                file.write(owner)
        except FileExistsError:
            with open(mark, encoding="ascii") as file:
                if file.read() != owner:
                    raise Refused("session", "another token began this upload", status=403) from None

    @contextmanager
    def draft(self, session: str) -> Iterator[str]:
        """A path for a file that is coming; whatever is left there goes."""
        path = os.path.join(self._root, session, f"coming-{os.urandom(8).hex()}")
        try:
            yield path
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)

    def grow(self, session: str, amount: int) -> None:
        """Count bytes before they are written. Raises Refused where a limit is reached."""
        with self._guard:
            mine = self._sizes.get(session, 0) + amount
            total = sum(self._sizes.values()) + amount
            if mine > self._limits.session:
                raise Refused("session size", f"an upload of more than {self._limits.session} bytes", status=413)
            if total > self._limits.quarantine:
                raise Refused("quarantine", "too much waits in quarantine; try again later", status=507)
            self._sizes[session] = mine

    def keep(self, session: str, draft: str, path: str) -> None:
        """Give a file that has come its name."""
        target = os.path.join(self._root, session, "files", path)
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        os.replace(draft, target)
        os.utime(os.path.join(self._root, session))

    @contextmanager
    def committing(self, session: str) -> Iterator[str]:
        """The folder of what came, for one committer at a time. Raises Refused."""
        place = os.path.join(self._root, session)
        with self._guard:
            if session in self._busy:
                raise Refused("session", "this upload is being verified", status=409)
            if not os.path.isdir(place):
                raise Refused("session", "no such upload", status=404)
            self._busy.add(session)
        try:
            yield os.path.join(place, "files")
        finally:
            with self._guard:
                self._busy.discard(session)

    def owner(self, session: str) -> str | None:
        """The name of the token that began it."""
        try:
            with open(os.path.join(self._root, session, "owner"), encoding="ascii") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def drop(self, session: str) -> None:
        """Forget an upload with all that came."""
        shutil.rmtree(os.path.join(self._root, session), ignore_errors=True)
        with self._guard:
            self._sizes.pop(session, None)

    def drop_idle(self) -> list[str]:
        """Forget the uploads to which nothing came for too long."""
        limit = time.time() - self._limits.idle
        gone = []
        for session in os.listdir(self._root):
            with self._guard:
                busy = session in self._busy
            with suppress(FileNotFoundError):
                if not busy and os.stat(os.path.join(self._root, session)).st_mtime < limit:
                    self.drop(session)
                    gone.append(session)
        return gone


def _size(folder: str) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total

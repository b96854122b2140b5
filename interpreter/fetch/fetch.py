"""A fixed file, had from the first source that has it.

    parse     every source, before anything is asked: a mistake in the third is told at once
    try       each source in order, at each of its mirrors in order: bytes into one file, both digests as
              they come, against the pin
    mismatch  the file that came is kept aside and the next place tried; if a later one matches, the
              mismatch is a warning, and if none does, it is the error (K0501)
    nothing   every attempt in one error (K0503, or K0506 where the network alone is to blame)

Nothing is admitted that does not match: the file at `dest` exists only after its digest was compared.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from kiln.interpreter.derivation import Fixed
from kiln.interpreter.fetch.config import FetchConfig
from kiln.interpreter.fetch.errors import (
    Attempt,
    FetchError,
    HashMismatch,
    NotDelivered,
    Outcome,
    UnpackError,
    Unreachable,
)
from kiln.interpreter.fetch.index import Promise
from kiln.interpreter.fetch.locate import Candidate, Located, candidates, is_local, local_path
from kiln.interpreter.fetch.sink import Received, Sink
from kiln.interpreter.fetch.source import FileSource, GitSource, Source, UrlSource, parse_source, redact
from kiln.store.digest import BlobDigest

if TYPE_CHECKING:
    from kiln.interpreter.fetch.download import Progress

OnProgress: TypeAlias = "Callable[[Progress], None]"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A file that came and was not the pinned one."""

    place: str
    size: int
    blake3: BlobDigest
    sha256: str
    kept: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.place} gave another file than the pinned one (sha256:{self.sha256}), kept at {self.kept}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """The pinned file. `source_used` is the source as written, `place` the address it came from, without user
    and password; `attempts` are the places that failed before, `mismatches` those that gave other bytes (each
    a warning too)."""

    path: str
    size: int
    blake3: BlobDigest
    sha256: str
    source_used: str
    place: str
    attempts: tuple[Attempt, ...] = ()
    mismatches: tuple[Mismatch, ...] = ()
    warnings: tuple[str, ...] = ()


def fetch_fixed(
    fixed: Fixed,
    sources: Sequence[str],
    dest: str,
    config: FetchConfig,
    on_progress: OnProgress | None = None,
    env: Mapping[str, str] | None = None,
    headers: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> Fetched:
    """Have the file and put it at `dest`, whose folder exists and lies on the disk that is to hold it.

    `headers` has, by source as written, a header that this source's own host is sent and no other.

    May be called from several threads at once; `on_progress` is called on another one. `env` is what apt, pip,
    npm and git see of the environment. Raises BadSource, HashMismatch (K0501), NotDelivered (K0503, K0506),
    BadConfig, CannotKeep.
    """
    parsed = tuple(map(parse_source, sources))
    return _Fetch(fixed, dest, config, on_progress, os.environ if env is None else env, headers).run(parsed)


def fetch_first(
    name: str, source: str, dest: str, config: FetchConfig, env: Mapping[str, str] | None = None
) -> Fetched:
    """Have a file that nobody has pinned yet, or whose pin speaks of what is in it: whatever the source gives.

    The caller vouches for it: `kiln pin` writes the digest down, a module's tree is compared afterwards. Raises as
    `fetch_fixed` does, but for HashMismatch.
    """
    fixed = Fixed(name, False, "blake3", bytes(32))
    return _First(fixed, dest, config, None, os.environ if env is None else env).run((parse_source(source),))


@dataclass(slots=True)
class _Came:
    """Bytes that came, before they are compared."""

    received: Received
    place: str
    promise: Promise | None = None
    warnings: tuple[str, ...] = ()


class _Missed(Exception):
    def __init__(self, outcome: Outcome, detail: str, tries: int = 1) -> None:
        super().__init__(detail)
        self.outcome, self.detail, self.tries = outcome, detail, tries


class _Fetch:
    """One fetch on its way: what was tried so far."""

    def __init__(
        self,
        fixed: Fixed,
        dest: str,
        config: FetchConfig,
        on_progress: OnProgress | None,
        env: Mapping[str, str],
        headers: Mapping[str, tuple[str, str]] = MappingProxyType({}),
    ) -> None:
        self.fixed = fixed
        self.dest = dest
        self.part = dest + ".part"
        self.config = config
        self.on_progress = on_progress
        self.env = env
        self.headers = headers
        self.attempts: list[Attempt] = []
        self.mismatches: list[Mismatch] = []

    def run(self, sources: tuple[Source, ...]) -> Fetched:
        try:
            for source in sources:
                found = self._from(source)
                if found is not None:
                    return found
        finally:
            _forget(self.part)
        raise self._failure()

    def _from(self, source: Source) -> Fetched | None:
        match source:
            case FileSource(path=path):
                place = os.fsdecode(path)
                return self._try(source, place, lambda: self._copy(path, place))
            case GitSource():
                return self._try(source, source.url, lambda: self._commit(source))
            case _:
                return self._from_addresses(source)

    def _from_addresses(self, source: Located) -> Fetched | None:
        for item in candidates(source, self.config, self.env):
            if isinstance(item, Attempt):
                self.attempts.append(item)
                continue
            found = self._try(source, redact(item.url), lambda item=item: self._load(item, source))  # type: ignore[misc]
            if found is not None:
                return found
        return None

    def _try(self, source: Source, place: str, bring: Callable[[], _Came]) -> Fetched | None:
        try:
            came = bring()
        except _Missed as missed:
            self.attempts.append(Attempt(source.text, place, missed.outcome, missed.detail, missed.tries))
            return None
        if self._matches(came.received):
            return self._admit(source, came)
        self._keep(source, came)
        return None

    def _load(self, item: Candidate, source: Located) -> _Came:
        if is_local(item.url):
            path = local_path(item.url)
            return self._copy(path, os.fsdecode(path), item.promise)
        if self.config.offline:
            raise _Missed(Outcome.OFFLINE, "", tries=0)
        from kiln.interpreter.fetch.download import Undelivered, download  # aiohttp: 170 ms

        header = self.headers.get(source.text) if isinstance(source, UrlSource) else None
        with Sink(self.part) as sink:
            try:
                delivered = download(item.url, sink, self.config.limits, self.on_progress, header)
                if delivered.resumed and not self._matches(sink.received()):
                    delivered = download(item.url, sink, self.config.limits, self.on_progress, header)
            except Undelivered as error:
                raise _Missed(error.outcome, error.detail, error.tries) from None
            return _Came(sink.received(), redact(delivered.url), item.promise)

    def _copy(self, path: bytes, place: str, promise: Promise | None = None) -> _Came:
        from fsspec.implementations.local import LocalFileSystem

        with Sink(self.part) as sink:
            try:
                if not stat.S_ISREG(os.stat(path).st_mode):
                    raise _Missed(Outcome.LOCAL, "no regular file")
                with LocalFileSystem().open(os.fsdecode(path), "rb") as file:
                    while block := file.read(_BLOCK):
                        sink.write(block)
                        if sink.size > self.config.limits.size:
                            raise _Missed(Outcome.TOO_LARGE, f"more than {self.config.limits.size} bytes")
            except FileNotFoundError:
                raise _Missed(Outcome.MISSING, "no such file") from None
            except OSError as error:
                raise _Missed(Outcome.LOCAL, error.strerror or "") from None
            return _Came(sink.received(), place, promise)

    def _commit(self, source: GitSource) -> _Came:
        if self.config.offline and source.transport != "file":
            raise _Missed(Outcome.OFFLINE, "", tries=0)
        from kiln.interpreter.fetch.git import GitFailed, fetch_commit  # GitPython: 70 ms

        with Sink(self.part) as sink:
            try:
                warnings = fetch_commit(source, sink, self.config.limits, self.env)
            except GitFailed as error:
                raise _Missed(error.outcome, error.detail) from None
            except UnpackError as error:
                raise _Missed(Outcome.BAD_ANSWER, f"{error.message}: {error.found}") from None
            return _Came(sink.received(), source.url, warnings=warnings)

    def _matches(self, received: Received) -> bool:
        return self._found(received.blake3, received.sha256) == self.fixed.value

    def _found(self, blake3: BlobDigest, sha256: str) -> bytes:
        match self.fixed.algorithm:
            case "blake3":
                return bytes(blake3)
            case "sha256":
                return bytes.fromhex(sha256)

    def _admit(self, source: Source, came: _Came) -> Fetched:
        os.chmod(self.part, 0o755 if self.fixed.executable else 0o644)
        os.rename(self.part, self.dest)
        _, size, blake3, sha256 = came.received
        return Fetched(
            path=self.dest,
            size=size,
            blake3=blake3,
            sha256=sha256,
            source_used=source.text,
            place=came.place,
            attempts=tuple(self.attempts),
            mismatches=tuple(self.mismatches),
            warnings=came.warnings + tuple(map(str, self.mismatches)),
        )

    def _keep(self, source: Source, came: _Came) -> None:
        """Put the wrong file where it can be looked at, under its own digest."""
        _, size, blake3, sha256 = came.received
        notes = tuple(_promise_kept(self.part, came.promise))
        kept = self._put_aside(f"mismatch-{sha256[:16]}-{self.fixed.name}")
        self.mismatches.append(Mismatch(came.place, size, blake3, sha256, kept, notes))
        self.attempts.append(
            Attempt(source.text, came.place, Outcome.MISMATCH, self._text(self._found(blake3, sha256)))
        )

    def _put_aside(self, name: str) -> str:
        """Move the part where it can be looked at: the configured folder or, if that is not to be had, beside
        the destination."""
        for folder in filter(None, (self.config.keep_dir, os.path.dirname(os.path.abspath(self.dest)))):
            kept = os.path.join(folder, name)
            try:
                os.makedirs(folder, exist_ok=True)
                os.replace(self.part, kept)
                return kept
            except OSError:
                continue  # another file system, or no permission
        return self.part

    def _text(self, value: bytes) -> str:
        return f"{self.fixed.algorithm}:{value.hex()}"

    def _expected(self) -> str | None:
        return self._text(self.fixed.value)

    def _failure(self) -> FetchError:
        attempts = tuple(self.attempts)
        if self.mismatches:
            return self._mismatch(self.mismatches[0], attempts)
        network = bool(attempts) and all(attempt.is_network for attempt in attempts)
        failure = Unreachable if network else NotDelivered
        return failure(
            f"no source of {self.fixed.name} can be reached" if network else f"no source has {self.fixed.name}",
            expected=self._expected(),
            found=f"{len(attempts)} places were tried",
            help=self._help(network, attempts),
            attempts=attempts,
        )

    def _help(self, network: bool, attempts: tuple[Attempt, ...]) -> str:
        if not attempts:
            return "give it at least one source"
        if self.config.offline:
            return "build once without --offline"
        if network:
            return "look at this machine's network and proxies, or set a mirror in Kiln's config.toml"
        return "give the pin another source that still has the file"

    def _mismatch(self, first: Mismatch, attempts: tuple[Attempt, ...]) -> HashMismatch:
        return HashMismatch(
            "the download does not match its declared hash",
            expected=self._text(self.fixed.value),
            found=self._text(self._found(first.blake3, first.sha256)),
            kept=first.kept,
            size=first.size,
            place=first.place,
            notes=first.notes,
            attempts=attempts,
            help="look at the file that was kept; only if it is the one you meant, correct the hash",
        )


class _First(_Fetch):
    """A fetch that takes what comes."""

    def _matches(self, received: Received) -> bool:
        return True

    def _expected(self) -> str | None:
        return None


def _promise_kept(path: str, promise: Promise | None) -> list[str]:
    """What the registry's own digest says about a file that is not the pinned one."""
    if promise is None:
        return []
    digest = hashlib.new(promise.algorithm)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() == promise.value:
        return [f"the registry promises this very file ({promise.algorithm}): the pin is for another one"]
    return [f"the registry promises another file ({promise.algorithm}): this one was damaged or replaced"]


def _forget(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)

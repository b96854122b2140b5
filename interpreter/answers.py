"""Answers kept: what a target came to, and everything that was read to find that out.

An answer is used again only while everything it was made from is what it was: each build file by its content,
each source folder by what the file system says of every file in it, and Kiln's own code. It is never looked up
by the command line alone. A failure is not kept. An answer that can't be read, or whose bytes are not what they were
when it was written, is no answer. KILN_NO_CACHE turns all of this off, as it does the other layers (`caching`).

The file, one a (build file, attribute), is 32 bytes BLAKE3 of the rest, then a msgpack array, with digests as 32-byte
`bin`:

    [version, fingerprint of Kiln, time in ns, [[build file, blake3] …], [[source folder, stamp] …],
     [[label, derivation or empty, output, object or empty, name, sub] …]]

Every kiln.lock that was read stands among the build files; the places where one was looked for and was not have an
empty digest. A remote module's files are covered by the tree's digest in the lock.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgpack
from blake3 import blake3

from kiln.interpreter.derivation import DrvOutput, SourceObject
from kiln.store.digest import DrvDigest, ObjectId
from kiln.store.errors import BadName
from kiln.store.paths import OutputName

VARIABLE: Final = "KILN_NO_CACHE"
_VERSION = 3
_DIGEST = 32
_RACY_NS = 2_000_000_000
"""A source changed within this long of the answer may change again without its times showing it."""


ABSENT = b""
"""Stands for the digest of a file that is not there."""


class Target(NamedTuple):
    """One thing to realise: an output of a derivation or a source, and the path within it."""

    label: str
    item: DrvOutput | SourceObject
    sub: str = ""


class Answer(NamedTuple):
    """What was asked for, and what was read: build files with their digests, source folders."""

    targets: tuple[Target, ...]
    files: tuple[tuple[str, bytes], ...]
    trees: tuple[str, ...]


def is_off() -> bool:
    """Whether the user wants nothing read from a cache, and nothing kept."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def recall(folder: str, build_file: str, attribute: str | None) -> Answer | None:
    """The answer kept for this question, if it still holds."""
    if is_off():
        return None
    try:
        with open(_place(folder, build_file, attribute), "rb") as file:
            held = file.read()
        body = held[_DIGEST:]
        if blake3(body).digest() != held[:_DIGEST]:
            return None
        version, print_, when, files, trees, targets = msgpack.unpackb(body)
        if version != _VERSION or print_ != fingerprint():
            return None
        for path, digest in files:
            if os.path.lexists(path) if digest == ABSENT else file_digest(path) != digest:
                return None
        for path, stamp in trees:
            if tree_stamp(path, when) != stamp:
                return None
        return Answer(
            tuple(_target(fields) for fields in targets),
            tuple((path, digest) for path, digest in files),
            tuple(path for path, _ in trees),
        )
    except (OSError, ValueError, TypeError, BadName, msgpack.UnpackException):
        return None


def remember(folder: str, build_file: str, attribute: str | None, answer: Answer, when: int) -> None:
    """Keep an answer that was begun at `when`, in ns: a source that changed after it may have been read before.

    Where the folder can't be written, or a source is gone, nothing is kept, and nothing is said.
    """
    if is_off():
        return
    place = _place(folder, build_file, attribute)
    try:
        stamps = [(path, tree_stamp(path, when)) for path in answer.trees]
        if any(stamp is None for _, stamp in stamps):
            return
        targets = [_fields(target) for target in answer.targets]
        fields = [_VERSION, fingerprint(), when, answer.files, stamps, targets]
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        temporary = f"{place}.{os.getpid()}"
        body = msgpack.packb(fields)
        with open(temporary, "wb") as file:
            file.write(blake3(body).digest())
            file.write(body)
        os.replace(temporary, place)
    except (OSError, UnicodeEncodeError):  # a path that is no UTF-8 has no place in an answer
        pass


def file_digest(path: str) -> bytes:
    """BLAKE3 of a file's bytes."""
    with open(path, "rb") as file:
        return blake3(file.read()).digest()


def tree_stamp(path: str, when: int) -> bytes | None:
    """A digest of what the file system says of everything below a path; None where that can't be relied on yet."""
    rows: list[tuple[str, int, int, int, int, int]] = []
    stack = [path, os.path.realpath(path)] if os.path.islink(path) else [path]
    while stack:
        here = stack.pop()
        info = os.lstat(here)
        if max(info.st_mtime_ns, info.st_ctime_ns) > when - _RACY_NS:
            return None
        rows.append((here, info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino))
        if stat.S_ISDIR(info.st_mode):
            stack.extend(os.path.join(here, name) for name in os.listdir(here))
    return blake3(msgpack.packb(sorted(rows))).digest()


def untouched(path: str, since: int) -> bool:
    """Whether nothing at or below a path, or what it links to, was changed after a time in ns. Raises OSError."""
    stack = [path, os.path.realpath(path)] if os.path.islink(path) else [path]
    while stack:
        here = stack.pop()
        info = os.lstat(here)
        if info.st_ctime_ns > since:
            return False
        if stat.S_ISDIR(info.st_mode):
            stack.extend(os.path.join(here, name) for name in os.listdir(here) if name != ".git")
    return True


_ALL: Final = ("interpreter", "lang", "stdlib", "store")
LANGUAGE: Final = (
    "lang", "stdlib", "interpreter/caching", "interpreter/evaluate", "interpreter/derivation.py",
    "interpreter/fetch/source.py", "interpreter/imports.py", "interpreter/modules.py", "store/digest.py",
    "store/paths.py",
)  # fmt: skip
"""Kiln's code that decides what a build file means, up to its derivations; what makes them is left out."""


def fingerprint(parts: Sequence[str] = _ALL) -> bytes:
    """A digest of what the file system says of Kiln's own code, so that another version answers anew."""
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    rows: list[tuple[str, int, int]] = []
    for part in parts:
        path = os.path.join(home, part)
        for name, info in _code_files(path) if not part.endswith(".py") else [(path, os.stat(path))]:
            rows.append((name[len(home) + 1 :], info.st_size, info.st_mtime_ns))
    return blake3(msgpack.packb(sorted(rows))).digest()


def _code_files(folder: str) -> Iterable[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((".py", ".kiln", ".lark")):
                yield entry.path, entry.stat()
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _code_files(entry.path)


def _place(folder: str, build_file: str, attribute: str | None) -> str:
    question = msgpack.packb([build_file, attribute])
    return os.path.join(folder, "answers", blake3(question).hexdigest()[:40])


def _fields(target: Target) -> list[object]:
    match target.item:
        case DrvOutput(drv, output):
            return [target.label, bytes(drv), str(output), b"", "", target.sub]
        case SourceObject(object_id, name):
            return [target.label, b"", "", bytes(object_id), name, target.sub]


def _target(fields: list[object]) -> Target:
    match fields:
        case [str(label), bytes(drv), str(output), bytes(), str(), str(sub)] if drv:
            return Target(label, DrvOutput(DrvDigest(drv), OutputName(output)), sub)
        case [str(label), bytes(), str(), bytes(object_id), str(name), str(sub)]:
            return Target(label, SourceObject(ObjectId(object_id), name), sub)
    raise ValueError("not a target")

"""kiln.lock: what a project's remote modules are, and the copies of other ecosystems' lock files.

UTF-8 text, lines ended by a line feed. The first line names the format; then entries, each set off by an empty
line, so that two branches that change neighbours merge: modules by name, then copies by name.

    kiln.lock 1

    module logging https://example.org/logging-2.1.tar.gz strip=1 file=blake3:<64 hex> tree=blake3:<64 hex>

    module toolbox git+https://example.org/toolbox.git?rev=<40 hex> ref=main tree=blake3:<64 hex>

    copy web/package-lock.json blake3:<64 hex>
    | {
    |   "lockfileVersion": 3
    | }

`module NAME PIN`. NAME is what an import begins with: parts of letters, digits, `.`, `_`, `-` (the first a letter
or digit), joined by `/`. A **pin** is an address as `fetch.source` reads it and fields in this order, apart by one
space:

    ref=REF       a git address alone: the branch or tag that `kiln pin update` follows
    strip=N       an archive alone, above 0: the leading components that unpacking drops
    file=DIGEST   an archive alone, always: BLAKE3 of the file
    tree=DIGEST   always: the root digest (store.manifest) of the tree

An import may carry the same words itself: `import "toolbox" @ "git+https://…?rev=… tree=blake3:…" as tb;`.

`copy NAME DIGEST` is followed by the text, a line a line, each behind `| ` (an empty one is `|`); `\\` after the
last says that it does not end in a line feed. NAME is a relative path without `.` and `..`; DIGEST is BLAKE3 of the
text in UTF-8, so that a merge which mixes two texts is seen.

Reading takes entries in any order; `render` writes the one canonical form. docs/spec/kiln-lock.md is normative.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kiln.interpreter.fetch.errors import BadSource
from kiln.interpreter.fetch.source import GitSource, parse_source
from kiln.store.digest import BlobDigest, RootDigest, blob_digest

FILE: Final = "kiln.lock"
HEADER: Final = "kiln.lock 1"
COPY_LIMIT: Final = 16 << 20
"""Bytes of one copied file."""

MODULE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_COPY_NAME = re.compile(r"[!-~]+")
_DIGEST = re.compile(r"blake3:[0-9a-f]{64}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_REF = re.compile(r"[!-~]+")
_STRIP = re.compile(r"[1-9][0-9]?")
_FIELDS = ("ref", "strip", "file", "tree")
_MARKERS = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")


class Pin(NamedTuple):
    """One remote tree. `file` is None, and `ref` may be there, where the address is git's."""

    address: str
    tree: RootDigest
    file: BlobDigest | None = None
    strip: int = 0
    ref: str | None = None

    @property
    def is_git(self) -> bool:
        return self.file is None


class Copy(NamedTuple):
    """The text of another ecosystem's lock file."""

    text: str

    @property
    def digest(self) -> BlobDigest:
        return blob_digest(self.text.encode())


@dataclass(frozen=True, slots=True)
class Lock:
    """What a kiln.lock says, by name."""

    modules: Mapping[str, Pin] = field(default_factory=dict)
    copies: Mapping[str, Copy] = field(default_factory=dict)


class LockFault(NamedTuple):
    """A line, counted from 1, that is not as it must be; `name` where it is known whose entry it is in."""

    line: int
    problem: str
    expected: str
    found: str
    name: str | None = None
    twice: bool = False


class Conflicted(NamedTuple):
    """A line, counted from 1, that a merge left behind."""

    line: int
    found: str


class PinFault(NamedTuple):
    """A pin that does not parse."""

    problem: str
    expected: str
    found: str


PIN_FORM: Final = "ADDRESS [ref=REF] [strip=N] [file=blake3:<64 hex>] tree=blake3:<64 hex>"


# ---- reading ------------------------------------------------------------------------------------


def parse_lock(text: str) -> Lock | LockFault | Conflicted:
    """What the text of a kiln.lock says, or the first thing that is wrong with it."""
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if line.startswith(_MARKERS):
            return Conflicted(number, line)
    if lines[0] != HEADER:
        newer = lines[0].startswith("kiln.lock ")
        problem = "this kiln.lock is of another version" if newer else "this is no kiln.lock"
        return LockFault(1, problem, HEADER, lines[0])
    return _Reader(lines).read()


def parse_pin(text: str) -> Pin | PinFault:
    """Read an address and its fields."""
    address, *words = text.split(" ")
    try:
        source = parse_source(address)
    except BadSource as error:
        return PinFault(error.message, error.expected or PIN_FORM, address)
    fields: dict[str, str] = {}
    for word in words:
        name, mark, value = word.partition("=")
        if not mark or name not in _FIELDS or list(fields) != [item for item in _FIELDS if item in fields]:
            return PinFault("this is no field of a pin", PIN_FORM, word)
        if name in fields or any(_FIELDS.index(item) > _FIELDS.index(name) for item in fields):
            return PinFault("a pin's fields come once each, and in one order", PIN_FORM, word)
        fields[name] = value
    return _pin(address, fields, git=isinstance(source, GitSource))


def _pin(address: str, fields: Mapping[str, str], *, git: bool) -> Pin | PinFault:
    for name, form in (("tree", _DIGEST), ("file", _DIGEST), ("strip", _STRIP), ("ref", _REF)):
        if name in fields and not form.fullmatch(fields[name]):
            expected = (
                "tree=blake3:<64 hex>" if form is _DIGEST else f"{name}={'1 to 99' if form is _STRIP else 'REF'}"
            )
            return PinFault(f"the {name} of a pin does not parse", expected, f"{name}={fields[name]}")
    if "tree" not in fields:
        return PinFault("a pin says what its tree is", "tree=blake3:<64 hex>", "no tree=")
    if git and ("file" in fields or "strip" in fields):
        return PinFault("a git address has no file and no strip", "ref=REF and tree=DIGEST alone", address)
    if not git and "ref" in fields:
        return PinFault("only a git address follows a ref", "strip=N, file=DIGEST and tree=DIGEST", address)
    if not git and "file" not in fields:
        return PinFault("the pin of an archive says what its file is", "file=blake3:<64 hex>", "no file=")
    file = BlobDigest.parse(fields["file"]) if "file" in fields else None
    return Pin(address, RootDigest.parse(fields["tree"]), file, int(fields.get("strip", "0")), fields.get("ref"))


def is_module_name(name: str) -> bool:
    """Whether an import may begin with it: not the library's, not a file's."""
    return bool(MODULE_NAME.fullmatch(name)) and name.split("/")[0] != "std" and not name.endswith(".kiln")


def is_copy_name(name: str) -> bool:
    parts = name.split("/")
    return bool(_COPY_NAME.fullmatch(name)) and not any(part in ("", ".", "..") for part in parts)


def is_copy_text(text: str) -> bool:
    """Whether it is text that a Str can hold: no NUL, no byte that was not UTF-8."""
    return "\0" not in text and not _SURROGATE.search(text)


class _Reader:
    """Goes through the lines once."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.at = 1
        self.modules: dict[str, Pin] = {}
        self.copies: dict[str, Copy] = {}

    def read(self) -> Lock | LockFault:
        if self.lines[-1] != "":
            return LockFault(
                len(self.lines), "the last line is cut off", "a line feed at its end", self.lines[-1][-60:]
            )
        while self.at < len(self.lines):
            line = self.lines[self.at]
            self.at += 1
            fault = self._entry(line) if line else None
            if fault is not None:
                return fault
        return Lock(self.modules, self.copies)

    def _entry(self, line: str) -> LockFault | None:
        kind, _, rest = line.partition(" ")
        name, _, rest = rest.partition(" ")
        number = self.at
        if kind not in ("module", "copy"):
            return LockFault(number, "this line is no entry", "module NAME PIN, or copy NAME DIGEST", line[:120])
        valid = is_module_name(name) if kind == "module" else is_copy_name(name)
        if not valid:
            form = "the name that an import begins with" if kind == "module" else "a relative path"
            return LockFault(number, f"`{name}` is no name of a {kind}", form, name)
        if name in (self.modules if kind == "module" else self.copies):
            return LockFault(number, f"`{name}` has two entries", "one entry a name", line[:120], name, True)
        return self._module(name, rest) if kind == "module" else self._copy(name, rest)

    def _module(self, name: str, words: str) -> LockFault | None:
        pin = parse_pin(words)
        if isinstance(pin, PinFault):
            return LockFault(self.at, pin.problem, pin.expected, pin.found, name)
        self.modules[name] = pin
        return None

    def _copy(self, name: str, digest: str) -> LockFault | None:
        number = self.at
        if not _DIGEST.fullmatch(digest):
            return LockFault(number, f"the digest of `{name}` does not parse", "blake3:<64 hex>", digest, name)
        copy = Copy("".join(self._text()))
        if not is_copy_text(copy.text):
            return LockFault(number, f"the copy of `{name}` is not text", "UTF-8 without NUL", name, name)
        found = copy.digest
        if found != BlobDigest.parse(digest):
            problem = f"the copy of `{name}` is not what its digest says"
            return LockFault(number, problem, digest, str(found), name)
        self.copies[name] = copy
        return None

    def _text(self) -> Iterator[str]:
        """The lines of a copy, each with its line feed."""
        while self.at < len(self.lines) and self.lines[self.at][:1] == "|":
            line = self.lines[self.at]
            self.at += 1
            last = self.lines[self.at] == "\\" if self.at < len(self.lines) else False
            yield line[2:] + ("" if last else "\n")
            if last:
                self.at += 1
                return


# ---- writing ------------------------------------------------------------------------------------


def render(lock: Lock) -> str:
    """The canonical text."""
    parts = [HEADER + "\n"]
    parts += [f"\nmodule {name} {render_pin(pin)}\n" for name, pin in sorted(lock.modules.items())]
    parts += [f"\ncopy {name} {copy.digest}\n{_quoted(copy.text)}" for name, copy in sorted(lock.copies.items())]
    return "".join(parts)


def render_pin(pin: Pin) -> str:
    """The words that `parse_pin` reads."""
    words = [pin.address]
    words += [f"ref={pin.ref}"] if pin.ref is not None else []
    words += [f"strip={pin.strip}"] if pin.strip else []
    words += [f"file={pin.file}"] if pin.file is not None else []
    return " ".join([*words, f"tree={pin.tree}"])


def _quoted(text: str) -> str:
    if not text:
        return ""
    *lines, last = text.split("\n")
    whole = [*lines, last] if last else lines
    quoted = "".join(f"| {line}\n" if line else "|\n" for line in whole)
    return quoted + ("\\\n" if last else "")

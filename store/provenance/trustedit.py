"""Changing the file of trusted keys, a line at a time: other lines, comments and their order stay as they are.

A change is made of the text as it is when the file's lock is held, and is written only if the result can be read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from kiln.store.errors import NotInStore
from kiln.store.provenance.errors import BadTrustFile
from kiln.store.provenance.keys import PublicKey
from kiln.store.provenance.trust import (
    COLUMNS,
    TrustedFile,
    TrustedKey,
    format_key_line,
    is_date,
    is_name,
    parse_trusted_file,
    read_trusted,
)
from kiln.store.textfile import editing
from kiln.store.textfile import replace as write_text

Edit: TypeAlias = Callable[[str, TrustedFile], str]
"""From the text of the file, and what it says, to its new text."""


def change(path: str, edit: Edit) -> TrustedFile:
    """Change the file, which is made when it is not there; what it says then. Raises BadTrustFile, StoreLocked."""
    with editing(path):
        text = read_trusted(path) or COLUMNS + "\n"
        made = edit(text, parse_trusted_file(text, path))
        found = parse_trusted_file(made, path)
        if made != text or not os.path.exists(path):
            write_text(path, made, mode=0o644)  # whatever the umask: a file that a group may write decides nothing
    return found


def find_key(keys: TrustedFile, name: str) -> TrustedKey:
    """A key by its name, its id or itself. Raises NotInStore."""
    for item in keys.keys:
        if name in (item.name, item.key.keyid, str(item.key)):
            return item
    raise NotInStore(f"no trusted key is called {name}", help="kiln trust list")


def adding(made: TrustedKey) -> Edit:
    """Add a key. Raises BadTrustFile for a name that cannot be one, NotInStore never."""
    for what, text in (("a key", made.name), ("an operator", made.operator or "x")):
        if not is_name(text):
            raise BadTrustFile(
                f"not a name for {what}",
                expected="letters, digits and . _ @ -, at most 64",
                found=repr(text[:80]),
            )
    for text in filter(None, (made.expires, made.revoked)):
        check_date(text)
    for text in made.caches or ():
        if not is_name(text):
            raise BadTrustFile(
                "not a name for a cache", expected="as kiln cache list shows it", found=repr(text[:80])
            )
    return lambda text, found: _end(text) + format_key_line(made) + "\n"


def updating(name: str, update: Callable[[TrustedKey], TrustedKey]) -> Edit:
    """Change what is said of a key."""

    def edit(text: str, found: TrustedFile) -> str:
        key = find_key(found, name)
        return _with_line(text, key, [format_key_line(update(key))])

    return edit


def removing(name: str) -> Edit:
    return lambda text, found: _with_line(text, find_key(found, name), [])


def succeeding(name: str, new: PublicKey, today: str) -> Edit:
    """Give a key's name, and all that it is trusted for, to another; the old one stays, as NAME@DATE."""

    def edit(text: str, found: TrustedFile) -> str:
        old = find_key(found, name)
        heir = replace(
            old, key=new, added=today, operator=old.run_by, succeeds=str(old.keyid), revoked=None, expires=old.expires
        )
        taken = {item.name for item in found.keys}
        kept = f"{old.name[:48]}@{today}"
        names = [kept, *(f"{kept}-{number}" for number in range(2, 100))]
        before = replace(old, name=next(item for item in names if item not in taken), operator=old.run_by)
        return _with_line(text, old, [format_key_line(heir), format_key_line(before)])

    return edit


def with_threshold(number: int) -> Edit:
    """Ask for so many keys; 1 takes the directive away."""

    def edit(text: str, found: TrustedFile) -> str:
        lines = [line for line in text.split("\n") if line.split()[:1] != ["threshold"]]
        if number == 1:
            return "\n".join(lines)
        at = next((index for index, line in enumerate(lines) if not line.startswith("#")), len(lines))
        return "\n".join([*lines[:at], f"threshold {number}", *lines[at:]])

    return edit


def check_date(text: str) -> str:
    """The date itself. Raises BadTrustFile."""
    if not is_date(text):
        raise BadTrustFile("not a day", expected="YYYY-MM-DD", found=repr(text[:40]))
    return text


def _with_line(text: str, key: TrustedKey, lines: list[str]) -> str:
    made: list[str] = []
    for line in text.split("\n"):
        made += lines if line.split()[:1] == [str(key.keyid)] else [line]
    return "\n".join(made)


def _end(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"

"""`std/lock`: what a project's kiln.lock copied, as a module.

The library's file declares the module with no copies, in its last line,

    let copies: Map(Str) = [=>];

Where a module imports `std/lock` and a kiln.lock is in force there, that line is written with the lock's copies,
and the module's id gets the lock's digest. So a copy is a constant of a module like any other: what depends on it is
found by the same rules, and no primitive reads anything.
"""

from __future__ import annotations

import re
from typing import Final

from kiln.interpreter.imports import LOCK_MODULE
from kiln.interpreter.lock import Lock
from kiln.lang.core import ModuleId
from kiln.store.digest import BlobDigest

_EMPTY: Final = "let copies: Map(Str) = [=>];\n"
_SPECIAL = re.compile(r"[^ !#&-\[\]-~]")
_ESCAPES: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\", "%": "\\%", "$": "\\$"}


def lock_module_id(digest: BlobDigest) -> ModuleId:
    """The id of `std/lock` where a lock with this digest is in force."""
    return f"{LOCK_MODULE}@{digest.hex()}"


def lock_module(text: str, lock: Lock) -> str:
    """The module's text with the lock's copies; `text` is the library's file."""
    entries = ", ".join(f"{_literal(name)} => {_literal(copy.text)}" for name, copy in sorted(lock.copies.items()))
    assert text.endswith(_EMPTY), "std/lock declares its copies in its last line"
    return text[: -len(_EMPTY)] + (f"let copies: Map(Str) = [{entries}];\n" if entries else _EMPTY)


def _literal(text: str) -> str:
    """A string literal that means this text, which holds no NUL."""
    return '"' + _SPECIAL.sub(_escaped, text) + '"'


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    return _ESCAPES.get(char) or f"\\u{{{ord(char):x}}}"

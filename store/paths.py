"""Store paths: `/kiln/store/<32 characters>-<name>`.

The 32 characters are the first 160 bits of an object's id (or of a scratch digest) in base 32, most significant
bit first, over an alphabet without i, l, o and u:

    /kiln/store/3v9qk0m2zj7w1r5x8n4t6c0b2d3f5g7h-hello-2.10

A path is what files mention; it is never hashed or signed alone (derivations and claims hold full ids).
"""

from __future__ import annotations

import re
from typing import NamedTuple, Self

from kiln.store.digest import ObjectId
from kiln.store.errors import BadName

STORE_DIR = "/kiln/store"
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
HASH_CHARS = 32

_NAME = re.compile(r"[A-Za-z0-9_+=?-][A-Za-z0-9_+=?.-]{0,199}")
_OUTPUT = re.compile(r"[a-z][a-z0-9_]{0,31}")
_BASE = re.compile(rf"([{ALPHABET}]{{32}})-(.+)", re.DOTALL)


_PAIRS = tuple(left + right for left in ALPHABET for right in ALPHABET)


def base32(data: bytes) -> str:
    """20 bytes as 32 characters of the alphabet, most significant bit first."""
    number = int.from_bytes(data[:20], "big")
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(150, -1, -10)])


def check_name(name: str) -> str:
    """The name itself, if a store path may carry it. Raises BadName."""
    if not _NAME.fullmatch(name):
        raise BadName(
            "not a name that a store path can carry",
            expected="1 to 200 of A-Z a-z 0-9 + - . _ ? =, not beginning with a dot",
            found=repr(name[:80]),
        )
    return name


class OutputName(str):
    """The name of an output: a lower-case letter, then letters, digits and underscores, at most 32."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        if not _OUTPUT.fullmatch(text):
            raise BadName("not an output's name", expected="[a-z][a-z0-9_]*, at most 32", found=repr(text[:80]))
        return cls(text)


class StorePath(NamedTuple):
    """A path's two parts. `hash` is 32 characters of the alphabet; `name` fits `check_name`."""

    hash: str
    name: str

    @classmethod
    def of(cls, object_id: ObjectId, name: str) -> Self:
        return cls(base32(object_id), name)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a full path or its last component. Raises BadName."""
        found = _BASE.fullmatch(text.removeprefix(STORE_DIR + "/"))
        if found is None:
            raise BadName("not a store path", expected=f"{STORE_DIR}/<32 characters>-<name>", found=repr(text[:120]))
        return cls(found[1], check_name(found[2]))

    @property
    def base(self) -> str:
        """`<hash>-<name>`: the entry in the store's folder."""
        return f"{self.hash}-{self.name}"

    def __str__(self) -> str:
        return f"{STORE_DIR}/{self.base}"

"""Reading the objects of a statement: every field is asked for by name, and none may be left over."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn, TypeVar

from kiln.store.errors import BadEnvelope, BadName
from kiln.store.provenance.plainjson import Json

T = TypeVar("T")

MAX_TEXT = 8192
"""Code points of a name, a URI or a version."""

_TIME = re.compile(r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})Z")


class Fields:
    """One JSON object under reading. `where` is its place in the statement, for messages."""

    __slots__ = ("_left", "where")

    def __init__(self, value: Json, where: str) -> None:
        self.where = where
        if not isinstance(value, dict):
            self.refuse("an object", value)
        self._left = dict(value)

    def take(self, key: str) -> Json:
        """The field's value. Raises BadEnvelope if it is not there."""
        if key not in self._left:
            raise BadEnvelope(
                f"{self.where} lacks a field", expected=repr(key), found=", ".join(sorted(self._left)) or "none"
            )
        return self._left.pop(key)

    def has(self, key: str) -> bool:
        return key in self._left

    def text(self, key: str) -> str:
        value = self.take(key)
        if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
            self.refuse(f"text of 1 to {MAX_TEXT} characters", value, key)
        return value

    def long_text(self, key: str) -> str:
        """Text of any length."""
        value = self.take(key)
        if not isinstance(value, str):
            self.refuse("text", value, key)
        return value

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if key in self._left else None

    def optional(self, key: str, read: Callable[[], T]) -> T | None:
        """None where the field is null, which must be written; else what `read` makes of it."""
        if key in self._left and self._left[key] is None:
            del self._left[key]
            return None
        return read()

    def count(self, key: str) -> int:
        """A whole number that is not negative."""
        value = self.take(key)
        if type(value) is not int or value < 0:
            self.refuse("a whole number, not negative", value, key)
        return value

    def flag(self, key: str) -> bool:
        value = self.take(key)
        if not isinstance(value, bool):
            self.refuse("true or false", value, key)
        return value

    def items(self, key: str, read: Callable[[Json, str], T], *, limit: int = 65536) -> tuple[T, ...]:
        """A list, each item read with its place."""
        value = self.take(key)
        if not isinstance(value, list) or len(value) > limit:
            self.refuse(f"a list of at most {limit}", value, key)
        return tuple(read(item, f"{self.where}.{key}[{at}]") for at, item in enumerate(value))

    def mapping(self, key: str, read: Callable[[Json, str], T]) -> dict[str, T]:
        """An object with keys of any name, each value read with its place."""
        value = self.take(key)
        if not isinstance(value, dict):
            self.refuse("an object", value, key)
        return {name: read(item, f"{self.where}.{key}.{name[:80]}") for name, item in value.items()}

    def inner(self, key: str) -> Fields:
        return Fields(self.take(key), f"{self.where}.{key}")

    def time(self, key: str) -> int:
        """RFC 3339 in UTC, whole seconds; returned as seconds since 1970."""
        text = self.text(key)
        found = _TIME.fullmatch(text)
        if found is None or format_time(seconds := _seconds(*map(int, found.groups()))) != text:
            self.refuse("a time such as 2026-11-21T08:30:00Z", text, key)
        return seconds

    def parsed(self, key: str, parse: Callable[[str], T]) -> T:
        """Text that `parse` reads. A BadName of `parse` becomes a BadEnvelope that names the field."""
        return read_as(self.text(key), f"{self.where}.{key}", parse)

    def done(self) -> None:
        """Raises BadEnvelope if a field was not asked for."""
        if self._left:
            raise BadEnvelope(
                f"{self.where} has a field that this version does not know",
                expected="no other field",
                found=", ".join(repr(key[:80]) for key in sorted(self._left)[:8]),
            )

    @property
    def left(self) -> list[str]:
        """The names of the fields that nobody asked for, sorted."""
        return sorted(self._left)

    def refuse(self, expected: str, found: Json, key: str | None = None) -> NoReturn:
        where = self.where if key is None else f"{self.where}.{key}"
        raise BadEnvelope(f"{where} has not the form it must have", expected=expected, found=repr(found)[:120])


def read_text(value: Json, where: str) -> str:
    """An item of a list that must be text. Raises BadEnvelope."""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise BadEnvelope(f"{where} is not text", expected="text", found=repr(value)[:120])
    return value


def read_flag(value: Json, where: str) -> bool:
    if not isinstance(value, bool):
        raise BadEnvelope(f"{where} is not a flag", expected="true or false", found=repr(value)[:120])
    return value


def read_count(value: Json, where: str) -> int:
    if type(value) is not int or value < 0:
        raise BadEnvelope(f"{where} is not a count", expected="a whole number", found=repr(value)[:120])
    return value


def read_as(text: str, where: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except BadName as error:
        raise BadEnvelope(f"{where}: {error.message}", expected=error.expected, found=error.found) from None


def format_time(seconds: int) -> str:
    """Seconds since 1970 as RFC 3339 in UTC."""
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _seconds(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """Days from the civil calendar, counting years from March so that a leap day comes last."""
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1
    return ((days - 719468) * 24 + hour) * 3600 + minute * 60 + second

"""The functions that the library's modules declare `extern`, by `module/name`; the prelude's own are in builtins.py.

What a module can say in Kiln it says in Kiln: here stands what would cost it more than a walk over its input.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from kiln.interpreter.evaluate.jsontext import read_json
from kiln.interpreter.evaluate.mistakes import Failure, OutsideDomain
from kiln.interpreter.evaluate.values import NONE, Record, Value, Variant, record_maker, some

# ---- std/list -----------------------------------------------------------------------------------


def slice_list(items: tuple[Value, ...], start: int, end: Variant) -> tuple[Value, ...]:
    stop = len(items) if end is NONE else max(0, end._0)  # type: ignore[attr-defined]
    return items[max(0, start) : stop]


def group_by(items: tuple[Value, ...], key: Callable[[Value], str]) -> dict[str, tuple[Value, ...]]:
    groups: dict[str, list[Value]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return {name: tuple(group) for name, group in groups.items()}


def sort_by(items: tuple[Value, ...], key: Callable[[Value], Any]) -> tuple[Value, ...]:
    keys = [key(item) for item in items]
    return tuple([items[place] for place in sorted(range(len(items)), key=keys.__getitem__)])


def sort_with(items: tuple[Value, ...], before: Callable[[Value, Value], bool]) -> tuple[Value, ...]:
    """A merge sort from below: `before` is called from Python code, and an inconsistent one does no harm."""
    runs = [[item] for item in items]
    while len(runs) > 1:
        merged = [_merge(runs[place], runs[place + 1], before) for place in range(0, len(runs) - 1, 2)]
        if len(runs) % 2:
            merged.append(runs[-1])
        runs = merged
    return tuple(runs[0]) if runs else ()


def _merge(left: list[Value], right: list[Value], before: Callable[[Value, Value], bool]) -> list[Value]:
    made: list[Value] = []
    at = 0
    for item in right:
        while at < len(left) and not before(item, left[at]):
            made.append(left[at])
            at += 1
        made.append(item)
    made += left[at:]
    return made


# ---- std/map ------------------------------------------------------------------------------------

_entry = record_maker(("key", "value"))


def entries(of: dict[str, Value]) -> tuple[Record, ...]:
    return tuple([_entry(key, of[key]) for key in sorted(of)])


# ---- std/string ---------------------------------------------------------------------------------

_BLANKS: Final = " \t\n\r\f\v"
_RUNS = re.compile(r"[0-9]+|[^0-9]+")


def index_of(text: str, part: str) -> Variant:
    at = text.find(part)
    return NONE if at < 0 else some(at)


def last_index_of(text: str, part: str) -> Variant:
    at = text.rfind(part)
    return NONE if at < 0 else some(at)


def trim_start(text: str) -> str:
    return text.lstrip(_BLANKS)


def trim_end(text: str) -> str:
    return text.rstrip(_BLANKS)


def codes(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def from_codes(numbers: tuple[int, ...]) -> str:
    for number in numbers:
        if not 0 < number <= 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            raise Failure(OutsideDomain("from_codes", f"was given {_short(number)}, which is no code point of a Str"))
    return "".join(map(chr, numbers))


def _short(number: int) -> str:
    return str(number) if abs(number) < 10**12 else "a large number"


def compare_versions(left: str, right: str) -> int:
    one, two = _version(left), _version(right)
    return (one > two) - (one < two)


def _version(text: str) -> list[tuple[int, int, str]]:
    """Runs that can be compared: a number by its length, then its digits, so that none has to be converted."""
    row: list[tuple[int, int, str]] = []
    for run in _RUNS.findall(text):
        digits = run.lstrip("0")
        row.append((1, len(digits), digits) if run[0].isdigit() else (0, 0, run))
    return row


LIBRARY: Final[dict[str, Callable[..., Any]]] = {
    "std/list/slice": slice_list,
    "std/list/group_by": group_by,
    "std/list/sort_by": sort_by,
    "std/list/sort_by_int": sort_by,
    "std/list/sort_with": sort_with,
    "std/map/entries": entries,
    "std/string/index_of": index_of,
    "std/string/last_index_of": last_index_of,
    "std/string/trim_start": trim_start,
    "std/string/trim_end": trim_end,
    "std/string/codes": codes,
    "std/string/from_codes": from_codes,
    "std/string/compare_versions": compare_versions,
    "std/json/read": read_json,
}

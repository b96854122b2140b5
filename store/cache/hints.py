"""What rows of an index let one guess before they are read for good: where to look on, and nothing else.

The rows have the form that `rows.py` gives, or any other: what does not fit is passed over, and whoever takes the row
finds out what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack


def resolved_in(row: bytes) -> Iterator[bytes]:
    """The resolved derivations that a row of resolutions names."""
    for record in _list(_unpacked(row), 0):
        found = _at(_unpacked(_at(_unpacked(record), 1)), 2)
        if isinstance(found, bytes):
            yield found


def objects_in(row: bytes) -> Iterator[bytes]:
    """The objects that a row of claims names."""
    rows = _unpacked(row)
    for pair in rows if isinstance(rows, list) else ():
        found = _at(_unpacked(_at(pair, 0)), 3)
        if isinstance(found, bytes):
            yield found


def _unpacked(data: Any) -> Any:
    """What the bytes say; None where they are none, or do not parse."""
    try:
        return msgpack.unpackb(data) if isinstance(data, bytes) else None
    except (ValueError, TypeError, RecursionError, OverflowError):
        return None


def _at(value: Any, place: int) -> Any:
    return value[place] if isinstance(value, list) and len(value) > place else None


def _list(value: Any, place: int) -> list[Any]:
    found = _at(value, place)
    return found if isinstance(found, list) else []

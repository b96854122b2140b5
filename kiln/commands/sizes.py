"""Sizes, days and counts as options take them and people read them."""

from __future__ import annotations

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size(text: str) -> int:
    """`500M` or `20GiB` in bytes, by powers of 1024. Raises ValueError."""
    upper = text.upper()
    for ending in ("IB", "B"):
        upper = upper.removesuffix(ending)
    unit = upper[-1:] if upper[-1:] in _UNITS else ""
    return int(float(upper.removesuffix(unit)) * _UNITS[unit])


def days(text: str) -> float:
    """A number of days, not negative. Raises ValueError."""
    number = float(text.removesuffix("d"))
    if not 0 <= number < 1e6:
        raise ValueError(text)
    return number


def count(text: str) -> int:
    """A whole number, not negative. Raises ValueError."""
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def show_size(number: int) -> str:
    """`1.5 GiB`."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"

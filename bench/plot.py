"""Cost an object against objects in the store, as a picture: SVG written by hand, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bench.groups.scale import NAMES, PREFIX
from bench.results import Row, seconds

_WIDTH, _HEIGHT, _LEFT, _BELOW, _ABOVE, _RIGHT = 640, 360, 80, 50, 30, 150
_COLOURS = ("#1b6ca8", "#c8553d", "#4a7c59", "#7a5195")


def chart(rows: Sequence[Row]) -> str | None:
    """The picture of a session's figures, or None where the group `scale` was not measured."""
    lines = {name: _points(rows, name) for name in NAMES}
    points = [point for line in lines.values() for point in line]
    if not points:
        return None
    across = _Scale([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    up = _Scale([y for _, y in points], _HEIGHT - _BELOW, _ABOVE)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="18">Cost an object, by objects in the store</text>',
    ]
    for x in sorted({x for x, _ in points}):
        parts += _tick(across(x), f"{x:,.0f}")
    low, high = min(y for _, y in points), max(y for _, y in points)
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        parts += _level(up(10.0**power), seconds(10.0**power).strip())
    for (name, line), colour in zip(lines.items(), _COLOURS, strict=True):
        parts += _line(name, [(across(x), up(y)) for x, y in line], colour)
    return "\n".join([*parts, "</svg>", ""])


def _points(rows: Sequence[Row], name: str) -> list[tuple[float, float]]:
    """(objects in the store, seconds an object), by the first."""
    found = [row for row in rows if row.measure == PREFIX + name and row.amount > 0 and row.median > 0]
    return sorted((float(row.size.replace(",", "")), row.median / row.amount) for row in found)


class _Scale:
    """From a value to a place between two, by logarithm, in whole decades."""

    def __init__(self, values: Sequence[float], low: float, high: float) -> None:
        self._first = math.floor(math.log10(min(values)))
        self._decades = max(1, math.ceil(math.log10(max(values))) - self._first)
        self._low, self._high = low, high

    def __call__(self, value: float) -> float:
        return self._low + (self._high - self._low) * (math.log10(value) - self._first) / self._decades


def _tick(x: float, text: str) -> list[str]:
    foot = _HEIGHT - _BELOW
    return [
        f'<line x1="{x:.1f}" y1="{_ABOVE}" x2="{x:.1f}" y2="{foot}" stroke="#ddd"/>',
        f'<text x="{x:.1f}" y="{foot + 18}" text-anchor="middle">{escape(text)}</text>',
    ]


def _level(y: float, text: str) -> list[str]:
    return [
        f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#ddd"/>',
        f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>',
    ]


def _line(name: str, points: Sequence[tuple[float, float]], colour: str) -> list[str]:
    if not points:
        return []
    shown = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    return [
        f'<polyline points="{shown}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *[f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points],
        f'<text x="{x + 10:.1f}" y="{y + 4:.1f}" fill="{colour}">{escape(name)}</text>',
    ]

"""A live line never takes more than one line of the terminal, whatever a builder writes."""

from __future__ import annotations

import pytest

from kiln.progress import _clip


@pytest.mark.parametrize(
    ("line", "width", "shown"),
    [
        ("abc", 10, "abc"),
        ("abcdefghij", 10, "abcdefghi"),
        ("a\tb", 10, "a b"),
        ("漢字漢字漢字", 10, "漢字漢字"),
        ("e\u0301" * 12, 10, "e\u0301" * 9),
        ("漢", 2, ""),
        ("abc", 1, ""),
        ("é", 0, ""),
    ],
)
def test_clipping(line, width, shown):
    assert _clip(line, width) == shown

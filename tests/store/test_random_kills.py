"""A few of the random kills; `python -m tests.store.crash` does thousands."""

from __future__ import annotations

import crash


def test_random_kills(place: str) -> None:
    report = crash.run(place, 12, 20_000)
    assert report.killed == 12 and report.recovered > 0

"""A few of the random kills; `python -m tests.store.crash` does thousands."""

from __future__ import annotations

import glob

import pytest

from tests.store import crash


@pytest.mark.needs_namespaces
def test_random_kills(place: str, shell_home: str) -> None:
    busybox = sorted(glob.glob(f"{shell_home}/store/store/*-busybox-*/bin/busybox"))[0]
    report = crash.run(place, busybox, len(crash.VICTIMS), 20_000, tops=1)
    assert set(report.rounds) == set(crash.VICTIMS)
    assert report.killed["library"] == 3 and report.recovered > 0 and report.said > 0

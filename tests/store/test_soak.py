"""Some seconds of builders, collectors and verifiers at once; `python -m tests.store.soak` does minutes."""

from __future__ import annotations

import glob

import pytest

from tests.store import soak


@pytest.mark.needs_namespaces
def test_builders_a_collecting_and_a_verifying_loop(place: str, shell_home: str) -> None:
    busybox = sorted(glob.glob(f"{shell_home}/store/store/*-busybox-*/bin/busybox"))[0]
    report = soak.run(place, busybox, builders=8, seconds=10)
    assert report.well, str(report)
    assert report.rounds["realise"] >= 8 and report.rounds["gc"] >= 2 and report.rounds["verify"] >= 3
    assert report.collected > 0

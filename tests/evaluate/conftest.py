"""Each test of evaluation works in a folder of its own."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _in_its_folder(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

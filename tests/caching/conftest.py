"""Each test of caching has a cache, and a folder to work in, of its own; code is kept of small programs, too."""

from __future__ import annotations

import os

import pytest

from kiln.interpreter.caching import code


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    work = os.path.join(tmp_path, "work")
    os.mkdir(work)
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.join(tmp_path, "cache"))
    monkeypatch.delenv("KILN_NO_CACHE", raising=False)
    monkeypatch.setattr(code, "FEW_LINES", 1)

"""Each test of pins works in a folder of its own, with a store, without a proxy."""

from __future__ import annotations

import pytest
from pinned import Remote

from kiln.store.store import Store


@pytest.fixture(autouse=True)
def _in_its_folder(tmp_path, monkeypatch):
    """No mirrors, no clients, none of the user's settings."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)


@pytest.fixture
def store(tmp_path):
    with Store.open(str(tmp_path / "store")) as opened:
        yield opened


@pytest.fixture
def remote(tmp_path):
    """Where archives and repositories are made."""
    return Remote(tmp_path / "remote")

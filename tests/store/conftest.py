"""A store in a folder of its own for each test, removed afterwards whatever modes its files have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiln.store import failpoint
from kiln.store.disk import open_directory
from kiln.store.store import Store
from kiln.store.tree import remove_tree


@pytest.fixture
def place(tmp_path: Path) -> Iterator[str]:
    """A folder for a test, as text."""
    folder = tmp_path / "place"
    folder.mkdir()
    yield str(folder)
    fd = open_directory(str(tmp_path))
    try:
        remove_tree(fd, b"place")
    finally:
        os.close(fd)


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    opened = Store.open(f"{place}/store")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def disarm() -> Iterator[None]:
    yield
    failpoint.armed = None

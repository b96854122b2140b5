"""A store, and caches of the kinds that need no network."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiln.store import failpoint
from kiln.store.cache.backend import Backend, open_backend
from kiln.store.disk import open_directory
from kiln.store.store import Store
from kiln.store.tree import remove_tree

_numbers = itertools.count()


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


@pytest.fixture(params=["memory", "folder"])
def backend(request: pytest.FixtureRequest, place: str) -> Backend:
    """An empty cache."""
    if request.param == "memory":
        return open_backend(f"memory://test-{os.getpid()}-{next(_numbers)}")
    os.mkdir(f"{place}/cache")
    return open_backend(f"{place}/cache")


@pytest.fixture
def folder(place: str) -> Backend:
    """An empty cache in a folder."""
    os.mkdir(f"{place}/cache")
    return open_backend(f"{place}/cache")


@pytest.fixture(autouse=True)
def disarm() -> Iterator[None]:
    yield
    failpoint.armed = None

"""A user with secrets."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.support.home import Home

GiveSecret = Callable[[Home, str, str], str]


@pytest.fixture
def give() -> GiveSecret:
    """Puts a secret into a user's folder of them; its path."""

    def put(home: Home, name: str, value: str) -> str:
        folder = os.path.join(home.folder, "config/kiln/secrets")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(value)
        return path

    return put

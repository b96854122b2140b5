"""Stores that are thrown away."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack


def scratch_store(stack: ExitStack) -> str:
    """A place for a fresh store, gone with all that it then holds when the stack closes."""
    folder = tempfile.mkdtemp(prefix="kiln-scratch-")
    os.chmod(folder, 0o755)
    stack.callback(_remove, folder)
    return os.path.join(folder, "store")


def _remove(folder: str) -> None:
    for path, folders, _ in os.walk(folder):
        for name in folders:
            place = os.path.join(path, name)
            if not os.path.islink(place):
                os.chmod(place, 0o700)
    shutil.rmtree(folder)

"""Folders of a session: work is done below one, and what is thrown away is kept there until the session ends.

On a file system without a journal, a file is slow to make for minutes after many were deleted, since the kernel
looks at each inode that was freed lately. So a folder is thrown away by renaming it, and only its large files
are deleted at once, for their space.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Self

_LARGE = 1 << 20


class Work:
    """A fresh folder below `parent`, gone when the session ends. A context manager.

    Its path is short: a store's path is part of every derivation that Nix writes.
    """

    def __init__(self, parent: str | None = None) -> None:
        self.path = tempfile.mkdtemp(prefix="kb", dir=parent)
        os.chmod(self.path, 0o755)
        self._trash = self.folder("trash")
        self._thrown = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for folder, below, _files in os.walk(self.path):
            for name in below:  # before the walk goes into them: a store's folders are read-only
                inside = os.path.join(folder, name)
                if not os.path.islink(inside):
                    os.chmod(inside, 0o700)
        shutil.rmtree(self.path)

    def folder(self, *names: str) -> str:
        """A folder of that name, made if it is not there."""
        path = os.path.join(self.path, *names)
        os.makedirs(path, exist_ok=True)
        return path

    def file(self, name: str, text: str) -> str:
        """A file with this text; one of that name is not written again."""
        path = os.path.join(self.folder("files"), name)
        if not os.path.exists(path):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return path

    def throw_away(self, path: str) -> None:
        """Take a folder out of the way, if it is there."""
        if not os.path.lexists(path):
            return
        self._thrown += 1
        there = os.path.join(self._trash, str(self._thrown))
        os.rename(path, there)
        for folder, _, names in os.walk(there):
            for name in names:
                inside = os.path.join(folder, name)
                if os.lstat(inside).st_size > _LARGE:
                    os.chmod(folder, 0o700)
                    os.unlink(inside)

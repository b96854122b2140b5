"""Which files of a folder become a source: patterns as git's ignore files have them.

A pattern without a slash matches a name at any depth; one with a slash is relative to the source's folder; `**` is
any number of folders; what a pattern says of a folder holds for all below it. `gitignore` reads the `.gitignore`
files at and below the source's folder and leaves out `.git`; what a user's own git configuration ignores is not
asked, since a result must not depend on it.

With `include`, only folders that hold something that is taken are kept, so that an empty folder beside the sources
changes nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

from kiln.store.errors import Refused

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

    from kiln.interpreter.evaluate.packages import Selection

Select = Callable[[bytes, bool], bool]
"""`(relative path, is a directory)` → whether it is taken."""


def selector(folder: str, selection: Selection) -> Select | None:
    """The filter that a selection stands for; None where it takes everything."""
    if not (selection.include or selection.exclude or selection.gitignore):
        return None
    allowed = _allowed(folder, selection)
    return _including(folder, selection, allowed) if selection.include else allowed


def _allowed(folder: str, selection: Selection) -> Select:
    """What neither `exclude` nor an ignore file leaves out."""
    from pathspec import GitIgnoreSpec

    left_out = GitIgnoreSpec.from_lines(selection.exclude)
    ignored = _Ignored(folder) if selection.gitignore else None

    def select(path: bytes, is_directory: bool) -> bool:
        name = os.fsdecode(path)
        shown = name + "/" if is_directory else name
        if not path:
            return True
        return not (left_out.match_file(shown) or (ignored is not None and ignored.match(name, is_directory)))

    return select


def _including(folder: str, selection: Selection, allowed: Select) -> Select:
    """What is allowed and included, and the folders above it."""
    from pathspec import GitIgnoreSpec

    wanted = GitIgnoreSpec.from_lines(selection.include)
    taken: set[bytes] = set()
    root = os.fsencode(folder)
    for here, folders, files in os.walk(root, onerror=_raise):
        prefix = b"" if here == root else os.path.relpath(here, root) + b"/"
        links = [name for name in folders if os.path.islink(os.path.join(here, name))]
        folders[:] = [name for name in folders if name not in links and allowed(prefix + name, True)]
        for name in (*files, *links):
            if allowed(prefix + name, False) and wanted.match_file(os.fsdecode(prefix + name)):
                taken.update(_with_parents(prefix + name))
    return lambda path, is_directory: not path or path in taken


def _raise(error: OSError) -> None:
    """A folder that cannot be read may hold what is asked for: to pass it over would make another object."""
    raise error


def _with_parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


class _Ignored:
    """The `.gitignore` files of a folder, each read when the walk first asks about its folder; deeper ones win."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._specs: dict[str, GitIgnoreSpec | None] = {}

    def match(self, path: str, is_directory: bool) -> bool:
        if path == ".git" or path.endswith("/.git"):
            return True
        parts = path.split("/")
        for depth in range(len(parts) - 1, -1, -1):
            spec = self._spec("/".join(parts[:depth]))
            if spec is not None:
                rest = "/".join(parts[depth:]) + ("/" if is_directory else "")
                verdict = spec.check_file(rest).include
                if verdict is not None:
                    return verdict
        return False

    def _spec(self, folder: str) -> GitIgnoreSpec | None:
        if folder not in self._specs:
            from pathspec import GitIgnoreSpec

            lines = _read_lines(os.path.join(self._folder, folder, ".gitignore"))
            self._specs[folder] = None if lines is None else GitIgnoreSpec.from_lines(lines)
        return self._specs[folder]


def _read_lines(path: str) -> list[str] | None:
    """The lines of an ignore file; None where there is none. Raises OSError, and Refused for a fifo."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            return None
        if not stat.S_ISREG(mode):
            raise Refused("an ignore file is no regular file", expected="a regular file", found=repr(path)[:200])
        with open(descriptor, encoding="utf-8", errors="replace", closefd=False) as file:
            return file.readlines()
    finally:
        os.close(descriptor)

"""Which files of git's say what is checked out: read by hand, as a `realise` with nothing to do has no time for git.

`.git/HEAD` holds a commit or names a ref; a ref is a file, or a line of `packed-refs`. In a linked work tree, `.git`
is a file that names the folder with its HEAD, whose `commondir` names the one with the refs.
"""

from __future__ import annotations

import os


def work_tree(folder: str) -> str | None:
    """The nearest folder above that git keeps its data in."""
    while True:
        if os.path.exists(os.path.join(folder, ".git")):
            return folder
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def head_files(folder: str) -> list[str]:
    """The files, there or not, whose contents change when another commit is checked out in a folder's work tree."""
    top = work_tree(folder)
    if top is None:
        return []
    data = _data_folder(os.path.join(top, ".git"))
    head = os.path.join(data, "HEAD")
    text = _text(head)
    if not text.startswith("ref: "):
        return [head]
    common = _text(os.path.join(data, "commondir"))
    shared = os.path.normpath(os.path.join(data, common)) if common else data
    return [head, os.path.join(shared, text[5:]), os.path.join(shared, "packed-refs")]


def _data_folder(place: str) -> str:
    text = _text(place) if os.path.isfile(place) else ""
    return os.path.normpath(os.path.join(os.path.dirname(place), text[8:])) if text.startswith("gitdir: ") else place


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(4096).strip()
    except OSError:
        return ""

"""Which files a source takes, as data: a tree, a selection, and what is left."""

from __future__ import annotations

import os

import pytest

from kiln.interpreter.evaluate.packages import Selection
from kiln.interpreter.selecting import selector

TREE = [
    ".git/HEAD",
    ".gitignore",
    "Makefile",
    "build/a.o",
    "src/a.c",
    "src/a.o",
    "src/deep/.gitignore",
    "src/deep/keep.o",
]

CASES = [
    (Selection(), TREE),
    (Selection(exclude=("*.o",)), [".git/HEAD", ".gitignore", "Makefile", "src/a.c", "src/deep/.gitignore"]),
    (Selection(include=("src/**", "Makefile"), exclude=("deep",)), ["Makefile", "src/a.c", "src/a.o"]),
    (Selection(include=("/src/*.c",)), ["src/a.c"]),
    (Selection(gitignore=True), [".gitignore", "Makefile", "src/a.c", "src/deep/.gitignore", "src/deep/keep.o"]),
]


@pytest.mark.parametrize(("selection", "expected"), CASES)
def test_selection(tmp_path: object, selection: Selection, expected: list[str]) -> None:
    root = str(tmp_path)
    for name in TREE:
        os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
        with open(os.path.join(root, name), "w", encoding="utf-8") as file:
            file.write({".gitignore": "/build/\n*.o\n", "src/deep/.gitignore": "!keep.o\n"}.get(name, ""))
    assert _walk(root, selection) == sorted(expected)


def test_a_folder_in_which_nothing_is_taken_is_left_out(tmp_path: object) -> None:
    root = str(tmp_path)
    os.makedirs(os.path.join(root, "src", "empty"))
    with open(os.path.join(root, "src", "a.c"), "w", encoding="utf-8"):
        pass
    select = selector(root, Selection(include=("*.c",)))
    assert select is not None
    assert [select(path, True) for path in (b"src", b"src/empty")] == [True, False]


def _walk(root: str, selection: Selection) -> list[str]:
    select = selector(root, selection)
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        here = os.path.relpath(folder, root)
        prefix = "" if here == "." else here + "/"
        if select is not None:
            folders[:] = [name for name in folders if select(os.fsencode(prefix + name), True)]
        found += [prefix + name for name in files if select is None or select(os.fsencode(prefix + name), False)]
    return sorted(found)

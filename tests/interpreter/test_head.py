"""Which files say what is checked out: held against what git itself does."""

from __future__ import annotations

import os
import subprocess

import pytest

from kiln.interpreter.head import head_files


def git(folder: str, *words: str) -> None:
    who = {f"GIT_{role}_{what}": "a" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {"PATH": os.environ["PATH"], "HOME": folder, **who}
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, env=env)


def said(folder: str) -> list[bytes]:
    found = []
    for place in head_files(folder):
        if os.path.exists(place):
            with open(place, "rb") as file:
                found.append(file.read())
    return found


@pytest.fixture
def repo(tmp_path: object) -> str:
    folder = str(tmp_path)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    os.mkdir(os.path.join(folder, "sub"))
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("detached", [False, True])
def test_a_commit_changes_what_the_files_say(repo: str, packed: bool, detached: bool) -> None:
    if detached:
        git(repo, "checkout", "-q", "--detach")
    if packed:
        git(repo, "pack-refs", "--all")
    before = said(os.path.join(repo, "sub"))
    assert before and said(repo) == before
    git(repo, "commit", "-q", "--allow-empty", "-m", "two")
    assert said(repo) != before


def test_a_linked_work_tree_has_a_head_of_its_own(repo: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = str(tmp_path_factory.mktemp("linked") / "tree")
    git(repo, "worktree", "add", "-q", "-b", "other", other)
    main, before = said(repo), said(other)
    git(other, "commit", "-q", "--allow-empty", "-m", "two")
    assert said(other) != before
    assert said(repo) == main


def test_no_repository_no_files(tmp_path: object) -> None:
    assert head_files(str(tmp_path)) == []

"""Whether a commit holds what was read: only then is it named as what a target stands for."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from blake3 import blake3

from kiln.interpreter.answers import ABSENT, Answer, Target, recall, remember
from kiln.interpreter.asking import Request, ask, keep_answers
from kiln.interpreter.derivation import DrvOutput
from kiln.interpreter.standing import trees_of
from kiln.store.digest import DrvDigest
from kiln.store.paths import OutputName
from kiln.store.provenance.resolution import Commit, Dirty
from kiln.store.store import Store

FILE = "pub let default: Out(Tree) = source(`./src`{options});\n"


def git(folder, *words):
    done = subprocess.run(
        ["git", "-c", "user.name=k", "-c", "user.email=k@example.org", *words],
        cwd=folder, check=True, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "HOME": folder, "GIT_CONFIG_NOSYSTEM": "1"},
    )  # fmt: skip
    return done.stdout.strip()


class Project:
    """A work tree with one commit, and a store."""

    def __init__(self, folder, store):
        self.folder, self.store = str(folder), store
        self.request = Request(os.path.join(self.folder, "main.kiln"))
        os.makedirs(os.path.join(self.folder, "src"))
        self.write("src/a.txt", "a\n")
        self.write("src/.gitignore", "*.log\n")
        git(self.folder, "init", "-q")

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def commit(self, options=""):
        self.write("main.kiln", FILE.format(options=options))
        git(self.folder, "add", ".")
        git(self.folder, "commit", "-qm", "all")
        return git(self.folder, "rev-parse", "HEAD")

    def ask(self):
        time.sleep(0.05)  # further apart than a file system's clock can tell
        return ask([self.request], self.store)

    def state(self, asked=None):
        (tree,) = trees_of([self.request], asked or self.ask())
        return tree.state


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    store = Store.open(str(tmp_path / "store"))
    yield Project(tmp_path / "project", store)
    store.close()


def test_a_clean_tree_is_its_commit(project):
    commit = project.commit()
    assert project.state() == Commit(commit)


def test_a_changed_or_untracked_file_makes_it_dirty(project):
    commit = project.commit()
    project.write("src/new.txt", "")
    state = project.state()
    assert isinstance(state, Dirty) and state.base == commit


def test_an_ignored_file_among_the_sources_is_in_no_commit(project):
    project.commit()
    project.write("src/made.log", "")
    assert isinstance(project.state(), Dirty)


@pytest.mark.parametrize("options", [", gitignore = true", ', exclude = ["*.log"]', ', include = ["*.txt"]'])
def test_an_ignored_file_that_is_not_taken_changes_nothing(project, options):
    commit = project.commit(options)
    project.write("src/made.log", "")
    assert project.state() == Commit(commit)


def test_an_ignored_build_file_is_in_no_commit(project):
    project.write("lib.log", 'pub let name: Str = "x";\n')
    os.rename(os.path.join(project.folder, "lib.log"), os.path.join(project.folder, "lib.kiln"))
    project.write(".gitignore", "lib.kiln\n")
    project.commit()
    project.write("main.kiln", 'import "./lib.kiln" as lib;\n' + FILE.format(options=""))
    git(project.folder, "commit", "-qam", "it imports")
    assert isinstance(project.state(), Dirty)


def test_what_lies_outside_the_work_tree_is_in_no_commit(project, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.txt").write_text("b\n")
    os.symlink("../../outside", os.path.join(project.folder, "src", "more"))
    project.write("other.kiln", "pub let default: Out(Tree) = source(`../outside`);\n")
    project.commit()
    (tree,) = trees_of(
        [request := Request(os.path.join(project.folder, "other.kiln"))], ask([request], project.store)
    )
    assert isinstance(tree.state, Dirty)


def test_a_commit_that_was_checked_out_after_evaluation_is_not_what_was_evaluated(project):
    project.commit()
    asked = project.ask()
    project.write("src/a.txt", "other\n")
    project.commit()
    assert isinstance(project.state(asked), Dirty)


def test_a_source_that_was_changed_and_put_back_meanwhile(project):
    project.commit()
    asked = project.ask()
    project.write("src/a.txt", "other\n")
    project.write("src/a.txt", "a\n")
    assert isinstance(project.state(asked), Dirty)


def test_git_that_is_told_to_look_elsewhere_is_not_asked(project, monkeypatch):
    project.commit()
    monkeypatch.setenv("GIT_INDEX_FILE", os.path.join(project.folder, "other-index"))
    assert isinstance(project.state(), Dirty)


def test_an_answer_is_kept_only_when_it_is_said_to_be(project, tmp_path):
    project.commit()
    cache = str(tmp_path / "cache")
    asked = project.ask()
    assert recall(cache, project.request.file, "") is None
    old = asked.readings[0]._replace(began=old_enough(project))
    asked.readings[0] = old
    keep_answers([project.request], asked, cache)
    assert recall(cache, project.request.file, "") is not None


def test_a_source_changed_while_it_was_evaluated_is_not_kept(project, tmp_path):
    """However long the evaluation took: what was read may be what stood there before."""
    project.commit()
    cache = str(tmp_path / "cache")
    asked = project.ask()
    changed = os.lstat(os.path.join(project.folder, "src/a.txt")).st_ctime_ns
    asked.readings[0] = asked.readings[0]._replace(began=changed - 1)
    keep_answers([project.request], asked, cache)
    assert recall(cache, project.request.file, "") is None


def old_enough(project):
    places = [project.folder, *(os.path.join(project.folder, name) for name in ("src", "src/a.txt"))]
    return max(os.lstat(place).st_ctime_ns for place in places) + 3_000_000_000


def test_a_source_that_is_a_link_to_a_folder_is_that_folder(project, tmp_path):
    real = tmp_path / "real"
    os.rename(os.path.join(project.folder, "src"), real)
    os.symlink(real, os.path.join(project.folder, "src"))
    project.commit()
    asked = project.ask()
    (target,) = asked.wanted
    assert sorted(os.listdir(project.store.physical(target.item.path))) == [".gitignore", "a.txt"]
    cache = str(tmp_path / "cache")
    asked.readings[0] = asked.readings[0]._replace(began=os.lstat(real / "a.txt").st_ctime_ns + 3_000_000_000)
    keep_answers([project.request], asked, cache)
    assert recall(cache, project.request.file, "") is not None
    (real / "a.txt").write_text("changed\n")
    assert recall(cache, project.request.file, "") is None


DAMAGE = [b"", b"\x00", b"\xc1", b"\x96\x01", b"\xc0" * 6]


@pytest.mark.parametrize("damage", [*DAMAGE, "targets", "digest"])
def test_a_damaged_answer_is_no_answer(tmp_path, damage):
    import msgpack

    cache, file = str(tmp_path), str(tmp_path / "main.kiln")
    target = Target("x", DrvOutput(DrvDigest(bytes(32)), OutputName("out")))
    remember(cache, file, "", Answer((target,), ((str(tmp_path / "no"), ABSENT),), ()), 1)
    assert recall(cache, file, "") is not None
    (name,) = os.listdir(tmp_path / "answers")
    place = tmp_path / "answers" / name
    if isinstance(damage, str):
        fields = msgpack.unpackb(place.read_bytes()[32:])
        fields[5] = [[1, 2, 3, 4, 5, 6]] if damage == "targets" else [["x", b"short", "out", b"", "", ""]]
        damage = msgpack.packb(fields)
    place.write_bytes(blake3(damage).digest() + damage)
    assert recall(cache, file, "") is None


def test_each_byte_of_an_answer_counts(tmp_path):
    cache, file = str(tmp_path), str(tmp_path / "main.kiln")
    target = Target("x", DrvOutput(DrvDigest(bytes(32)), OutputName("out")), "a")
    remember(cache, file, "", Answer((target,), (), ()), 1)
    (name,) = os.listdir(tmp_path / "answers")
    place = tmp_path / "answers" / name
    whole = place.read_bytes()
    for at in range(len(whole)):
        place.write_bytes(whole[:at] + bytes([whole[at] ^ 3]) + whole[at + 1 :])
        assert recall(cache, file, "") is None
    place.write_bytes(whole)
    assert recall(cache, file, "") == Answer((target,), (), ())


@pytest.mark.parametrize(("said", "off"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_when_answers_are_off(tmp_path, monkeypatch, said, off):
    cache, file = str(tmp_path), str(tmp_path / "main.kiln")
    target = Target("x", DrvOutput(DrvDigest(bytes(32)), OutputName("out")))
    monkeypatch.setenv("KILN_NO_CACHE", said)
    remember(cache, file, "", Answer((target,), (), ()), 1)
    assert (recall(cache, file, "") is None) == off


def test_a_source_that_is_gone_is_no_error_of_the_answer(tmp_path):
    remember(str(tmp_path), "main.kiln", "", Answer((), (), (str(tmp_path / "gone"),)), 1)
    assert recall(str(tmp_path), "main.kiln", "") is None

"""Programs with remote modules, over a real store: what is fetched, compared, kept, and what is refused."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
from pinned import shown, write
from recording import RecordingHost

from kiln.interpreter.evaluate.evaluator import Evaluator
from kiln.interpreter.fetch.config import FetchConfig
from kiln.interpreter.lock import Copy, Lock, Pin, render, render_pin
from kiln.interpreter.modules import Loader
from kiln.interpreter.pinning import new_pin
from kiln.interpreter.trees import Trees
from kiln.lang.report import CompileError
from kiln.store.digest import BlobDigest, RootDigest, blob_digest

CONFIG = FetchConfig(ask_clients=False)
MAIN = 'import "toolbox" as tb;\npub let x: Int = tb.x;\n'


class Project:
    """The folder that the test works in, and the trees that it opens."""

    def __init__(self, store, tmp_path):
        self.store = store
        self.cache = str(tmp_path / "cache")
        self.keeper = str(tmp_path / "project" / "kiln.lock")

    def trees(self, *, offline=False):
        return Trees(self.store, self.cache, offline=offline)

    def pin(self, address, name="toolbox", **options):
        return new_pin(self.trees(), name, address, CONFIG, **options)

    def lock(self, **pins):
        write(".", {"kiln.lock": render(Lock(pins))})

    def load(self, text=MAIN, *, offline=False, name="main.kiln"):
        write(".", {name: text})
        return Loader(trees=self.trees(offline=offline)).load(name)

    def value(self, text=MAIN, *, offline=False):
        program = self.load(text, offline=offline)
        return Evaluator(program, RecordingHost()).value(program.root, "x")

    def refused(self, text=MAIN, *, offline=False):
        with pytest.raises(CompileError) as caught:
            self.load(text, offline=offline)
        return caught.value.reports[0].code, shown(caught.value)


@pytest.fixture
def project(store, tmp_path):
    return Project(store, tmp_path)


def lib(value):
    return {"main.kiln": f"pub let x: Int = {value};\n"}


def test_an_archive_and_offline_afterwards(project, remote):
    address = remote.archive("t.tar.gz", {"t-1/main.kiln": 'import "./s/a.kiln" as a;\npub let x: Int = a.x;\n',
                                          "t-1/s/a.kiln": "pub let x: Int = 7;\n"})  # fmt: skip
    pin = project.pin(address)
    assert (pin.strip, pin.ref) == (1, None)
    project.lock(toolbox=pin)
    assert project.value() == 7
    os.unlink(address.removeprefix("file://"))
    assert project.value(offline=True) == 7
    assert project.value('import "toolbox/s/a" as a;\nlet x = a.x;\n', offline=True) == 7


def test_an_archive_without_an_outer_folder_is_taken_whole(project, remote):
    assert project.pin(remote.archive("flat.tar.gz", {**lib(1), "more/a.kiln": ""})).strip == 0
    assert project.pin(remote.archive("one.tar.gz", {"d/main.kiln": ""}), strip=0).strip == 0


def test_a_commit_is_the_tree_that_git_has(project, remote):
    repository = remote.repository("r")
    first = repository.commit({**lib(1), ".gitattributes": "* text eol=crlf\n"})
    pin = project.pin(repository.address)
    assert (pin.address, pin.ref, pin.file) == (f"{repository.address}?rev={first}", "HEAD", None)
    repository.commit(lib(2))
    project.lock(toolbox=pin)
    assert project.value() == 1
    shutil.rmtree(repository.path)
    assert project.value(offline=True) == 1


def test_a_tree_is_fetched_by_who_has_the_lock_alone(project, remote, tmp_path):
    """Another store, such as a colleague's: the lock is all that it needs."""
    from kiln.store.store import Store

    repository = remote.repository("r")
    repository.commit(lib(5))
    archive = project.pin(remote.archive("a.tar.gz", lib(6)), "a")
    project.lock(toolbox=project.pin(repository.address), a=archive)
    with Store.open(str(tmp_path / "other")) as other:
        project.store = other
        assert project.refused(offline=True, text='import "b" as b;\nlet x = b.x;\n')[0] == "K0206"
        assert project.value('import "toolbox" as t;\nimport "a" as a;\nlet x = [t.x, a.x];\n') == (5, 6)
        assert other.roots()


def test_not_fetched_and_offline(project):
    """No server is needed: nothing may be asked."""
    project.lock(toolbox=Pin("https://example.org/x.tar", RootDigest(bytes(32)), BlobDigest(bytes(32))))
    code, text = project.refused(offline=True)
    assert code == "K0521"
    assert "help: run the command once without --offline" in text
    project.lock(toolbox=Pin(f"git+https://example.org/x?rev={'0' * 40}", RootDigest(bytes(32))))
    assert project.refused(offline=True)[0] == "K0521"


def test_another_file_behind_the_address(project, remote):
    address = remote.archive("t.tar.gz", lib(1))
    pin = project.pin(address)
    other = blob_digest(Path(remote.archive("t.tar.gz", lib(2)).removeprefix("file://")).read_bytes())
    project.lock(toolbox=pin._replace(tree=RootDigest(bytes(32))))
    code, text = project.refused()
    assert code == "K0501"
    assert str(pin.file) in text and str(other) in text
    assert len(project.store.all_objects()) == 1


def test_another_tree_in_the_same_file(project, remote):
    pin = project.pin(remote.archive("t.tar.gz", lib(1)))
    wrong = RootDigest(b"\1" * 32)
    project.lock(toolbox=pin._replace(tree=wrong))
    code, text = project.refused()
    assert code == "K0520"
    assert f"expected {wrong}" in text and f"found    {pin.tree}" in text
    assert len(project.store.all_objects()) == 1


def test_another_tree_behind_a_commit(project, remote):
    repository = remote.repository("r")
    repository.commit(lib(1))
    pin = project.pin(repository.address)
    repository.commit(lib(2))
    new = project.pin(repository.address)
    project.lock(toolbox=new._replace(tree=RootDigest(b"\2" * 32)))
    code, text = project.refused()
    assert code == "K0520"
    assert str(new.tree) in text and str(pin.tree) not in text


def test_a_tree_that_was_changed_on_disk(project, remote):
    pin = project.pin(remote.archive("t.tar.gz", lib(1)))
    project.lock(toolbox=pin)
    (info,) = project.store.all_objects()
    path = os.path.join(project.store.physical(info.path), "main.kiln")
    os.chmod(os.path.dirname(path), 0o755)
    os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)
    write(os.path.dirname(path), lib(1000))
    code, text = project.refused()
    assert code == "K0703"
    assert str(pin.tree) in text


def test_an_import_that_carries_its_pin_needs_no_lock(project, remote):
    pin = project.pin(remote.archive("t.tar.gz", {**lib(3), "sub/a.kiln": "pub let x: Int = 4;\n"}))
    words = render_pin(pin)
    text = f'import "toolbox" @ "{words}" as t;\nimport {{ x as y }} from "toolbox/sub/a" @ "{words}";\n'
    program = project.load(text + "let x = [t.x, y];\n")
    assert Evaluator(program, RecordingHost()).value(program.root, "x") == (3, 4)
    assert (program.lock, program.absent) == (None, ())
    project.lock(toolbox=project.pin(remote.archive("u.tar.gz", lib(9))))
    assert project.value(text + "let x = t.x + y;\n") == 7


def test_a_trees_own_lock_and_the_roots_before_it(project, remote):
    one = project.pin(remote.archive("one.tar.gz", lib(1)), "base")
    two = project.pin(remote.archive("two.tar.gz", lib(2)), "base")
    middle = {
        "main.kiln": 'import "base" as base;\npub let x: Int = base.x * 10;\n',
        "deep/main.kiln": 'import "../main.kiln" as up;\nimport "base" as b;\npub let x: Int = up.x + b.x;\n',
        "kiln.lock": render(Lock({"base": one})),
    }
    project.lock(toolbox=project.pin(remote.archive("m.tar.gz", middle)))
    assert project.value() == 10
    assert project.value('import "toolbox/deep/main" as d;\nlet x = d.x;\n', offline=True) == 11
    project.lock(toolbox=project.pin(remote.archive("m.tar.gz", middle)), base=two)
    assert project.value() == 20
    program = project.load('import "toolbox" as t;\nimport "base" as b;\nlet x = t.x + b.x;\n')
    assert sum("main.kiln" in path and "blake3:" in path for path, _ in program.sources) == 2


def test_a_types_identity_is_its_trees(project, remote):
    """One tree under two names, and seen through another: one nominal type."""
    shape = project.pin(remote.archive("s.tar.gz", {"main.kiln": "pub type Shape = | Dot(x: Int);\n"}), "shape")
    user = {"main.kiln": 'import { Shape } from "shape";\npub fn of(s: Shape) -> Int = match s { Dot(x) => x };\n',
            "kiln.lock": render(Lock({"shape": shape}))}  # fmt: skip
    user["main.kiln"] = user["main.kiln"].replace("{ Shape }", "{ Shape, Dot }")
    project.lock(toolbox=project.pin(remote.archive("u.tar.gz", user)), figure=shape)
    assert project.value('import "toolbox" as t;\nimport { Dot } from "figure";\nlet x = t.of(Dot(8));\n') == 8


def test_the_lock_nearest_above_each_file(project, remote):
    one, two = (project.pin(remote.archive(f"{n}.tar.gz", lib(n))) for n in (1, 2))
    write(".", {"sub/kiln.lock": render(Lock({"toolbox": two})), "sub/deep/l.kiln": MAIN, "lib.kiln": MAIN})
    project.lock(toolbox=one)
    text = 'import "./sub/deep/l.kiln" as a;\nimport "./lib.kiln" as b;\nlet x = [a.x, b.x];\n'
    program = project.load(text)
    assert Evaluator(program, RecordingHost()).value(program.root, "x") == (2, 1)
    locks = [os.path.relpath(path) for path, _ in program.sources if path.endswith("kiln.lock")]
    assert locks == ["kiln.lock", "sub/kiln.lock"]
    assert [os.path.relpath(path) for path in program.absent] == ["sub/deep/kiln.lock"]
    assert program.lock == blob_digest(Path("kiln.lock").read_bytes())


def test_what_is_read_is_the_same_wherever_the_store_lies(project, remote, tmp_path):
    from kiln.store.store import Store

    project.lock(toolbox=project.pin(remote.archive("t.tar.gz", lib(1))))
    here = project.load().sources_digest()
    with Store.open(str(tmp_path / "elsewhere" / "other")) as other:
        project.store = other
        assert project.load().sources_digest() == here


def test_a_root_keeps_a_tree_while_the_project_is_there(project, remote):
    pin = project.pin(remote.archive("t.tar.gz", lib(1)))
    project.lock(toolbox=pin)
    project.value()
    (root,) = project.store.roots()
    assert root.object == project.store.all_objects()[0].id
    project.trees().release(pin.tree, project.keeper)
    assert project.store.roots() == []
    project.value(offline=True)
    assert len(project.store.roots()) == 1
    write("../second", {"kiln.lock": render(Lock({"toolbox": pin})), "main.kiln": MAIN})
    os.unlink("kiln.lock")
    Loader(trees=project.trees()).load("../second/main.kiln")
    (kept,) = project.store.roots()
    assert kept.link != root.link


def test_a_name_with_parts_and_the_longest_that_fits(project, remote):
    whole = project.pin(remote.archive("w.tar.gz", {"sub/a.kiln": "pub let x: Int = 1;\n", **lib(2)}))
    part = project.pin(remote.archive("p.tar.gz", {"a.kiln": "pub let x: Int = 3;\n", **lib(4)}))
    project.lock(**{"toolbox": whole, "toolbox/sub": part, "tool": part})
    text = "".join(
        f'import "{name}" as i{place};\n'
        for place, name in enumerate(("toolbox", "toolbox/sub", "toolbox/sub/a", "tool/a"))
    )
    assert project.value(text + "let x = [i0.x, i1.x, i2.x, i3.x];\n") == (2, 4, 3, 3)


def test_sources_of_a_remote_module_lie_in_its_tree(project, remote):
    files = {"main.kiln": "pub let x: Out(Tree) = source(`./data`);\n", "data/f": "text"}
    project.lock(toolbox=project.pin(remote.archive("t.tar.gz", files)))
    program = project.load('import "toolbox" as tb;\npub let x: Out(Tree) = tb.x;\n')
    host = RecordingHost()
    evaluator = Evaluator(program, host)
    evaluator.targets(evaluator.value(program.root, "x"))
    (asked,) = host.asked
    assert asked[0].startswith(project.store.store_dir) and asked[0].endswith("-kiln-module/data")


def test_lock_files_of_other_ecosystems(project, remote):
    text = 'a = "\\n"\t%{x} ${y} é\u202e\r\nb\\'
    write(".", {"kiln.lock": render(Lock({}, {"web/a.lock": Copy(text), "b": Copy("")}))})
    body = 'import "std/lock" as l;\nlet x = [l.lock_file("web/a.lock"), l.lock_file("b"), ..l.lock_files];\n'
    assert project.value(body) == (text, "", "b", "web/a.lock")
    tree = {"main.kiln": 'import "std/lock" as l;\npub let x: Str = l.lock_file("own");\n',
            "kiln.lock": render(Lock({}, {"own": Copy("of the tree\n")}))}  # fmt: skip
    pin = project.pin(remote.archive("t.tar.gz", tree))
    write(".", {"kiln.lock": render(Lock({"toolbox": pin}, {"own": Copy("of the root\n")}))})
    both = 'import "toolbox" as t;\nimport "std/lock" as l;\nlet x = [t.x, l.lock_file("own")];\n'
    assert project.value(both) == ("of the tree\n", "of the root\n")


def test_without_a_lock_there_are_no_copies(project):
    body = 'import "std/lock" as l;\nlet x = [l.has_lock_file("a"), length(l.lock_files) == 0];\n'
    assert project.value(body) == (False, True)

"""What a builtin reads: a file of its inputs, through links only as a builder in the sandbox would see them."""

from __future__ import annotations

import os
import tarfile
from types import SimpleNamespace

import pytest

from kiln.interpreter.builtin import run_builtin
from kiln.interpreter.derivation import Builtin, InputRef, OutputSpec, SourceObject, derivation
from kiln.interpreter.errors import RealiseError
from kiln.store.paths import OutputName
from kiln.store.store import Store


@pytest.fixture
def workshop(tmp_path):
    store = Store.open(str(tmp_path / "store"))
    yield SimpleNamespace(store=store, emit=lambda event: None)
    store.close()


def archive(path, name="inside"):
    (path.parent / name).write_text("text\n")
    with tarfile.open(path, "w") as tar:
        tar.add(path.parent / name, name)
    os.unlink(path.parent / name)


def unpack(workshop, folder, sub, references=()):
    """Unpack `sub` of a tree that lies at a folder."""
    info = workshop.store.add_object(str(folder), "tree", move=False, references=references)
    drv = derivation(
        name="unpacked",
        builder=Builtin("unpack", 1, ((InputRef(0), sub), ("strip=0",))),
        inputs=[SourceObject(info.id, info.name)],
        outputs=[OutputSpec(OutputName("out"), "tree")],
    )
    return os.listdir(workshop.store.physical(run_builtin(workshop, drv).path))


def test_links_within_an_input_are_followed(workshop, tmp_path):
    tree = tmp_path / "tree"
    (tree / "real").mkdir(parents=True)
    archive(tree / "real" / "a.tar")
    os.symlink("real", tree / "folder")
    os.symlink("../tree/../folder/a.tar".removeprefix("../tree/../"), tree / "b.tar")
    assert unpack(workshop, tree, "/b.tar") == ["inside"]
    assert unpack(workshop, tree, "/folder/a.tar") == ["inside"]


def test_a_link_to_another_input_is_followed(workshop, tmp_path):
    other, tree = tmp_path / "other", tmp_path / "tree"
    other.mkdir()
    tree.mkdir()
    archive(other / "a.tar")
    info = workshop.store.add_object(str(other), "other", move=False)
    os.symlink(f"{info.path}/a.tar", tree / "b.tar")
    assert unpack(workshop, tree, "/b.tar", [info.id]) == ["inside"]
    with pytest.raises(RealiseError, match="not among its inputs"):
        unpack(workshop, tree, "/b.tar")


@pytest.mark.parametrize("kind", ["absolute", "relative", "dots", "folder", "circle", "store"])
def test_nothing_of_the_machine_is_read(workshop, tmp_path, kind):
    secret, tree = tmp_path / "secret.tar", tmp_path / "tree"
    tree.mkdir()
    archive(secret)
    sub = "/b.tar"
    target = {
        "absolute": str(secret),
        "relative": os.path.relpath(secret, workshop.store.store_dir + "/x"),
        "circle": "b.tar",
        "store": f"{workshop.store.store_dir}/anything",
    }.get(kind)
    if target is not None:
        os.symlink(target, tree / "b.tar")
    elif kind == "folder":
        os.symlink(str(tmp_path), tree / "folder")
        sub = "/folder/secret.tar"
    else:
        sub = "/" + os.path.relpath(secret, workshop.store.store_dir + "/x")
    with pytest.raises(RealiseError, match="not among its inputs"):
        unpack(workshop, tree, sub)

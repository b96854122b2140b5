"""Mount points that one build leaves to the next."""

from __future__ import annotations

import errno
import os
import struct

import pytest
import static_elf

from kiln.interpreter.sandbox.mountpoints import Lent, MountPoints, remove_mount_point

pytestmark = pytest.mark.needs_namespaces


def test_the_next_build_finds_them_and_sees_its_own_inputs_alone(room, mount_points, tmp_path):
    room.add_busybox()
    trees = [room.add_tree(f"tree{number}", {"file": b"1"}) for number in range(4)]
    for gone in (None, trees[1], trees[3]):
        if gone is not None:
            room.inputs.remove(gone)
        script = room.script('for path in /kiln/store/*; do echo "${path##*/}"; done; echo > "$out"')
        ran = room.run_spec(room.spec(script), mount_points=mount_points)
        assert ran.result.ok
        assert ran.text.split() == sorted(path.base for path in room.inputs)
        assert sorted(os.listdir(tmp_path / "mounts/1")) == ran.text.split()
    assert os.listdir(tmp_path / "mounts") == ["1"]


def test_a_failed_launch_gives_nothing_back(room, mount_points, tmp_path):
    from kiln.interpreter.sandbox.errors import ProgramMissing

    program = room.add_file("program", static_elf.exits(0))
    with pytest.raises(ProgramMissing):
        room.run_spec(room.spec(("/none",)), mount_points=mount_points)
    assert room.run_spec(room.spec((str(program),)), mount_points=mount_points).result.status == "ok"
    assert sorted(os.listdir(tmp_path / "mounts")) == ["1", "2"]


@pytest.mark.parametrize("mode", ["0", "555", "700", "1777"])
def test_a_builder_that_shuts_the_store_changes_nothing(room, mount_points, tmp_path, mode):
    """Neither its own end, nor what the next build sees."""
    room.add_busybox()
    ran = room.run_spec(room.spec(room.script(f'echo > "$out"; chmod {mode} /kiln/store')), mount_points=mount_points)
    assert ran.result.ok, ran
    ran = room.run_spec(room.spec(room.script('stat -c %a /kiln/store | tee "$out"')), mount_points=mount_points)
    assert ran.result.ok and ran.text == "755\n"
    assert os.listdir(tmp_path / "mounts") == ["1"]
    ran = room.shell(f'echo > "$out"; chmod {mode} /kiln/store')
    assert ran.result.ok, ran


REPLACED = {
    "a folder": "mkdir {link}; echo evil > {link}/evil",
    "an empty folder": "mkdir {link}",
    "a file": "echo evil > {link}",
    "another link": "ln -s /elsewhere {link}",
}


@pytest.mark.parametrize("how", REPLACED.values(), ids=REPLACED)
def test_what_stands_where_a_symlink_stood_is_not_lent_again(room, mount_points, how):
    room.add_busybox()
    link = room.add_symlink("link", "/build")
    script = f'rm {link}; {how.format(link=link)}; echo > "$out"'
    ran = room.run_spec(room.spec(room.script(script)), mount_points=mount_points)
    assert ran.result.undeclared == (link.base,)
    ran = room.run_spec(room.spec(room.script(f'readlink {link} | tee "$out"')), mount_points=mount_points)
    assert ran.result.ok and ran.text == "/build\n"
    room.inputs.remove(link)
    ran = room.run_spec(room.spec(room.script('ls /kiln/store; echo > "$out"')), mount_points=mount_points)
    assert ran.result.ok and ran.text.split() == [path.base for path in room.inputs]


def test_a_directory_is_lent_once_at_a_time(tmp_path):
    points = MountPoints(str(tmp_path))
    first, second = points.lend(frozenset(), None), points.lend(frozenset(), None)
    assert first != second
    points.give_back(first, frozenset())
    assert points.lend(frozenset(), None) == first


def test_what_the_next_build_does_not_have_is_removed(tmp_path):
    points = MountPoints(str(tmp_path))
    bases = frozenset({"a", "b"})
    lent = points.lend(bases, None)
    os.mkdir(f"{lent.path}/a")
    os.mkdir(f"{lent.path}/b")
    points.give_back(lent, bases)
    assert points.lend(frozenset({"b", "c"}), None) == Lent(lent.path, frozenset({"b"}))
    assert os.listdir(lent.path) == ["b"]


CHANGED = {
    "an attribute": lambda path: os.setxattr(path, "user.kiln", b"1"),
    "a list of users": lambda path: os.setxattr(path, "system.posix_acl_default", ACL),
    "something else in it": lambda path: os.mkdir(f"{path}/other"),
    "a symlink": lambda path: os.symlink("nowhere", f"{path}/a"),
    "a full mount point": lambda path: os.makedirs(f"{path}/a/b"),
}
ACL = struct.pack("<I" + "HHI" * 3, 2, 1, 7, 2**32 - 1, 4, 0, 2**32 - 1, 32, 0, 2**32 - 1)
"""u::rwx, g::---, o::---: what is made in the folder has no other modes."""


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_a_directory_that_was_changed_is_forgotten(tmp_path, change):
    points = MountPoints(str(tmp_path))
    lent = points.lend(frozenset("a"), None)
    try:
        change(lent.path)
    except OSError as error:  # a file system may know no such thing, and then nobody can change it
        assert error.errno == errno.ENOTSUP
        return
    points.give_back(lent, frozenset("a"))
    assert points.lend(frozenset("a"), None).path != lent.path


def test_nothing_with_content_is_removed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("content")
    assert not remove_mount_point(str(tmp_path / "folder"))
    assert not remove_mount_point(str(tmp_path / "folder" / "file"))
    assert not remove_mount_point(str(tmp_path / "none"))
    assert (tmp_path / "folder" / "file").read_text() == "content"

"""Mount points that one build leaves to the next."""

from __future__ import annotations

import os

import pytest
import static_elf

from kiln.interpreter.sandbox.mountpoints import MountPoints, remove_mount_point

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


def test_a_directory_is_lent_once_at_a_time(tmp_path):
    points = MountPoints(str(tmp_path))
    first, second = points.lend(frozenset(), None), points.lend(frozenset(), None)
    assert first != second
    points.give_back(first)
    assert points.lend(frozenset(), None) == first


def test_what_the_next_build_does_not_have_is_removed(tmp_path):
    points = MountPoints(str(tmp_path))
    path = points.lend(frozenset({"a", "b"}), None)
    os.mkdir(f"{path}/a")
    os.mkdir(f"{path}/b")
    os.symlink("nowhere", f"{path}/link")
    points.give_back(path)
    assert sorted(os.listdir(points.lend(frozenset({"b", "link"}), None))) == ["b"]


def test_nothing_with_content_is_removed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("content")
    assert not remove_mount_point(str(tmp_path / "folder"))
    assert not remove_mount_point(str(tmp_path / "folder" / "file"))
    assert not remove_mount_point(str(tmp_path / "none"))
    assert (tmp_path / "folder" / "file").read_text() == "content"

"""Where control groups are found, and what is written into them: on a tree that looks like the kernel's."""

from __future__ import annotations

import os
from typing import ClassVar

import pytest

from kiln.interpreter.derivation import Limits
from kiln.interpreter.sandbox.groups import exceeded, find_base, group_for, wants_group
from kiln.interpreter.sandbox.watch import Exceeded

OWN = "user.slice/user-1000.slice/user@1000.service/app.slice/app-terminal.scope"
PASSING = "cpu memory pids\n"


@pytest.fixture
def machine(tmp_path):
    """A machine's /proc and an empty hierarchy; call it with a group and what that passes on."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"4:memory:/old\n0::/{OWN}\n")
    (tmp_path / "proc/self/mounts").write_text(
        "tmpfs /run tmpfs rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"
    )
    mount = tmp_path / "sys/fs/cgroup"
    (mount / OWN).mkdir(parents=True)

    def add(group, passes):
        (mount / group / "cgroup.subtree_control").write_text(passes)
        (mount / group / "cgroup.procs").write_text("")
        return str(mount / group)

    add.root = str(tmp_path)
    return add


def test_the_own_group_comes_first(machine):
    machine(os.path.dirname(OWN), PASSING)
    own = machine(OWN, PASSING)
    assert find_base(machine.root, {}) == own


def test_the_group_above_where_the_own_one_passes_nothing_on(machine):
    machine(OWN, "\n")
    above = machine(os.path.dirname(OWN), PASSING)
    assert find_base(machine.root, {}) == above


def test_a_group_far_above_is_somebody_elses(machine):
    machine("user.slice", PASSING)
    assert find_base(machine.root, {}) is None


def test_a_group_that_passes_half_of_it_on(machine):
    machine(OWN, "cpu pids\n")
    assert find_base(machine.root, {}) is None


def test_a_named_group_is_the_only_candidate(machine, tmp_path):
    machine(OWN, PASSING)
    assert find_base(machine.root, {"KILN_CGROUP": str(tmp_path / "not-there")}) is None
    named = machine("user.slice", PASSING)
    assert find_base(machine.root, {"KILN_CGROUP": named}) == named


def test_a_machine_with_the_older_hierarchy_alone(machine, tmp_path):
    (tmp_path / "proc/self/mounts").write_text("cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n")
    machine(OWN, PASSING)
    assert find_base(machine.root, {}) is None


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [(Limits(), False), (Limits(disk=5), False), (Limits(memory=5), True), (Limits(processes=10), True)],
)
def test_when_a_group_is_wanted(limits, wanted, tmp_path):
    assert wants_group(limits) is wanted
    if not wanted:
        with group_for(limits, str(tmp_path)) as group:
            assert group is None and list(tmp_path.iterdir()) == []


class Kernel:
    """What the kernel does when a group is made and removed: its files come and go with it."""

    FILES: ClassVar = {"memory.max": "max", "memory.swap.max": "max", "pids.max": "max", "cgroup.procs": ""}

    def __init__(self, monkeypatch):
        self.made = []
        make, remove = os.mkdir, os.rmdir

        def mkdir(path, mode=0o777):
            make(path, mode)
            self.made.append(path)
            for name, content in self.FILES.items():
                with open(os.path.join(path, name), "w") as file:
                    file.write(content)

        def rmdir(path):
            for name in os.listdir(path):
                os.unlink(os.path.join(path, name))
            remove(path)

        monkeypatch.setattr(os, "mkdir", mkdir)
        monkeypatch.setattr(os, "rmdir", rmdir)


def _held(group):
    found = {}
    for name in ("memory.max", "memory.swap.max", "pids.max"):
        with open(os.path.join(group, name)) as file:
            found[name] = file.read()
    return found


def test_what_a_group_holds(tmp_path, monkeypatch):
    kernel = Kernel(monkeypatch)
    limits = Limits(memory=1000, processes=20)
    with group_for(limits, str(tmp_path)) as group:
        assert kernel.made == [group]
        assert _held(group) == {"memory.max": "1000", "memory.swap.max": "0", "pids.max": "36"}
        assert exceeded(group, limits) is None
        with open(os.path.join(group, "pids.events"), "w") as file:
            file.write("max 3\n")
        assert exceeded(group, limits) == Exceeded("processes", 20)
        with open(os.path.join(group, "memory.events"), "w") as file:
            file.write("low 0\nhigh 0\noom 1\noom_kill 1\n")
        assert exceeded(group, limits) == Exceeded("memory", 1000)
    assert not os.path.exists(group)


def test_a_group_that_takes_no_limit_is_none(tmp_path):
    """A plain folder, in which no file appears: as where controllers are missing after all."""
    with group_for(Limits(memory=1000), str(tmp_path)) as group:
        assert group is None
    assert list(tmp_path.iterdir()) == []

"""Why a machine refuses sandboxes, told from a made-up /proc."""

from __future__ import annotations

import errno
import os

import pytest
from test_sandbox_plan import SPEC

from kiln.interpreter.sandbox import diagnose, machine
from kiln.interpreter.sandbox.errors import NamespacesRefused, ProgramMissing, SetupFailed
from kiln.interpreter.sandbox.run import build_identity
from kiln.interpreter.sandbox.trial import try_sandbox

GOOD = {
    "proc/sys/user/max_user_namespaces": "15000\n",
    "proc/sys/kernel/unprivileged_userns_clone": "1\n",
    "proc/sys/kernel/apparmor_restrict_unprivileged_userns": "0\n",
    "proc/self/status": "Name:\tx\nSeccomp:\t0\n",
    "proc/self/mounts": "proc /proc proc rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n",
}
OBSTACLES = {
    "max_user_namespaces": ("proc/sys/user/max_user_namespaces", "0\n", "sysctl -w user.max_user_namespaces="),
    "unprivileged_userns_clone": (
        "proc/sys/kernel/unprivileged_userns_clone",
        "0\n",
        "sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    "apparmor_restrict_unprivileged_userns": (
        "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1\n",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    "container-seccomp": ("proc/self/status", "Name:\tx\nSeccomp:\t2\n", "seccomp=unconfined"),
    "masked-proc": (
        "proc/self/mounts",
        "proc /proc proc rw 0 0\nproc /proc/sys proc ro 0 0\n",
        "systempaths=unconfined",
    ),
}


@pytest.fixture
def fake(tmp_path):
    def write(changes: dict[str, str]) -> str:
        for path, text in (GOOD | changes).items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return str(tmp_path)

    return write


def test_nothing_stands_in_the_way(fake):
    assert machine.check_machine(fake({}), uid=1000) == []


def test_files_that_are_not_there_say_nothing(tmp_path):
    assert machine.check_machine(str(tmp_path), uid=1000) == []


@pytest.mark.parametrize("name", OBSTACLES)
def test_an_obstacle_is_named_with_its_switch(fake, name):
    path, text, remedy = OBSTACLES[name]
    (finding,) = machine.check_machine(fake({path: text}), uid=1000)
    assert finding.name == name and remedy in finding.remedy


@pytest.mark.parametrize("name", ["unprivileged_userns_clone", "apparmor_restrict_unprivileged_userns"])
def test_what_binds_users_alone_does_not_bind_root(fake, name):
    path, text, _ = OBSTACLES[name]
    assert machine.check_machine(fake({path: text}), uid=0) == []


def test_a_kernel_without_a_kind_of_namespace(fake, tmp_path):
    root = fake({f"proc/self/ns/{kind}": "" for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")})
    (finding,) = machine.check_machine(root, uid=1000)
    assert (finding.found, finding.remedy) == ("no time namespaces", "run a kernel with CONFIG_TIME_NS")


@pytest.mark.needs_namespaces
def test_the_doctors_trial_starts_a_sandbox(room):
    result = try_sandbox(room.folder, build_identity(room.store))
    assert result.ok and all(result.enforced.values()) and result.degraded == ()
    assert os.listdir(room.folder) == ["store"]


@pytest.mark.parametrize("release, found", [("5.11.22-generic", True), ("5.12.0", False), ("6.1.0-18-amd64", False)])
def test_the_kernel_must_have_the_mount_interface(release, found):
    assert bool(machine.check_kernel(release)) == found


def test_a_refused_namespace_names_the_switch(fake):
    path, text, remedy = OBSTACLES["max_user_namespaces"]
    failed = {
        "step": "EnterNamespaces",
        "call": "unshare: No space left on device",
        "subject": "",
        "errno": errno.ENOSPC,
    }
    error = diagnose.explain_failure(failed, SPEC, machine.check_machine(fake({path: text}), uid=1000))
    assert isinstance(error, NamespacesRefused)
    assert remedy in error.help and "user.max_user_namespaces is 0" in error.found and "unshare" in error.found


def test_a_refusal_without_a_known_reason_says_what_was_asked():
    failed = {
        "step": "EnterNamespaces",
        "call": "unshare: Operation not permitted",
        "subject": "",
        "errno": errno.EPERM,
    }
    error = diagnose.explain_failure(failed, SPEC, [])
    assert isinstance(error, NamespacesRefused) and "unshare" in error.found and error.help


def test_another_failed_step_is_told_as_it_is():
    failed = {
        "step": "CopyTree",
        "call": "open_tree: No such file or directory",
        "subject": "/x",
        "errno": errno.ENOENT,
    }
    error = diagnose.explain_failure(failed, SPEC, [])
    assert isinstance(error, SetupFailed) and error.found == "CopyTree: open_tree: No such file or directory (/x)"


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENOEXEC])
def test_a_program_that_cannot_start(number):
    failed = {"step": "Exec", "call": os.strerror(number), "subject": "", "errno": number}
    error = diagnose.explain_failure(failed, SPEC, [])
    assert isinstance(error, ProgramMissing) and SPEC.argv[0] in error.message

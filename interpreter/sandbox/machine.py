"""Can this machine make sandboxes? Each way in which Linux refuses them, and the switch that changes it.

Pure reading of /proc and /sys; whether a sandbox really starts is what the first build, or `kiln doctor`, tries.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_NEEDED = (5, 12)
_KINDS = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"}
_VERSION = re.compile(r"(\d+)\.(\d+)")


class Finding(NamedTuple):
    """One fact about the machine. `blocking`: no sandbox starts before `remedy` is done."""

    name: str
    blocking: bool
    found: str
    remedy: str


def check_machine(root: str = "/", uid: int | None = None) -> list[Finding]:
    """What stands in a sandbox's way here; `root` is where /proc is looked for, `uid` who asks (this process)."""
    user = os.geteuid() if uid is None else uid
    findings = [_architecture(), check_kernel(os.uname().release), _kinds(root)]
    findings += [_limit(root), _filtered(root), _masked_proc(root)]
    if user != 0 or is_lone_root(root):
        findings += [_debian_switch(root), _apparmor(root)]
    return [finding for finding in findings if finding is not None]


def is_lone_root(root: str = "/") -> bool:
    """Whether root is the only user that there is, as in a container that an ordinary user made.

    It can step down to nobody, and has no need to: outside, it is that ordinary user.
    """
    if os.geteuid() != 0:
        return False
    counts = [int(line.split()[2]) for line in (_read(root, "proc/self/uid_map") or "").splitlines()]
    return sum(counts) == 1


def _architecture() -> Finding | None:
    machine = os.uname().machine
    if machine == "x86_64":
        return None
    return Finding("architecture", True, f"a {machine} machine", "build on x86_64; other machines are not supported")


def check_kernel(release: str) -> Finding | None:
    """Whether a kernel of this release has the calls that a launch needs."""
    version = _VERSION.match(release)
    if version is not None and (int(version[1]), int(version[2])) >= _NEEDED:
        return None
    needed = ".".join(map(str, _NEEDED))
    return Finding("kernel", True, f"Linux {release}", f"run Linux {needed} or newer, which has mount_setattr")


def _kinds(root: str) -> Finding | None:
    """A kernel can be built without some kinds of namespaces."""
    try:
        kinds = os.listdir(os.path.join(root, "proc/self/ns"))
    except OSError:
        return None
    missing = sorted(_KINDS - set(kinds))
    if not missing:
        return None
    options = ", ".join(f"CONFIG_{kind.upper()}_NS" for kind in missing)
    return Finding("namespaces", True, f"no {', '.join(missing)} namespaces", f"run a kernel with {options}")


def _limit(root: str) -> Finding | None:
    if _read(root, "proc/sys/user/max_user_namespaces") != "0":
        return None
    return Finding(
        "max_user_namespaces", True, "user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=15000"
    )


def _debian_switch(root: str) -> Finding | None:
    if _read(root, "proc/sys/kernel/unprivileged_userns_clone") != "0":
        return None
    return Finding(
        "unprivileged_userns_clone",
        True,
        "kernel.unprivileged_userns_clone is 0",
        "sysctl -w kernel.unprivileged_userns_clone=1",
    )


def _apparmor(root: str) -> Finding | None:
    if _read(root, "proc/sys/kernel/apparmor_restrict_unprivileged_userns") != "1":
        return None
    return Finding(
        "apparmor_restrict_unprivileged_userns",
        True,
        "kernel.apparmor_restrict_unprivileged_userns is 1",
        "an AppArmor profile for Kiln's Python with `userns,`, or "
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    )


def _filtered(root: str) -> Finding | None:
    """A container's own filter refuses unshare; seen only as a filter in force, so not blocking for certain."""
    status = _read(root, "proc/self/status") or ""
    if "\nSeccomp:\t2" not in status:
        return None
    return Finding(
        "container-seccomp",
        False,
        "a system call filter is in force, as in a container",
        "start the container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
        "--security-opt systempaths=unconfined",
    )


def _masked_proc(root: str) -> Finding | None:
    """The kernel lets a user namespace mount proc only while a proc without mounts over it is visible."""
    mounts = _read(root, "proc/self/mounts") or ""
    points = [line.split(" ")[1] for line in mounts.splitlines() if line.count(" ") >= 5]
    masked = sorted(point for point in points if point.startswith("/proc/") and point != "/proc/sys/fs/binfmt_misc")
    if not masked:
        return None
    return Finding(
        "masked-proc",
        True,
        f"something is mounted over {masked[0]}, as in a container",
        "start the container with --security-opt systempaths=unconfined",
    )


def _read(root: str, path: str) -> str | None:
    try:
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None

"""Performing a plan's operations, each in the process and the order that the plan gives.

The old root serves as a workshop until it is left: a tmpfs over its /tmp holds the new root, the copied trees
(attached where single entries can be mounted from them, with one system call each, since a bind mount inherits the
read-only and nosuid flags of the mount it is made from), and the files that replace /proc's. Leaving the old root
drops all of it at once.

Stand-alone: imported by the launcher under `python -I -S`.
"""

from __future__ import annotations

import _socket
import os
import stat
import time
from typing import TYPE_CHECKING, assert_never

from kiln.interpreter.sandbox import syscalls
from kiln.interpreter.sandbox.operations import (
    Attach,
    CopyTree,
    EnterNamespaces,
    EnterRoot,
    File,
    Folder,
    HostName,
    JoinGroup,
    Link,
    Members,
    Operation,
    OwnMounts,
    Proc,
    RaiseLoopback,
    Root,
    StartClocks,
    Terminals,
    Tmpfs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_SHOP = "/tmp"
_NEW_ROOT, _VIEWS, _FAKES = f"{_SHOP}/root", f"{_SHOP}/views", f"{_SHOP}/fakes"
_FLAGS = syscalls.MS_NOSUID | syscalls.MS_NODEV
_READ_ONLY = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV


class Workshop:
    """What the operations of one sandbox hand on: copied trees by key, and those that have been attached."""

    def __init__(self) -> None:
        self._trees: dict[str, int] = {}
        self._views: set[str] = set()

    def perform(self, operation: Operation) -> None:
        """Raises OSError with the system call in its text."""
        match operation:
            case CopyTree(key, path, attributes):
                self._trees[key] = _copy_tree(path, attributes)
            case JoinGroup(path):
                _write(f"{path}/cgroup.procs", "0")
            case EnterNamespaces():
                _enter_namespaces(operation)
            case StartClocks():
                _start_clocks()
            case RaiseLoopback():
                _raise_loopback()
            case OwnMounts():
                _own_mounts()
            case HostName(name, domain):
                syscalls.sethostname(name, domain)
            case Root(size, inodes):
                _root(size, inodes)
            case Attach(key, target):
                syscalls.move_mount(self._trees.pop(key), target)
            case Tmpfs(target, size, inodes, mode):
                _tmpfs(target, size, inodes, mode)
            case Folder(path, mode):
                os.mkdir(path, mode)
            case File(path, content, mode):
                _file(path, content, mode)
            case Link(path, target):
                os.symlink(target, path)
            case Members(key, names, target):
                self._members(key, names, target)
            case Proc(target, keep, fakes):
                _proc(target, keep, fakes)
            case Terminals(target):
                syscalls.mount(
                    "devpts",
                    target,
                    "devpts",
                    syscalls.MS_NOSUID | syscalls.MS_NOEXEC,
                    "newinstance,ptmxmode=0666,mode=0620",
                )
            case EnterRoot():
                _enter_root()
            case _:
                assert_never(operation)

    def _members(self, key: str, names: tuple[str, ...], target: str) -> None:
        view = f"{_VIEWS}/{key}"
        if key not in self._views:
            _attach_view(self._trees.pop(key), view)
            self._views.add(key)
        ready = frozenset(os.listdir(target))
        for name in names:
            _member(f"{view}/{name}", f"{target}/{name}", name in ready)


def _copy_tree(path: str, attributes: int) -> int:
    tree = syscalls.open_tree(path, recursive=True)
    syscalls.mount_setattr(tree, set=attributes, recursive=True)
    return tree


def _enter_namespaces(step: EnterNamespaces) -> None:
    uids = f"{step.inner_uid} {step.outer_uid} 1"
    gids = f"{step.inner_gid} {step.outer_gid} 1"
    if step.as_root:
        os.setgroups([])
        finish = _write_maps_from_outside(uids, gids)
        syscalls.unshare(step.flags)
        finish()
        # The user that owns the namespace is root outside; from here on, nobody is.
        os.setresgid(step.inner_gid, step.inner_gid, step.inner_gid)
        os.setresuid(step.inner_uid, step.inner_uid, step.inner_uid)
    else:
        syscalls.unshare(step.flags)
        _write_maps("self", uids, gids)
    # A change of user makes a process undumpable, and then its files in /proc belong to the outer root.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)


def _write_maps_from_outside(uids: str, gids: str) -> Callable[[], None]:
    """Fork a process that stays in the outer user namespace and writes this one's maps when told to."""
    target = str(os.getpid())
    wait, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(go)
            if os.read(wait, 1):
                _write_maps(target, uids, gids)
                os._exit(0)
        except OSError as error:
            os._exit(error.errno or 1)
        finally:
            os._exit(1)
    os.close(wait)

    def finish() -> None:
        os.write(go, b"1")
        os.close(go)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status:
            raise OSError(status, f"id maps: {os.strerror(abs(status))}", f"{uids}, {gids}")

    return finish


def _write_maps(process: str, uids: str, gids: str) -> None:
    # The kernel takes a group map from an ordinary user only after setgroups was given up.
    _write(f"/proc/{process}/setgroups", "deny")
    _write(f"/proc/{process}/uid_map", uids)
    _write(f"/proc/{process}/gid_map", gids)


def _start_clocks() -> None:
    """The offsets apply to the children of this process, and can be set until the first one is there.

    They count from the machine's own clocks. Where Kiln itself runs in a time namespace, that one's are to be added.
    """
    known = {fields[0]: int(fields[1]) for fields in map(str.split, _lines("/proc/self/timens_offsets"))}
    clocks = (("monotonic", time.CLOCK_MONOTONIC), ("boottime", time.CLOCK_BOOTTIME))
    offsets = ((clock, known.get(name, 0) - int(time.clock_gettime(clock))) for name, clock in clocks)
    _write("/proc/self/timens_offsets", "".join(f"{clock} {offset} 0\n" for clock, offset in offsets))


def _raise_loopback() -> None:
    channel = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        syscalls.raise_loopback(channel.fileno())
    finally:
        channel.close()


def _own_mounts() -> None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    # Mounts made below a shared one would show up outside, or in a peer; private ones can't.
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)


def _root(size: int, inodes: int) -> None:
    syscalls.mount("kiln", _SHOP, "tmpfs", _FLAGS, "mode=755")
    for folder in (_NEW_ROOT, _VIEWS, _FAKES):
        os.mkdir(folder)
    _tmpfs(_NEW_ROOT, size, inodes, 0o755)
    os.chdir(_NEW_ROOT)


def _tmpfs(target: str, size: int, inodes: int, mode: int) -> None:
    syscalls.mount("tmpfs", target, "tmpfs", _FLAGS, f"size={size},nr_inodes={inodes},mode={mode:o}")


def _attach_view(tree: int, view: str) -> None:
    os.mkdir(view)
    syscalls.move_mount(tree, view)
    os.close(tree)


def _member(source: str, target: str, ready: bool) -> None:
    """Show one entry; `ready` if a mount point is there. Its kind is looked at, as a bind would follow a symlink."""
    mode = os.lstat(source).st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)
        return
    if not ready and stat.S_ISDIR(mode):
        os.mkdir(target, 0o755)
    elif not ready:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o444))
    syscalls.mount(source, target, None, syscalls.MS_BIND)


def _proc(target: str, keep: tuple[str, ...], fakes: tuple[tuple[str, str], ...]) -> None:
    """Mount proc and cover every entry that isn't a process's and isn't kept."""
    # hidepid=2: process 1 runs the launcher's Python, whose arguments name paths of the host.
    syscalls.mount("proc", target, "proc", _FLAGS | syscalls.MS_NOEXEC, "hidepid=2")
    for path, content in (*fakes, (".nothing/.file", "")):
        _folders(os.path.dirname(f"{_FAKES}/{path}"))
        _file(f"{_FAKES}/{path}", content, 0o444)
    os.mkdir(f"{_FAKES}/.empty", 0o555)
    faked = frozenset(os.listdir(_FAKES))
    covers = f"{_VIEWS}/fakes"
    _attach_view(_copy_tree(_FAKES, _READ_ONLY), covers)
    for entry in os.scandir(target):
        name = entry.name
        if name.isdigit() or name in keep:
            continue
        nothing = ".empty" if entry.is_dir(follow_symlinks=False) else ".nothing/.file"
        cover = name if name in faked else nothing
        syscalls.mount(f"{covers}/{cover}", f"{target}/{name}", None, syscalls.MS_BIND)


def _folders(path: str) -> None:
    if not os.path.isdir(path):
        _folders(os.path.dirname(path))
        os.mkdir(path, 0o755)


def _enter_root() -> None:
    # With both arguments the same directory, the old root ends up on top of the new one and is then dropped.
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")
    syscalls.set_attributes("/", _READ_ONLY)


def _file(path: str, content: str, mode: int) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    os.write(descriptor, os.fsencode(content))
    os.close(descriptor)


def _lines(path: str) -> list[str]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096).decode().splitlines()
    finally:
        os.close(descriptor)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"write: {error.strerror}", path) from error
    finally:
        os.close(descriptor)

"""bubblewrap as the engine: for machines where it may make user namespaces and others may not.

Chosen by name, never fallen back to. The plan is the one that our own launcher performs; here its operations become
bubblewrap's arguments. What it can't do is left out and is named, in every witness and statement, as degraded:

    - no time namespace: the monotonic clocks run since the machine started
    - `uname`, `sysinfo` and `sched_getaffinity` tell of the host: no process of ours is there to answer them
    - the domain name is the host's
    - /proc shows bubblewrap's own process, and so its arguments
    - limits of memory, processes and disk hold where a control group does, and are not measured

A build costs a fork of Python and bubblewrap's own time, which grows with the square of the inputs.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from typing import TypeAlias, assert_never

from kiln.interpreter.derivation import MOST_PROCESSES
from kiln.interpreter.sandbox.errors import HelperDied, NoEngine
from kiln.interpreter.sandbox.helper import known, own_folder
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
    Plan,
    Proc,
    RaiseLoopback,
    Root,
    StartClocks,
    Terminals,
    Tmpfs,
)

DEGRADED = (
    "no time namespace: clocks run since the machine started",
    "the domain name is the host's",
    "the kernel's release, the memory's size and the number of processors are the host's",
    "/proc shows the engine's own process",
)
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from kiln.interpreter.sandbox.bubbledriver import main; main()"
_NAMESPACES = ("user", "pid", "net", "ipc", "uts", "cgroup")
_OWN_DEVICES = frozenset(("dev/pts", "dev/shm", "dev/fd", "dev/stdin", "dev/stdout", "dev/stderr", "dev/ptmx"))
"""What `--dev` makes: the same devices, links and terminals as ours."""

Word: TypeAlias = str | int
"""An argument; a number stands for the descriptor of the file of that place among `files`."""


class Bubblewrap:
    """The engine. `program` is bubblewrap's path. Raises NoEngine where there is none."""

    lends_mount_points = False

    def __init__(self, program: str | None = None) -> None:
        found = program or shutil.which("bwrap")
        if found is None:
            raise NoEngine(
                "bubblewrap was asked for, and there is no program bwrap here",
                expected="bwrap in PATH",
                help="install bubblewrap, or leave out --sandbox-engine",
            )
        self.program = found

    def encode(self, plan: Plan) -> bytes:
        """What the driver is told."""
        arguments, files = translate(plan)
        return json.dumps(
            {
                "program": self.program,
                "arguments": arguments,
                "files": files,
                "builder": plan.builder,
                "degraded": [*DEGRADED, *_unheld(plan)],
                "identity": _identity(plan),
                "group": next((step.path for step in plan.enter if isinstance(step, JoinGroup)), None),
            },
            separators=(",", ":"),
        ).encode()

    def open(self, *streams: int) -> socket.socket:
        """A channel to a new driver. Raises HelperDied."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        streams = streams if len(streams) == 3 else (null, *streams, *streams)
        try:
            with theirs:
                os.posix_spawn(
                    sys.executable,
                    [sys.executable, "-I", "-S", "-c", _BOOT, own_folder()],
                    {},
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, theirs.fileno(), 3),
                        *((os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(streams)),
                    ],
                    setsid=True,
                )
        except OSError as error:
            ours.close()
            raise HelperDied("the driver of bubblewrap can't be started", found=str(error)) from error
        finally:
            os.close(null)
        return known(ours)


def translate(plan: Plan) -> tuple[list[Word], list[str]]:
    """bubblewrap's arguments, and the contents of the files that they name by number. Reads the kinds of inputs."""
    arguments: list[Word] = [f"--unshare-{name}" for name in _NAMESPACES]
    arguments += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    files: list[str] = []
    trees: dict[str, CopyTree] = {}
    for operation in (*plan.enter, *plan.inside):
        if isinstance(operation, CopyTree):
            trees[operation.key] = operation
        arguments += _words(operation, trees, files)
    for name, value in plan.builder.env:
        arguments += ["--setenv", name, value]
    return [*arguments, "--chdir", plan.builder.cwd], files


def _words(operation: Operation, trees: dict[str, CopyTree], files: list[str]) -> list[Word]:
    match operation:
        case EnterNamespaces(_, inner_uid, _, inner_gid, _, _):
            return ["--uid", str(inner_uid), "--gid", str(inner_gid)]
        case HostName(name, _):
            return ["--hostname", name]
        case Attach(key, target):
            return ["--bind", trees[key].path, f"/{target}"]
        case Tmpfs(target, size, _, mode):
            return ["--perms", f"{mode:o}", "--size", str(size), "--tmpfs", f"/{target}"]
        case Folder("dev", _):
            return ["--dev", "/dev"]
        case Folder("proc", _):
            return ["--proc", "/proc"]
        case Folder(path, mode):
            return [] if path in _OWN_DEVICES else ["--perms", f"{mode:04o}", "--dir", f"/{path}"]
        case File(path, content, mode):
            return ["--perms", f"{mode:04o}", "--file", _add(files, content), f"/{path}"]
        case Link(path, target):
            return [] if path in _OWN_DEVICES else ["--symlink", target, f"/{path}"]
        case Members("dev", _, _):
            return []
        case Members(key, names, target):
            return [word for name in names for word in _member(f"{trees[key].path}/{name}", f"/{target}/{name}")]
        case Proc(_, keep, fakes):
            return list(_proc(keep, dict(fakes), files))
        case EnterRoot():
            return ["--remount-ro", "/dev", "--remount-ro", "/"]
        case CopyTree() | JoinGroup() | StartClocks() | RaiseLoopback() | OwnMounts() | Root() | Terminals():
            return []  # it does these by itself, or not at all
        case _:
            assert_never(operation)


def _member(source: str, target: str) -> list[Word]:
    if stat.S_ISLNK(os.lstat(source).st_mode):
        return ["--symlink", os.readlink(source), target]
    return ["--ro-bind", source, target]


def _proc(keep: tuple[str, ...], fakes: dict[str, str], files: list[str]) -> Iterator[Word]:
    """Cover every entry that isn't a process's and isn't kept; which there are, this machine's own /proc tells."""
    for entry in sorted(os.scandir("/proc"), key=lambda entry: entry.name):
        name, target = entry.name, f"/proc/{entry.name}"
        if name.isdigit() or name in keep:
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield from ("--perms", "0444", "--ro-bind-data", _add(files, fakes.get(name, "")), target)
            continue
        yield from ("--perms", "0555", "--tmpfs", target)
        for path, content in fakes.items():
            if path.startswith(f"{name}/"):
                yield from ("--perms", "0444", "--file", _add(files, content), f"/proc/{path}")
        yield from ("--remount-ro", target)


def _add(files: list[str], content: str) -> int:
    files.append(content)
    return len(files) - 1


def _identity(plan: Plan) -> tuple[int, int] | None:
    """Whom root steps down to."""
    step = next(step for step in plan.enter if isinstance(step, EnterNamespaces))
    return (step.outer_uid, step.outer_gid) if step.as_root else None


def _unheld(plan: Plan) -> list[str]:
    """Limits that nothing holds: there is no process of ours inside to measure, and no group."""
    if any(isinstance(step, JoinGroup) for step in plan.enter):
        return ["disk is not limited"] if plan.watch.disk else []
    held = [name for name in ("memory", "disk") if getattr(plan.watch, name)]
    few = ["processes"] if plan.watch.processes < MOST_PROCESSES else []
    return [f"{name} is not limited" for name in (*held, *few)]

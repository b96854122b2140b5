"""The steps that make a sandbox, as data: what `plan.py` lists, `kiln debug` prints and `execute.py` performs.

A plan has three stages, each performed by another process:

    enter    the launcher, in the host's namespaces: copy what lies outside, leave the namespaces
    inside   process 1 of the new process namespace: mounts, files, the new root
    builder  process 2: limits, identity, filter, the program

and what process 1 watches over until the builder ends.

On the wire a plan is JSON, an operation an array of its name and its fields:

    {"enter": [["CopyTree", "store", "/home/ada/.local/share/kiln/store", 7], …],
     "inside": [["OwnMounts"], ["Root", 67108864, 65536], …], "builder": [["/bin/sh", …], …],
     "watch": [4000, 0, 0, ["3v9q…-zlib-1.3"]]}

Paths of targets are relative to the new root and never begin with a slash. Stand-alone: the launcher imports this
under `python -I -S`.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, TypeAlias

from kiln.interpreter.sandbox.watch import Watch


class CopyTree(NamedTuple):
    """Copy the mount at a host path, under a key; cut off from the host's later changes."""

    key: str
    path: str
    attributes: int
    """MOUNT_ATTR_… flags that the copy gets, and every copy that is made of it."""


class EnterNamespaces(NamedTuple):
    """Leave namespaces by CLONE_NEW… flags, a user namespace among them that shows one outer user and group as one
    inner user and group, and in which setgroups is forbidden.

    `as_root`: the caller is root and the outer user is another, so that a process which stays outside writes the
    maps; supplementary groups are left first, which only root can do.
    """

    flags: int
    inner_uid: int
    outer_uid: int
    inner_gid: int
    outer_gid: int
    as_root: bool


class JoinGroup(NamedTuple):
    """Enter a control group, by its folder, with everything that is started from here on."""

    path: str


class OwnMounts(NamedTuple):
    """Enter a mount namespace of its own, in the process that will be 1: the mounts end with it."""


class StartClocks(NamedTuple):
    """Let the monotonic and boot-time clocks of the processes to come begin near zero."""


class RaiseLoopback(NamedTuple):
    """Bring up `lo`."""


class HostName(NamedTuple):
    name: str
    domain: str


class Attach(NamedTuple):
    """Mount the copied tree `key` at `target`, which exists."""

    key: str
    target: str


class Root(NamedTuple):
    """An empty tmpfs that the operations behind it fill and `EnterRoot` makes the root."""

    size: int
    inodes: int


class Tmpfs(NamedTuple):
    """A writable tmpfs at `target`, which exists; `size` in bytes."""

    target: str
    size: int
    inodes: int
    mode: int


class Folder(NamedTuple):
    path: str
    mode: int


class File(NamedTuple):
    path: str
    content: str
    mode: int


class Link(NamedTuple):
    path: str
    target: str


class Members(NamedTuple):
    """Show these entries of the copied tree `key` under `target`, each with the tree's attributes.

    A directory or file gets a mount point and a mount; a symlink is made again.
    """

    key: str
    names: tuple[str, ...]
    target: str


class Proc(NamedTuple):
    """A private /proc, where each process sees those that it may trace, and the rest of the kernel's files is
    replaced: by the contents of `fakes` (path below /proc → text), by nothing where `keep` doesn't name the entry.
    """

    target: str
    keep: tuple[str, ...]
    fakes: tuple[tuple[str, str], ...]


class Terminals(NamedTuple):
    """A private devpts at `target`, which exists."""

    target: str


class EnterRoot(NamedTuple):
    """Make the new root the root, drop the old one, and make it read-only."""


EnterOperation: TypeAlias = JoinGroup | CopyTree | EnterNamespaces | StartClocks | RaiseLoopback
InsideOperation: TypeAlias = (
    OwnMounts
    | HostName
    | CopyTree
    | Root
    | Attach
    | Tmpfs
    | Folder
    | File
    | Link
    | Members
    | Proc
    | Terminals
    | EnterRoot
)
Operation: TypeAlias = EnterOperation | InsideOperation


class ResourceLimit(NamedTuple):
    """One rlimit: its number in resource.h, soft and hard value; -1 is no limit."""

    resource: int
    soft: int
    hard: int


class Builder(NamedTuple):
    """The builder's process: what it runs, with what, under which limits."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    umask: int
    limits: tuple[ResourceLimit, ...]
    personality: int
    out_of_memory: int
    """oom_score_adj: raised, never lowered, so that every user can set it."""


class Plan(NamedTuple):
    enter: tuple[EnterOperation, ...]
    inside: tuple[InsideOperation, ...]
    builder: Builder
    watch: Watch


_CLASSES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        CopyTree,
        JoinGroup,
        EnterNamespaces,
        OwnMounts,
        StartClocks,
        RaiseLoopback,
        HostName,
        Attach,
        Root,
        Tmpfs,
        Folder,
        File,
        Link,
        Members,
        Proc,
        Terminals,
        EnterRoot,
    )
}


def encode_plan(plan: Plan) -> bytes:
    """The plan's JSON, in ASCII; a byte of a path that isn't UTF-8 travels as a lone surrogate."""
    return json.dumps(
        {
            "enter": [[type(step).__name__, *step] for step in plan.enter],
            "inside": [[type(step).__name__, *step] for step in plan.inside],
            "builder": plan.builder,
            "watch": plan.watch,
        },
        separators=(",", ":"),
    ).encode()


def decode_plan(data: bytes) -> Plan:
    """Read a plan's JSON. Raises ValueError, KeyError or TypeError on anything else."""
    fields = json.loads(data)
    argv, env, cwd, umask, limits, personality, score = fields["builder"]
    builder = Builder(
        tuple(argv),
        tuple((key, value) for key, value in env),
        cwd,
        umask,
        tuple(ResourceLimit(*limit) for limit in limits),
        personality,
        score,
    )
    return Plan(
        tuple(_CLASSES[name](*map(_frozen, rest)) for name, *rest in fields["enter"]),
        tuple(_CLASSES[name](*map(_frozen, rest)) for name, *rest in fields["inside"]),
        builder,
        Watch(*map(_frozen, fields["watch"])),
    )


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if type(value) is list else value

"""From a spec to a plan: which operations make this sandbox, in order. Pure.

The order is the kernel's:

1. Root copies the host's trees (store, /dev, build directory) before it steps down, because a path under
   a folder of mode 0700 can't be opened afterwards; a user can copy only inside a mount namespace of its own.
2. The user namespace comes first of all namespaces, since it owns the others and so grants the right to make them.
   The mount namespace is entered by process 1, so that no mount outlives it.
3. proc shows the process namespace of whoever mounts it, so process 1 does. It may be mounted only while another
   full proc is visible, so before the old root is left.
4. The root is made read-only last.
"""

from __future__ import annotations

import os.path
from typing import assert_never

from kiln.interpreter.sandbox import syscalls, world
from kiln.interpreter.sandbox.errors import BadSpec
from kiln.interpreter.sandbox.operations import (
    Attach,
    Builder,
    CopyTree,
    EnterNamespaces,
    EnterOperation,
    EnterRoot,
    File,
    Folder,
    HostName,
    InsideOperation,
    JoinGroup,
    Link,
    Members,
    Operation,
    OwnMounts,
    Plan,
    Proc,
    RaiseLoopback,
    ResourceLimit,
    Root,
    StartClocks,
    Terminals,
    Tmpfs,
)
from kiln.interpreter.sandbox.spec import Identity, SandboxSpec
from kiln.interpreter.sandbox.watch import Watch

_READ_ONLY = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV
_WRITABLE = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV
_DEVICES = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NOEXEC

_NAMESPACE_FLAGS = {
    "user": syscalls.CLONE_NEWUSER,
    "pid": syscalls.CLONE_NEWPID,
    "net": syscalls.CLONE_NEWNET,
    "ipc": syscalls.CLONE_NEWIPC,
    "uts": syscalls.CLONE_NEWUTS,
    "cgroup": syscalls.CLONE_NEWCGROUP,
    "time": syscalls.CLONE_NEWTIME,
}
_NAMESPACES = sum(_NAMESPACE_FLAGS.values())

_FOLDERS = ("build", "dev", "dev/pts", "dev/shm", "etc", "kiln", "kiln/store", "proc", "run", "tmp")
_RESERVED = ("build", "dev", "kiln", "proc", "run/secrets", "tmp", *(f"etc/{name}" for name in world.ETC))
"""Where links may not point their way: these belong to the sandbox."""


def plan_sandbox(spec: SandboxSpec, identity: Identity, group: str | None = None) -> Plan:
    """The operations that make `spec`'s sandbox for the user `identity`, in a control group if there is one.

    Raises BadSpec.
    """
    check_spec(spec)
    copies = _copies(spec)
    namespaces = EnterNamespaces(_NAMESPACES, world.UID, identity.uid, world.GID, identity.gid, identity.as_root)
    outside, mounted = (copies, ()) if identity.as_root else ((), copies)
    # The group comes first, so that the control group's own namespace begins there and hides what is above.
    joined = () if group is None else (JoinGroup(group),)
    enter: tuple[EnterOperation, ...] = (*joined, *outside, namespaces, StartClocks(), RaiseLoopback())
    inside: tuple[InsideOperation, ...] = (
        OwnMounts(),
        *mounted,
        HostName(world.HOST, world.DOMAIN),
        Root(world.ROOT_SIZE, world.ROOT_INODES),
        *(Folder(path, 0o755) for path in _FOLDERS),
        *_files(spec),
        *_devices(),
        *_places(spec),
        *_members(spec),
        Proc("proc", world.PROC_KEEP, world.proc_fakes()),
        EnterRoot(),
    )
    return Plan(enter, inside, _builder(spec), _watch(spec))


def check_spec(spec: SandboxSpec) -> None:
    """Refuse a spec that would contradict itself or the sandbox's own files. Raises BadSpec."""
    bases = [path.base for _, path in spec.inputs]
    for (physical, _), base in zip(spec.inputs, bases, strict=True):
        if not physical.startswith("/") or not physical.endswith("/" + base):
            raise BadSpec("an input lies under another name", expected=base, found=physical)
    _check_distinct([*bases, *(path.base for _, path in spec.outputs)])
    if not spec.argv:
        raise BadSpec("a build without a program", expected="a path inside the sandbox")
    for name, _ in spec.env:
        if not name or "=" in name:
            raise BadSpec("not a variable's name", found=repr(name))
    _check_links([link for link, _ in spec.links])
    for name, _ in spec.secrets:
        if not name or "/" in name or name.startswith("."):
            raise BadSpec("not a secret's name", found=repr(name))
    texts = [*spec.argv, *(part for pair in (*spec.env, *spec.links) for part in pair)]
    for text in texts:
        if "\0" in text:
            raise BadSpec("a zero byte in an argument, a variable or a link", found=repr(text[:80]))


def show_plan(plan: Plan) -> list[str]:
    """The plan as lines for people, one an operation; contents of files are left out, as they may be secret."""
    lines = [f"enter    {show_operation(operation)}" for operation in plan.enter]
    lines += [f"inside   {show_operation(operation)}" for operation in plan.inside]
    lines += [f"builder  {name}={value}" for name, value in plan.builder.env]
    lines.append(f"builder  {' '.join(plan.builder.argv)}")
    return [*lines, *(f"watch    {name} {value}" for name, value in _watched(plan.watch))]


def _watched(watch: Watch) -> list[tuple[str, int]]:
    named = [("processes", watch.processes), ("memory", watch.memory), ("disk", watch.disk)]
    return [(name, value) for name, value in named if value]


def show_operation(operation: Operation) -> str:
    match operation:
        case CopyTree(key, path, attributes):
            return f"copy the mount at {path} as {key} ({show_attributes(attributes)})"
        case JoinGroup(path):
            return f"enter the control group {path}"
        case EnterNamespaces(flags, inner_uid, outer_uid, inner_gid, outer_gid, _):
            names = ", ".join(name for name, flag in _NAMESPACE_FLAGS.items() if flags & flag)
            ids = f"user {outer_uid} as {inner_uid} and group {outer_gid} as {inner_gid}"
            return f"leave the namespaces {names}; show {ids}"
        case StartClocks():
            return "start the monotonic clocks at zero"
        case RaiseLoopback():
            return "bring up lo"
        case OwnMounts():
            return "leave the mount namespace"
        case HostName(name, domain):
            return f"host name {name}, domain {domain}"
        case Attach(key, target):
            return f"mount {key} at /{target}"
        case Root(size, _):
            return f"an empty root of {size >> 20} MiB"
        case Tmpfs(target, size, _, mode):
            return f"tmpfs of {size >> 20} MiB at /{target}, mode {mode:04o}"
        case Folder(path, mode):
            return f"folder /{path}, mode {mode:04o}"
        case File(path, content, mode):
            return f"file /{path}, {len(content)} characters, mode {mode:04o}"
        case Link(path, target):
            return f"link /{path} -> {target}"
        case Members(key, names, target):
            return f"{len(names)} entries of {key} below /{target}: {' '.join(names)}"
        case Proc(target, _, fakes):
            return f"proc at /{target}, {len(fakes)} files of fixed content"
        case Terminals(target):
            return f"pseudo-terminals at /{target}"
        case EnterRoot():
            return "make it the root, read-only, and drop the old one"
        case _:
            assert_never(operation)


def show_attributes(attributes: int) -> str:
    names = ("read-only", "nosuid", "nodev", "noexec")
    return " ".join(name for bit, name in enumerate(names) if attributes >> bit & 1)


def _copies(spec: SandboxSpec) -> tuple[CopyTree, ...]:
    stores = tuple(CopyTree(f"store{at}", folder, _READ_ONLY) for at, folder in enumerate(_by_folder(spec)))
    places = [CopyTree("build", spec.build_dir, _WRITABLE), CopyTree("out", spec.out_dir, _WRITABLE)]
    if spec.tmp_dir is not None:
        places.append(CopyTree("tmp", spec.tmp_dir, _WRITABLE))
    return (*stores, CopyTree("dev", "/dev", _DEVICES), *places)


def _by_folder(spec: SandboxSpec) -> dict[str, list[str]]:
    """The names of inputs by the folder that they lie in; nearly always one folder."""
    folders: dict[str, list[str]] = {}
    for physical, _ in spec.inputs:
        folder, _, name = physical.rpartition("/")
        folders.setdefault(folder, []).append(name)
    return folders


def _files(spec: SandboxSpec) -> tuple[InsideOperation, ...]:
    etc = (File(f"etc/{name}", content, 0o444) for name, content in world.ETC.items())
    links = {path.lstrip("/"): target for path, target in spec.links}
    parents = {parent for path in links for parent in _parents(path)} - set(_FOLDERS)
    secrets: tuple[InsideOperation, ...] = ()
    if spec.secrets:
        secrets = (
            Folder(world.SECRETS, 0o700),
            *(File(f"{world.SECRETS}/{name}", value, 0o400) for name, value in spec.secrets),
        )
    return (
        *etc,
        *(Folder(path, 0o755) for path in sorted(parents)),
        *(Link(path, target) for path, target in sorted(links.items())),
        *secrets,
    )


def _devices() -> tuple[InsideOperation, ...]:
    return (
        Members("dev", world.DEVICES, "dev"),
        *(Link(f"dev/{name}", target) for name, target in world.DEVICE_LINKS.items()),
        Terminals("dev/pts"),
        Tmpfs("dev/shm", world.SHM_SIZE, world.SHM_INODES, 0o1777),
    )


def _places(spec: SandboxSpec) -> tuple[InsideOperation, ...]:
    tmp = Tmpfs(world.TMP, world.TMP_SIZE, world.TMP_INODES, 0o1777) if spec.tmp_dir is None else None
    return (Attach("build", world.BUILD), tmp or Attach("tmp", world.TMP), Attach("out", world.STORE))


def _members(spec: SandboxSpec) -> tuple[InsideOperation, ...]:
    return tuple(
        Members(f"store{at}", tuple(sorted(names)), world.STORE) for at, names in enumerate(_by_folder(spec).values())
    )


def _watch(spec: SandboxSpec) -> Watch:
    limits = spec.limits
    given = tuple(path.base for _, path in spec.inputs) if limits.disk else ()
    return Watch(limits.processes, limits.memory, limits.disk, given)


def _builder(spec: SandboxSpec) -> Builder:
    env = world.ENVIRONMENT | dict(spec.env)
    return Builder(
        argv=spec.argv,
        env=tuple(sorted(env.items())),
        cwd=f"/{world.BUILD}",
        umask=world.UMASK,
        limits=tuple(ResourceLimit(*limit) for limit in world.RLIMITS),
        personality=world.PERSONALITY,
        out_of_memory=world.OUT_OF_MEMORY,
    )


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _check_distinct(bases: list[str]) -> None:
    seen: set[str] = set()
    for base in bases:
        if base in seen:
            raise BadSpec("two things of one path", found=base)
        seen.add(base)


def _check_links(links: list[str]) -> None:
    _check_distinct(links)
    for link in links:
        inner = link.lstrip("/")
        if not link.startswith("/") or os.path.normpath(link) != link or not inner:
            raise BadSpec("not a link's path", expected="an absolute path without . or ..", found=repr(link[:120]))
        if inner in _FOLDERS or any(inner == own or inner.startswith(own + "/") for own in _RESERVED):
            raise BadSpec("a link inside a folder that the sandbox keeps for itself", found=link)
        above = next((f"/{parent}" for parent in _parents(inner) if f"/{parent}" in links), None)
        if above is not None:
            raise BadSpec("a link below another link", found=f"{link} below {above}")

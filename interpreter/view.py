"""The host with `/kiln/store` in it: for running what was built, outside any sandbox.

In a user namespace that maps the user's own ids, a new root is put together: every entry of the host's `/`, and
`kiln/store`, which shows the physical store read-only. Nothing is made on the host. Where the host has a
`/kiln/store` that is this store, there is nothing to do.
"""

from __future__ import annotations

import os
from typing import NoReturn

from kiln.interpreter.errors import RealiseError
from kiln.interpreter.sandbox import syscalls
from kiln.store.paths import STORE_DIR

_READ_ONLY = 1
_OURS = STORE_DIR.split("/")[1]
"""The one entry of `/` that is never the host's: a link of that name would lead what is made here out to the host."""


class NoView(RealiseError):
    """This machine refuses the namespaces that showing `/kiln/store` takes."""

    code = "K0454"


def enter_view(store_dir: str) -> None:
    """Give this process, and what it starts, a `/kiln/store`. Raises NoView.

    Must be called in a process with one thread.
    """
    if os.path.isdir(STORE_DIR) and os.path.samefile(STORE_DIR, store_dir):
        return
    uid, gid, here = os.geteuid(), os.getegid(), os.getcwd()
    try:
        if uid == 0:
            syscalls.unshare(syscalls.CLONE_NEWNS)
        else:
            syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
            _map_ids(uid, gid)
        _build_root(store_dir)
    except OSError as error:
        raise NoView(
            "this machine refuses the namespaces that show /kiln/store to a program",
            found=str(error),
            help="kiln doctor names the switch",
        ) from error
    os.chdir(here)


def exec_program(program: str, args: list[str]) -> NoReturn:
    """Become the program. Raises OSError."""
    os.execv(program, [program, *args])


def _map_ids(uid: int, gid: int) -> None:
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _build_root(store_dir: str) -> None:
    """A tmpfs on /tmp, which the new root's own /tmp is a bind of, so that the host's keeps being seen."""
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    trees = {name: syscalls.open_tree(f"/{name}", recursive=True) for name in _real_entries()}
    store = syscalls.open_tree(store_dir, recursive=False)
    links = {
        name: os.readlink(f"/{name}") for name in os.listdir("/") if os.path.islink(f"/{name}") and name != _OURS
    }
    root = "/tmp"
    syscalls.mount("tmpfs", root, "tmpfs", 0, "mode=755")
    for name, target in links.items():
        os.symlink(target, f"{root}/{name}")
    for name, tree in trees.items():
        _mount_at(tree, f"{root}/{name}", folder=os.path.isdir(f"/{name}"))
    os.makedirs(f"{root}{STORE_DIR}")
    syscalls.move_mount(store, f"{root}{STORE_DIR}")
    syscalls.set_attributes(f"{root}{STORE_DIR}", _READ_ONLY)
    os.close(store)
    os.chdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", syscalls.MNT_DETACH)


def _real_entries() -> list[str]:
    """What stands in `/` beside links; a `/kiln` of the host's is hidden by ours."""
    return [name for name in os.listdir("/") if not os.path.islink(f"/{name}") and name != _OURS]


def _mount_at(tree: int, place: str, *, folder: bool) -> None:
    if folder:
        os.mkdir(place)
    else:
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
    syscalls.move_mount(tree, place)
    os.close(tree)

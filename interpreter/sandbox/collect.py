"""After a build: what lies in the directory that was shown as /kiln/store.

It holds the mount points that the launcher made for the inputs, symlinks that are inputs, what the builder made, and
nothing else. What the builder made comes to lie in `out_dir`, also what it put where a symlink was.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from kiln.interpreter.sandbox.mountpoints import Lent, remove_mount_point
from kiln.interpreter.sandbox.spec import SandboxSpec
from kiln.store.paths import OutputName


class Collected(NamedTuple):
    """Outputs that exist with their physical paths, those that are missing, and entries that nobody declared."""

    outputs: dict[OutputName, str]
    missing: tuple[OutputName, ...]
    undeclared: tuple[str, ...]


def collect(spec: SandboxSpec, shown: Lent) -> Collected:
    """Sort what lies in `shown`; where that is `out_dir` itself, its mount points are removed."""
    members = {path.base: physical for physical, path in spec.inputs}
    expected = {path.base: name for name, path in spec.outputs}
    own = shown.path == spec.out_dir
    outputs: dict[OutputName, str] = {}
    undeclared: list[str] = []
    os.chmod(shown.path, 0o755)  # The builder may have shut it.
    for base in sorted(os.listdir(shown.path)):
        if base in shown.ready or (base in members and _is_given(f"{shown.path}/{base}", members[base], own)):
            continue
        if not own:
            _move(f"{shown.path}/{base}", f"{spec.out_dir}/{base}")
        if base in expected:
            outputs[expected[base]] = f"{spec.out_dir}/{base}"
        else:
            undeclared.append(base)
    missing = tuple(name for name, _ in spec.outputs if name not in outputs)
    return Collected(outputs, missing, tuple(undeclared))


def _is_given(path: str, physical: str, own: bool) -> bool:
    """Whether an input is as the launcher showed it: on a mount point, which goes with `own`; or as a symlink, which
    always does.
    """
    if stat.S_ISLNK(os.lstat(physical).st_mode):
        is_same = os.path.islink(path) and os.readlink(path) == os.readlink(physical)
        return is_same and remove_mount_point(path)
    return not own or remove_mount_point(path)


def _move(source: str, target: str) -> None:
    """Rename within one file system. A directory's parent entry is part of it, so that it must be writable."""
    mode = os.lstat(source).st_mode
    locked = stat.S_ISDIR(mode) and not mode & stat.S_IWUSR
    if locked:
        os.chmod(source, stat.S_IMODE(mode) | stat.S_IRWXU)
    os.rename(source, target)
    if locked:
        os.chmod(target, stat.S_IMODE(mode))

"""After a build: what lies in the directory that was shown as /kiln/store.

It holds the mount points that the launcher made for the inputs, what the builder made, and nothing else. What the
builder made comes to lie in `out_dir`.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from kiln.interpreter.sandbox.mountpoints import remove_mount_point
from kiln.interpreter.sandbox.spec import SandboxSpec
from kiln.store.paths import OutputName


class Collected(NamedTuple):
    """Outputs that exist with their physical paths, those that are missing, and entries that nobody declared."""

    outputs: dict[OutputName, str]
    missing: tuple[OutputName, ...]
    undeclared: tuple[str, ...]


def collect(spec: SandboxSpec, shown: str) -> Collected:
    """Sort what lies in `shown`; where that is `out_dir` itself, its mount points are removed."""
    members = frozenset(path.base for _, path in spec.inputs)
    expected = {path.base: name for name, path in spec.outputs}
    outputs: dict[OutputName, str] = {}
    undeclared: list[str] = []
    for base in sorted(os.listdir(shown)):
        if base in members:
            if shown == spec.out_dir and not remove_mount_point(f"{shown}/{base}"):
                undeclared.append(base)
            continue
        if shown != spec.out_dir:
            _move(f"{shown}/{base}", f"{spec.out_dir}/{base}")
        if base in expected:
            outputs[expected[base]] = f"{spec.out_dir}/{base}"
        else:
            undeclared.append(base)
    missing = tuple(name for name, _ in spec.outputs if name not in outputs)
    return Collected(outputs, missing, tuple(undeclared))


def _move(source: str, target: str) -> None:
    """Rename within one file system. A directory's parent entry is part of it, so that it must be writable."""
    mode = os.lstat(source).st_mode
    locked = stat.S_ISDIR(mode) and not mode & stat.S_IWUSR
    if locked:
        os.chmod(source, stat.S_IMODE(mode) | stat.S_IRWXU)
    os.rename(source, target)
    if locked:
        os.chmod(target, stat.S_IMODE(mode))

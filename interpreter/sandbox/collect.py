"""After a build: what lies in its output directory.

The directory holds the mount points that the launcher made for the inputs, what the builder made, and nothing
else. Mount points are removed, so that the outputs and what is undeclared remain.
"""

from __future__ import annotations

import os
import stat

from kiln.interpreter.sandbox.spec import SandboxSpec
from kiln.store.paths import OutputName

Collected = tuple[dict[OutputName, str], tuple[OutputName, ...], tuple[str, ...]]


def collect(spec: SandboxSpec) -> Collected:
    """Outputs that exist with their physical paths, those that are missing, and entries that nobody declared."""
    members = {path.base for _, path in spec.inputs}
    expected = {path.base: name for name, path in spec.outputs}
    found: dict[OutputName, str] = {}
    undeclared: list[str] = []
    for base in sorted(os.listdir(spec.out_dir)):
        path = f"{spec.out_dir}/{base}"
        if base in expected:
            found[expected[base]] = path
        elif base not in members or not _remove_mount_point(path):
            undeclared.append(base)
    missing = tuple(name for name, _ in spec.outputs if name not in found)
    return found, missing, tuple(undeclared)


def _remove_mount_point(path: str) -> bool:
    """Remove an empty directory, empty file or symlink; False when something else has taken its place."""
    found = os.lstat(path)
    try:
        if stat.S_ISDIR(found.st_mode):
            os.rmdir(path)
        elif stat.S_ISLNK(found.st_mode) or found.st_size == 0:
            os.unlink(path)
        else:
            return False
    except OSError:
        return False
    return True

"""Failed builds' trees, kept for a look.

    <store>/failed/<derivation's name>-<12 digits of its resolved digest>/
        build/  out/       the folders that the builder saw as /build and /kiln/store, without the inputs
        sandbox.json       the sandbox that it ran in, for `kiln debug`

    {"schema": "kiln.failed/1", "name": "hello-2.10", "resolved": "8f…", "time": 1795240800, "end": "exit code 2",
     "engine": "own", "sandbox": {…}}     the sandbox as `sandbox/spec.py` encodes it, which never holds a secret

The newest of one derivation takes the place of an older one; of all, the ten newest of the last week stay, and what
a `kiln debug` is looking at.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kiln.interpreter.derivation import Derivation, resolved_digest
from kiln.interpreter.sandbox.engines import OWN
from kiln.interpreter.sandbox.errors import BadSpec
from kiln.interpreter.sandbox.mountpoints import remove_mount_point
from kiln.interpreter.sandbox.spec import SandboxSpec, decode_spec, encode_spec
from kiln.store.disk import open_directory
from kiln.store.tree import remove_tree

if TYPE_CHECKING:
    from kiln.interpreter.workshop import Workshop

SCHEMA = "kiln.failed/1"
MOST = 10
LONGEST = 7 * 24 * 3600
_SPARE = 64 << 20
"""Bytes that must be free for a tree to be kept: an error on a full disk should not be what keeps it full."""
_FACTS = "sandbox.json"


@dataclass(frozen=True, slots=True)
class Kept:
    """A failed build's tree. `spec`'s folders are the kept ones."""

    folder: str
    name: str
    resolved: str
    time: int
    end: str
    spec: SandboxSpec
    engine: str = OWN
    """Which engine made the sandbox, and makes it again."""


def label_of(drv: Derivation) -> str:
    """What `kiln log` and `kiln debug` know a build by."""
    return f"{drv.name}-{resolved_digest(drv).short}"


def keep(workshop: Workshop, drv: Derivation, spec: SandboxSpec, end: str) -> str | None:
    """Move a failed build's folders to where they outlive this process; where they are then, if they are kept.

    Nothing is kept of a build that was given secrets, or where the disk is nearly full.
    """
    folder = os.path.dirname(spec.build_dir)
    home = failed_folder(workshop.store.root)
    free = os.statvfs(folder)
    if drv.secrets or free.f_bavail * free.f_frsize < _SPARE:
        drop(folder)
        return None
    workshop.store.layout.make_folder(home)
    kept = os.path.join(home, label_of(drv))
    moved = replace(spec, build_dir=f"{kept}/build", out_dir=f"{kept}/out")
    facts = {
        "schema": SCHEMA,
        "name": drv.name,
        "resolved": resolved_digest(drv).hex(),
        "time": int(time.time()),
        "end": end,
        "engine": workshop.engine,
        "sandbox": json.loads(encode_spec(moved)),
    }
    with open(os.path.join(folder, _FACTS), "w", encoding="utf-8") as file:
        json.dump(facts, file)
    if os.path.lexists(kept):
        drop(kept)
    os.rename(folder, kept)
    _prune(home)
    return kept


def failed_folder(root: str) -> str:
    """Where a store keeps failed trees."""
    return os.path.join(root, "failed")


def kept_trees(root: str) -> list[Kept]:
    """The failed trees of a store, the newest first. What is no failed tree is passed over."""
    home = failed_folder(root)
    names = os.listdir(home) if os.path.isdir(home) else []
    found = [kept for name in names if (kept := read_kept(os.path.join(home, name))) is not None]
    return sorted(found, key=lambda kept: (-kept.time, kept.folder))


def read_kept(folder: str) -> Kept | None:
    """One failed tree, or None where there is none, or none that this version can read."""
    try:
        with open(os.path.join(folder, _FACTS), encoding="utf-8") as file:
            facts = json.load(file)
        if facts["schema"] != SCHEMA:
            return None
        spec = decode_spec(json.dumps(facts["sandbox"]).encode())
        name, resolved, end = str(facts["name"]), str(facts["resolved"]), str(facts["end"])
        return Kept(folder, name, resolved, int(facts["time"]), end, spec, str(facts.get("engine", OWN)))
    except (OSError, ValueError, KeyError, TypeError, BadSpec):
        return None


def hold(kept: Kept) -> int:
    """A descriptor that keeps a tree from being removed as long as it is open. Raises OSError."""
    descriptor = os.open(os.path.join(kept.folder, _FACTS), os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def release(kept: Kept, held: int) -> None:
    """Give back what `hold` returned. The last who does removes the mount points that entering a sandbox leaves."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for _, path in kept.spec.inputs:
            remove_mount_point(f"{kept.spec.out_dir}/{path.base}")
    except BlockingIOError:
        return
    finally:
        os.close(held)


def _prune(home: str) -> None:
    """Remove what is too old or too many, but for what somebody holds."""
    oldest = time.time() - LONGEST
    for place, kept in enumerate(kept_trees(os.path.dirname(home))):
        if (place >= MOST or kept.time < oldest) and not _is_held(kept):
            drop(kept.folder)


def _is_held(kept: Kept) -> bool:
    try:
        descriptor = os.open(os.path.join(kept.folder, _FACTS), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True  # another process removes it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def drop(folder: str) -> None:
    """Remove a build's folders, whatever modes the builder left. Raises OSError."""
    parent = open_directory(os.path.dirname(folder))
    try:
        remove_tree(parent, os.fsencode(os.path.basename(folder)))
    finally:
        os.close(parent)

"""`FOLDER INPUTS RUNS USER BUSYBOX`: how long a sandbox takes, from the request to its result.

Prints a JSON list of seconds. Run by root it first becomes USER, for good; so what is measured is what an
unprivileged user gets. The program in the sandbox is busybox' `true`. The first launch, which starts the launcher,
is not counted.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time

from kiln.interpreter.derivation import Limits
from kiln.interpreter.sandbox.helper import Launcher
from kiln.interpreter.sandbox.mountpoints import MountPoints
from kiln.interpreter.sandbox.run import build_identity, run_sandbox
from kiln.interpreter.sandbox.spec import SandboxSpec
from kiln.store.paths import ALPHABET, HASH_CHARS, StorePath

_PYTHONS = (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3")


def main(folder: str, inputs: str, runs: str, user: str, busybox: str) -> None:
    if os.geteuid() == 0:
        os.chown(folder, int(user), int(user))
        os.setgroups([])
        os.setresgid(int(user), int(user), int(user))
        os.setresuid(int(user), int(user), int(user))
    store = _folder(folder, "store")
    members = [_member(store, number) for number in range(int(inputs))]
    shutil.copy(busybox, members[0][0])
    points = MountPoints(_folder(folder, "mounts"))
    took: list[float] = []
    with Launcher(_python()) as launcher:
        for number in range(int(runs) + 1):
            took.append(_launch(folder, number, tuple(members), points, launcher))
    print(json.dumps(took[1:]))


def _launch(
    folder: str, number: int, members: tuple[tuple[str, StorePath], ...], points: MountPoints, launcher: Launcher
) -> float:
    room = _folder(folder, f"run-{number}")
    spec = SandboxSpec(
        inputs=members,
        outputs=(),
        build_dir=_folder(room, "build"),
        out_dir=_folder(room, "out"),
        argv=("/bin/true",),
        links=(("/bin/true", f"{members[0][1]}/busybox"),),
        limits=Limits(time=60, silence=60, log=1 << 16),
    )
    identity = build_identity(os.path.join(folder, "store"))
    began = time.perf_counter()
    result = run_sandbox(spec, identity, log=lambda data: None, engine=launcher, mount_points=points)
    took = time.perf_counter() - began
    assert result.ok, result
    return took


def _member(store: str, number: int) -> tuple[str, StorePath]:
    digits = f"{number:0{HASH_CHARS}d}"
    path = StorePath("".join(ALPHABET[int(digit)] for digit in digits), "input")
    place = os.path.join(store, path.base)
    os.mkdir(place, 0o755)
    return place, path


def _folder(*parts: str) -> str:
    path = os.path.join(*parts)
    os.mkdir(path, 0o755)
    return path


def _python() -> str:
    """A Python that this user may run: root's own may lie in a private folder."""
    found = next((python for python in _PYTHONS if os.access(os.path.realpath(python), os.X_OK)), None)
    assert found is not None, "this user can run no Python"
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])

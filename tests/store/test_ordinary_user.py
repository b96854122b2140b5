"""Started by root, the whole folder of tests runs once more as a user who has no rights of root's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from store_samples import REPOSITORY

NOBODY = 65534


def interpreter_for(uid: int) -> tuple[list[str], dict[str, str]]:
    """A Python of this version that another user can start, and what finds our libraries for it.

    The one that runs us may lie under a home that others cannot enter; any other of the same version can use
    the same libraries.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    libraries = [item for item in sys.path if item.endswith("site-packages")]
    environment = {"PYTHONPATH": os.pathsep.join([REPOSITORY, *libraries])}
    tried = []
    places = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin"]
    found = [sys.executable, *(shutil.which(version, path=place) for place in places)]
    for candidate in dict.fromkeys(item for item in found if item):
        command = [candidate, "-c", "import sys, pytest, lmdb, blake3, msgpack, nacl; print(sys.version_info[:2])"]
        try:
            answer = subprocess.run(
                command,
                user=uid,
                group=uid,
                extra_groups=[],
                env=environment,
                cwd="/",
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except OSError as error:
            tried.append(f"{candidate}: {error}")
            continue
        if answer.returncode == 0 and answer.stdout.strip() == str(sys.version_info[:2]):
            return [candidate], environment
        tried.append(f"{candidate}: {(answer.stderr or answer.stdout).strip()[-200:]}")
    raise AssertionError(
        f"no {version} that user {uid} can start and that finds our libraries; the store must also be tested "
        "as an ordinary user. Tried:\n" + "\n".join(tried)
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="these tests run as an ordinary user already")
def test_every_store_test_passes_as_an_ordinary_user() -> None:
    home = Path(tempfile.gettempdir()) / f"kiln-store-tests-{os.getpid()}"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    try:
        command, environment = interpreter_for(NOBODY)
        answer = subprocess.run(
            [
                *command,
                *("-m", "pytest", "tests/store", "-p", "no:cacheprovider"),
                *("--basetemp", str(home / "tests")),
            ],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd=REPOSITORY,
            env={
                **environment,
                "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                "HOME": str(home),
                "TMPDIR": str(home),
                "HYPOTHESIS_STORAGE_DIRECTORY": str(home / "hypothesis"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", str(home)], check=False)
        shutil.rmtree(home, ignore_errors=True)
    assert answer.returncode == 0, answer.stdout[-8000:] + answer.stderr[-2000:]
    assert re.search(r"\b[1-9]\d+ passed", answer.stdout), answer.stdout[-2000:]

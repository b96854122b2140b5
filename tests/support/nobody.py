"""Another, unprivileged user, for tests that root runs: what he needs to run `kiln`.

An interpreter or a checkout that lies in a private folder (root's home) is of no use to him: then one that he can
read is looked for, and where there is none a copy is made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass

from tests.support.home import REPOSITORY, Home

NOBODY = 65534
_PREFIX = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env")
"""setpriv lets go of root's capabilities in the program that it starts: with env between, the interpreter is looked
for without them."""
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_PROBE = "import kiln.__main__, kiln.commands.realise, blake3, lmdb, msgpack, nacl.signing, lark, fsspec, git"
_UNNEEDED = ("mypy*", "ruff*", "pip*", "pytest*", "_pytest", "hypothesis*", "cryptography*", "__pycache__", "test")


@dataclass(frozen=True, slots=True)
class Nobody:
    """How that user runs Python with Kiln in reach."""

    python: str
    path: str

    def home(self, folder: str, mirrors: dict[str, str]) -> Home:
        """A home of his own."""
        home = Home(folder, mirrors, _PREFIX, (self.python,), extra={"PYTHONPATH": self.path})
        home.give_to(NOBODY)
        return home


def find_nobody(room: str) -> Nobody:
    """Raises AssertionError where he can't run Kiln in any way."""
    packages = sysconfig.get_paths()["purelib"]
    here = os.pathsep.join((REPOSITORY, packages))
    pythons = (sys.executable, f"/usr/bin/{_VERSION}", f"/usr/local/bin/{_VERSION}")
    tried = [Nobody(python, here) for python in pythons]
    copied = Nobody(os.path.join(room, "python/bin", _VERSION), os.path.join(room, "packages"))
    for candidate in tried:
        if _works(candidate) is None:
            return candidate
    _copy_packages(packages, copied.path)
    for python in pythons:
        candidate = Nobody(python, copied.path)
        if _works(candidate) is None:
            return candidate
    _copy_python(os.path.join(room, "python"))
    refused = _works(copied)
    assert refused is None, f"another user can't run Kiln here: {refused}"
    return copied


def _works(candidate: Nobody) -> str | None:
    """What is in the way, or None."""
    try:
        done = subprocess.run(
            [*_PREFIX, candidate.python, "-c", _PROBE],
            env={"PYTHONPATH": candidate.path, "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return str(error)
    return done.stderr.strip() or f"exit code {done.returncode}" if done.returncode else None


def _copy_packages(packages: str, to: str) -> None:
    ignore = shutil.ignore_patterns(*_UNNEEDED)
    shutil.copytree(packages, to, symlinks=False, ignore=ignore, ignore_dangling_symlinks=True)
    shutil.copytree(os.path.join(REPOSITORY, "kiln"), os.path.join(to, "kiln"), ignore=ignore)
    _open_to_all(to)


def _copy_python(to: str) -> None:
    ignore = shutil.ignore_patterns("site-packages", "__pycache__", "test", "idlelib", "*.a", "node_modules")
    shutil.copytree(os.path.join(sys.base_prefix, "lib"), os.path.join(to, "lib"), ignore=ignore)
    os.mkdir(os.path.join(to, "bin"))
    shutil.copy(os.path.realpath(sys.executable), os.path.join(to, "bin", _VERSION))
    _open_to_all(to)


def _open_to_all(path: str) -> None:
    for folder, _, names in os.walk(path):
        os.chmod(folder, 0o755)
        for name in names:
            file = os.path.join(folder, name)
            if not os.path.islink(file):
                os.chmod(file, os.stat(file).st_mode | 0o444)

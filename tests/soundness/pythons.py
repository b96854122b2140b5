"""The Pythons of this machine, and by hand: the same digests on each of them.

    python -m tests.soundness.pythons [VERSION…]

makes a throw-away environment from requirements.lock for every interpreter of these versions (3.11, 3.12, 3.13),
in a temporary folder, and compares what the examples and the generated graphs derive. It needs the network, or
pip's cache.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import tempfile

VERSIONS = ("3.11", "3.12", "3.13")
_NEEDED = "import lark, msgpack, lmdb, blake3, nacl, git, fsspec, pathspec, backports.zstd"
HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))


def interpreters(versions: tuple[str, ...] = VERSIONS) -> tuple[dict[str, str], list[str]]:
    """The interpreters that have Kiln's packages, by version, and the versions of which there is none."""
    ready: dict[str, str] = {}
    for version in versions:
        for python in candidates(version):
            if _runs(python, version, _NEEDED):
                ready[version] = python
                break
    return ready, [version for version in versions if version not in ready]


def candidates(version: str) -> list[str]:
    """Interpreters that may be of this version: this one, those on PATH, pyenv's."""
    found = [sys.executable] if f"{sys.version_info[0]}.{sys.version_info[1]}" == version else []
    onpath = shutil.which(f"python{version}")
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    found += [onpath] if onpath is not None else []
    found += sorted(glob.glob(os.path.join(root, "versions", f"{version}.*", "bin", "python")), reverse=True)
    return found


def _runs(python: str, version: str, code: str) -> bool:
    asked = f"{code}\nimport sys; assert sys.version_info[:2] == {tuple(map(int, version.split('.')))}"
    done = subprocess.run([python, "-c", asked], capture_output=True, check=False)
    return done.returncode == 0


def environment(version: str, folder: str) -> str | None:
    """A new environment with the locked packages; its interpreter, or None where there is no such Python."""
    base = next((python for python in candidates(version) if _runs(python, version, "import venv")), None)
    if base is None:
        return None
    where = os.path.join(folder, version)
    subprocess.run([base, "-m", "venv", where], check=True)
    python = os.path.join(where, "bin", "python")
    lock = os.path.join(REPOSITORY, "requirements.lock")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", lock]
    subprocess.run(pip, check=True)
    return python


def main(versions: list[str]) -> int:
    from tests.soundness.test_same_everywhere import digests, lay_out

    with tempfile.TemporaryDirectory(prefix="pythons-") as folder:
        files = lay_out(os.path.join(folder, "files"))
        wanted = digests(files, "forward", 0)
        wrong = 0
        for version in versions or list(VERSIONS):
            python = environment(version, folder)
            if python is None:
                print(f"{version}: there is none here")
                continue
            same = [
                digests(files, order, seed, python) == wanted
                for seed, order in enumerate(("forward", "backward", "7"))
            ]
            wrong += not all(same)
            print(f"{version}: {'the same' if all(same) else 'DIFFERENT'} ({len(wanted.splitlines())} lines)")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

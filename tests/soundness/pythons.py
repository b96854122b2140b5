"""The Pythons of this machine, and by hand: the same digests on each of them.

    python -m tests.soundness.pythons [VERSION…]           throw-away environments, three orders of demand each
    python -m tests.soundness.pythons --prepare FOLDER     environments that stay there; what `make test` does first

makes an environment with what evaluation needs, from requirements.lock, for every interpreter of these versions
(3.11, 3.12, 3.13) that this machine has, and compares what the examples and the generated graphs derive. It needs
the network, or pip's cache.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

VERSIONS = ("3.11", "3.12", "3.13")
_PACKAGES = frozenset(
    [
        "backports-zstd",
        "blake3",
        "cffi",
        "fsspec",
        "gitdb",
        "gitpython",
        "lark",
        "lmdb",
        "msgpack",
        "pathspec",
        "pycparser",
        "pynacl",
        "smmap",
    ]
)
"""What evaluating imports, and what that needs, by the names in requirements.lock."""
_NEEDED = "import lark, msgpack, lmdb, blake3, nacl, git, fsspec, pathspec, backports.zstd"
HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
PREPARED = os.path.join(REPOSITORY, ".venv", "pythons")


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
    """Interpreters that may be of this version: this one, what `make test` prepared, those on PATH, pyenv's."""
    found = [sys.executable] if f"{sys.version_info[0]}.{sys.version_info[1]}" == version else []
    found += [_python(os.path.join(PREPARED, version))]
    onpath = shutil.which(f"python{version}")
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    found += [onpath] if onpath is not None else []
    found += sorted(glob.glob(os.path.join(root, "versions", f"{version}.*", "bin", "python")), reverse=True)
    return found


def base_interpreter(version: str) -> str | None:
    """An interpreter of this version with which an environment can be made."""
    return next((python for python in candidates(version) if _runs(python, version, "import venv, ensurepip")), None)


def _runs(python: str, version: str, code: str) -> bool:
    asked = f"{code}\nimport sys; assert sys.version_info[:2] == {tuple(map(int, version.split('.')))}"
    try:
        done = subprocess.run([python, "-c", asked], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _python(environment: str) -> str:
    return os.path.join(environment, "bin", "python")


def locked() -> str:
    """The part of requirements.lock that evaluation needs, hashes included."""
    with open(os.path.join(REPOSITORY, "requirements.lock"), encoding="utf-8") as file:
        entries = re.split(r"^(?=[a-z0-9])", file.read(), flags=re.MULTILINE)
    return "".join(entry for entry in entries if re.split(r"[=\[ ;]", entry, maxsplit=1)[0] in _PACKAGES)


def environment(version: str, folder: str) -> str | None:
    """A new environment with the locked packages; its interpreter, or None where there is no such Python."""
    base = base_interpreter(version)
    if base is None:
        return None
    where = os.path.join(folder, version)
    subprocess.run([base, "-m", "venv", where], check=True)
    lock = os.path.join(where, "requirements.lock")
    with open(lock, "w", encoding="utf-8") as file:
        file.write(locked())
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    subprocess.run([_python(where), *pip, "-r", lock], check=True)
    return _python(where)


def prepare(folder: str) -> int:
    """Environments for the versions that lack the packages. A Python that isn't here is told of, and no failure."""
    for version in interpreters()[1]:
        made = environment(version, folder)
        print(f"Python {version}: {'prepared' if made else 'not on this machine'}")
    return 0


def main(versions: list[str]) -> int:
    if versions[:1] == ["--prepare"]:
        return prepare(versions[1])
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

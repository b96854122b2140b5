"""What the tests of pins share: remote things made of text, and trees without a store."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

from kiln.interpreter.fetch.errors import NotHere
from kiln.interpreter.lock import Lock, Pin, render
from kiln.lang.report import CompileError
from kiln.lang.report import render as render_report
from kiln.store.digest import RootDigest, blob_digest

AUTHOR = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": os.environ["PATH"],
}


def write(folder: str | Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        if text.startswith("-> "):
            os.symlink(text[3:].strip(), path)
            continue
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text)


def archive(files: dict[str, str]) -> bytes:
    """A tar.gz whose bytes follow from the files alone."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT, compresslevel=1) as tar:
        for name, text in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


class Remote:
    """A folder that stands for somewhere else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def archive(self, name: str, files: dict[str, str]) -> str:
        """An archive there; its address. An older one of this name is replaced."""
        path = self.folder / name
        path.write_bytes(archive(files))
        return f"file://{path}"

    def repository(self, name: str) -> Repository:
        return Repository(self.folder / name)


class Repository:
    """A git repository with one branch, `main`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "-q", "-b", "main")

    @property
    def address(self) -> str:
        return f"git+file://{self.path}"

    def commit(self, files: dict[str, str]) -> str:
        """A commit with these files changed; its id."""
        write(self.path, files)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "change", "--allow-empty")
        return self.git("rev-parse", "HEAD")

    def git(self, *words: str) -> str:
        env = {**AUTHOR, "HOME": str(self.path)}
        done = subprocess.run(["git", *words], cwd=self.path, env=env, capture_output=True, check=True)
        return done.stdout.decode().strip()


def pin_of(name: str) -> Pin:
    """A pin that `Folders` opens: its tree's digest stands for the name."""
    address = f"https://example.org/{name}.tar.gz"
    return Pin(address, RootDigest(blob_digest(name.encode())), blob_digest(b"the file of " + name.encode()))


def lock_of(*names: str) -> str:
    """A kiln.lock that pins these."""
    return render(Lock({name: pin_of(name) for name in names}))


class Folders:
    """Trees that lie in folders below `base`, each named like its module; implements `remote.Opener`."""

    def __init__(self, base: str) -> None:
        self._base = os.path.abspath(base)
        self.opened: list[str] = []

    def open(self, name: str, pin: Pin, keeper: str) -> str:
        self.opened.append(name)
        for entry in os.listdir(self._base):
            if pin.tree == pin_of(entry).tree:
                return os.path.join(self._base, entry)
        raise NotHere(f"the remote module `{name}` is not in the store", expected=str(pin.tree), found="nothing")


def shown(error: CompileError) -> str:
    return "\n\n".join(render_report(report) for report in error.reports)

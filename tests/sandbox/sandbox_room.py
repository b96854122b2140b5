"""A small store of plain folders, and builds in it: what the tests of the sandbox run in."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from dataclasses import replace
from typing import NamedTuple

import pytest

from kiln.interpreter.derivation import Fixed, Limits
from kiln.interpreter.sandbox.errors import NamespacesRefused
from kiln.interpreter.sandbox.run import build_identity, run_sandbox
from kiln.interpreter.sandbox.spec import SandboxSpec
from kiln.store.paths import OutputName, StorePath, base32
from tests.support.room import downloads

BUILD_ID = 30017
"""Who builds when root runs the tests."""
OUT = OutputName("out")
_DEB = "pool/main/b/busybox/busybox-static_1.35.0-4+deb12u1+b1_amd64.deb"
_DEB_SHA256 = "3d3fdbe91d4660c873e14b092c213fe81c1da6362daa236eb25d0171eb108744"


def path_of(name: str) -> StorePath:
    """A store path made up from a name."""
    return StorePath(base32(hashlib.sha256(name.encode()).digest()), name)


class Ran(NamedTuple):
    """A build's result, and all that it wrote."""

    result: object
    log: bytes

    @property
    def text(self) -> str:
        return self.log.decode()


class Room:
    """A store below `folder`, with inputs by name, and folders for each build."""

    def __init__(self, folder: str, owner: int | None = None, launcher=None) -> None:
        self.folder = folder
        self.store = os.path.join(folder, "store")
        self._owner = owner
        self._launcher = launcher
        self._builds = 0
        os.makedirs(self.store)
        self.inputs: list[StorePath] = []
        self._own(self.store)

    def add_file(self, name: str, content: bytes, mode: int = 0o555) -> StorePath:
        path = path_of(name)
        self._write(self.physical(path), content, mode)
        self.inputs.append(path)
        return path

    def add_tree(self, name: str, files: dict[str, bytes], mode: int = 0o555) -> StorePath:
        path = path_of(name)
        os.mkdir(self.physical(path))
        for inner, content in files.items():
            file = os.path.join(self.physical(path), inner)
            os.makedirs(os.path.dirname(file), exist_ok=True)
            self._write(file, content, mode)
        for folder, _, _ in os.walk(self.physical(path)):
            self._own(folder)
        self.inputs.append(path)
        return path

    def add_symlink(self, name: str, target: str) -> StorePath:
        path = path_of(name)
        os.symlink(target, self.physical(path))
        self.inputs.append(path)
        return path

    def add_busybox(self) -> StorePath:
        """busybox, whose shell finds its own applets without a PATH."""
        return self.add_tree("busybox", {"bin/busybox": busybox()})

    def physical(self, path: StorePath) -> str:
        return os.path.join(self.store, path.base)

    def spec(self, argv: tuple[str, ...], **changes) -> SandboxSpec:
        self._builds += 1
        folders = [os.path.join(self.folder, f"{kind}{self._builds}") for kind in ("build", "out")]
        for folder in folders:
            os.mkdir(folder)
        spec = SandboxSpec(
            inputs=tuple((self.physical(path), path) for path in self.inputs),
            outputs=((OUT, path_of("result")),),
            build_dir=folders[0],
            out_dir=folders[1],
            argv=argv,
            env=(("out", str(path_of("result"))),),
            limits=Limits(time=60, silence=60, log=1 << 20),
        )
        return replace(spec, **changes)

    def run(self, *argv: str, **changes) -> Ran:
        return self.run_spec(self.spec(argv, **changes))

    def script(self, text: str) -> tuple[str, ...]:
        """The arguments that run a script with busybox, which must be an input."""
        return f"{path_of('busybox')}/bin/busybox", "sh", "-euc", text

    def shell(self, text: str, **changes) -> Ran:
        return self.run(*self.script(text), **changes)

    def run_spec(self, spec: SandboxSpec, **options) -> Ran:
        log = bytearray()
        try:
            result = run_sandbox(spec, build_identity(self.store), log=log.extend, engine=self._launcher, **options)
        except NamespacesRefused as error:
            pytest.fail(f"{error.message}\n  found {error.found}\n  help: {error.help}", pytrace=False)
        return Ran(result, bytes(log))

    def _write(self, path: str, content: bytes, mode: int) -> None:
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        self._own(path)

    def _own(self, path: str) -> None:
        if self._owner is not None:
            os.chown(path, self._owner, self._owner)


@functools.cache
def busybox() -> bytes:
    """Debian's busybox-static, fetched once and kept in this user's cache folder."""
    folder = downloads()
    kept = os.path.join(folder, _DEB_SHA256)
    if not os.path.exists(kept):
        os.makedirs(folder, exist_ok=True)
        _fetch(kept)
    with open(os.path.join(kept, "bin/busybox"), "rb") as file:
        return file.read()


def _fetch(kept: str) -> None:
    from kiln.interpreter.fetch.config import load_config
    from kiln.interpreter.fetch.errors import FetchError
    from kiln.interpreter.fetch.fetch import fetch_fixed
    from kiln.interpreter.fetch.unpack import unpack

    part = f"{kept}.{os.getpid()}"
    try:
        pin = Fixed("busybox.deb", False, "sha256", bytes.fromhex(_DEB_SHA256))
        sources = (f"debian:{_DEB}", f"debian:{_DEB.replace('pool/', 'pool/updates/', 1)}")
        fetch_fixed(pin, sources, f"{part}.deb", load_config(os.environ))
    except FetchError as error:
        pytest.fail(f"busybox-static, which builds in these tests use, could not be had: {error}", pytrace=False)
    unpack(f"{part}.deb", part)
    os.unlink(f"{part}.deb")
    try:
        os.rename(part, kept)
    except OSError:
        shutil.rmtree(part)

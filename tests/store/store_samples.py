"""Trees, outputs and records that the store's tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple, TypeAlias

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest, blob_digest
from kiln.store.info import ObjectInfo
from kiln.store.paths import OutputName, StorePath, base32
from kiln.store.records import Claim, Pin, Resolution, Witness, make_claim, sign_resolution, sign_witness
from kiln.store.rewrite import BuiltOutput
from kiln.store.store import Store

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Link(NamedTuple):
    target: str | bytes


class Script(NamedTuple):
    """An executable file."""

    data: bytes


Tree: TypeAlias = "bytes | Link | Script | Mapping[str | bytes, Tree]"


def make(path: str | bytes, tree: Tree) -> None:
    """Put a tree at `path`: bytes are a file, a mapping is a directory."""
    match tree:
        case Link(target):
            os.symlink(os.fsencode(target), os.fsencode(path))
        case Script(data):
            make(path, data)
            os.chmod(path, 0o755)
        case bytes():
            with open(path, "wb") as file:
                file.write(tree)
        case _:
            os.mkdir(path)
            for name, child in tree.items():
                make(os.path.join(os.fsencode(path), os.fsencode(name)), child)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def scratch(name: str) -> StorePath:
    return StorePath(base32(blob_digest(b"scratch " + name.encode())), name)


def built(store: Store, name: str, output: str, tree: Tree, *, forbid_self: bool = False) -> BuiltOutput:
    """An output as a builder leaves it, at its scratch name in a folder of the store's own."""
    path = scratch(name)
    source = f"{store.new_temp('out')}/{path.base}"
    make(source, tree)
    kind = "tree" if isinstance(tree, Mapping) else "file"
    return BuiltOutput(OutputName.parse(output), source, path, name, kind, forbid_self)  # type: ignore[arg-type]


def add(store: Store, place: str, name: str, tree: Tree, references: Iterable[ObjectId] = ()) -> ObjectInfo:
    """An object made from a source tree."""
    source = f"{place}/source-{os.urandom(6).hex()}"
    make(source, tree)
    return store.add_object(source, name, references=references, move=False)


class KeyId(NamedTuple):
    keyid: str


class SignatureOf(NamedTuple):
    sig: bytes


class Key:
    """An Ed25519 key that signs and verifies, as the store's protocols ask."""

    def __init__(self, seed: int) -> None:
        self._key = SigningKey(bytes([seed]) * 32)
        self.keyid = sha256(bytes(self._key.verify_key)).hexdigest()
        self.public_key = KeyId(self.keyid)

    def sign(self, data: bytes) -> SignatureOf:
        return SignatureOf(self._key.sign(data).signature)

    def verify(self, data: bytes, signature: bytes) -> bool:
        try:
            self._key.verify_key.verify(data, signature)
        except BadSignatureError:
            return False
        return True


def resolved(text: str) -> ResolvedDigest:
    return ResolvedDigest(blob_digest(b"resolved " + text.encode()))


def drv(text: str) -> DrvDigest:
    return DrvDigest(blob_digest(b"drv " + text.encode()))


def claim_of(info: ObjectInfo, what: str, output: str = "out") -> Claim:
    return make_claim(resolved(what), OutputName.parse(output), info.id, info.root, info.size, info.references)


def witness_of(claim: Claim, key: Key, envelope: bytes = b"{}") -> Witness:
    return sign_witness(
        key,
        claim,
        EnvelopeDigest(blob_digest(envelope)),
        sandbox=b"sandbox 1",
        degraded=("memory-limit",),
        started=1_000,
        finished=2_000,
        resources=[("wall", 1_000), ("cpu", 900)],
    )


def resolution_of(what: str, info: ObjectInfo, key: Key, made: int = 5) -> Resolution:
    pin = Pin(drv(f"input of {what}"), OutputName.parse("out"), info.id, info.name)
    return sign_resolution(key, drv(what), resolved(what), [pin], made=made)


def run_python(code: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a snippet in a process of its own, with these tests' modules to import."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def child_environment() -> dict[str, str]:
    here = os.path.dirname(os.path.abspath(__file__))
    paths = [REPOSITORY, here, *(item for item in sys.path if item.endswith("site-packages"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}

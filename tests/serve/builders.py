"""Builders without a sandbox: they say of what a test makes up that they built it, and push it into folders."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from kiln.serve.admission import Admitter
from kiln.serve.quarantine import FOLDER, Upload
from kiln.store.cache.backend import open_backend
from kiln.store.cache.push import push
from kiln.store.cache.selection import select_all
from kiln.store.cache.upstream import Identity, Upstream
from kiln.store.digest import EnvelopeDigest, ResolvedDigest, blob_digest
from kiln.store.paths import OutputName
from kiln.store.provenance import dsse
from kiln.store.provenance.keys import SecretKey
from kiln.store.provenance.trust import Policy, TrustedKey
from kiln.store.records import make_claim, sign_witness
from kiln.store.store import Store
from tests.store.store_samples import add


class Builder:
    """A key, and a store in which it vouches for everything."""

    def __init__(self, folder: Path, key: SecretKey, name: str = "ci") -> None:
        self.folder = folder
        self.key = key
        self.name = name
        self.successions: tuple[bytes, ...] = ()
        folder.mkdir(parents=True, exist_ok=True)

    def make(self, name: str, files: dict[str, bytes] | None = None) -> None:
        """One more object, with a claim that the key has signed and an envelope."""
        with Store.open(str(self.folder / "store")) as store:
            info = add(store, str(self.folder), name, files or {"file": os.urandom(3000)}, [])
            claim = make_claim(
                ResolvedDigest(blob_digest(name.encode())),
                OutputName("out"),
                info.id,
                info.root,
                info.size,
                info.references,
            )
            envelope = dsse.emit(dsse.sign(b"{}", "application/vnd.in-toto+json", self.key))
            digest = EnvelopeDigest(blob_digest(envelope))
            witness = sign_witness(self.key, claim, digest, started=1, finished=2)
            store.commit(witnesses=[(claim, witness)], resolutions=[], envelopes=[envelope])

    def push(self, address: str, *, token: str | None = None, name: str = "team") -> int:
        """Push everything; the version of the head."""
        now, identity = int(time.time()), Identity(self.key, self.name, self.successions)
        backend = open_backend(address, token=token)
        try:
            with Store.open(str(self.folder / "store")) as store:
                upstream = Upstream.open(backend, identity, [], name=name, now=now)
                upstream.introduce(identity, now)
                return push(store, upstream, identity, select_all(store)).version
        finally:
            backend.close()

    def upload(self, target: Path, cache: Path | None = None) -> Path:
        """What a push on top of a cache would upload: the folder as it is after it."""
        if cache is not None:
            shutil.copytree(cache, target, ignore=shutil.ignore_patterns(FOLDER))
            for path in target.rglob("*"):
                path.chmod(0o755 if path.is_dir() else 0o644)
        target.mkdir(exist_ok=True)
        self.push(str(target))
        return target

    def trusted(self) -> TrustedKey:
        return TrustedKey(self.key.public_key, self.name)


def admit(cache: Path, folder: Path, policy: Policy, token: str = "ci") -> dict[str, int]:
    """What the server does with an upload that holds these files."""
    return Admitter(str(cache), lambda: policy)(Upload(str(folder), str(cache / FOLDER / "kept" / token)))


def files(folder: Path) -> dict[str, bytes]:
    """All that a reader of a cache may see."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: data for path, data in found.items() if not path.startswith(FOLDER)}

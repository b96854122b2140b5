"""A server that is killed at any step of an upload loses nothing and shows nothing half; then the upload succeeds."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiln.serve.admission import Admitter
from kiln.serve.quarantine import Upload
from kiln.store.cache.backend import open_backend
from kiln.store.cache.card import decode_card
from kiln.store.cache.head import head_path, open_head
from kiln.store.cache.push import push
from kiln.store.cache.selection import select_all
from kiln.store.cache.upstream import Identity, Upstream, all_rows
from kiln.store.provenance.keys import SecretKey
from kiln.store.provenance.trust import Policy, TrustedKey
from kiln.store.store import Store
from tests.store.store_samples import add

KEY = SecretKey.of(b"k" * 32)
HEAD = head_path(KEY.public_key.keyid)
STEPS = ("link", "replace", "fsync", "makedirs", "chmod")


def policy() -> Policy:
    return Policy.of([TrustedKey(KEY.public_key, "ci")])


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[list[Path]]:
    """Two uploads of one builder, the second on top of the first."""
    (tmp_path / "whole").mkdir()
    now, identity = int(time.time()), Identity(KEY, "ci")
    found: list[Path] = []
    with Store.open(str(tmp_path / "store")) as store:
        for number in range(2):
            info = add(
                store, str(tmp_path), f"thing{number}", {"file": os.urandom(3000), "big": os.urandom(2 << 20)}, []
            )
            said(store, info)
            backend = open_backend(str(tmp_path / "whole"))
            upstream = Upstream.open(backend, identity, [], name="team", now=now)
            upstream.introduce(identity, now)
            push(store, upstream, identity, select_all(store))
            found.append(tmp_path / f"upload{number}")
            shutil.copytree(tmp_path / "whole", found[-1])
    yield found


def said(store: Store, info: object) -> None:
    from kiln.store.digest import EnvelopeDigest, ResolvedDigest, blob_digest
    from kiln.store.info import ObjectInfo
    from kiln.store.paths import OutputName
    from kiln.store.provenance import dsse
    from kiln.store.records import make_claim, sign_witness

    assert isinstance(info, ObjectInfo)
    resolved = ResolvedDigest(blob_digest(info.name.encode()))
    claim = make_claim(resolved, OutputName("out"), info.id, info.root, info.size, info.references)
    envelope = dsse.emit(dsse.sign(b"{}", "application/vnd.in-toto+json", KEY))
    digest = EnvelopeDigest(blob_digest(envelope))
    witness = sign_witness(KEY, claim, digest, started=1, finished=2)
    store.commit(witnesses=[(claim, witness)], resolutions=[], envelopes=[envelope])


def shows(cache: Path) -> int:
    """The version of the head in force, all of which can be read; 0 where there is none."""
    if (cache / "kiln-cache.json").exists():
        decode_card((cache / "kiln-cache.json").read_bytes())
    if not (cache / HEAD).exists():
        return 0
    head = open_head((cache / HEAD).read_bytes(), KEY.public_key, "team")
    for entry in head.segments:
        assert all_rows(open_backend(str(cache)), entry)
    return head.version


def admit(cache: Path, folder: Path) -> None:
    Admitter(str(cache), policy)(Upload(str(folder), str(cache / ".quarantine/kept/ci")))


def killed_at(cache: Path, upload: Path, step: int) -> bool:
    """Admit in a process that is killed at its n-th step; whether it was."""
    child = os.fork()
    if child == 0:
        left = [step]
        for name in STEPS:
            setattr(os, name, counting(getattr(os, name), left))
        admit(cache, upload)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def counting(call: object, left: list[int]) -> object:
    def counted(*args: object, **options: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)  # type: ignore[operator]

    return counted


def test_a_server_killed_at_every_step(uploads: list[Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / ".quarantine").mkdir(parents=True)
    versions = []
    for number, upload in enumerate(uploads):
        before = shows(cache)
        step = 0
        while True:
            step += 1
            copy = tmp_path / f"copy-{number}-{step}"
            shutil.copytree(upload, copy)
            trial = tmp_path / "trial"
            shutil.copytree(cache, trial)
            was_killed = killed_at(trial, copy, step)
            seen = shows(trial)
            if not was_killed:
                versions.append(seen)
                shutil.rmtree(cache)
                trial.rename(cache)
                break
            again = tmp_path / f"again-{number}-{step}"
            shutil.copytree(upload, again)
            if seen == before:
                admit(trial, again)
            assert shows(trial) > before, f"step {step}"
            shutil.rmtree(trial)
        assert step > 5
    assert versions == sorted(set(versions))
    assert len(versions) == 2

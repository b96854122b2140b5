"""The file of secret keys: made once, private, and refused when it is not."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from kiln.store.errors import NotOwner, StoreError
from kiln.store.provenance.errors import BadKeyFile
from kiln.store.provenance.keyfile import (
    HEADER,
    KeyRing,
    StoredKey,
    format_keys,
    load_keys,
    open_keys,
    parse_keys,
    unlock,
)
from kiln.store.provenance.keys import SecretKey, to_base64url


def line(seed: bytes, state: str = "active", created: str = "2026-11-21T08:30:00Z") -> str:
    public = SecretKey.of(seed).public_key
    return f"{state} ed25519 {created} {to_base64url(public.raw)} {to_base64url(seed)}"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_file_is_made_on_first_use_and_then_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "builder.key"
    previous = os.umask(0)
    try:
        first = open_keys(str(path))
    finally:
        os.umask(previous)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert open_keys(str(path)) == first
    assert load_keys(str(path)) == first
    assert os.listdir(path.parent) == ["builder.key"]
    signed = first.signer().sign(b"data")
    assert first.public_keys[0].verify(b"data", signed.sig)


def test_two_files_hold_two_keys(tmp_path: Path) -> None:
    assert open_keys(str(tmp_path / "a" / "k")) != open_keys(str(tmp_path / "b" / "k"))


def test_without_a_file_loading_gives_none(tmp_path: Path) -> None:
    assert load_keys(str(tmp_path / "no" / "builder.key")) is None
    (tmp_path / "keys").mkdir(mode=0o700)
    assert load_keys(str(tmp_path / "keys" / "builder.key")) is None


def _make(path: str, begin: object, queue: object) -> None:
    begin.wait()  # type: ignore[attr-defined]
    queue.put(open_keys(path).active.public_key.keyid)  # type: ignore[attr-defined]


def test_processes_that_make_it_at_once_use_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    queue, begin = context.Queue(), context.Event()
    path = str(tmp_path / "keys" / "builder.key")
    makers = [context.Process(target=_make, args=(path, begin, queue)) for _ in range(6)]
    for maker in makers:
        maker.start()
    begin.set()
    seen = {queue.get(timeout=60) for _ in makers}
    for maker in makers:
        maker.join(60)
    assert len(seen) == 1
    assert os.listdir(tmp_path / "keys") == ["builder.key"]


@pytest.mark.parametrize("loose", [0o644, 0o640, 0o604, 0o660, 0o602])
def test_a_file_that_others_can_open_is_refused(tmp_path: Path, loose: int) -> None:
    path = tmp_path / "keys" / "builder.key"
    open_keys(str(path))
    path.chmod(loose)
    with pytest.raises(BadKeyFile, match="open to other users") as caught:
        open_keys(str(path))
    assert caught.value.expected == "mode 0600"
    assert caught.value.found == f"mode {loose:04o}"
    assert "chmod 600" in str(caught.value.help)


@pytest.mark.parametrize("loose", [0o755, 0o770, 0o701])
def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path, loose: int) -> None:
    path = tmp_path / "keys" / "builder.key"
    open_keys(str(path))
    path.parent.chmod(loose)
    with pytest.raises(BadKeyFile) as caught:
        open_keys(str(path))
    assert caught.value.expected == "mode 0700"


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    real = tmp_path / "real" / "builder.key"
    open_keys(str(real))
    (tmp_path / "keys").mkdir(mode=0o700)
    (tmp_path / "keys" / "builder.key").symlink_to(real)
    with pytest.raises(BadKeyFile, match="symbolic link"):
        open_keys(str(tmp_path / "keys" / "builder.key"))
    (tmp_path / "dangling").mkdir(mode=0o700)
    (tmp_path / "dangling" / "builder.key").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadKeyFile, match="symbolic link"):
        open_keys(str(tmp_path / "dangling" / "builder.key"))
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "linked").symlink_to(real.parent)
    with pytest.raises(BadKeyFile, match="symbolic link"):
        open_keys(str(tmp_path / "linked" / "builder.key"))


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    if kind == "folder":
        (keys / "builder.key").mkdir(mode=0o700)
    else:
        os.mkfifo(keys / "builder.key", 0o600)
    with pytest.raises(BadKeyFile, match="not a file"):
        open_keys(str(keys / "builder.key"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "builder.key"
    open_keys(str(path))
    os.chown(path, 4242, 4242)
    with pytest.raises(NotOwner, match="another user"):
        open_keys(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root works for another user")
def test_root_makes_the_key_for_the_folders_owner(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "builder.key"
    path.parent.mkdir(mode=0o700)
    os.chown(path.parent, 4242, 4242)
    made = open_keys(str(path))
    assert path.stat().st_uid == 4242 and mode(path) == 0o600
    assert open_keys(str(path)) == made
    os.chown(path, 0, 0)
    with pytest.raises(NotOwner):
        open_keys(str(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_made_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(BadKeyFile, match="cannot be made") as caught:
        open_keys(str(tmp_path / "closed" / "keys" / "builder.key"))
    assert caught.value.found == "Permission denied"


def test_several_keys_are_read_and_written(tmp_path: Path) -> None:
    text = f"{HEADER}\n# older ones below\n{line(b'a' * 32)}\n\n{line(b'b' * 32, 'retired')}\n"
    ring = parse_keys(text)
    assert ring.signer().public_key == SecretKey.of(b"a" * 32).public_key
    assert ring.public_keys == (SecretKey.of(b"a" * 32).public_key, SecretKey.of(b"b" * 32).public_key)
    assert parse_keys(format_keys(ring)) == ring


GOOD = line(b"a" * 32)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kiln-secret-keys 2\n" + GOOD,
        GOOD,
        HEADER,
        f"{HEADER}\n{line(b'a' * 32, 'retired')}",
        f"{HEADER}\n{GOOD}\n{line(b'b' * 32)}",
        f"{HEADER}\n{GOOD}\n{line(b'a' * 32, 'retired')}",
        f"{HEADER}\n{GOOD} more",
        f"{HEADER}\n{GOOD[:-1]}",
        f"{HEADER}\n{GOOD.replace('active', 'spare')}",
        f"{HEADER}\n{GOOD.replace('ed25519', 'rsa')}",
        f"{HEADER}\n{GOOD.replace('08:30:00Z', '08:30')}",
    ],
)
def test_a_damaged_file_is_refused_without_showing_a_secret(text: str) -> None:
    with pytest.raises(BadKeyFile) as caught:
        parse_keys(text)
    error = caught.value
    shown = f"{error.message} {error.expected} {error.found} {error.help}"
    assert to_base64url(b"a" * 32)[:12] not in shown


def test_halves_that_do_not_belong_together_do_not_sign() -> None:
    other = SecretKey.of(b"b" * 32).public_key
    with pytest.raises(BadKeyFile, match="do not belong together"):
        unlock(StoredKey("active", "2026-11-21T08:30:00Z", other, b"a" * 32))


def test_a_ring_shows_no_secret() -> None:
    ring = KeyRing.generate("2026-11-21T08:30:00Z")
    assert to_base64url(ring.active.seed) not in repr(ring)
    assert str(ring.active.seed) not in repr(ring)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a" * 70000], ids=["not ASCII", "too large"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "keys" / "builder.key"
    path.parent.mkdir(mode=0o700)
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(StoreError, match="not a file of Kiln's secret keys"):
        open_keys(str(path))

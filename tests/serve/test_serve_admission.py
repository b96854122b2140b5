"""An upload is admitted whole or not at all: what a trusted key pushed, and nothing that was touched since."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from kiln.serve.admission import Admitter
from kiln.serve.quarantine import Upload as Came
from kiln.serve.refusal import Refused
from kiln.serve.verifying import patched
from kiln.store.cache.backend import open_backend
from kiln.store.cache.card import CARD_PATH
from kiln.store.cache.head import SegmentEntry, head_path, open_head, sign_head
from kiln.store.cache.push import push
from kiln.store.cache.segment import read_segment, write_segment
from kiln.store.cache.selection import select_all
from kiln.store.cache.upstream import Identity, Upstream
from kiln.store.provenance.keyfile import open_keys
from kiln.store.provenance.keys import SecretKey
from kiln.store.provenance.trust import Policy, TrustedKey
from kiln.store.store import Store
from tests.support.home import Home

pytestmark = pytest.mark.needs_namespaces

BUILD = '''\
import "std/c" as c;

pub type Made = c.Package({}, {}, { out: Tree });

pub let default: Made = c.package({
  name = "self", version = "1", tc = c.shell, deps = {}, opts = {}, outputs = { out = Tree },
  script = fn(b) => sh"""
    mkdir -p %{b.out}/bin
    echo "prefix %{b.out}" > %{b.out}/bin/x
    ln -s %{b.out}/bin/x %{b.out}/y
    head -c 3000000 /dev/urandom > %{b.out}/big
    """,
});
'''


class Upload(NamedTuple):
    """What a builder uploads: a folder, and the key with which he signs."""

    folder: Path
    signer: SecretKey

    def policy(self) -> Policy:
        return Policy.of([TrustedKey(self.signer.public_key, "builder")])

    @property
    def head(self) -> str:
        return head_path(self.signer.public_key.keyid)


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory, mirrors: dict[str, str], shell_home: str) -> Upload:
    folder = tmp_path_factory.mktemp("pushed")
    home = Home(str(folder / "home"), mirrors)
    for name in ("store", "config/kiln/keys"):
        home.run(["cp", "-a", os.path.join(shell_home, name), os.path.join(home.folder, name)]).expect()
    home.write("x.kiln", BUILD)
    home.kiln("realise", "x.kiln", "--no-link").expect()
    (folder / "upload").mkdir()
    signer = open_keys(os.path.join(home.folder, "config/kiln/keys/builder.key")).signer()
    with Store.open(home.store) as store:
        identity, now = Identity(signer, "builder"), int(time.time())
        upstream = Upstream.open(open_backend(str(folder / "upload")), identity, (), name="team", now=now)
        upstream.introduce(identity, now)
        assert push(store, upstream, identity, select_all(store)).objects >= 2
    return Upload(folder / "upload", signer)


@pytest.fixture
def upload(pushed: Upload, tmp_path: Path) -> Upload:
    """A copy that a test may spoil."""
    shutil.copytree(pushed.folder, tmp_path / "upload")
    return pushed._replace(folder=tmp_path / "upload")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "cache" / ".quarantine").mkdir(parents=True)
    return tmp_path / "cache"


def files(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: data for path, data in found.items() if not path.startswith(".quarantine")}


def admit(upload: Upload, cache: Path, policy: Policy | None = None) -> dict[str, int]:
    admitter = Admitter(str(cache), lambda: policy or upload.policy())
    return admitter(Came(str(upload.folder), str(cache / ".quarantine/kept/ci")))


def test_what_a_trusted_key_pushed_is_admitted(upload: Upload, cache: Path) -> None:
    before = files(upload.folder)
    done = admit(upload, cache)
    assert done["objects"] >= 2 and done["claims"] >= 1 and done["envelopes"] >= 1
    assert files(cache) == before
    assert any(path.startswith("c/") for path in before), "the large file went in chunks"


def test_the_same_upload_again_changes_nothing(upload: Upload, cache: Path, tmp_path: Path) -> None:
    """The answer to the first was lost, or the server was killed before it gave one."""
    shutil.copytree(upload.folder, tmp_path / "again")
    admit(upload, cache)
    before = files(cache)
    admit(upload._replace(folder=tmp_path / "again"), cache)
    assert files(cache) == before


def test_a_head_that_is_no_newer(upload: Upload, cache: Path, tmp_path: Path) -> None:
    shutil.copytree(upload.folder, tmp_path / "again")
    admit(upload, cache)
    before = files(cache)
    head = open_head(before[upload.head], upload.signer.public_key, "team")
    (tmp_path / "again" / upload.head).unlink()
    (tmp_path / "again" / upload.head).write_bytes(sign_head(head._replace(made=head.made + 1), upload.signer))
    with pytest.raises(Refused) as refused:
        admit(upload._replace(folder=tmp_path / "again"), cache)
    assert (refused.value.status, refused.value.rule) == (409, "conflict")
    assert files(cache) == before


def test_a_key_that_the_server_does_not_trust(upload: Upload, cache: Path) -> None:
    with pytest.raises(Refused) as refused:
        admit(upload, cache, Policy.of())
    assert (refused.value.rule, refused.value.status) == ("signature", 422)
    assert files(cache) == {}


@pytest.mark.parametrize("option", [{"revoked": "2026-01-01"}, {"expires": "2026-01-01"}])
def test_a_key_that_is_revoked_or_has_expired(upload: Upload, cache: Path, option: dict[str, str]) -> None:
    barred = Policy.of([TrustedKey(upload.signer.public_key, "builder", **option)], today="2026-11-21")  # type: ignore[arg-type]
    with pytest.raises(Refused, match=r"trust|revoked|expired"):
        admit(upload, cache, barred)
    assert files(cache) == {}


def test_no_byte_of_an_upload_can_be_changed(pushed: Upload, cache: Path, tmp_path: Path) -> None:
    """A sample of the bytes of every file, each flipped in turn."""
    chosen = random.Random(20)
    for path, data in sorted(files(pushed.folder).items()):
        for place in sorted(chosen.sample(range(len(data)), min(len(data), 6))):
            folder = tmp_path / "changed"
            shutil.copytree(pushed.folder, folder)
            changed = bytearray(data)
            changed[place] ^= 1 << chosen.randrange(8)
            os.chmod(folder / path, 0o644)
            (folder / path).write_bytes(changed)
            with pytest.raises(Refused):
                admit(pushed._replace(folder=folder), cache)
            assert files(cache) == {}, f"{path} at {place}"
            shutil.rmtree(folder)


def test_no_file_of_an_upload_can_be_left_out(pushed: Upload, cache: Path, tmp_path: Path) -> None:
    for path in sorted(files(pushed.folder)):
        if path == pushed.head:
            continue
        folder = tmp_path / "lacking"
        shutil.copytree(pushed.folder, folder)
        (folder / path).unlink()
        with pytest.raises(Refused):
            admit(pushed._replace(folder=folder), cache)
        assert files(cache) == {}, path
        shutil.rmtree(folder)


def test_packs_that_are_swapped(upload: Upload, cache: Path) -> None:
    packs = [path for path in files(upload.folder) if path.startswith(("p/", "c/"))]
    one, two = (upload.folder / path for path in packs[:2])
    first, second = one.read_bytes(), two.read_bytes()
    for path, data in ((one, second), (two, first)):
        os.chmod(path, 0o644)
        path.write_bytes(data)
    with pytest.raises(Refused):
        admit(upload, cache)
    assert files(cache) == {}


def test_a_file_that_no_cache_has(upload: Upload, cache: Path) -> None:
    (upload.folder / "p" / "zz").mkdir(parents=True)
    (upload.folder / "p" / "zz" / "x").write_bytes(b"x")
    admit(upload, cache)
    assert not (cache / "p" / "zz").exists(), "only names of the layout move"


def test_a_head_without_what_it_names(upload: Upload, cache: Path) -> None:
    shutil.rmtree(upload.folder / "x")
    with pytest.raises(Refused, match="neither in the upload nor in the cache"):
        admit(upload, cache)


def test_a_head_that_has_expired(upload: Upload, cache: Path) -> None:
    old = open_head((upload.folder / upload.head).read_bytes(), upload.signer.public_key, "team")
    stale = old._replace(made=old.made - 10_000_000, expires=old.made - 1)
    os.chmod(upload.folder / upload.head, 0o644)
    (upload.folder / upload.head).write_bytes(sign_head(stale, upload.signer))
    with pytest.raises(Refused, match="expired"):
        admit(upload, cache)
    assert files(cache) == {}


def test_a_head_of_another_cache(upload: Upload, cache: Path) -> None:
    admit(upload, cache)
    before = files(cache)
    head = open_head((cache / upload.head).read_bytes(), upload.signer.public_key, "team")
    upload_two = cache.parent / "second"
    (upload_two / "heads").mkdir(parents=True)
    (upload_two / upload.head).write_bytes(sign_head(head._replace(cache="other", version=9), upload.signer))
    with pytest.raises(Refused):
        admit(upload._replace(folder=upload_two), cache)
    assert files(cache) == before


def test_what_comes_before_its_head_is_kept_and_shown_to_nobody(pushed: Upload, cache: Path, tmp_path: Path) -> None:
    """The card comes first, in an upload of its own; files that no head names yet do no harm."""
    first, rest = tmp_path / "first", tmp_path / "rest"
    shutil.copytree(pushed.folder, rest)
    first.mkdir()
    os.rename(rest / CARD_PATH, first / CARD_PATH)
    admit(pushed._replace(folder=first), cache)
    assert list(files(cache)) == [CARD_PATH]
    admit(pushed._replace(folder=rest), cache)
    assert files(cache) == files(pushed.folder)


@pytest.mark.parametrize("table", [b"B", b"C", b"E", b"O", b"R"])
def test_rows_that_a_trusted_uploader_made_up(upload: Upload, cache: Path, table: bytes) -> None:
    """Two rows of one table swapped, the segment written anew, the head signed by the uploader's own key."""
    head = open_head((upload.folder / upload.head).read_bytes(), upload.signer.public_key, "team")
    (entry,) = head.segments
    rows = read_segment(entry.digest, (upload.folder / entry.path).read_bytes())[1]
    one, two = [name for name in rows if name[:1] == table][:2]
    forged = write_segment({**rows, one: rows[two], two: rows[one]})
    (upload.folder / forged.path).parent.mkdir(exist_ok=True)
    (upload.folder / forged.path).write_bytes(forged.data)
    os.chmod(upload.folder / upload.head, 0o644)
    named = head._replace(segments=(SegmentEntry.of(forged),))
    (upload.folder / upload.head).write_bytes(sign_head(named, upload.signer))
    with pytest.raises(Refused):
        admit(upload, cache)
    assert files(cache) == {}


@pytest.mark.parametrize("sizes", [[100], [1] * 100, [33, 33, 34], [10, 0, 60, 30], [64, 36]])
def test_hashes_are_written_across_the_borders_of_pieces(sizes: list[int]) -> None:
    data = bytes(range(1, 21)) + bytes(32) + b"middle--" + bytes(32) + b"endings!"
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    own = b"h" * 32
    wanted = data[:20] + own + data[52:60] + own + data[92:]
    assert b"".join(patched(pieces, (20, 60), own)) == wanted

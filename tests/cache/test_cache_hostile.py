"""A cache under an attacker's control wastes time and nothing else.

Bob's only cache is a web server that lies in one way about one kind of file; he takes what he can get and makes the
rest. Whatever happens, what stands in his store is what Alice made, and he is told by the cache's name.
"""

from __future__ import annotations

import random
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from taking_graphs import Graph, User, Users, objects

from kiln.store.cache.backend import Limits, open_backend
from kiln.store.cache.head import head_path, open_head, sign_head
from kiln.store.cache.seen import Memory
from kiln.store.cache.segment import read_segment, write_segment
from kiln.store.digest import DrvDigest, ObjectId
from tests.support import lyingserver as lies
from tests.support.lyingserver import LyingServer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

QUICK = Limits(connect=1, first=0.6, stall=0.6, floor=4096, grace=0.6, tries=2, wait=0.3, redirects=3)
KINDS = ("kiln-cache.json", "heads/.*", "x/.*", "p/.*")
CODE = re.compile(r"\[K0[67][0-9]{2}\]")
"""The rule that was broken, as `kiln explain` knows it."""
BOMB = zstd.compress(bytes(64 << 20))

LIES = {
    "truncated": lies.truncated(20),
    "empty": lies.changed(lambda data: b""),
    "overlong": lies.overlong(b"more"),
    "endless": lies.endless,
    "a length too large": lies.length_off_by(9),
    "a length too small": lies.length_off_by(-9),
    "another range": lies.range_off_by(1),
    "a flipped byte": lies.flipped(40),
    "a bomb": lies.changed(lambda data: BOMB),
    "a bomb of the right length": lies.changed(lambda data: BOMB[: len(data)].ljust(len(data), b"\0")),
    "404 after the index said yes": lies.missing,
    "a storm of 429": lies.status(429, retry_after=0.05),
    "a storm of 503": lies.status(503, retry_after=0.05),
    "500": lies.status(500, body=b"\x1b[31m oh no"),
    "a loop of redirects": lies.redirected("/kiln-cache.json"),
    "a redirect to another scheme": lies.redirected("file:///etc/passwd"),
    "a redirect to a port that is none": lies.redirected("http://127.0.0.1:99999/"),
    "a redirect to a name that is none": lies.redirected("http://a..b/"),
    "a redirect to what is no name": lies.redirected("http://\xff/"),
    "a redirect to a server inside": lies.redirected("http://localhost:9/"),
    "one byte a second": lies.dripping(1, 1.0),
    "a stall": lies.stalled,
    "no answer": lies.silent,
    "not HTTP": lies.garbage,
    "HTML": lies.changed(lambda data: b"<html>please log in</html>"),
    "deep JSON": lies.changed(lambda data: b"[" * 100_000),
    "deep msgpack": lies.changed(lambda data: b"\x91" * 100_000),
}


@pytest.fixture
def users(place: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Users]:
    found = Users(place, monkeypatch)
    yield found
    found.close()


class Shared:
    """What Alice made and pushed: three objects, one on another, and the folder of her cache."""

    def __init__(self, users: Users, place: str) -> None:
        self.graph = Graph()
        a = self.graph.add("a")
        b = self.graph.add("b", a)
        self.top: DrvDigest = self.graph.add("c", a, b)
        self.alice = users.add(b"a")
        self.made = self._realised(self.alice)
        self.folder = f"{place}/shared"
        self.alice.push(open_backend(self.folder))
        self.users = users

    def _realised(self, user: User) -> list[ObjectId]:
        return objects(user.realise(self.graph, self.top), [self.top])

    @property
    def head(self) -> Path:
        return Path(self.folder, head_path(self.alice.key.public_key.keyid))

    def bob(self, url: str, **given: object) -> User:
        cache = open_backend(url, name="team", limits=QUICK) if "://" in url else open_backend(url, name="team")
        return self.users.add(b"b", trusts=[self.alice.key], caches=[cache], **given)

    def check(self, user: User) -> None:
        """What is in his store is right, whether it was taken or made."""
        assert self._realised(user) == self.made
        assert user.store.check(contents=True) == []
        assert {info.name for info in user.store.all_objects()} == {"a", "b", "c"}


@pytest.fixture
def shared(users: Users, place: str) -> Shared:
    return Shared(users, place)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lie", LIES)
def test_nothing_wrong_gets_in_and_the_build_goes_on(shared: Shared, lie: str, kind: str) -> None:
    with LyingServer(shared.folder) as server:
        server.lie(kind, LIES[lie])
        bob = shared.bob(server.url)
        shared.check(bob)
    assert bob.built or bob.cached
    if bob.built and (lie, kind) != (
        "404 after the index said yes",
        "heads/.*",
    ):  # that is who has pushed nothing yet
        assert any("team" in text and CODE.search(text) for text in bob.warnings), bob.warnings
    assert not any("\x1b" in text for text in bob.warnings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_without_ranges_serves_all_the_same(shared: Shared, kind: str) -> None:
    with LyingServer(shared.folder) as server:
        server.lie(kind, lies.ranges_ignored)
        bob = shared.bob(server.url)
        shared.check(bob)
    assert bob.cached and not bob.built


@pytest.mark.parametrize("kind", KINDS)
def test_a_storm_that_passes_is_weathered(shared: Shared, kind: str) -> None:
    with LyingServer(shared.folder) as server:
        server.lie(kind, lies.status(503, retry_after=0.01), times=1)
        bob = shared.bob(server.url)
        shared.check(bob)
    assert bob.cached and not bob.built and bob.warnings == []


@pytest.mark.parametrize("part", range(4))
def test_each_byte_of_a_small_cache_flipped_in_turn(users: Users, place: str, part: int) -> None:
    """In four tests, so that processes share them. A sample of each file's; `test_cache_each_byte` has all."""
    graph = Graph()
    only = graph.add("only")
    alice = users.add(b"a")
    made = objects(alice.realise(graph, only), [only])
    folder = f"{place}/shared"
    alice.push(open_backend(folder))
    chosen = random.Random(part)
    for path in _files(folder):
        target = Path(folder, path)
        target.chmod(0o644)
        data = target.read_bytes()
        mine = range(part, len(data), 4)
        for at in chosen.sample(mine, min(len(mine), 15)):
            target.write_bytes(data[:at] + bytes([data[at] ^ (1 << chosen.randrange(8))]) + data[at + 1 :])
            bob = users.add(b"b", trusts=[alice.key], caches=[open_backend(folder, name="team")])
            assert objects(bob.realise(graph, only), [only]) == made, f"{path} at {at}"
            assert bob.store.check(contents=True) == [], f"{path} at {at}"
            assert bob.built != bool(bob.cached)
            bob.store.close()
        target.write_bytes(data)


def _files(folder: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_packs_swapped(shared: Shared) -> None:
    packs = [Path(shared.folder, path) for path in _files(shared.folder) if path.startswith("p/")]
    assert len(packs) >= 2
    contents = [pack.read_bytes() for pack in packs]
    for pack, other in zip(packs, contents[1:] + contents[:1], strict=True):
        pack.chmod(0o644)
        pack.write_bytes(other)
    bob = shared.bob(shared.folder)
    shared.check(bob)
    assert bob.built and bob.warnings


def test_an_older_head_is_a_rollback_and_noticed_by_who_saw_the_newer(shared: Shared, place: str) -> None:
    backend = open_backend(shared.folder, name="team")
    old = shared.head.read_bytes()
    extra = shared.graph.add("extra")
    made = objects(shared.alice.realise(shared.graph, extra), [extra])
    shared.alice.push(backend, *made)
    memory = Memory.load(f"{place}/seen")
    bob = shared.bob(shared.folder)
    bob.memory = memory
    bob.realise(shared.graph, extra)
    assert bob.cached == {"extra": "team"}
    memory.save()
    shared.head.chmod(0o644)
    shared.head.write_bytes(old)
    carol = shared.bob(shared.folder)
    carol.memory = Memory.load(f"{place}/seen")
    shared.check(carol)
    assert carol.built and any("team" in text and "K06" in text for text in carol.warnings), carol.warnings


def test_a_head_that_expired_is_a_freeze(shared: Shared) -> None:
    head = open_head(shared.head.read_bytes(), shared.alice.key.public_key, "team")
    shared.head.chmod(0o644)
    stale = head._replace(made=head.made - 200 * 86400, expires=head.made - 100 * 86400)
    shared.head.write_bytes(sign_head(stale, shared.alice.key))
    bob = shared.bob(shared.folder)
    shared.check(bob)
    assert bob.built and any("team" in text for text in bob.warnings)


@pytest.mark.parametrize("table", [b"C", b"O", b"R"])
def test_rows_that_a_trusted_uploader_swapped(shared: Shared, table: bytes) -> None:
    """A valid realisation for another derivation: the index says it, signed by a head's key."""
    head = open_head(shared.head.read_bytes(), shared.alice.key.public_key, "team")
    [entry] = head.segments
    rows = read_segment(entry.digest, Path(shared.folder, entry.path).read_bytes())[1]
    names = [name for name in rows if name[:1] == table]
    forged = write_segment(
        {**rows, **{name: rows[other] for name, other in zip(names, names[1:] + names[:1], strict=True)}}
    )
    place = Path(shared.folder, forged.path)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(forged.data)
    shared.head.chmod(0o644)
    named = head._replace(version=head.version + 1, segments=(type(entry).of(forged),))
    shared.head.write_bytes(sign_head(named, shared.alice.key))
    bob = shared.bob(shared.folder)
    shared.check(bob)
    assert any("team" in text for text in bob.warnings)
    assert bob.built or table == b"R", "what the inputs come to still leads to the claims"


def test_two_caches_one_of_which_lies(shared: Shared, place: str) -> None:
    """The good one helps out, whichever comes first."""
    shutil.copytree(shared.folder, f"{place}/good")
    for order in (0, 1):
        with LyingServer(shared.folder) as server:
            server.lie(r"p/.*", lies.flipped(3))
            bob = shared.bob(server.url, failing=True)
            caches = [*bob.caches, open_backend(f"{place}/good", name="good")]
            bob.caches = caches[::-1] if order else caches
            shared.check(bob)
            assert "good" in bob.cached["c"]


def test_another_cache_of_the_same_uploader_in_a_caches_place(shared: Shared, place: str) -> None:
    """Its heads are signed by the same key, and its versions may be higher: nothing else tells them apart."""
    other = Graph()
    extra = other.add("extra")
    folder = f"{place}/other"
    for _ in range(3):
        shared.alice.realise(other, extra)
        shared.alice.push(open_backend(folder), name="staging")
    memory = Memory.load(f"{place}/seen")
    bob = shared.bob(shared.folder)
    bob.memory = memory
    shared.check(bob)
    memory.save()
    assert set(bob.cached) == {"c"}
    shutil.rmtree(shared.folder)
    shutil.move(folder, shared.folder)
    carol = shared.bob(shared.folder)
    carol.memory = Memory.load(f"{place}/seen")
    shared.check(carol)
    assert carol.built == ["a", "b", "c"]
    assert any("[K0672] the cache team" in text and "H5" in text for text in carol.warnings), carol.warnings


def test_an_old_realisation_replayed(shared: Shared, place: str) -> None:
    """The row that Alice signed once for the same derivation stands in a head of hers no more: it can't be brought
    back, neither under the new head nor with the old one."""
    backend = open_backend(shared.folder, name="team")
    before = open_head(shared.head.read_bytes(), shared.alice.key.public_key, "team")
    old_index = {entry.path: Path(shared.folder, entry.path).read_bytes() for entry in before.segments}
    bare = before._replace(version=before.version + 1, segments=())
    shared.head.chmod(0o644)
    shared.head.write_bytes(sign_head(bare, shared.alice.key))
    memory = Memory.load(f"{place}/seen")
    bob = shared.bob(backend.url)
    bob.memory = memory
    shared.check(bob)
    memory.save()
    assert not bob.cached, "the old tables lie there, and no head names them"
    assert all(Path(shared.folder, path).read_bytes() == data for path, data in old_index.items())
    shared.head.write_bytes(sign_head(before, shared.alice.key))
    carol = shared.bob(backend.url)
    carol.memory = Memory.load(f"{place}/seen")
    shared.check(carol)
    assert not carol.cached and any("[K0665]" in text and "team" in text and "H2" in text for text in carol.warnings)

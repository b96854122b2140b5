"""The files that say which caches a user has, and what was seen of them; lines that are wrong among them."""

from __future__ import annotations

import threading

import pytest

from kiln.store.cache.backend import Limits
from kiln.store.cache.credentials import token_of
from kiln.store.cache.errors import BadCacheAddress, BadMemory, HeadExpired, HeadForked, HeadMissing, HeadRolledBack
from kiln.store.cache.seen import Memory, SeenHead
from kiln.store.cache.settings import (
    Setting,
    format_settings,
    load_settings,
    name_of,
    open_setting,
    parse_settings,
    with_line,
    without_line,
)
from kiln.store.provenance.keys import SecretKey
from kiln.store.provenance.succession import Revocation, Rotation
from kiln.store.provenance.trust import Policy, TrustedKey

TEXT = """# mine
team https://cache.example/team push=after-build patience=2.5

lab  s3://lab/kiln required
here /srv/cache
"""
ONE, TWO, THREE = (SecretKey.of(bytes([number]) * 32).public_key for number in (1, 2, 3))
URL = "https://cache.example/team"
WHEN = "2026-11-21T08:30:00Z"


def test_lines_in_order():
    found = parse_settings(TEXT, "caches")
    assert found == (
        Setting("team", URL, push=True, patience=2.5),
        Setting("lab", "s3://lab/kiln", required=True),
        Setting("here", "/srv/cache"),
    )
    assert parse_settings(format_settings(found), "caches") == found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("team", "not a cache"),
        ("-x https://a/", "not a cache"),
        ("a/b https://a/", "not a cache"),
        ("team relative/folder", "not an address"),
        ("team https://me:pass@host/", "must not hold a user"),
        ("team https://me@host/", "must not hold a user"),
        ("team s3://key:secret@bucket/", "must not hold a user"),
        ("team https://host/?token=1", "not an address"),
        ("team https://host/#x", "not an address"),
        ("team https://[::1/", "not an address"),
        ("team https://a/ push", "does not know"),
        ("team https://a/ push=always", "does not know"),
        ("team https://a/ required required", "does not know"),
        ("team https://a/ patience=0", "does not know"),
        ("team https://a/ patience=-1", "does not know"),
        ("team https://a/ patience=1e9", "does not know"),
        ("team https://a/ token=secret", "does not know"),
        ("team https://a/\nteam https://b/", "an earlier line has"),
        ("team https://a/ \x1b[2J", "does not know"),
    ],
)
def test_a_wrong_line_is_an_error_that_names_it(line, message):
    with pytest.raises(BadCacheAddress, match=message) as caught:
        parse_settings(line, "caches")
    assert caught.value.message.startswith(f"caches, line {line.count(chr(10)) + 1}: ")
    assert (caught.value.found or "").isprintable() and "pass" not in str(caught.value.found)


def test_the_environment_takes_the_files_place(tmp_path):
    path = tmp_path / "caches"
    path.write_text(TEXT)
    assert len(load_settings(str(path), {}).caches) == 3
    assert load_settings(str(path), {"KILN_CACHES": ""}).caches == ()
    given = "https://ci.example/x; s3://bucket/y ;team /srv/c push=after-build;/srv/cache"
    found = load_settings(str(path), {"KILN_CACHES": given})
    assert [(item.name, item.url, item.push) for item in found.caches] == [
        ("ci.example", "https://ci.example/x", False),
        ("bucket", "s3://bucket/y", False),
        ("team", "/srv/c", True),
        ("cache", "/srv/cache", False),
    ]
    assert found.source == "KILN_CACHES" and load_settings(str(tmp_path / "none"), {}).caches == ()
    for data in (b"\xff", b"#" * 300_000):
        path.write_bytes(data)
        with pytest.raises(BadCacheAddress, match="not a list of caches"):
            load_settings(str(path), {})


def test_a_change_leaves_other_lines_as_they_are():
    made = with_line(TEXT, Setting("new", "/srv/new"))
    assert made == TEXT + "new /srv/new\n"
    assert with_line(made, Setting("lab", "/srv/lab")).splitlines()[3] == "lab /srv/lab"
    assert without_line(made, "new") == TEXT
    assert with_line(None, Setting("a", "/a")).splitlines()[1:] == ["a /a"]
    assert name_of("/srv/cache", [Setting("cache", "/x")]) == "cache-2" and name_of("/") == "cache"


def test_a_token_is_for_one_cache():
    environment = {"KILN_CACHE_TOKEN": "push", "KILN_CACHE_TOKEN_TEAM_EU_1": "own"}
    assert token_of("team.eu-1", pushing=False, environment=environment) == "own"
    assert token_of("other", pushing=False, environment=environment) is None
    assert token_of("other", pushing=True, environment=environment) == "push"
    assert token_of("other", pushing=True, environment={"KILN_CACHE_TOKEN": ""}) is None


def test_patience_bounds_every_wait():
    assert Limits.patient(3.0) == Limits(connect=3.0, first=3.0, stall=3.0, grace=3.0, wait=3.0)
    backend = open_setting(Setting("team", "http://127.0.0.1:9/x", patience=0.5))
    assert (backend.name, backend.url) == ("team", "http://127.0.0.1:9/x")


class TestMemory:
    def check(self, memory, version, digest="a" * 64, expires=2000.0, now=1000.0, url=URL):
        memory.check_head("team", url, ONE, version=version, digest=digest, expires=expires, now=now)

    def seen(self, tmp_path, version=7, digest="a" * 64):
        memory = Memory.load(str(tmp_path / "state" / "caches-seen"))
        memory.note_head(URL, ONE.keyid, SeenHead(version, digest, WHEN))
        memory.save()
        return Memory.load(str(tmp_path / "state" / "caches-seen"))

    def test_the_first_time_and_later_ones(self, tmp_path):
        memory = Memory.load(str(tmp_path / "caches-seen"))
        assert memory.is_new
        self.check(memory, 1)
        memory.check_missing("team", URL, ONE)
        memory = self.seen(tmp_path)
        assert not memory.is_new
        self.check(memory, 7)
        self.check(memory, 8)
        self.check(memory, 1, url="https://another.example/")

    @pytest.mark.parametrize(
        ("error", "rule", "options"),
        [
            (HeadExpired, "H1", {"version": 8, "now": 2001.0}),
            (HeadRolledBack, "H2", {"version": 6}),
            (HeadForked, "H3", {"version": 7, "digest": "b" * 64}),
        ],
    )
    def test_each_rule_outlives_the_process(self, tmp_path, error, rule, options):
        memory = self.seen(tmp_path)
        with pytest.raises(error, match=f"the cache team .*{rule}"):
            self.check(memory, **options)

    def test_a_head_that_was_seen_may_not_be_missing(self, tmp_path):
        with pytest.raises(HeadMissing, match="H4"):
            self.seen(tmp_path).check_missing("team", URL, ONE)
        memory = self.seen(tmp_path)
        memory.forget(URL)
        Memory.load(str(tmp_path / "state" / "caches-seen")).check_missing("team", URL, ONE)

    def test_an_older_head_is_not_noted_over_a_newer(self, tmp_path):
        self.seen(tmp_path, 7)
        memory = self.seen(tmp_path, 5)
        assert memory.newest(URL, ONE.keyid) == SeenHead(7, "a" * 64, WHEN)

    def test_processes_merge_what_they_saw(self, tmp_path):
        path = str(tmp_path / "caches-seen")
        memories = [Memory.load(path) for _ in range(8)]
        for number, memory in enumerate(memories):
            memory.note_head(f"https://host-{number}/a b%", ONE.keyid, SeenHead(1, "a" * 64, WHEN))
        threads = [threading.Thread(target=memory.save) for memory in memories]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        again = Memory.load(path)
        assert all(again.newest(f"https://host-{number}/a b%", ONE.keyid) for number in range(8))

    def test_rotations_and_revocations_are_kept(self, tmp_path):
        path = str(tmp_path / "caches-seen")
        policy = Policy.of([TrustedKey(ONE, "ci")], today="2026-11-21")
        memory = Memory.load(path)
        learnt, refused = memory.learn(policy, [Rotation(ONE, TWO, WHEN)], [])
        assert learnt.by_id.keys() == {ONE.keyid, TWO.keyid} and not refused
        assert len(memory.learn(learnt, [Rotation(ONE, THREE, WHEN)], [])[1]) == 1
        memory.save()
        memory = Memory.load(path)
        policy = memory.policy(policy)
        assert policy.by_id.keys() == {ONE.keyid, TWO.keyid}
        learnt, refused = memory.learn(
            policy, [Rotation(THREE, ONE, WHEN)], [Revocation(ONE, WHEN), Revocation(THREE, WHEN)]
        )
        assert learnt.by_id.keys() == {TWO.keyid} and not refused
        memory.save()
        again = Memory.load(path)
        assert again.policy(Policy.of([TrustedKey(ONE, "ci")])).by_id.keys() == {TWO.keyid}
        # Nobody takes a revocation back, and a revoked key names no other successor.
        assert len(again.learn(again.policy(policy), [Rotation(ONE, THREE, WHEN)], [])[1]) == 1

    @pytest.mark.parametrize(
        "line",
        ["", "head", f"head {URL} {ONE.keyid} -1 {'a' * 64} {WHEN}", f"head {URL} {ONE.keyid} 1 {'a' * 63} {WHEN}",
         f"head {URL} xyz 1 {'a' * 64} {WHEN}", f"rotation {ONE} {WHEN}", f"rotation {ONE} ed25519:AAA {WHEN}",
         f"revocation {ONE} today", "something else", "\x1b[2J", "\xff"],
    )  # fmt: skip
    def test_a_line_that_is_damaged_is_an_error(self, tmp_path, line):
        path = tmp_path / "caches-seen"
        path.write_text((f"kiln-caches-seen 1\n{line}\n") if line else "another file\n", encoding="latin-1")
        with pytest.raises(BadMemory) as caught:
            Memory.load(str(path))
        assert caught.value.code == "K0668" and (caught.value.found or "").isprintable()

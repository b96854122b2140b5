"""What a cache keeps: retention by targets, collection of what no head names, and nothing that somebody reads."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiln.store.cache import rows
from kiln.store.cache.backend import Backend
from kiln.store.cache.head import head_path
from kiln.store.cache.push import push
from kiln.store.cache.selection import Wanted, select_targets
from kiln.store.cache.sweep import Retention, Uncollectable, keepers, retain, sweep
from kiln.store.digest import ObjectId, blob_digest
from kiln.store.info import ObjectInfo
from kiln.store.store import Store
from tests.cache.cache_samples import (
    ME,
    OTHER,
    envelope_of,
    files_of,
    identity,
    made,
    push_all,
    random_file,
    show,
    upstream,
)

DAY = 86400
BIG = 3 << 20


def age(backend: Backend, days: float, keep: tuple[str, ...] = ()) -> None:
    """Let every file be so old."""
    then = time.time() - days * DAY
    for path in files_of(backend):
        if not path.startswith(keep or "\0"):
            os.utime(f"{backend.url}/{path}", (then, then))


def push_as(store: Store, backend: Backend, info: ObjectInfo, label: str, key=ME) -> None:
    selection = select_targets(store, [Wanted(info.id, label)])
    push(store, upstream(backend, key), identity(key), selection)


def retain_now(backend: Backend, retention: Retention, dry_run: bool = False):
    return retain(upstream(backend), identity(), retention, dry_run=dry_run)


def retire_long_ago(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweep as somebody does who comes days later."""
    later = time.time() + 10 * DAY
    monkeypatch.setattr("kiln.store.cache.sweep.time.time", lambda: later)


def test_what_is_named_stays_whatever_its_age(store: Store, place: str, folder: Backend) -> None:
    info = made(store, place, "thing", {"big": random_file(BIG), "small": b"x"})
    push_all(store, folder)
    age(folder, 400)
    before = files_of(folder)
    swept = sweep(folder)
    assert not swept.removed and files_of(folder) == before
    assert swept.alive == len([path for path in before if path[:2] in ("c/", "p/", "x/")])
    show(folder).check(info.id)


def test_what_no_head_names_goes_when_it_is_old(store: Store, place: str, folder: Backend) -> None:
    info = made(store, place, "thing", {"big": random_file(BIG), "small": b"x"})
    push_all(store, folder)
    orphans = {"p/aa/" + "a" * 64: b"pack", "c/bb/" + "b" * 64: b"chunk", "x/cc/" + "c" * 64: b"segment"}
    folder.put_many(orphans.items())
    young = sweep(folder)
    assert not young.removed and young.young == 3
    age(folder, 2)
    would = sweep(folder, dry_run=True)
    assert {entry.path for entry in would.removed} == set(orphans) and would.freed == sum(map(len, orphans.values()))
    assert orphans.keys() <= files_of(folder).keys()
    assert {entry.path for entry in sweep(folder).removed} == set(orphans)
    assert not orphans.keys() & files_of(folder).keys()
    show(folder).check(info.id)


def test_files_of_a_place_that_does_not_tell_their_age_stay(folder: Backend) -> None:
    folder.put("p/aa/" + "a" * 64, b"pack")
    plain = folder.listing
    folder.listing = lambda prefix="": (entry._replace(mtime=None) for entry in plain(prefix))  # type: ignore[method-assign]
    assert sweep(folder, grace=0).young == 1


@pytest.mark.parametrize("keep", ["older", "last", "object"])
def test_retention_keeps_targets_and_what_they_need(
    store: Store, place: str, folder: Backend, keep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = random_file(BIG, 7)
    base = made(store, place, "base", b"base")
    old = made(store, place, "old", {"shared": shared, "own": random_file(BIG, 1)}, [base])
    new = made(store, place, "new", {"shared": shared, "own": random_file(BIG, 2)}, [base])
    monkeypatch.setattr("kiln.store.cache.push.time.time", lambda: time.time_ns() / 1e9 - 40 * DAY)
    push_as(store, folder, old, "tool")
    monkeypatch.undo()
    push_as(store, folder, new, "tool")
    before = show(folder)
    retention = {
        "older": Retention(older_than=30 * DAY),
        "last": Retention(keep_last=1),
        "object": Retention(targets=frozenset([new.id])),
    }[keep]
    would = retain_now(folder, retention, dry_run=True)
    assert would.dropped == [(old.id, "tool")] and would.kept == [(new.id, "tool")]
    assert show(folder).rows == before.rows
    done = retain_now(folder, retention)
    assert (done.rows_before, done.rows_after) == (would.rows_before, would.rows_after)
    after = show(folder)
    assert after.table(b"O").keys() == {base.id, new.id}
    for info in (base, new):
        after.check(info.id)
    assert bytes(blob_digest(envelope_of(old))) not in after.table(b"E")
    assert all(bytes(blob_digest(envelope_of(info))) in after.table(b"E") for info in (base, new))
    said = {row.claim.object for k, v in after.table(b"C").items() for row in rows.decode_claims(k, v)}  # type: ignore[arg-type]
    assert said == {base.id, new.id}
    # A reader with the head from before still finds everything; ten days later what went is gone.
    age(folder, 2)
    assert not sweep(folder).removed
    before.check(old.id)
    retire_long_ago(folder, monkeypatch)
    swept = sweep(folder)
    assert swept.freed > BIG - 100_000
    for info in (base, new):
        show(folder).check(info.id)


def test_what_went_can_be_pushed_again(
    store: Store, place: str, folder: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made(store, place, "one", random_file(BIG, 1))
    push_as(store, folder, one, "tool")
    assert retain_now(folder, Retention(targets=frozenset())).rows_after == 0
    assert show(folder).rows == {}
    age(folder, 2)
    retire_long_ago(folder, monkeypatch)
    sweep(folder)
    monkeypatch.undo()
    push_as(store, folder, one, "tool")
    show(folder).check(one.id)


def test_retention_of_one_uploader_takes_nothing_from_another(
    store: Store, place: str, folder: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = made(store, place, "thing", {"big": random_file(BIG), "small": b"x"})
    push_all(store, folder, ME)
    push_all(store, folder, OTHER, trusted=[ME])
    retain_now(folder, Retention(targets=frozenset()))
    age(folder, 2)
    retire_long_ago(folder, monkeypatch)
    sweep(folder)
    show(folder, OTHER).check(info.id)


def test_without_a_rule_everything_stays(store: Store, place: str, folder: Backend) -> None:
    made(store, place, "thing", b"x")
    push_all(store, folder)
    version = show(folder).head.version
    assert retain_now(folder, Retention()).dropped == []
    assert retain_now(folder, Retention(keep_last=1)).dropped == []
    assert show(folder).head.version == version


@pytest.mark.parametrize("damage", ["head", "segment", "pack"])
def test_what_cannot_be_read_stops_collection(store: Store, place: str, folder: Backend, damage: str) -> None:
    made(store, place, "thing", b"x")
    push_all(store, folder)
    folder.put("p/aa/" + "a" * 64, b"orphan")
    age(folder, 2)
    victims = {"head": "heads/", "segment": "x/", "pack": "p/"}
    for path in list(files_of(folder)):
        if path.startswith(victims[damage]) and path != "p/aa/" + "a" * 64:
            folder.delete(path)
            if damage == "head":
                folder.put(path, b"{}", replace=True)
    with pytest.raises(Uncollectable):
        sweep(folder)
    assert "p/aa/" + "a" * 64 in files_of(folder)


def test_a_head_that_changes_meanwhile_is_read_again(store: Store, place: str, folder: Backend) -> None:
    info = made(store, place, "thing", b"x")
    orphan = "p/aa/" + "a" * 64
    folder.put(orphan, b"orphan")
    age(folder, 2)
    plain, told = folder.listing, []

    def listing(prefix: str = ""):
        if prefix == "x/" and not told:
            told.append(prefix)
            push_all(store, folder)
            age(folder, 2)
        return plain(prefix)

    folder.listing = listing  # type: ignore[method-assign]
    assert [entry.path for entry in sweep(folder).removed] == [orphan]
    show(folder).check(info.id)


def test_a_cache_that_never_rests_is_left_alone(store: Store, place: str, folder: Backend) -> None:
    plain, number = folder.listing, [0]

    def listing(prefix: str = ""):
        if prefix == "x/":
            number[0] += 1
            made(store, place, f"thing-{number[0]}", b"%d" % number[0])
            push_all(store, folder)
        return plain(prefix)

    folder.listing = listing  # type: ignore[method-assign]
    with pytest.raises(Uncollectable, match="all the time"):
        sweep(folder)


IDS = st.integers(0, 9).map(lambda n: ObjectId(bytes([n]) * 32))
TARGETS = st.dictionaries(
    IDS,
    st.builds(rows.TargetRow, st.integers(0, 20_000), st.sampled_from(["a", "b"]), st.just(()), st.just(())),
    max_size=8,
)


@settings(max_examples=60)
@given(TARGETS, st.none() | st.integers(0, 20), st.none() | st.integers(0, 3), st.none() | st.frozensets(IDS))
def test_a_target_stays_if_any_rule_says_so(targets, older, last, named):
    kept = keepers(targets, Retention(older, last, named), 20)
    for item, row in targets.items():
        young = older is not None and row.pushed >= (20 - older) * 1000
        same = [other for other in targets if targets[other].label == row.label]
        rank = sorted(same, key=lambda other: (targets[other].pushed, other), reverse=True).index(item)
        assert (item in kept) == (
            young or (last is not None and rank < last) or (named is not None and item in named)
        )


def test_the_head_of_a_swept_cache_is_as_it_was(store: Store, place: str, folder: Backend) -> None:
    made(store, place, "thing", b"x")
    push_all(store, folder)
    before = folder.get(head_path(ME.public_key.keyid), limit=1 << 20)
    sweep(folder, grace=0)
    assert folder.get(head_path(ME.public_key.keyid), limit=1 << 20) == before
